"""What can be said of a clip without knowing what it is: how loud, how bright, how long.

These are the numbers that captions, number conditions and reports share, so that "loud" means one thing everywhere.
"""

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]

LOUDNESS_WINDOW_SECONDS = 0.05
SILENCE_DB = -120.0


def loudness_db(waveform: Waveform, sample_rate: int) -> float:
    """Root mean square of the loudest 50 ms, in dB relative to full scale.

    A one-shot's whole-clip level depends on how long its tail is; its loudest moment does not.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.

    Returns:
        dBFS; never below -120.
    """
    window = max(1, round(LOUDNESS_WINDOW_SECONDS * sample_rate))
    energy = np.concatenate(([0.0], np.cumsum(np.square(waveform, dtype=np.float64))))
    if len(waveform) <= window:
        loudest = energy[-1] / window
    else:
        loudest = float(np.max(energy[window:] - energy[:-window])) / window
    return max(SILENCE_DB, 10.0 * float(np.log10(max(loudest, 1e-30))))


def brightness_hz(waveform: Waveform, sample_rate: int) -> float:
    """Energy-weighted mean frequency of the whole clip (its spectral centroid), in Hz; 0 for silence.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    power = np.square(np.abs(np.fft.rfft(waveform.astype(np.float64))))
    total = float(power.sum())
    if total <= 1e-20:
        return 0.0
    frequencies = np.fft.rfftfreq(len(waveform), 1.0 / sample_rate)
    return float((power * frequencies).sum() / total)


def peak(waveform: Waveform) -> float:
    """Largest absolute sample; 0 for an empty clip."""
    return float(np.max(np.abs(waveform))) if waveform.size else 0.0
