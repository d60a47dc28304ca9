"""A sound made brighter or darker: its spectrum tilted, so many decibels an octave.

    |H(f)| = (f / f0)^a,   a = dB an octave / 6.02,   level below 30 Hz and above 16 kHz

The filter has minimum phase (its cepstrum is folded to times after 0; Oppenheim, Schafer, "Discrete-Time Signal
Processing", 10.5): attacks stay where they are, and nothing rings ahead of them. The level stays too: what the loudest
50 ms gain or lose by the tilt is taken back.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from audio.measures import SILENCE_DB, Waveform, loudness_db

LOWEST_HZ, MIDDLE_HZ, HIGHEST_HZ = 30.0, 1000.0, 16_000.0
MOST_DB_PER_OCTAVE = 12.0
# Silence behind the sound, so that nothing comes round.
TAIL_SECONDS = 0.1
DB_OF_TWO = 20.0 * math.log10(2.0)


def tilted(waveform: Waveform, sample_rate: int, db_per_octave: float) -> Waveform:
    """Samples `(samples,)` with a tilted spectrum, as loud as before.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
        db_per_octave: above 0 it is brighter, below darker.

    Raises:
        ValueError: more than 12 dB an octave.
    """
    if not abs(db_per_octave) <= MOST_DB_PER_OCTAVE:
        raise ValueError(f"tilt_db: expected at most {MOST_DB_PER_OCTAVE:g} dB an octave, got {db_per_octave:g}")
    # Most pieces are not tilted: nothing is measured of them.
    if not db_per_octave or (level := loudness_db(waveform, sample_rate)) <= SILENCE_DB:
        return waveform
    power = db_per_octave / DB_OF_TWO
    # Even, as the folding needs it.
    size = 2 * next_fast_len((len(waveform) + round(TAIL_SECONDS * sample_rate)) // 2 + 1, real=True)
    frequencies = np.fft.rfftfreq(size, 1.0 / sample_rate).clip(LOWEST_HZ, HIGHEST_HZ)
    response = minimum_phase(power * np.log(frequencies / MIDDLE_HZ), size)
    made = np.fft.irfft(np.fft.rfft(waveform, size) * response, size)[: len(waveform)].astype(np.float32)
    gain = 10.0 ** ((level - loudness_db(made, sample_rate)) / 20.0)
    return np.asarray(made * np.float32(gain))


def minimum_phase(log_gain: NDArray[np.float64], size: int) -> NDArray[np.complex128]:
    """The response of the causal filter with these gains.

    Args:
        log_gain: natural logarithms, `(size // 2 + 1,)`.
        size: of the transform, even.
    """
    folded = np.fft.irfft(log_gain, size)
    folded[1 : size // 2] *= 2.0
    folded[size // 2 + 1 :] = 0.0
    return np.asarray(np.exp(np.fft.rfft(folded, size)))
