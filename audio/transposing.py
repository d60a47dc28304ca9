"""A sound played faster or slower: all its pitches move, and its length."""

from fractions import Fraction

from audio.files import resample
from audio.measures import Waveform

# Speeds are fractions of small numbers, quick to resample by: whole semitones up to an octave within two hundredths of
# one, others within 0.14.
LARGEST = 64
MOST_SEMITONES = 24.0


def speed_of(semitones: float) -> Fraction:
    """How much faster a sound is played to be so many semitones higher.

    Raises:
        ValueError: more than two octaves.
    """
    if not abs(semitones) <= MOST_SEMITONES:
        raise ValueError(f"transpose: expected at most {MOST_SEMITONES:g} semitones, got {semitones:g}")
    return Fraction(2.0 ** (semitones / 12.0)).limit_denominator(LARGEST)


def transposed(waveform: Waveform, speed: Fraction) -> Waveform:
    """Samples `(samples,)` played so much faster, at the same rate."""
    return waveform if speed == 1 else resample(waveform, speed.numerator, speed.denominator)
