"""Sounds made brighter and darker."""

import numpy as np
import pytest

from audio.measures import brightness_hz, loudness_db
from audio.tilting import MIDDLE_HZ, tilted

RATE = 44_100


def noise(seconds: float = 1.0) -> np.ndarray:
    made = np.random.default_rng(0).standard_normal(round(seconds * RATE)) * np.hanning(round(seconds * RATE))
    return (0.1 * made).astype(np.float32)


def test_a_spectrum_tilts_by_so_many_decibels_an_octave() -> None:
    sound, tilt = noise(), 6.0
    powers = [np.square(np.abs(np.fft.rfft(one))) for one in (sound, tilted(sound, RATE, tilt))]
    frequencies = np.fft.rfftfreq(len(sound), 1.0 / RATE)
    gains = []
    for octave in (125.0, 250.0, 500.0, MIDDLE_HZ, 2000.0, 4000.0, 8000.0):
        band = (frequencies > octave / 1.2) & (frequencies < octave * 1.2)
        gains.append(10.0 * np.log10(powers[1][band].sum() / powers[0][band].sum()))
    assert np.diff(gains) == pytest.approx([tilt] * 6, abs=0.5)


def test_it_is_brighter_or_darker_and_as_loud_as_before() -> None:
    sound = noise()
    found = [tilted(sound, RATE, tilt) for tilt in (-6.0, -3.0, 0.0, 3.0, 6.0)]
    assert all(np.diff([brightness_hz(one, RATE) for one in found]) > 0.0)
    assert [loudness_db(one, RATE) for one in found] == pytest.approx([loudness_db(sound, RATE)] * 5, abs=0.01)
    assert all(one.shape == sound.shape and one.dtype == np.float32 for one in found)


@pytest.mark.parametrize("tilt", [-6.0, 6.0])
def test_nothing_sounds_ahead_of_an_attack(tilt) -> None:
    sound = np.zeros(RATE // 2, dtype=np.float32)
    sound[4000:4400] = noise(400 / RATE)[:400] + 0.3
    made = tilted(sound, RATE, tilt)
    ahead, all_of_it = (float(np.square(part, dtype=np.float64).sum()) for part in (made[:3990], made))
    assert ahead < 1e-3 * all_of_it


def test_silence_stays_and_too_much_is_refused() -> None:
    silence = np.zeros(1000, dtype=np.float32)
    assert tilted(silence, RATE, 6.0) is silence
    with pytest.raises(ValueError, match="tilt_db: expected at most 12"):
        tilted(silence, RATE, 13.0)
