"""A sound made brighter or darker: its spectrum tilted, so many decibels an octave.

    |H(f)| = (f / f0)^a,   a = dB an octave / 6.02,   level below 30 Hz and above 16 kHz

The filter has minimum phase (its cepstrum is folded to times after 0; Oppenheim, Schafer, "Discrete-Time Signal
Processing", 10.5): attacks stay where they are, and nothing rings ahead of them. The level stays too: what the loudest
50 ms gain or lose by the tilt is taken back.

A tilt moves the centroid of a spectrum steadily, so one that is asked for can be found (`tilt_toward`).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from audio.measures import SILENCE_DB, Waveform, loudness_db

LOWEST_HZ, MIDDLE_HZ, HIGHEST_HZ = 30.0, 1000.0, 16_000.0
MOST_DB_PER_OCTAVE = 12.0
# How long the filter rings.
TAIL_SECONDS = 0.1
# Longer sounds are filtered piece by piece, so that memory does not grow with them.
PIECE_SECONDS = 10.0
HALVINGS = 30
DB_OF_TWO = 20.0 * math.log10(2.0)


def tilted(
    waveform: Waveform, sample_rate: int, db_per_octave: float, circular: bool = False, in_place: bool = False
) -> Waveform:
    """Samples `(samples,)` with a tilted spectrum, as loud as before.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
        db_per_octave: above 0 it is brighter, below darker.
        circular: what rings on behind the end is heard at the beginning, as in a loop.
        in_place: the samples themselves are changed; of a clip of minutes there is no second copy.

    Raises:
        ValueError: more than 12 dB an octave.
    """
    if not abs(db_per_octave) <= MOST_DB_PER_OCTAVE:
        raise ValueError(f"tilt_db: expected at most {MOST_DB_PER_OCTAVE:g} dB an octave, got {db_per_octave:g}")
    # Most pieces are not tilted: nothing is measured of them.
    if not db_per_octave or (level := loudness_db(waveform, sample_rate)) <= SILENCE_DB:
        return waveform
    tail, length = round(TAIL_SECONDS * sample_rate), min(len(waveform), round(PIECE_SECONDS * sample_rate))
    # Even, as the folding needs it.
    size = 2 * next_fast_len((length + tail) // 2 + 1, real=True)
    response = minimum_phase(_log_gain(np.fft.rfftfreq(size, 1.0 / sample_rate), db_per_octave), size)
    made, ringing = waveform if in_place else np.empty(len(waveform), np.float32), np.zeros(tail)
    for start in range(0, len(waveform), length):
        piece = waveform[start : start + length]
        filtered = np.fft.irfft(np.fft.rfft(piece, size) * response, size)
        filtered[:tail] += ringing
        made[start : start + length] = filtered[: len(piece)]
        ringing = filtered[len(piece) : len(piece) + tail]
    if circular:
        made[:tail] += ringing[: len(made)].astype(np.float32)
    made *= np.float32(10.0 ** ((level - loudness_db(made, sample_rate)) / 20.0))
    return made


def tilt_toward(waveform: Waveform, sample_rate: int, wanted_hz: float, most_db: float) -> float:
    """The tilt in dB an octave that brings the spectral centroid nearest to what is wanted.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
        wanted_hz: the centroid (`audio.measures.brightness_hz`).
        most_db: of the tilt, either way.
    """
    length = round(PIECE_SECONDS * sample_rate)
    size = next_fast_len(min(len(waveform), length), real=True)
    pieces = (waveform[start : start + length] for start in range(0, len(waveform), length))
    power = sum((np.square(np.abs(np.fft.rfft(piece, size))) for piece in pieces), np.zeros(size // 2 + 1))
    frequencies = np.fft.rfftfreq(size, 1.0 / sample_rate)

    def centroid(tilt: float) -> float:
        weights = power * np.exp(2.0 * _log_gain(frequencies, tilt))
        return float((weights * frequencies).sum() / max(float(weights.sum()), 1e-30))

    low, high = -most_db, most_db
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if centroid(middle) < wanted_hz else (low, middle)
    return (low + high) / 2.0


def _log_gain(frequencies: NDArray[Any], db_per_octave: float) -> NDArray[np.float64]:
    return np.asarray(db_per_octave / DB_OF_TWO * np.log(frequencies.clip(LOWEST_HZ, HIGHEST_HZ) / MIDDLE_HZ))


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
