"""How far an autoencoder sees, measured: the gradient of one latent frame, and of all frames by one latent frame.

What the network states follows from its kernels; a norm over time or an attention layer would make it untrue, and only
the gradients tell.
"""

from dataclasses import dataclass

import torch

from autoencoder.model import MelVAE


@dataclass(frozen=True)
class Reach:
    """Mel frames to either side of one latent frame's own: what the network states, what its gradients show.

    Args:
        encoder: stated: what the frame sees.
        decoder: stated: what the frame has a say in.
        measured_encoder: the same by gradients.
        measured_decoder: the same by gradients.
    """

    encoder: int
    decoder: int
    measured_encoder: int
    measured_decoder: int

    @classmethod
    def of(cls, network: MelVAE) -> "Reach":
        """Ask a network, and measure it."""
        stated = network.encoder_reach(), network.decoder_reach()
        return cls(*stated, measured_encoder_reach(network), measured_decoder_reach(network))

    @property
    def holds(self) -> bool:
        """Whether no gradient reaches beyond the statement: streaming and kept regions stand on it."""
        return self.measured_encoder <= self.encoder and self.measured_decoder <= self.decoder


def measured_encoder_reach(network: MelVAE) -> int:
    """Mel frames on either side of its own that one latent frame depends on."""
    factor = network.config.frames_per_latent
    middle = 2 * (network.encoder_reach() // factor + 2)
    log_mel = _noise(1, network.mel.n_mels, factor * (2 * middle + 1)).requires_grad_()
    posterior = network.encode(log_mel)
    frame = posterior.mean[..., middle].square().sum() + posterior.log_variance[..., middle].square().sum()
    (gradient,) = torch.autograd.grad(frame, log_mel)
    seen = gradient.abs().sum(dim=(0, 1)).nonzero()[:, 0]
    first, last = middle * factor, middle * factor + factor - 1
    return max(first - int(seen.min()), int(seen.max()) - last)


def measured_decoder_reach(network: MelVAE) -> int:
    """Mel frames on either side of its own that one latent frame has a say in."""
    factor = network.config.frames_per_latent
    middle = 2 * (network.decoder_reach() // factor + 2)
    latents = _noise(1, network.config.latent_channels, 2 * middle + 1)
    tangent = torch.zeros_like(latents)
    tangent[..., middle] = _noise(1, network.config.latent_channels, 1)[..., 0]
    change: torch.Tensor = torch.func.jvp(network.decode, (latents,), (tangent,))[1]
    moved = change.abs().sum(dim=(0, 1)).nonzero()[:, 0]
    first, last = middle * factor, middle * factor + factor - 1
    return max(first - int(moved.min()), int(moved.max()) - last)


def _noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
