"""How sharp the attack of a clip is.

    envelope(n) = sqrt( mean of x^2 over the millisecond that ends at sample n ),    zeros before the clip
    rise        = first time at 90 % of the envelope's peak - first time at 10 %

Both times lie between samples, by linear interpolation. The window itself needs 0.8 ms: nothing is sharper. First
crossings are taken, so that a vocoder that smears an attack ahead of its time is caught.
"""

import numpy as np
from numpy.typing import NDArray

from audio.measures import Waveform

WINDOW_SECONDS = 0.001
LOW, HIGH = 0.1, 0.9
# Of the envelope's peak: below it a clip is silent.
SILENT = 1e-6


def rms_envelope(waveform: Waveform, sample_rate: int) -> NDArray[np.float64]:
    """Root mean square over the last millisecond, at every sample.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    window = max(1, round(WINDOW_SECONDS * sample_rate))
    energy = np.concatenate((np.zeros(window + 1), np.cumsum(np.square(waveform, dtype=np.float64))))
    return np.asarray(np.sqrt(np.maximum(0.0, energy[window + 1 :] - energy[1:-window]) / window))


def onset_rise_ms(waveform: Waveform, sample_rate: int) -> float:
    """Milliseconds from 10 to 90 % of the loudest moment; not a number for silence.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    envelope = rms_envelope(waveform, sample_rate)
    if not envelope.size or envelope.max() <= SILENT:
        return float("nan")
    first, last = (_crossing(envelope, level * float(envelope.max())) for level in (LOW, HIGH))
    return 1000.0 * (last - first) / sample_rate


def _crossing(envelope: NDArray[np.float64], level: float) -> float:
    """Where the envelope first reaches a level, in samples; it starts from 0 one sample before the clip."""
    place = int(np.argmax(envelope >= level))
    before = float(envelope[place - 1]) if place else 0.0
    return place - 1.0 + (level - before) / (float(envelope[place]) - before)
