"""PESQ and STOI: the packages' own numbers at 16 kHz, and no number where there is no speech to judge."""

import importlib.util

import numpy as np
import pytest
from scipy.signal import lfilter, resample_poly

from evaluation import speech_quality as module
from evaluation.speech_quality import SPEECH_RATE, missing_packages, speech_quality


def babble(seconds: float, rate: int) -> np.ndarray:
    """Pulses through moving formants, in syllables: enough of speech for both measures."""
    random = np.random.default_rng(0)
    out = []
    while sum(map(len, out)) < seconds * rate:
        samples = int(rate * random.uniform(0.12, 0.25))
        sound = np.zeros(samples)
        sound[:: int(rate / random.uniform(100, 160))] = 1.0
        for centre in (random.uniform(300, 800), random.uniform(900, 2200), 2800.0):
            radius, angle = np.exp(-np.pi * 90 / rate), 2 * np.pi * centre / rate
            sound = lfilter([1.0 - radius], [1.0, -2 * radius * np.cos(angle), radius**2], sound)
        out += [sound / np.abs(sound).max() * np.hanning(samples), np.zeros(int(0.05 * rate))]
    return (0.6 * np.concatenate(out)[: int(seconds * rate)]).astype(np.float32)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    pytest.importorskip("pesq")
    pytest.importorskip("pystoi")
    real = babble(3.0, SPEECH_RATE)
    noise = np.random.default_rng(1).standard_normal(len(real))
    return (real + 0.03 * noise).astype(np.float32), real


def test_at_16_khz_the_numbers_are_those_of_the_packages(pair) -> None:
    from pesq import pesq
    from pystoi import stoi

    made, real = pair
    assert speech_quality(made, real, SPEECH_RATE) == (
        pytest.approx(pesq(SPEECH_RATE, real, made, "wb")),
        pytest.approx(stoi(real, made, SPEECH_RATE)),
    )


def test_other_rates_are_brought_to_16_khz(pair) -> None:
    made, real = pair
    fine = [resample_poly(part, 3, 1).astype(np.float32) for part in (made, real)]
    assert speech_quality(*fine, 3 * SPEECH_RATE) == pytest.approx(speech_quality(made, real, SPEECH_RATE), rel=0.03)


def test_a_copy_is_at_the_top_and_noise_is_below(pair) -> None:
    made, real = pair
    best, worse = speech_quality(real, real, SPEECH_RATE), speech_quality(made, real, SPEECH_RATE)
    assert best[0] == pytest.approx(4.644, abs=0.01)
    assert best[1] == pytest.approx(1.0, abs=1e-6)
    assert worse[0] < best[0] - 0.5
    assert worse[1] < best[1] - 0.01


@pytest.mark.parametrize("clip", [np.zeros(16_000), np.ones(800)], ids=["silent", "short"])
def test_where_there_is_no_speech_there_is_no_number(pair, clip) -> None:
    assert np.isnan(speech_quality(clip.astype(np.float32), clip.astype(np.float32), SPEECH_RATE)).all()


def test_a_silent_answer_is_the_worst_one(pair) -> None:
    assert speech_quality(np.zeros_like(pair[1]), pair[1], SPEECH_RATE) == (1.0, 0.0)


def test_a_missing_package_is_named(monkeypatch) -> None:
    assert missing_packages() == ""
    real = importlib.util.find_spec
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == "pesq" else real(name))
    assert missing_packages() == "needs pesq: pip install 'melisma[speech]'"
    with pytest.raises(ValueError, match=r"melisma\[speech\]"):
        speech_quality(np.ones(8000, np.float32), np.ones(8000, np.float32), SPEECH_RATE)
