"""Where the frames and bands of one mel contract lie on the grid of another, without any learning.

Frame k of a contract with hop H at rate r is centred on the sample

    s(k) = k H            framing `centred`
    s(k) = (k + 1/2) H    framing `same`: a window begins at k H - (n_fft - H) / 2, its middle lies n_fft / 2 later

so that frame j of the target (o = 0 for `centred`, 1 for `same`) lies between the source's frames, at

    p(j) = ((2 j + o_t) H_t r_s - o_s r_t H_s) / (2 r_t H_s)

in whole numbers, exact for any length. Bin b of a transform stands for the frequency b r / n_fft.
"""

import torch
from torch import Tensor

from audio.mel import MelConfig, mel_filterbank


def target_frames(frames: int, source: MelConfig, target: MelConfig) -> int:
    """Frames of the target that cover what `frames` frames of the source decode to: the fewest that are no shorter.

    Args:
        frames: of the source.
        source: the contract that is read.
        target: the contract that is made.
    """
    needed = -(-source.num_samples(frames) * target.sample_rate // source.sample_rate)
    hops = -(-needed // target.hop_length)
    # No vocoder takes a single frame.
    return max(2, hops + (1 if target.framing == "centred" else 0))


def frame_neighbours(
    frames: int, wanted: int, source: MelConfig, target: MelConfig, device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """The two source frames between which each target frame lies.

    Args:
        frames: of the source; beyond its ends the first and the last one stand.
        wanted: frames of the target.
        source: the contract that is read.
        target: the contract that is made.
        device: of the result.

    Returns:
        numbers of the frames before and after, and the share of the one after, `(wanted,)` each.
    """
    number = torch.arange(wanted, device=device)
    numerator = (2 * number + _half_hops(target)) * (target.hop_length * source.sample_rate)
    numerator = numerator - _half_hops(source) * target.sample_rate * source.hop_length
    denominator = 2 * target.sample_rate * source.hop_length
    before = torch.div(numerator, denominator, rounding_mode="floor")
    share = (numerator - before * denominator).float() / denominator
    return before.clamp(0, frames - 1), (before + 1).clamp(0, frames - 1), share


def between_frames(values: Tensor, source: MelConfig, target: MelConfig, wanted: int) -> Tensor:
    """Values of source frames at the times of target frames, linear between neighbours.

    Args:
        values: `(batch, bins, frames)` of the source.
        source: its contract.
        target: the contract of the wanted times.
        wanted: frames of the target.
    """
    before, after, share = frame_neighbours(values.shape[-1], wanted, source, target, values.device)
    return torch.lerp(values[..., before], values[..., after], share.to(values.dtype))


def bin_interpolation(source: MelConfig, target: MelConfig) -> Tensor:
    """Magnitudes at the target's frequencies out of those at the source's, `(target bins, source bins)`; 0 beyond."""
    source_bins, bins = source.n_fft // 2 + 1, target.n_fft // 2 + 1
    position = torch.arange(bins).double() * (target.sample_rate * source.n_fft) / (target.n_fft * source.sample_rate)
    distance = (position[:, None] - torch.arange(source_bins).double()[None]).abs()
    return (1.0 - distance).clamp(min=0.0).float()


def band_matrix(source: MelConfig, target: MelConfig) -> Tensor:
    """Mel magnitudes of the target out of linear magnitudes of the source, `(target n_mels, source bins)`.

    A sine of amplitude A has the magnitude A sum(window) / 2, so magnitudes go with the ratio of the window lengths.
    (Noise goes with the root of the ratio of window length times rate: the same, where windows last equally long.)
    """
    gain = target.win_length / source.win_length
    return gain * (mel_filterbank(target) @ bin_interpolation(source, target))


def same_numbers(source: MelConfig, target: MelConfig) -> Tensor | None:
    """The band of the same number for each band of the target, `(target n_mels,)`; None where counts differ."""
    return torch.arange(target.n_mels) if source.n_mels == target.n_mels else None


def nearest_bands(source: MelConfig, target: MelConfig) -> Tensor:
    """For each band of the target, the source's band with the nearest middle, `(target n_mels,)`."""
    return (_band_middles(target)[:, None] - _band_middles(source)[None]).abs().argmin(dim=1)


def _band_middles(config: MelConfig) -> Tensor:
    """Mean frequency under each filter, in Hz."""
    bank = mel_filterbank(config).double()
    frequency = torch.arange(bank.shape[1]).double() * config.sample_rate / config.n_fft
    return bank @ frequency / bank.sum(dim=1).clamp(min=1e-12)


def _half_hops(config: MelConfig) -> int:
    return 0 if config.framing == "centred" else 1
