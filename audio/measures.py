"""What can be said of a clip without knowing what it is: how loud, how bright, how long.

These are the numbers that captions, number conditions and reports share, so that "loud" means one thing everywhere.
"""

import numpy as np
from numpy.typing import NDArray

Waveform = NDArray[np.float32]

LOUDNESS_WINDOW_SECONDS = 0.05
SILENCE_DB = -120.0
# Sum of squares below which a clip is silent.
SILENT_POWER = 1e-24
PIECE_SECONDS = 60.0
CUT_BLOCK_SECONDS, CUT_ABOVE_DB, CUT_FALL_DB = 0.01, -30.0, 25.0


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
    piece = round(PIECE_SECONDS * sample_rate)
    # Each piece sees the window before it, so that no place is left out.
    starts = range(0, max(1, len(waveform) - window), piece)
    loudest = max(_loudest(waveform[start : start + piece + window], window) for start in starts)
    return max(SILENCE_DB, 10.0 * float(np.log10(max(loudest, 1e-30))))


def _loudest(waveform: Waveform, window: int) -> float:
    energy = np.concatenate(([0.0], np.cumsum(np.square(waveform, dtype=np.float64))))
    if len(waveform) <= window:
        return float(energy[-1]) / window
    return float(np.max(energy[window:] - energy[:-window])) / window


def brightness_hz(waveform: Waveform, sample_rate: int) -> float:
    """Energy-weighted mean frequency of the whole clip (its spectral centroid), in Hz; 0 for silence.

    What is longer than a minute is taken a minute at a time, so that memory does not grow with it.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    piece = round(PIECE_SECONDS * sample_rate)
    total = weighted = 0.0
    for start in range(0, len(waveform), piece):
        part = waveform[start : start + piece].astype(np.float64)
        # Per sample of the piece: transforms of other lengths are of other sizes.
        power = np.square(np.abs(np.fft.rfft(part))) / len(part)
        total += float(power.sum())
        weighted += float((power * np.fft.rfftfreq(len(part), 1.0 / sample_rate)).sum())
    return weighted / total if total > SILENT_POWER else 0.0


def ends_in_a_cut(waveform: Waveform, sample_rate: int) -> bool:
    """Whether a sound stops instead of dying away: its last 10 ms above -30 dB are 25 dB over what comes 20 ms on.

    Levels are relative to the loudest 10 ms; after the end of the clip there is silence.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    block = max(1, round(CUT_BLOCK_SECONDS * sample_rate))
    padded = np.pad(np.square(waveform, dtype=np.float64), (0, -len(waveform) % block + 2 * block))
    energy = padded.reshape(-1, block).sum(axis=1)
    loudest = float(energy.max())
    if loudest <= 0.0:
        return False
    last = int(np.flatnonzero(energy >= loudest * 10.0 ** (CUT_ABOVE_DB / 10.0))[-1])
    return bool(energy[last + 2] <= energy[last] * 10.0 ** (-CUT_FALL_DB / 10.0))


def peak(waveform: Waveform) -> float:
    """Largest absolute sample; 0 for an empty clip."""
    return float(np.max(np.abs(waveform))) if waveform.size else 0.0
