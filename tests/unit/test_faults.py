"""Faults of one file: planted where the answer is known, and sounds that only look faulty."""

import numpy as np
import pytest
from scipy.signal import butter, sosfilt

from audio.files import resample
from evaluation.faults import find_cliff, find_clipping, find_offset, spectrum_db

RATE = 44100
RNG = np.random.default_rng(0)


def tone(hertz: float, seconds: float = 0.5, decay: float = 0.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (np.sin(2 * np.pi * hertz * time + 0.3) * np.exp(-decay * time)).astype(np.float32)


def noise(seconds: float = 0.5, decay: float = 4.0) -> np.ndarray:
    samples = np.random.default_rng(1).standard_normal(round(seconds * RATE))
    return (0.2 * samples * np.exp(-decay * np.arange(len(samples)) / RATE)).astype(np.float32)


def sixteen_bits(waveform: np.ndarray) -> np.ndarray:
    return (np.round(np.clip(waveform, -1, 1) * 32767) / 32768).astype(np.float32)


@pytest.mark.parametrize("level", [1.0, 0.5, 0.05])
@pytest.mark.parametrize("hertz", [50.0, 440.0, 3000.0])
def test_a_cut_tone_is_clipped_at_its_level(hertz, level):
    found = find_clipping(sixteen_bits(level * np.clip(1.3 * tone(hertz), -1, 1)))
    assert found is not None
    assert found.level == pytest.approx(level, abs=1e-3)
    # A sine of height 1.3 is above 1 for 1 - 2/pi asin(1/1.3) of the time.
    assert found.share == pytest.approx(1 - 2 / np.pi * np.arcsin(1 / 1.3), abs=0.03)


def test_clipped_noise_is_found_by_its_pile():
    waveform = noise(decay=0.0)
    cut = float(np.quantile(np.abs(waveform), 0.97))
    assert find_clipping(sixteen_bits(np.clip(waveform, -cut, cut) * 0.5 / cut)) is not None


def test_one_side_is_enough():
    assert find_clipping(sixteen_bits(np.minimum(0.9 * tone(200, decay=3.0), 0.5))) is not None


@pytest.mark.parametrize("level", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("hertz", [20.0, 55.0, 440.0, 5000.0, RATE / 8, RATE / 4])
def test_a_whole_tone_is_not_clipped(hertz, level):
    assert find_clipping(sixteen_bits(level * tone(hertz))) is None


def test_normalised_noise_and_drawn_squares_are_not_clipped():
    waveform = noise()
    assert find_clipping(sixteen_bits(waveform / np.abs(waveform).max())) is None
    assert find_clipping(sixteen_bits(0.5 * np.sign(tone(220)))) is None
    assert find_clipping(np.zeros(1000, dtype=np.float32)) is None


@pytest.mark.parametrize("offset", [0.02, -0.1])
@pytest.mark.parametrize("decay", [0.0, 8.0, 30.0])
def test_an_offset_is_measured(offset, decay):
    assert find_offset(0.8 * tone(110, decay=decay) + np.float32(offset), RATE) == pytest.approx(offset, rel=0.1)


def test_a_drum_stroke_has_no_offset():
    time = np.arange(RATE // 5) / RATE
    kick = (np.sin(2 * np.pi * 40 * time) * np.exp(-25 * time)).astype(np.float32)
    assert abs(float(kick.mean())) > 0.01
    assert find_offset(kick, RATE) == 0.0
    assert find_offset(noise(), RATE) == 0.0
    assert find_offset(np.zeros(10, dtype=np.float32), RATE) == 0.0


@pytest.mark.parametrize("true_rate", [32000, 22050, 16000])
def test_an_upsampled_clip_ends_at_its_old_nyquist_frequency(true_rate):
    narrow = resample(resample(noise(), RATE, true_rate), true_rate, RATE)
    found = find_cliff(sixteen_bits(narrow), RATE)
    assert found is not None
    assert found.hertz == pytest.approx(true_rate / 2, rel=0.12)
    assert found.drop_db > 30


@pytest.mark.parametrize("order", [1, 2, 4])
@pytest.mark.parametrize("hertz", [2000.0, 6000.0])
def test_a_gentle_filter_is_no_cliff(order, hertz):
    dark = sosfilt(butter(order, hertz, fs=RATE, output="sos"), noise())
    assert find_cliff(sixteen_bits(dark), RATE) is None


def test_dark_sounds_and_full_ones_have_no_cliff():
    assert find_cliff(sixteen_bits(0.9 * tone(60, decay=5.0)), RATE) is None
    assert find_cliff(sixteen_bits(noise()), RATE) is None
    partials = sum(tone(220 * n) / n**2 for n in range(1, 40))
    assert find_cliff(sixteen_bits(0.4 * np.asarray(partials)), RATE) is None
    assert find_cliff(np.zeros(5000, dtype=np.float32), RATE) is None


def test_the_spectrum_of_white_noise_is_its_power():
    samples = (0.1 * RNG.standard_normal(10 * RATE)).astype(np.float32)
    # The median of an exponential variable is ln 2 of its mean.
    assert np.mean(spectrum_db(samples, RATE)) == pytest.approx(10 * np.log10(0.01 * np.log(2)), abs=0.3)
