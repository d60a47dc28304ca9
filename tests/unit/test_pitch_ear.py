from pathlib import Path

import numpy as np
import pytest
import torch

from audio.files import read_audio
from evaluation.crepe import BINS, LOWEST_CENTS, bin_midi, read_pitch
from evaluation.pitch import PitchEstimator, after_onset, cents, load_pitch_estimator, weighted_median

RATE = 44100


@pytest.fixture(scope="module")
def estimator(ears: None) -> PitchEstimator:
    return load_pitch_estimator()


def tone(midi: float, seconds: float = 1.0, rate: int = RATE, partials: int = 6) -> np.ndarray:
    """A decaying tone with partials that fall like 1 / n, below the highest frequency."""
    time = np.arange(round(seconds * rate)) / rate
    hertz = 440.0 * 2.0 ** ((midi - 69.0) / 12.0)
    numbers = [number for number in range(1, partials + 1) if number * hertz < 0.45 * rate]
    wave = sum(np.sin(2 * np.pi * number * hertz * time) / number for number in numbers)
    return (0.3 * wave * np.exp(-2.0 * time)).astype(np.float32)


def test_cents_count_octaves_as_errors():
    assert cents(60.5, 60.0) == pytest.approx(50.0)
    assert cents(72.0, 60.0) == pytest.approx(1200.0)
    assert cents(59.0, 60.0) == pytest.approx(-100.0)


def test_bins_are_twenty_cents_above_ten_hertz():
    hertz = 440.0 * 2.0 ** ((bin_midi(torch.tensor([0.0, 359.0], dtype=torch.float64)) - 69.0) / 12.0)
    assert hertz[0] == pytest.approx(10.0 * 2.0 ** (LOWEST_CENTS / 1200.0), rel=1e-6)
    assert hertz.tolist() == pytest.approx([31.7, 2005.5], abs=0.05)


def test_activations_are_read_between_the_bins():
    truth = 123.4
    bins = torch.arange(BINS, dtype=torch.float64)
    bump = torch.exp(-0.5 * ((bins - truth) / 1.25) ** 2)
    # A second, lower bump far away is not mixed in.
    midi, confidence = read_pitch(bump + 0.5 * torch.exp(-0.5 * ((bins - 300.0) / 1.25) ** 2))
    assert float(midi) == pytest.approx(float(bin_midi(torch.tensor(truth, dtype=torch.float64))), abs=0.005)
    assert float(confidence) == pytest.approx(float(bump.max()))


def test_weighted_median():
    values = torch.tensor([5.0, 1.0, 3.0])
    assert weighted_median(values, torch.tensor([1.0, 1.0, 1.0])) == 3.0
    assert weighted_median(values, torch.tensor([9.0, 1.0, 1.0])) == 5.0
    assert weighted_median(torch.tensor([4.0]), torch.tensor([0.0])) == 4.0


def test_the_first_second_begins_at_the_onset():
    clip = np.concatenate([np.full(4410, 1e-4), np.full(3 * RATE, 0.5)]).astype(np.float32)
    heard = after_onset(clip, RATE)
    assert len(heard) == RATE
    assert heard.min() == np.float32(0.5)
    assert len(after_onset(np.ones(1, dtype=np.float32), RATE)) == 1


@pytest.mark.parametrize("midi", [26.0, 40.0, 52.3, 60.0, 69.0, 77.7, 84.0, 94.0])
def test_planted_notes_are_heard(estimator: PitchEstimator, midi: float):
    reading = estimator.midi(tone(midi), RATE)
    assert reading.midi is not None
    assert abs(cents(reading.midi, midi)) < 25.0
    assert reading.confidence > 0.5


def test_a_note_is_the_same_at_another_rate_and_after_a_pause(estimator: PitchEstimator):
    late = np.concatenate([np.zeros(22050, dtype=np.float32), tone(57.0)])
    for reading in (estimator.midi(late, RATE), estimator.midi(tone(57.0, rate=22050), 22050)):
        assert reading.midi is not None
        assert abs(cents(reading.midi, 57.0)) < 25.0


@pytest.mark.parametrize("name", ["bass_thick_c", "bass_trance_c", "bass_voxy_c", "bass_woodsy_c"])
def test_recorded_basses_that_say_c_are_heard_as_c(estimator: PitchEstimator, sonic_pi_folder: Path, name: str):
    reading = estimator.midi(*read_audio(sonic_pi_folder / f"{name}.flac"))
    assert reading.midi is not None
    assert abs(cents(reading.midi, 36.0)) < 50.0


@pytest.mark.parametrize("name", ["drum_cymbal_closed", "tabla_ke1", "elec_plip"])
def test_recorded_hits_have_no_note(estimator: PitchEstimator, sonic_pi_folder: Path, name: str):
    assert estimator.midi(*read_audio(sonic_pi_folder / f"{name}.flac")).midi is None


def test_noise_silence_and_specks_have_no_note(estimator: PitchEstimator):
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.1
    assert estimator.midi(noise, RATE).midi is None
    silence = estimator.midi(np.zeros(RATE, dtype=np.float32), RATE)
    assert (silence.midi, silence.confidence) == (None, 0.0)
    for samples in (1, 2, 700):
        assert estimator.midi(np.full(samples, 0.5, dtype=np.float32), RATE).confidence <= 1.0


def test_the_range_is_told(estimator: PitchEstimator):
    assert (estimator.lowest_midi, estimator.highest_midi) == (24.0, 95.0)
    assert len(estimator.fingerprint) == 16
    for midi in (103.0, 115.0):
        reading = estimator.midi(tone(midi, partials=1), RATE)
        assert reading.midi is None or abs(cents(reading.midi, midi)) > 50.0
