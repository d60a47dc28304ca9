"""A note brought in tune: how far it is from the one that was asked for, and the sound played faster or slower by that.

    score(f) = sum over partials k of |X(k f)|^(1/2) / k^(1/2),   X the spectrum of a second of the sound

is highest where the partials of `f` are (a harmonic sum, after Hermes, "Measurement of pitch by subharmonic summation",
1988). It is asked an octave and more to either side of the note: where another note scores best, that is what sounds,
and it is not one out of tune. Nor is it where the score has two tops or the pitch moves: there the ear hears a middle,
or a glide.
"""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from audio.measures import Waveform
from audio.transposing import transposed

# Of a window, and how much later the second one begins; shorter ones do not tell a note.
SECONDS, LATER_SECONDS, SHORTEST_SECONDS = 1.0, 0.4, 0.05
# Relative to the peak: where a sound begins, and what is too faint to be asked once more.
ONSET, FAINT = 0.03, 0.1
PARTIALS, HIGHEST_HZ = 8, 8000.0
SEARCHED, STEP = 14.0, 0.02
# What is farther off is another note. Below the least nobody hears it, and stiff strings read as sharp by as much.
MOST_SEMITONES, LEAST_SEMITONES = 1.5, 0.1
# Best score over the median of all that were asked.
CLEAR = 2.5
# A top counts down to this share of the way from the median to the best, and may not be wider than this.
TOP_SHARE, WIDEST = 0.7, 0.5
# Two windows agree within so many semitones.
STEADY = 0.2
# A transform of so many seconds at least has bins of a quarter of a hertz.
TRANSFORM_SECONDS = 4.0
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
        from -1.5 to 1.5; None for silence, for what has no clear and steady partials and for other notes.
    """
    level = np.abs(waveform)
    if not len(level) or not (peak := float(level.max())):
        return None
    start = int(np.argmax(level > ONSET * peak))
    length, later = round(SECONDS * sample_rate), start + round(LATER_SECONDS * sample_rate)
    # The first second, the next one where there is any, and that of the loudest moment.
    starts = [start, int(np.argmax(level))]
    if later < len(level) and float(level[later:].max()) > FAINT * peak:
        starts.append(later)
    found = [_off(waveform[at : at + length], sample_rate, midi) for at in starts]
    read = [off for off in found if off is not None]
    # A first window that tells nothing decides; others may be too short to.
    if found[0] is None or max(read) - min(read) > STEADY:
        return None
    return found[0]


def _off(part: Waveform, sample_rate: int, midi: float) -> float | None:
    """The same of one window."""
    if len(part) < SHORTEST_SECONDS * sample_rate:
        return None
    wanted = 440.0 * 2.0 ** ((midi - 69.0) / 12.0)
    steps = np.arange(-round(SEARCHED / STEP), round(SEARCHED / STEP) + 1) * STEP
    scores = _scores(part, sample_rate, wanted * 2.0 ** (steps / 12.0))
    best, middle = int(np.argmax(scores)), float(np.median(scores))
    if scores[best] <= CLEAR * middle or abs(steps[best]) > MOST_SEMITONES:
        return None
    # All of the neighbourhood that is nearly as good: with vibrato it has two tops, and its middle is the note.
    near = np.abs(steps - steps[best]) <= 2.0 * WIDEST
    top = steps[near & (scores >= middle + TOP_SHARE * (scores[best] - middle))]
    if top.max() - top.min() > WIDEST:
        return None
    return float(0.5 * (top.max() + top.min()))


def _scores(part: Waveform, sample_rate: int, candidates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sum over partials, of each candidate in Hz."""
    size = next_fast_len(max(len(part), round(TRANSFORM_SECONDS * sample_rate)), real=True)
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), size))
    bins = np.fft.rfftfreq(size, 1.0 / sample_rate)
    highest = min(sample_rate / 2.0, HIGHEST_HZ)
    scores = np.zeros(len(candidates))
    for partial in range(1, PARTIALS + 1):
        frequencies = partial * candidates
        heard = np.interp(frequencies, bins, spectrum) * ((frequencies < highest) | (partial == 1))
        scores += np.sqrt(heard / partial)
    return scores


def tune(waveform: Waveform, sample_rate: int, midi: float) -> float:
    """Bring a sound in tune, as long as it was.

    It is played faster or slower, and fades away over what that takes off it or leaves empty at its end.

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
    fade = min(count, max(round(FADE_SECONDS * sample_rate), abs(len(played) - len(waveform))))
    waveform[:count] = played[:count]
    waveform[count - fade : count] *= np.cos(np.linspace(0.0, math.pi / 2.0, fade, dtype=np.float32)) ** 2
    waveform[count:] = 0.0
    return -off
