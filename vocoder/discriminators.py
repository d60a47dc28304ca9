"""Three kinds of listeners for the adversarial phase, small enough for a CPU.

    period p:        fold the waveform into (samples / p, p) and convolve along the columns
                     (Kong, Kim, Bae, "HiFi-GAN", NeurIPS 2020, section 2.3)
    resolution n:    convolve the complex STFT of n samples, its magnitude compressed to the power 0.3
                     (after Jang et al., "UnivNet", Interspeech 2021; complex input as in Kumar et al., "High-fidelity
                     audio compression with improved RVQGAN", NeurIPS 2023)
    constant Q:      convolve a constant-Q transform octave by octave (`vocoder.cqt_discriminator`)

Compression lets quiet decays be heard beside loud attacks. The layers are those of the originals at a fraction of their
width: with the widths of HiFi-GAN the first kind is its discriminator (tests/reference).
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.parametrizations import weight_norm

from training.game import Game, Judgement, judged_by, run_layers
from vocoder.cqt_discriminator import CqtDiscriminator, longest_atom
from vocoder.listening import compress


@dataclass(frozen=True)
class GanConfig:
    """The adversarial phase.

    Args:
        start_batch: training batches before the discriminators play; 0 leaves them out altogether.
        periods: of the multi-period discriminators, in samples.
        period_channels: of their layers.
        fft_sizes: of the multi-resolution discriminators, in samples.
        resolution_channels: of all their layers.
        cqt_bins: bins per octave of the constant-Q discriminators, one each (the paper's are 24, 36, 48); empty leaves
            them out.
        cqt_octaves: below half the sample rate; their lowest atoms last longest, 0.4 s for 8 octaves of 24 bins.
        cqt_hop_length: in samples, a multiple of 2^(cqt_octaves - 1).
        cqt_channels: of all their layers (the paper's 32).
        game: hinge, or least_squares.
        learning_rate_factor: the discriminators' learning rate over the vocoder's.

    Raises:
        ValueError: a number out of its range.
    """

    start_batch: int = 0
    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    period_channels: tuple[int, ...] = (8, 16, 32, 64)
    fft_sizes: tuple[int, ...] = (2048, 1024, 512)
    resolution_channels: int = 12
    cqt_bins: tuple[int, ...] = ()
    cqt_octaves: int = 8
    cqt_hop_length: int = 512
    cqt_channels: int = 8
    game: Game = "hinge"
    learning_rate_factor: float = 0.5

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.start_batch < 0:
            raise ValueError(f"gan.start_batch: expected 0 (off) or more, got {self.start_batch}")
        if not self.periods and not self.fft_sizes and not self.cqt_bins:
            raise ValueError("gan: expected at least one of periods, fft_sizes and cqt_bins")
        if any(value < 1 for value in (*self.periods, *self.period_channels, self.resolution_channels)):
            raise ValueError("gan: expected periods and channels of at least 1")
        if any(value < 1 for value in (*self.cqt_bins, self.cqt_octaves, self.cqt_channels)):
            raise ValueError("gan: expected cqt_bins, cqt_octaves and cqt_channels of at least 1")
        if self.cqt_hop_length < 1 or (self.cqt_bins and self.cqt_hop_length % 2 ** (self.cqt_octaves - 1)):
            raise ValueError(
                f"gan.cqt_hop_length: expected a multiple of {2 ** (self.cqt_octaves - 1)} for {self.cqt_octaves} "
                f"octaves, got {self.cqt_hop_length}"
            )
        if self.game not in ("hinge", "least_squares"):
            raise ValueError(f"gan.game: expected hinge or least_squares, got {self.game!r}")
        if len(self.period_channels) < 2 or any(size < 16 for size in self.fft_sizes):
            raise ValueError("gan: expected at least two period_channels, and fft_sizes of at least 16")
        if not self.learning_rate_factor > 0.0:
            raise ValueError(f"gan.learning_rate_factor: expected more than 0, got {self.learning_rate_factor}")


class PeriodDiscriminator(nn.Module):
    """Sees every `period`-th sample.

    Args:
        period: in samples.
        channels: of the layers; all but the last keep every third row.
    """

    def __init__(self, period: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.period = period
        widths = (1, *channels)
        self.layers = nn.ModuleList(
            weight_norm(
                nn.Conv2d(
                    widths[index],
                    widths[index + 1],
                    (5, 1),
                    stride=(3 if index < len(channels) - 1 else 1, 1),
                    padding=(2, 0),
                )
            )
            for index in range(len(channels))
        )
        self.score = weight_norm(nn.Conv2d(channels[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Score map and features of `(batch, samples)`."""
        missing = -waveform.shape[-1] % self.period
        folded = pad(waveform[:, None], (0, missing), mode="reflect") if missing else waveform[:, None]
        hidden = rearrange(folded, "batch one (rows period) -> batch one rows period", period=self.period)
        return run_layers(hidden, self.layers, self.score)


class ResolutionDiscriminator(nn.Module):
    """Sees a compressed complex spectrogram.

    Args:
        n_fft: in samples; the hop is a quarter of it.
        channels: of all layers.
    """

    window: Tensor

    def __init__(self, n_fft: int, channels: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        # Frames are thinned out as well as bins, or the first layers would cost more than the vocoder.
        strides = ((1, 2), (2, 2), (2, 2), (1, 2))
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(channels if index else 2, channels, (3, 9), stride=stride, padding=(1, 4)))
            for index, stride in enumerate(strides)
        )
        self.layers.append(weight_norm(nn.Conv2d(channels, channels, (3, 3), padding=1)))
        self.score = weight_norm(nn.Conv2d(channels, 1, (3, 3), padding=1))

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Score map and features of `(batch, samples)`."""
        spectrum = torch.stft(
            waveform.float(), self.n_fft, self.n_fft // 4, window=self.window, center=True, return_complex=True
        )
        compressed = compress(torch.view_as_real(spectrum), dim=-1)
        hidden = rearrange(compressed, "batch bins frames part -> batch part frames bins")
        return run_layers(hidden, self.layers, self.score)


class Discriminators(nn.Module):
    """All discriminators of a config.

    Args:
        config: which ones.
        sample_rate: of the waveforms, in Hz; only the constant-Q ones ask for it.

    Raises:
        ValueError: constant-Q discriminators without a sample rate.
    """

    def __init__(self, config: GanConfig, sample_rate: int | None = None) -> None:
        super().__init__()
        if config.cqt_bins and sample_rate is None:
            raise ValueError("Discriminators: gan.cqt_bins need a sample_rate")
        cqt = (sample_rate or 0, config.cqt_octaves, config.cqt_hop_length, config.cqt_channels)
        self.members = nn.ModuleList(
            [PeriodDiscriminator(period, config.period_channels) for period in config.periods]
            + [ResolutionDiscriminator(size, config.resolution_channels) for size in config.fft_sizes]
            + [CqtDiscriminator(cqt[0], bins, *cqt[1:]) for bins in config.cqt_bins]
        )

    def forward(self, waveform: Tensor) -> Judgement:
        """Judge `(batch, samples)`."""
        return judged_by(self.members, waveform)


def check_crops(config: GanConfig, crop_samples: int, sample_rate: int) -> None:
    """Refuse crops that the longest atom of a constant-Q discriminator outlasts: it would hear padding.

    Args:
        config: of the discriminators.
        crop_samples: of a training crop.
        sample_rate: in Hz.

    Raises:
        ValueError: names both lengths, and what mends it.
    """
    if not config.cqt_bins:
        return
    longest = longest_atom(sample_rate, max(config.cqt_bins), config.cqt_octaves)
    if longest > crop_samples / sample_rate:
        raise ValueError(
            f"gan.cqt_octaves: with {config.cqt_octaves} octaves of {max(config.cqt_bins)} bins the longest atom lasts "
            f"{longest:.3f} s, expected no more than data.segment_seconds, got {crop_samples / sample_rate:.3f}; take "
            "fewer octaves or bins, or longer crops"
        )
