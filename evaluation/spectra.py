"""How far two spectra lie apart, in decibels or in nats.

    log-spectral distance = mean over frames of  sqrt( mean over bins of (20 log10 |X| - 20 log10 |Y|)^2 )

(Gray, Markel, "Distance measures for speech processing", 1976, section IV.) Magnitudes are floored at 80 dB below the
loudest one of the target: what lies below is not heard beside it, and its logarithm would rule the mean.
"""

from torch import Tensor

from audio.distances import stft_magnitude

N_FFT = 2048
HOP_LENGTH = 512
RANGE_DB = 80.0


def log_spectral_distance(estimate: Tensor, target: Tensor) -> float:
    """The distance of two clips, in dB; of a clip and g times itself it is |20 log10 g|, where nothing is floored.

    Args:
        estimate: `(1, samples)`.
        target: `(1, samples)`, aligned to the sample.

    Raises:
        ValueError: the shapes differ.
    """
    if estimate.shape != target.shape:
        raise ValueError(f"estimate and target: expected one shape, got {estimate.shape} and {target.shape}")
    first, second = (stft_magnitude(part, N_FFT, HOP_LENGTH) for part in (estimate, target))
    floor = float(second.max()) * 10.0 ** (-RANGE_DB / 20.0)
    levels = [20.0 * part.clamp(min=max(floor, 1e-7)).log10() for part in (first, second)]
    return float((levels[0] - levels[1]).square().mean(dim=1).sqrt().mean())


def log_mel_error(came: Tensor, asked: Tensor, floor: float) -> float:
    """Mean absolute difference of two log-mels in nats, either not below the floor.

    Args:
        came: `(1, n_mels, frames)`.
        asked: `(1, n_mels, frames)`.
        floor: the log-mel of digital silence.

    Raises:
        ValueError: the shapes differ.
    """
    if came.shape != asked.shape:
        raise ValueError(f"log-mels: expected one shape, got {tuple(came.shape)} and {tuple(asked.shape)}")
    return float((came.clamp(min=floor) - asked.clamp(min=floor)).abs().mean())
