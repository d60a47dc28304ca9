"""PESQ and STOI of speech, at 16 kHz, by the packages `pesq` and `pystoi` (the extra `speech`).

PESQ: wide band, ITU-T P.862.2, from 1 to 4.64. STOI: Taal, Hendriks, Heusdens, Jensen, "An Algorithm for
Intelligibility Prediction of Time-Frequency Weighted Noisy Speech", 2011, from 0 to 1. Both were made for speech and
mean nothing elsewhere.
"""

import importlib.util
import warnings
from math import nan

import numpy as np

from audio.files import resample
from audio.measures import Waveform

SPEECH_RATE = 16000
PACKAGES = ("pesq", "pystoi")
# What PESQ takes, in seconds.
SHORTEST_SECONDS = 0.25
WORST = (1.0, 0.0)


def missing_packages() -> str:
    """Why speech cannot be judged here; empty where it can."""
    absent = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    return f"needs {' and '.join(absent)}: pip install 'melisma[speech]'" if absent else ""


def speech_quality(estimate: Waveform, target: Waveform, sample_rate: int) -> tuple[float, float]:
    """PESQ and STOI of a clip; not a number where the real one holds too little speech for them.

    Args:
        estimate: samples, mono.
        target: as many samples, of the real clip.
        sample_rate: in Hz.

    Raises:
        ValueError: a package is missing.
    """
    reason = missing_packages()
    if reason:
        raise ValueError(f"speech: {reason}")
    made, real = (resample(part, sample_rate, SPEECH_RATE) for part in (estimate, target))
    if len(real) < SHORTEST_SECONDS * SPEECH_RATE or not np.abs(real).max() > 0.0:
        return nan, nan
    if not np.abs(made).max() > 0.0:
        # The packages have no number for silence, and leaving the clip out would reward it.
        return WORST
    return _pesq(made, real), _stoi(made, real)


def _pesq(made: Waveform, real: Waveform) -> float:
    from pesq import PesqError, pesq

    try:
        return float(pesq(SPEECH_RATE, real, made, "wb"))
    except PesqError:
        # It hears no utterance.
        return nan


def _stoi(made: Waveform, real: Waveform) -> float:
    from pystoi import stoi

    with warnings.catch_warnings():
        # Too few frames that are no silence: it warns and returns a number that is none.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stoi(real, made, SPEECH_RATE))
        except RuntimeWarning:
            return nan
