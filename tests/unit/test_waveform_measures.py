"""Onsets, clicks, spectra, voicing and medians against closed forms."""

from math import comb

import numpy as np
import pytest
import torch
from scipy.signal import chirp

from audio.files import read_audio
from audio.measures import brightness_hz, loudness_db
from evaluation.clicks import added_clicks, click_times, clicks_per_second
from evaluation.medians import median_interval, unit_medians
from evaluation.onsets import onset_rise_ms, rms_envelope
from evaluation.spectra import log_mel_error, log_spectral_distance
from evaluation.voicing import Voicing, compare_voicing, hear_voicing

RATE = 44_100


def square(samples: int) -> np.ndarray:
    """A carrier whose size is 1 everywhere, so that its envelope is the one laid over it."""
    return np.where(np.arange(samples) % 2, 1.0, -1.0)


def ramp(milliseconds: float, before: int = 2000) -> np.ndarray:
    samples = round(milliseconds * RATE / 1000)
    shape = np.concatenate([np.zeros(before), np.arange(samples) / samples, np.ones(RATE // 5)])
    return (shape * square(len(shape))).astype(np.float32)


@pytest.mark.parametrize("milliseconds", [10.0, 40.0, 150.0])
def test_a_linear_ramp_rises_in_four_fifths_of_its_length(milliseconds: float) -> None:
    assert onset_rise_ms(ramp(milliseconds), RATE) == pytest.approx(0.8 * milliseconds, abs=0.15)


def test_a_step_rises_as_fast_as_the_window_allows() -> None:
    step = np.concatenate([np.zeros(500), square(5000)]).astype(np.float32)
    # Of N samples the root of n / N: 10 % after a hundredth, 90 % after 81 hundredths.
    assert onset_rise_ms(step, RATE) == pytest.approx(0.8, abs=0.05)
    # A clip that begins in full sound is no sharper.
    assert onset_rise_ms(step[500:], RATE) == pytest.approx(0.8, abs=0.05)


def test_the_rise_does_not_depend_on_level_or_silence_before() -> None:
    assert onset_rise_ms(0.01 * ramp(20.0), RATE) == pytest.approx(onset_rise_ms(ramp(20.0), RATE), rel=1e-5)
    assert onset_rise_ms(ramp(20.0, before=9000), RATE) == pytest.approx(onset_rise_ms(ramp(20.0), RATE), rel=1e-5)
    assert np.isnan(onset_rise_ms(np.zeros(1000, dtype=np.float32), RATE))


def test_what_comes_ahead_of_an_attack_makes_it_slower() -> None:
    sharp = ramp(5.0)
    smeared = sharp.copy()
    smeared[1000:2000] += 0.2 * square(1000).astype(np.float32)
    assert onset_rise_ms(smeared, RATE) > 4.0 * onset_rise_ms(sharp, RATE)


def test_the_envelope_is_the_root_mean_square_of_a_millisecond() -> None:
    clip = np.random.default_rng(0).standard_normal(400).astype(np.float32)
    found = rms_envelope(clip, RATE)
    assert len(found) == len(clip)
    for place in (3, 44, 399):
        window = clip[max(0, place - 43) : place + 1].astype(np.float64)
        assert found[place] == pytest.approx(np.sqrt((window**2).sum() / 44), rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_planted_clicks_are_found_where_they_are(seed: int) -> None:
    random = np.random.default_rng(seed)
    time = np.arange(RATE) / RATE
    clip = 0.5 * chirp(time, 60.0, 1.0, 3000.0) + 0.001 * random.standard_normal(RATE)
    assert click_times(clip.astype(np.float32), RATE).size == 0
    planted = np.sort(random.choice(np.arange(2000, RATE - 2000, 1500), 7, replace=False))
    # A click on top of a fast swing hides in it: the tone bends at most by 0.5 (2 pi f / rate)^2, here 0.09.
    clip[planted] += 3.0 * np.where(random.random(7) < 0.5, -1.0, 1.0)
    found = click_times(clip.astype(np.float32), RATE)
    assert found * RATE == pytest.approx(planted, abs=1.0)
    assert clicks_per_second(clip.astype(np.float32), RATE) == pytest.approx(7.0)


def test_noise_and_the_start_of_noise_do_not_click() -> None:
    noise = np.random.default_rng(0).standard_normal(5 * RATE).astype(np.float32)
    assert click_times(0.1 * noise, RATE).size == 0
    noise[:RATE] = 0.0
    assert click_times(noise, RATE).size == 0
    assert click_times(np.zeros(RATE, dtype=np.float32), RATE).size == 0


@pytest.mark.parametrize(("medians", "clicks"), [(15.0, 0), (25.0, 1)])
def test_a_click_bends_twenty_times_as_much_as_the_usual(medians: float, clicks: int) -> None:
    # The carrier bends by 4 everywhere; d on top of a sample bends by 4 + 2 d there, and by 4 + d beside it.
    carrier = square(RATE)
    carrier[20_001] += 2.0 * (medians - 1.0)
    assert click_times(carrier.astype(np.float32), RATE).size == clicks


def test_only_clicks_that_the_real_clip_lacks_are_added() -> None:
    real, made = np.array([0.1, 0.5]), np.array([0.1031, 0.3, 0.5, 0.8])
    assert added_clicks(made, real) == 2
    assert added_clicks(made, np.zeros(0)) == 4
    assert added_clicks(np.zeros(0), real) == 0


def test_a_cut_through_a_real_clip_is_one_added_click(sonic_pi_folder) -> None:
    clip, rate = read_audio(sonic_pi_folder / "ambi_choir.flac")
    broken = clip.copy()
    place = int(np.argmax(np.abs(clip)))
    # A buffer is lost: the sound is still for 5 ms.
    broken[place : place + rate // 200] = 0.0
    found = added_clicks(click_times(broken, rate), click_times(clip, rate))
    assert 1 <= found <= 2


@pytest.mark.parametrize("gain", [0.5, 0.9, 3.0])
def test_a_change_of_gain_is_that_many_decibels(gain: float) -> None:
    noise = torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    assert log_spectral_distance(gain * noise, noise) == pytest.approx(abs(20.0 * np.log10(gain)), rel=1e-3)
    assert log_spectral_distance(noise, noise) == 0.0


def test_what_lies_80_db_down_does_not_count() -> None:
    time = torch.arange(RATE) / RATE
    tone = torch.sin(2.0 * torch.pi * 1000.0 * time)[None]
    hiss = 1e-6 * torch.randn(1, RATE, generator=torch.Generator().manual_seed(0))
    assert log_spectral_distance(tone + hiss, tone) < 0.01
    assert log_spectral_distance(tone + 1e4 * hiss, tone) > 5.0


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="expected one shape"):
        log_spectral_distance(torch.zeros(1, 4000), torch.zeros(1, 4001))
    with pytest.raises(ValueError, match="expected one shape"):
        log_mel_error(torch.zeros(1, 8, 4), torch.zeros(1, 8, 5), -11.0)


def test_below_its_floor_a_mel_does_not_differ() -> None:
    asked = torch.tensor([[[-3.0, -20.0, -2.0, -5.0]]])
    came = torch.tensor([[[-4.0, -11.0, -2.0, -5.5]]])
    assert log_mel_error(came, asked, -11.0) == pytest.approx((1.0 + 0.0 + 0.0 + 0.5) / 4)


def voicing(midi: list[float], periodicity: list[float]) -> Voicing:
    return Voicing(torch.tensor(midi), torch.tensor(periodicity))


def test_voicing_errors_on_constructed_frames() -> None:
    real = voicing([60.0, 60.0, 62.0, 40.0, 40.0], [0.9, 0.9, 0.8, 0.1, 0.2])
    made = voicing([60.3, 59.6, 90.0, 41.0, 40.0], [0.9, 0.7, 0.3, 0.8, 0.2])
    error = compare_voicing(made, real)
    # Voiced in both are the first two: 30 and -40 cents. One voiced frame is missed, one is made up.
    assert error.pitch_cents == pytest.approx(np.sqrt((30.0**2 + 40.0**2) / 2), rel=1e-4)
    assert error.voiced_f1 == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert error.periodicity == pytest.approx(np.sqrt((0.2**2 + 0.5**2 + 0.7**2) / 5), rel=1e-5)


def test_voicing_of_clips_without_any() -> None:
    still = voicing([60.0, 60.0], [0.1, 0.2])
    error = compare_voicing(still, still)
    assert np.isnan(error.pitch_cents)
    assert np.isnan(error.voiced_f1)
    assert error.periodicity == 0.0
    with pytest.raises(ValueError, match="expected 2 frames, got 1"):
        compare_voicing(voicing([60.0], [0.9]), still)


class SureEar:
    """Hears a note in everything; the second half of a clip is 80 dB down."""

    def frames(self, waveform, sample_rate):
        return torch.full((4,), 60.0), torch.ones(4), torch.tensor([0.5, 0.5, 0.0099, 0.0099])


def test_silence_is_unvoiced_whatever_the_network_sees() -> None:
    heard = hear_voicing(SureEar(), np.zeros(10, dtype=np.float32), RATE)
    assert heard.voiced.tolist() == [True, True, False, False]


def test_median_intervals_are_order_statistics() -> None:
    values = torch.randperm(25, generator=torch.Generator().manual_seed(0)).double()
    found = median_interval(values, torch.arange(25))
    # Between the 8th and the 18th of 25: the textbook's pair, 95.7 %.
    assert (found.low, found.value, found.high) == (7.0, 12.0, 17.0)
    tail = sum(comb(25, k) for k in range(8)) / 2**25
    assert 1.0 - 2.0 * tail >= 0.95 > 1.0 - 2.0 * (tail + comb(25, 8) / 2**25)


def test_a_recording_counts_once() -> None:
    values = torch.cat([torch.zeros(100), torch.arange(1.0, 9.0)])
    units = torch.cat([torch.zeros(100, dtype=torch.long), torch.arange(1, 9)])
    assert median_interval(values, units).value == 4.0
    assert unit_medians(torch.tensor([1.0, 2.0, 7.0]), torch.tensor([5, 5, 3])).tolist() == [7.0, 1.5]
    few = median_interval(values[:3], units[:3])
    assert (few.value, few.low) == (0.0, None)
    assert "8 are enough" in few.reason


def test_median_intervals_hold_for_heavy_tails() -> None:
    random = np.random.default_rng(0)
    draws = random.standard_cauchy((400, 21))
    found = [median_interval(torch.from_numpy(row), torch.arange(21)) for row in draws]
    assert np.mean([item.low <= 0.0 <= item.high for item in found]) >= 0.95 - 0.02


def test_pieces_of_a_long_clip_say_what_the_whole_says(monkeypatch) -> None:
    rate = 8000
    generator = np.random.default_rng(0)
    noise = (0.1 * generator.standard_normal(10 * rate)).astype(np.float32)
    # The loudest 50 ms lie across the border of two pieces.
    noise[4 * rate - 200 : 4 * rate + 200] += 0.5
    loudness, brightness = loudness_db(noise, rate), brightness_hz(noise, rate)
    monkeypatch.setattr("audio.measures.PIECE_SECONDS", 1.0)
    assert loudness_db(noise, rate) == pytest.approx(loudness, abs=1e-9)
    assert brightness_hz(noise, rate) == pytest.approx(brightness, rel=0.01)
    assert brightness_hz(np.zeros(3 * rate, dtype=np.float32), rate) == 0.0
    assert loudness_db(np.zeros(0, dtype=np.float32), rate) == -120.0
    # A loud piece weighs what it weighs in the whole.
    tone = np.sin(2.0 * np.pi * 1000.0 * np.arange(5 * rate) / rate).astype(np.float32)
    tone[rate:] *= np.float32(1e-3)
    tone[rate:] += noise[: 4 * rate] * np.float32(0.01)
    assert brightness_hz(tone, rate) == pytest.approx(1000.0, rel=0.01)
