"""Distances between sounds: the losses of training and the yardstick of every report.

All are plain functions of two waveforms `(batch, samples)`; the multi-resolution ones follow Yamamoto, Song, Kim,
"Parallel WaveGAN", ICASSP 2020, equations 4 to 6.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d

from audio.mel import LogMelSpectrogram, MelConfig

# (n_fft, hop_length, n_mels) of the project's yardstick.
YARDSTICK_SCALES = ((2048, 512, 128), (1024, 256, 64), (512, 128, 32))
YARDSTICK_FLOOR = 1e-5
YARDSTICK_PEAK = 0.9
PARTIALS_WINDOW_SECONDS, PARTIALS_BELOW_HZ, PARTIALS_FLOOR = 0.186, 1500.0, 1e-5
STFT_RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128))


def mean_squared_error(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean of squared differences; any shape."""
    return (estimate - target).square().mean()


def mean_absolute_error(estimate: Tensor, target: Tensor) -> Tensor:
    """Mean of absolute differences (L1); any shape."""
    return (estimate - target).abs().mean()


def stft_magnitude(waveform: Tensor, n_fft: int, hop_length: int) -> Tensor:
    """Magnitudes `(batch, n_fft // 2 + 1, frames)`, centred, Hann; finite gradients on silence."""
    window = torch.hann_window(n_fft, device=waveform.device)
    spectrum = torch.stft(waveform, n_fft, hop_length, window=window, center=True, return_complex=True)
    power: Tensor = spectrum.real.square() + spectrum.imag.square()
    magnitude: Tensor = power.clamp(min=1e-14).sqrt()
    return magnitude


def spectral_convergence(estimate: Tensor, target: Tensor, n_fft: int = 1024, hop_length: int = 256) -> Tensor:
    """Frobenius norm of the magnitude difference over that of the target (Parallel WaveGAN, equation 4).

    Args:
        estimate: `(batch, samples)`.
        target: `(batch, samples)`.
        n_fft: in samples.
        hop_length: in samples.
    """
    first, second = stft_magnitude(estimate, n_fft, hop_length), stft_magnitude(target, n_fft, hop_length)
    ratio: Tensor = (first - second).norm() / second.norm().clamp(min=1e-7)
    return ratio


def multi_resolution_stft(
    estimate: Tensor, target: Tensor, resolutions: tuple[tuple[int, int], ...] = STFT_RESOLUTIONS
) -> Tensor:
    """Spectral convergence plus mean absolute log-magnitude difference, averaged over resolutions.

    Args:
        estimate: `(batch, samples)`.
        target: `(batch, samples)`.
        resolutions: pairs of n_fft and hop_length.
    """
    total = estimate.new_zeros(())
    for n_fft, hop_length in resolutions:
        first, second = stft_magnitude(estimate, n_fft, hop_length), stft_magnitude(target, n_fft, hop_length)
        convergence = (first - second).norm() / second.norm().clamp(min=1e-7)
        total = total + convergence + mean_absolute_error(first.log(), second.log())
    return total / len(resolutions)


@lru_cache(maxsize=8)
def _yardstick_mels(sample_rate: int, device: str) -> tuple[LogMelSpectrogram, ...]:
    with torch.inference_mode(False):
        return tuple(
            LogMelSpectrogram(
                MelConfig(
                    sample_rate=sample_rate,
                    n_fft=n_fft,
                    win_length=n_fft,
                    hop_length=hop_length,
                    n_mels=n_mels,
                    f_min=0.0,
                    f_max=sample_rate / 2,
                    mel_scale="slaney",
                    filter_norm="slaney",
                    framing="centred",
                    magnitude_epsilon=0.0,
                    log_floor=YARDSTICK_FLOOR,
                ),
                backend="torch",
            ).to(device)
            for n_fft, hop_length, n_mels in YARDSTICK_SCALES
        )


def multi_scale_mel_distance(estimate: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """The project's yardstick, and its perceptual loss: how far two waveforms are on three mel scales.

    The sum, over the scales (2048, 512, 128), (1024, 256, 64), (512, 128, 32), of the mean absolute difference of the
    natural-log mels plus that of the linear mels; Slaney scale and norm, floor 1e-5. In reports the clips are whole,
    unpadded and peak-normalised by `normalise_peak` first.

    Args:
        estimate: `(batch, samples)`, aligned to the sample with `target`.
        target: `(batch, samples)`.
        sample_rate: in Hz.

    Raises:
        ValueError: the shapes differ.
    """
    if estimate.shape != target.shape:
        raise ValueError(f"estimate and target: expected one shape, got {estimate.shape} and {target.shape}")
    total = estimate.new_zeros(())
    for log_mel in _yardstick_mels(sample_rate, str(target.device)):
        first, second = log_mel(estimate), log_mel(target)
        total = total + (first - second).abs().mean() + (first.exp() - second.exp()).abs().mean()
    return total


def partials_distance(estimate: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """How far two sounds are apart where low partials lie: a loss for pitch, which short windows do not see.

    Mean absolute difference of log magnitudes below 1,500 Hz, under windows of about 0.19 s (the partials of a note at
    50 Hz lie nine bins apart there), each bin weighing as its target's magnitude to the power of a half.

    Args:
        estimate: `(batch, samples)`, aligned to the sample with `target`.
        target: `(batch, samples)`, at least 0.1 s.
        sample_rate: in Hz.
    """
    n_fft = 2 ** round(math.log2(PARTIALS_WINDOW_SECONDS * sample_rate))
    bins = math.ceil(PARTIALS_BELOW_HZ * n_fft / sample_rate)
    first, second = (stft_magnitude(x, n_fft, n_fft // 4)[:, :bins] for x in (estimate, target))
    floor = PARTIALS_FLOOR * n_fft
    weight = second.sqrt()
    apart = ((first + floor).log() - (second + floor).log()).abs()
    distance: Tensor = (weight * apart).sum() / weight.sum().clamp(min=1e-6)
    return distance


def envelope_distance(estimate: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """How far two envelopes of a millisecond are apart: a loss for attacks, where the yardstick sees 12 ms at best.

        20 mean |e - e'| / p + mean |log(e + p / 50) - log(e' + p / 50)|

    with envelopes e (root mean square over 1 ms, every 0.25 ms) and p the largest value of the target's.

    Args:
        estimate: `(batch, samples)`, aligned to the sample with `target`.
        target: `(batch, samples)`.
        sample_rate: in Hz.
    """
    window, step = max(1, round(0.001 * sample_rate)), max(1, round(0.00025 * sample_rate))
    first, second = (avg_pool1d(x.square()[:, None], window, step)[:, 0].add(1e-9).sqrt() for x in (estimate, target))
    peak = second.amax(dim=1, keepdim=True)
    apart = ((first - second).abs() / peak).mean()
    log_apart = ((first + 0.02 * peak).log() - (second + 0.02 * peak).log()).abs().mean()
    return 20.0 * apart + log_apart


def normalise_peak(waveform: Tensor, level: float = YARDSTICK_PEAK) -> Tensor:
    """Scale each row of `(batch, samples)` so that its largest absolute sample is `level`; silence stays silent."""
    return waveform * (level / waveform.abs().amax(dim=-1, keepdim=True).clamp(min=1e-7))
