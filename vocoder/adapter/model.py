"""A log-mel of one contract to a log-mel of another: what is known, what least squares tell, a network for the rest.

    m        = exp(x_s)                                                         mel magnitudes of the source, (bands)
    a_0      = B_s^T m / (B_s^T B_s 1),    a <- a (B_s^T (m / (B_s a))) / (B_s^T 1)      `refinements` times
    prior    = ln max(floor, between(W_t / W_s  B_t interp a))                  on the target's bins and frame times
    x_t      = max(ln floor, prior + L f + r(f)),    f = (prior, x_s)           r zero at initialisation

B are the filterbanks, W the window lengths, `between` and `interp` as in `vocoder.adapter.grids`. The second line is
the rule of Richardson (1972) and Lucy (1974): magnitudes that stay positive and come to explain m. Between
bigvgan_24khz and vocos_24khz that leaves 0.16 nats on held-out clips, where the clamped pseudo-inverse leaves 0.26 and
the best gain and offset for each band 1.08. L is a short linear filter that training sets before its first step, by
least squares (`vocoder.adapter.least_squares`): it fills bands that the source does not hear.

f holds the prior, the two source frames around each target frame, and the frame's place between them. Norms act on one
frame and nothing attends, so the whole reaches `receptive_field()` frames.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from audio.mel import MelConfig, mel_filterbank
from training.checkpoint import StageRecord, load_stage, load_weights
from vocoder.adapter.grids import band_matrix, frame_neighbours, target_frames

KIND = "mel_adapter"
# Roughly zero mean and unit variance for log-mels of sound.
LOG_MEL_MEAN, LOG_MEL_STD = -5.0, 3.0
# Of an STFT magnitude, where a full-scale sine is n_fft / 4: below what log floors of 1e-7 and above let through.
TINY_MAGNITUDE = 1e-8
EXPANSION = 2
# Frames of the linear filter.
LINEAR_KERNEL = 3


@dataclass(frozen=True)
class MelAdapterConfig:
    """Sizes of the adapter.

    Args:
        width: channels of the hidden layers.
        blocks: ConvNeXt blocks.
        kernel_size: of every block and of the first layer, odd.
        refinements: rounds of Richardson and Lucy's rule.

    Raises:
        ValueError: a number out of its range.
    """

    width: int = 192
    blocks: int = 4
    kernel_size: int = 5
    refinements: int = 12

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, least in (("width", 1), ("blocks", 0), ("kernel_size", LINEAR_KERNEL), ("refinements", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"MelAdapterConfig.{name}: expected at least {least}, got {getattr(self, name)}")
        if self.kernel_size % 2 == 0:
            raise ValueError(f"MelAdapterConfig.kernel_size: expected an odd number, got {self.kernel_size}")


class FrameBlock(nn.Module):
    """Depth-wise convolution, norm of each frame, two point-wise layers, residual.

    (Liu et al., "A ConvNet for the 2020s", 2022, figure 4.)

    Args:
        width: channels in and out.
        kernel_size: odd.
    """

    def __init__(self, width: int, kernel_size: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel_size, padding=kernel_size // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.widen = nn.Linear(width, EXPANSION * width)
        self.narrow = nn.Linear(EXPANSION * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, width, frames)` in and out."""
        hidden = self.norm(rearrange(self.depthwise(x), "batch width frames -> batch frames width"))
        hidden = self.narrow(nn.functional.gelu(self.widen(hidden)))
        added: Tensor = x + rearrange(hidden, "batch frames width -> batch width frames")
        return added


class MelAdapter(nn.Module):
    """Log-mels of `source` in, log-mels of `target` out.

    Args:
        source: the contract that is read.
        target: the contract that is made.
        config: its size.
        record: of the checkpoint it came from.
    """

    source_bank: Tensor
    bands: Tensor

    def __init__(
        self,
        source: MelConfig,
        target: MelConfig,
        config: MelAdapterConfig | None = None,
        record: StageRecord | None = None,
    ) -> None:
        super().__init__()
        self.source, self.target = source, target
        self.config = config or MelAdapterConfig()
        self.record = record
        width, kernel = self.config.width, self.config.kernel_size
        inputs = target.n_mels + 2 * source.n_mels + 1
        self.stem = nn.Conv1d(inputs, width, kernel, padding=kernel // 2)
        self.blocks = nn.Sequential(*[FrameBlock(width, kernel) for _ in range(self.config.blocks)])
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.out = nn.Linear(width, target.n_mels)
        self.linear = nn.Conv1d(inputs, target.n_mels, LINEAR_KERNEL, padding=LINEAR_KERNEL // 2)
        for parameter in (*self.out.parameters(), *self.linear.parameters()):
            nn.init.zeros_(parameter)
        # A step that moves a thousand inputs at once, all by the learning rate, would undo what least squares found.
        self.linear.requires_grad_(False)
        self.register_buffer("source_bank", mel_filterbank(source), persistent=False)
        self.register_buffer("bands", band_matrix(source, target), persistent=False)

    @classmethod
    def from_checkpoint(cls, path: Path) -> "MelAdapter":
        """Load a trained adapter, ready to use.

        Raises:
            ValueError: the file is missing, broken or not a mel adapter of ours.
        """
        record, weights = load_stage(Path(path), KIND)
        try:
            source, target = (MelConfig.from_dict(record.config[name]) for name in ("source", "target"))
            config = MelAdapterConfig(**record.config["network"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"'{path}': the stage record lacks source, target or network ({error})") from error
        adapter = cls(source, target, config, record)
        load_weights(adapter, weights, Path(path))
        return adapter.eval()

    def to_config(self) -> dict[str, Any]:
        """Both contracts and the sizes as plain containers, the `config` of a stage record."""
        return {"source": self.source.to_dict(), "target": self.target.to_dict(), "network": asdict(self.config)}

    def receptive_field(self) -> int:
        """Target frames on which one frame of the output depends, itself included."""
        return 1 + 2 * (self.config.kernel_size // 2) * (1 + self.config.blocks)

    def magnitudes(self, log_mel: Tensor) -> Tensor:
        """Positive linear magnitudes `(batch, source bins, frames)` that explain a source log-mel."""
        bank, mel = self.source_bank, log_mel.float().exp()
        covered = bank.sum(dim=0)[:, None]
        spread = (bank.T @ bank.sum(dim=1))[:, None]
        magnitude = (bank.T @ mel) / spread.clamp(min=TINY_MAGNITUDE)
        for _ in range(self.config.refinements):
            explained = (bank @ magnitude).clamp(min=TINY_MAGNITUDE)
            magnitude = magnitude * (bank.T @ (mel / explained)) / covered.clamp(min=TINY_MAGNITUDE)
        return magnitude

    def prior(self, log_mel: Tensor) -> Tensor:
        """The target's log-mel as far as it is known without learning, `(batch, target n_mels, target frames)`."""
        wanted = target_frames(log_mel.shape[-1], self.source, self.target)
        before, after, share = self._neighbours(log_mel.shape[-1], wanted)
        with torch.autocast(log_mel.device.type, enabled=False):
            mel = self.bands @ self.magnitudes(log_mel)
            mel = torch.lerp(mel[..., before], mel[..., after], share)
            return mel.clamp(min=self.target.log_floor).log()

    def features(self, log_mel: Tensor, prior: Tensor) -> Tensor:
        """What filter and network see, `(batch, features, target frames)`."""
        before, after, share = self._neighbours(log_mel.shape[-1], prior.shape[-1])
        place = (share - 0.5).expand(len(log_mel), 1, -1)
        seen = [(mel - LOG_MEL_MEAN) / LOG_MEL_STD for mel in (prior, log_mel[..., before], log_mel[..., after])]
        return torch.cat([*seen, place], dim=1)

    def forward(self, log_mel: Tensor) -> Tensor:
        """As `adapt`, unchecked, differentiable, and not yet cut at the target's floor."""
        prior = self.prior(log_mel)
        features = self.features(log_mel, prior)
        hidden = self.blocks(self.stem(features))
        residual = self.out(self.norm(rearrange(hidden, "batch width frames -> batch frames width")))
        added: Tensor = rearrange(residual, "batch frames bands -> batch bands frames").float()
        filtered: Tensor = self.linear(features).float()
        return prior + filtered + added

    @torch.no_grad()
    def adapt(self, log_mel: Tensor) -> Tensor:
        """Turn a log-mel into one of the target's contract.

        Args:
            log_mel: `(batch, source n_mels, frames)`.

        Returns:
            `(batch, target n_mels, target_frames(frames))`, at or above the target's log floor.
        """
        adapted: Tensor = self(log_mel)
        return adapted.clamp(min=self.target.log_mel_floor)

    def _neighbours(self, frames: int, wanted: int) -> tuple[Tensor, Tensor, Tensor]:
        return frame_neighbours(frames, wanted, self.source, self.target, self.bands.device)
