"""The mel VAE: a log-mel becomes a short sequence of Gaussians, and comes back.

    q(z | x) = N(mean(x), diag(std(x)^2)),    z ~ q,    x' = decoder(z)

(Kingma, Welling, "Auto-Encoding Variational Bayes", 2014.) It is one-dimensional: mel bins are channels, time is the
axis, so any length works and the diffusion transformer sees a plain sequence.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.layers import ConvNeXtBlock, Downsample, FrameNorm, ResidualSequence, Upsample
from training.checkpoint import StageRecord, load_stage, load_weights

LOG_VARIANCE_RANGE = (-14.0, 6.0)


@dataclass(frozen=True)
class MelVAEConfig:
    """Sizes of the network.

    Args:
        latent_channels: numbers per latent frame.
        frames_per_latent: mel frames that become one latent frame.
        width: channels of the hidden layers.
        encoder_blocks: before and after the reduction in time.
        decoder_blocks: before and after the growth in time.
        expansion: of the hidden layer in a block.
        kernel_size: of a block, odd.
        dropout: in a block.
        mel_mean: taken from the log-mel at the door of the network, in nats.
        mel_std: the log-mel is divided by it at the door, in nats.
        linear_path: a linear map beside encoder and decoder, which training starts at the principal components.
        lead: latent frames that are decoded ahead of a clip, and cut off again behind the vocoder: silence, so that an
            attack at the very beginning has what lies before it (ADR 24).
    """

    latent_channels: int = 32
    frames_per_latent: int = 2
    width: int = 320
    encoder_blocks: tuple[int, int] = (1, 3)
    decoder_blocks: tuple[int, int] = (4, 2)
    expansion: int = 3
    kernel_size: int = 7
    dropout: float = 0.0
    mel_mean: float = -6.0
    mel_std: float = 3.5
    linear_path: bool = False
    lead: int = 0

    def __post_init__(self) -> None:
        """Refuse sizes that no network can have."""
        for name in ("latent_channels", "frames_per_latent", "width", "expansion", "kernel_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"MelVAEConfig.{name}: expected a positive number, got {getattr(self, name)}")
        if self.lead < 0:
            raise ValueError(f"MelVAEConfig.lead: expected a number >= 0, got {self.lead}")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"MelVAEConfig.kernel_size: expected an odd number, got {self.kernel_size}")
        for name in ("encoder_blocks", "decoder_blocks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) != 2 or min(getattr(self, name)) < 0:
                raise ValueError(f"MelVAEConfig.{name}: expected two numbers >= 0, got {getattr(self, name)}")


@dataclass(frozen=True)
class Posterior:
    """A diagonal Gaussian per latent frame.

    Args:
        mean: `(batch, channels, latent_frames)`.
        log_variance: the same shape.
    """

    mean: Tensor
    log_variance: Tensor

    @property
    def std(self) -> Tensor:
        """Standard deviation, the shape of `mean`."""
        return torch.exp(0.5 * self.log_variance)

    def sample(self) -> Tensor:
        """A draw: `mean + std * noise`."""
        return self.mean + self.std * torch.randn_like(self.mean)

    def kl(self) -> Tensor:
        """Divergence from N(0, 1) in nats, element by element (Kingma, Welling 2014, appendix B)."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1.0 - self.log_variance)


class MelVAE(nn.Module):
    """Encoder and decoder.

    Args:
        mel: contract of the log-mels.
        config: sizes.
    """

    def __init__(self, mel: MelConfig, config: MelVAEConfig) -> None:
        super().__init__()
        self.mel = mel
        self.config = config
        self.record: StageRecord | None = None
        self.lead = nn.Parameter(torch.zeros(config.latent_channels, config.lead)) if config.lead else None

        def blocks(number: int) -> list[nn.Module]:
            return [
                ConvNeXtBlock(config.width, config.expansion, config.kernel_size, config.dropout) for _ in range(number)
            ]

        width, factor = config.width, config.frames_per_latent
        encoder = [
            nn.Conv1d(mel.n_mels, width, 3, padding=1),
            *blocks(config.encoder_blocks[0]),
            Downsample(width, factor),
            *blocks(config.encoder_blocks[1]),
            FrameNorm(width),
            nn.Conv1d(width, 2 * config.latent_channels, 1),
        ]
        decoder = [
            nn.Conv1d(config.latent_channels, width, 3, padding=1),
            *blocks(config.decoder_blocks[0]),
            Upsample(width, factor),
            *blocks(config.decoder_blocks[1]),
            FrameNorm(width),
            nn.Conv1d(width, mel.n_mels, 1),
        ]
        if config.linear_path:
            down = Downsample(mel.n_mels, factor, 2 * config.latent_channels)
            self.encoder: nn.Sequential = ResidualSequence(encoder, down)
            self.decoder: nn.Sequential = ResidualSequence(
                decoder, Upsample(config.latent_channels, factor, mel.n_mels)
            )
        else:
            self.encoder, self.decoder = nn.Sequential(*encoder), nn.Sequential(*decoder)

    @classmethod
    def from_checkpoint(cls, path: Path) -> "MelVAE":
        """Load a trained stage, ready to use.

        Raises:
            ValueError: the file is not a mel VAE of this project.
        """
        record, weights = load_stage(path, "autoencoder")
        network = cls(MelConfig.from_dict(record.config["mel"]), MelVAEConfig(**record.config["vae"]))
        load_weights(network, weights, path)
        network.record = record
        return network.eval()

    def to_config(self) -> dict[str, Any]:
        """Plain containers from which `from_checkpoint` builds the network again."""
        vae = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self.config).items()}
        if not self.config.lead:
            # As in the records of before there was one.
            del vae["lead"]
        return {"mel": self.mel.to_dict(), "vae": vae}

    def normalise(self, log_mel: Tensor) -> Tensor:
        """The log-mel as the network sees it."""
        return (log_mel - self.config.mel_mean) / self.config.mel_std

    def encode(self, log_mel: Tensor) -> Posterior:
        """Log-mel `(batch, n_mels, frames)` to Gaussians of `ceil(frames / frames_per_latent)` latent frames.

        A last, incomplete latent frame is filled with the log floor: silence.

        Raises:
            ValueError: another shape.
        """
        if log_mel.dim() != 3 or log_mel.shape[1] != self.mel.n_mels:
            raise ValueError(f"log_mel: expected (batch, {self.mel.n_mels}, frames), got {tuple(log_mel.shape)}")
        missing = -log_mel.shape[-1] % self.config.frames_per_latent
        x = self.normalise(nn.functional.pad(log_mel, (0, missing), value=self.mel.log_mel_floor))
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(*LOG_VARIANCE_RANGE))

    def decode(self, latents: Tensor) -> Tensor:
        """Raw latents `(batch, channels, latent_frames)` to log-mel with `frames_per_latent` frames for each.

        Raises:
            ValueError: another shape.
        """
        if latents.dim() != 3 or latents.shape[1] != self.config.latent_channels:
            raise ValueError(
                f"latents: expected (batch, {self.config.latent_channels}, frames), got {tuple(latents.shape)}"
            )
        x: Tensor = self.decoder(latents)
        return x * self.config.mel_std + self.config.mel_mean

    @torch.no_grad()
    def silence(self) -> Tensor:
        """The latent frame of digital silence, far from any border, `(channels,)`."""
        factor = self.config.frames_per_latent
        tail = -(-self.encoder_reach() // factor) + 1
        place = next(self.parameters()).device
        samples = torch.zeros(1, (4 * tail + 1) * factor * self.mel.hop_length, device=place)
        return self.encode(LogMelSpectrogram(self.mel).to(place)(samples)).mean[0, :, 2 * tail]

    @property
    def lead_samples(self) -> int:
        """Of the sound of `led` latents, how many belong to the lead."""
        return self.config.lead * self.config.frames_per_latent * self.mel.hop_length

    def led(self, latents: Tensor) -> Tensor:
        """Raw latents of the beginning of a clip, `(batch, channels, latent_frames)`, with the lead ahead of them."""
        if self.lead is None:
            return latents
        return torch.cat([self.lead.to(latents).expand(latents.shape[0], -1, -1), latents], dim=-1)

    def forward(self, log_mel: Tensor) -> tuple[Tensor, Posterior]:
        """Encode, draw (in training) or take the mean, decode; the result has as many frames as the input."""
        posterior = self.encode(log_mel)
        latents = posterior.sample() if self.training else posterior.mean
        return self.decode(latents)[..., : log_mel.shape[-1]], posterior

    def encoder_reach(self) -> int:
        """Mel frames on either side that one latent frame sees beyond its own."""
        return self._reach(self.config.encoder_blocks[0], self.config.encoder_blocks[1], 1)

    def decoder_reach(self) -> int:
        """Mel frames on either side that one latent frame influences beyond its own."""
        return self._reach(self.config.decoder_blocks[1], self.config.decoder_blocks[0], self.config.frames_per_latent)

    def _reach(self, at_mel_rate: int, at_latent_rate: int, stem: int) -> int:
        half = self.config.kernel_size // 2
        return stem + half * at_mel_rate + half * self.config.frames_per_latent * at_latent_rate
