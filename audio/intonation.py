"""A note brought in tune: how far it is from the one that was asked for, and the sound played faster or slower by that.

    score(f) = sum over partials k of |X(k f)|^(1/2) / k^(1/2),   X the spectrum of a second behind the onset

is highest where the partials of `f` are (a harmonic sum, after Hermes, "Measurement of pitch by subharmonic summation",
1988). It is asked within two semitones of the note alone, so what is an octave off stays there: that is another note.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from audio.measures import Waveform
from audio.transposing import transposed

SECONDS, SHORTEST_SECONDS = 1.0, 0.05
# Relative to the peak: where a sound begins.
ONSET = 0.03
PARTIALS, HIGHEST_HZ = 8, 8000.0
SEARCHED, STEP = 2.0, 0.02
# What is farther off is no note out of tune. Nearer than the least nobody hears it.
MOST_SEMITONES, LEAST_SEMITONES = 1.5, 0.04
# Over the median of all that were asked. Of 272 real notes of the validation split one is not that clear.
CLEAR = 3.0
# Bins of the spectrum to a step of the search at least.
FINENESS = 4.0
# Speeds are fractions: near one they lie within a cent of what is wanted.
LARGEST = 1000
FADE_SECONDS = 0.01


def semitones_off(waveform: Waveform, sample_rate: int, midi: float) -> float | None:
    """How far a sound is above the note that it should be, in semitones.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
        midi: number of the note.

    Returns:
        from -1.5 to 1.5; None for silence, for what has no clear partials and for what is farther off.
    """
    level = np.abs(waveform)
    if not len(level) or not (peak := float(level.max())):
        return None
    start = int(np.argmax(level > ONSET * peak))
    part = waveform[start : start + round(SECONDS * sample_rate)]
    if len(part) < SHORTEST_SECONDS * sample_rate:
        return None
    wanted = 440.0 * 2.0 ** ((midi - 69.0) / 12.0)
    steps = np.arange(-round(SEARCHED / STEP), round(SEARCHED / STEP) + 1) * STEP
    found = _scores(part, sample_rate, wanted * 2.0 ** (steps / 12.0))
    best = int(np.argmax(found))
    if found[best] <= CLEAR * float(np.median(found)) or abs(steps[best]) > MOST_SEMITONES:
        return None
    return float(steps[best])


def _scores(part: Waveform, sample_rate: int, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum over partials, of each candidate in Hz."""
    # Fine enough that a step of the lowest partial moves by some of a bin.
    size = next_fast_len(max(len(part), round(FINENESS * sample_rate)), real=True)
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), size))
    bins = np.fft.rfftfreq(size, 1.0 / sample_rate)
    scores = np.zeros(len(candidates))
    for partial in range(1, PARTIALS + 1):
        if partial * candidates[-1] > min(sample_rate / 2.0, HIGHEST_HZ) and partial > 1:
            break
        scores += np.sqrt(np.interp(partial * candidates, bins, spectrum) / partial)
    return scores


def tune(waveform: Waveform, sample_rate: int, midi: float) -> float:
    """Bring a sound in tune, as long as it was.

    It is played faster or slower: what would come after the end fades away, what is missing there is silence.

    Args:
        waveform: samples, mono, which are changed.
        sample_rate: in Hz.
        midi: number of the note.

    Returns:
        by how many semitones it went up; 0 where it stays as it is.
    """
    off = semitones_off(waveform, sample_rate, midi)
    if off is None or abs(off) < LEAST_SEMITONES:
        return 0.0
    speed = Fraction(2.0 ** (-off / 12.0)).limit_denominator(LARGEST)
    played = transposed(waveform, speed)
    count = min(len(played), len(waveform))
    # As long as what is left out behind it, so that a decay does not end in a cut.
    fade = min(count, max(round(FADE_SECONDS * sample_rate), len(played) - count))
    waveform[:count] = played[:count]
    waveform[count - fade : count] *= np.cos(np.linspace(0.0, math.pi / 2.0, fade, dtype=np.float32)) ** 2
    waveform[count:] = 0.0
    return -off
