"""Listeners for the adversarial phase of the decoder: they see log-mels, and tell decoded from real ones by patches.

A mean of absolute differences asks for the middle of what a mel may be, and a middle is smooth: what scatters from
frame to frame, as breath, snares and cymbals do, is decoded too evenly. A network that sees patches hears that.
(Patches after Isola, Zhu, Zhou, Efros, "Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017,
section 3.2.2; for autoencoders of latent diffusion, Rombach et al., "High-Resolution Image Synthesis with Latent
Diffusion Models", CVPR 2022, appendix G.)
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool1d
from torch.nn.utils.parametrizations import weight_norm

from training.game import Game, Judgement, judged_by, run_layers

# Log-mels in nats lie about -5 and scatter by 4.
CENTRE, SPREAD = -5.0, 4.0


@dataclass(frozen=True)
class MelGanConfig:
    """The adversarial phase.

    Args:
        start_batch: training batches before the discriminators play; 0 leaves them out altogether.
        channels: of their first layers; the last have twice as many.
        time_scales: one discriminator each, which sees frames averaged over so many.
        game: hinge, or least_squares.
        learning_rate_factor: the discriminators' learning rate over the network's.

    Raises:
        ValueError: a number out of its range.
    """

    start_batch: int = 0
    channels: int = 24
    time_scales: tuple[int, ...] = (1, 2)
    game: Game = "hinge"
    learning_rate_factor: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.start_batch < 0:
            raise ValueError(f"gan.start_batch: expected 0 (off) or more, got {self.start_batch}")
        if self.channels < 1 or not self.time_scales or any(scale < 1 for scale in self.time_scales):
            raise ValueError("gan: expected channels and time_scales of at least 1, and one time scale or more")
        if self.game not in ("hinge", "least_squares"):
            raise ValueError(f"gan.game: expected hinge or least_squares, got {self.game!r}")
        if not self.learning_rate_factor > 0.0:
            raise ValueError(f"gan.learning_rate_factor: expected more than 0, got {self.learning_rate_factor}")


class PatchDiscriminator(nn.Module):
    """Scores patches of a log-mel, and is told how high in frequency each lies.

    Args:
        channels: of the first two layers; the other two have twice as many.
        time_scale: frames that are averaged.
    """

    def __init__(self, channels: int, time_scale: int) -> None:
        super().__init__()
        self.time_scale = time_scale
        # Channels in and out, kernel, stride: bins, frames.
        layers = (
            (2, channels, (7, 5), (2, 1)),
            (channels, channels, (7, 5), (2, 1)),
            (channels, 2 * channels, (5, 5), (2, 2)),
            (2 * channels, 2 * channels, (5, 3), (2, 1)),
        )
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(width, out, kernel, stride, (kernel[0] // 2, kernel[1] // 2)))
            for width, out, kernel, stride in layers
        )
        self.score = weight_norm(nn.Conv2d(2 * channels, 1, 3, padding=1))

    def forward(self, log_mel: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Score map and features of `(batch, n_mels, frames)`."""
        if self.time_scale > 1:
            log_mel = avg_pool1d(log_mel, self.time_scale)
        height = torch.linspace(-1.0, 1.0, log_mel.shape[1]).to(log_mel)[None, :, None].expand_as(log_mel)
        return run_layers(torch.stack([(log_mel - CENTRE) / SPREAD, height], dim=1), self.layers, self.score)


class MelDiscriminators(nn.Module):
    """All discriminators of a config.

    Args:
        config: which ones.
    """

    def __init__(self, config: MelGanConfig) -> None:
        super().__init__()
        self.members = nn.ModuleList(PatchDiscriminator(config.channels, scale) for scale in config.time_scales)

    def forward(self, log_mel: Tensor) -> Judgement:
        """Judge `(batch, n_mels, frames)`, in nats."""
        return judged_by(self.members, log_mel)
