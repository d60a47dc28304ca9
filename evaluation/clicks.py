"""Clicks: single moments at which a waveform bends far more sharply than around them.

    bend(n)  = | x(n-1) - 2 x(n) + x(n+1) |
    scale(n) = largest of the medians of bend over the 10 ms around n, the 10 ms before and the 10 ms behind (half
               overlapped), but not less than 1e-4 of the clip's peak
    click    : bend(n) > 20 scale(n);    those less than 2 ms apart are one

Of Gaussian noise the median bend is 0.67 deviations, so 20 of them are 13.5 deviations: noise never clicks, and neither
does the start of a sustained sound, which is held against what follows. A lone sample clicks from 60 dB below the peak.
Music has clicks of its own (sticks, plectra): what counts against a vocoder is those that the real clip lacks.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from audio.measures import Waveform

BLOCK_SECONDS = 0.01
SHARPER = 20.0
QUIETEST = 1e-4
MERGE_SECONDS = 0.002
MATCH_SECONDS = 0.005


def click_times(waveform: Waveform, sample_rate: int) -> NDArray[np.float64]:
    """When a clip clicks, in seconds, in order.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    samples = waveform.astype(np.float64)
    if len(samples) < 3 or not np.abs(samples).max() > 0.0:
        return np.zeros(0)
    bend = np.zeros(len(samples))
    bend[1:-1] = np.abs(samples[:-2] - 2.0 * samples[1:-1] + samples[2:])
    loud = np.flatnonzero(bend > SHARPER * np.maximum(_scale(bend, sample_rate), QUIETEST * np.abs(samples).max()))
    if not loud.size:
        return np.zeros(0)
    starts = np.flatnonzero(np.diff(loud, prepend=-sample_rate) >= MERGE_SECONDS * sample_rate)
    # An event lies where it is sharpest.
    peaks = [part[int(np.argmax(bend[part]))] for part in np.split(loud, starts[1:])]
    return np.asarray(peaks, dtype=np.float64) / sample_rate


def clicks_per_second(waveform: Waveform, sample_rate: int) -> float:
    """All clicks of a clip, each second.

    Args:
        waveform: samples, mono, at least one.
        sample_rate: in Hz.
    """
    return len(click_times(waveform, sample_rate)) * sample_rate / len(waveform)


def added_clicks(made: NDArray[np.float64], real: NDArray[np.float64]) -> int:
    """How many clicks have no click of the real clip within 5 ms.

    Args:
        made: times, in seconds.
        real: times of the real clip, in seconds.
    """
    if not made.size or not real.size:
        return int(made.size)
    nearest = np.abs(made[:, None] - real[None]).min(axis=1)
    return int((nearest > MATCH_SECONDS).sum())


def _scale(bend: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """The sharpness that is usual around each sample."""
    block = max(8, round(BLOCK_SECONDS * sample_rate))
    hop = block // 2
    count = 1 + -(-max(0, len(bend) - block) // hop)
    padded = np.pad(bend, (0, max(0, (count - 1) * hop + block - len(bend))), mode="edge")
    blocks = np.lib.stride_tricks.sliding_window_view(padded, block)[::hop][:count]
    # Two blocks on: those that begin where this one ends.
    medians = maximum_filter1d(np.median(blocks, axis=1), size=5, mode="nearest")
    nearest = np.clip(np.round((np.arange(len(bend)) - block / 2) / hop).astype(int), 0, count - 1)
    return np.asarray(medians[nearest])
