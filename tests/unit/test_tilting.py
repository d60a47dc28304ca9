"""Sounds made brighter and darker."""

import numpy as np
import pytest

from audio import tilting
from audio.measures import brightness_hz, loudness_db
from audio.tilting import MIDDLE_HZ, tilt_toward, tilted

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


@pytest.mark.parametrize("wanted", [2_000.0, 9_000.0, 14_000.0])
def test_a_brightness_that_is_asked_for_is_found(wanted) -> None:
    sound = noise()
    tilt = tilt_toward(sound, RATE, wanted, 12.0)
    assert abs(tilt) < 12.0
    assert brightness_hz(tilted(sound, RATE, tilt), RATE) == pytest.approx(wanted, rel=0.02)


def test_what_is_out_of_reach_is_tilted_as_far_as_is_allowed() -> None:
    assert tilt_toward(noise(), RATE, 20.0, 4.0) == pytest.approx(-4.0, abs=1e-6)
    assert tilt_toward(noise(), RATE, 20_000.0, 4.0) == pytest.approx(4.0, abs=1e-6)


def test_a_long_sound_is_filtered_as_a_whole_one(monkeypatch) -> None:
    sound = noise(1.3)
    whole = tilted(sound, RATE, 5.0)
    toward = tilt_toward(sound, RATE, 3000.0, 12.0)
    monkeypatch.setattr(tilting, "PIECE_SECONDS", 0.25)
    assert np.abs(tilted(sound, RATE, 5.0) - whole).max() < 2e-3 * np.abs(whole).max()
    assert tilt_toward(sound, RATE, 3000.0, 12.0) == pytest.approx(toward, abs=0.05)


def test_a_loop_rings_on_into_its_beginning() -> None:
    sound = np.random.default_rng(0).standard_normal(RATE // 2).astype(np.float32)
    made = tilted(sound, RATE, -6.0, circular=True)
    twice = tilted(np.tile(sound, 3), RATE, -6.0)[RATE // 2 : RATE]
    # Levels are those of the loudest moment, which the beginning of the long one may hold.
    gain = float(np.dot(made, twice) / np.dot(made, made))
    assert np.abs(twice - gain * made).max() < 5e-3 * np.abs(twice).max()
    turned = tilted(np.roll(sound, 1000), RATE, -6.0, circular=True)
    assert np.abs(np.roll(made, 1000) - turned).max() < 2e-2 * np.abs(made).max()


def test_a_sound_is_tilted_where_it_lies(monkeypatch) -> None:
    sound = noise(1.3)
    monkeypatch.setattr(tilting, "PIECE_SECONDS", 0.25)
    expected = tilted(sound, RATE, 5.0)
    assert tilted(sound, RATE, 5.0, in_place=True) is sound
    assert np.array_equal(sound, expected)
