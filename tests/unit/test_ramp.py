"""Phases that follow their partials: where peaks are found, how fast they turn, windows that agree with the whole."""

import math

import pytest
import torch

from audio.inversion import forward_stft, inverse_stft
from audio.mel import MelConfig
from vocoder.ramp import peak_places, phase_ramp, steady_frames

MEL = MelConfig(44100, 2048, 2048, 512, 128, 0.0, 22050.0, "slaney", "slaney", "same", 1e-9, 1e-5)
BINS, PERIOD = 64, 16
HZ_PER_BIN = MEL.sample_rate / MEL.n_fft


def tones(*frequencies: float) -> torch.Tensor:
    """Two seconds of sines, `(1, samples)`."""
    time = torch.arange(2 * MEL.sample_rate, dtype=torch.float64) / MEL.sample_rate
    return sum(torch.sin(2.0 * math.pi * frequency * time) for frequency in frequencies)[None].float() * 0.2


def log_magnitude(waveform: torch.Tensor) -> torch.Tensor:
    return forward_stft(waveform, MEL).abs().clamp(min=1e-4).log()


def test_each_bin_belongs_to_the_partial_that_is_nearest() -> None:
    places = peak_places(log_magnitude(tones(220.0, 600.0))[:, : BINS + 1])[0, :, 40]
    assert places[4:16] == pytest.approx(torch.full((12,), 220.0 / HZ_PER_BIN), abs=0.1)
    assert places[24:36] == pytest.approx(torch.full((12,), 600.0 / HZ_PER_BIN), abs=0.1)


def test_where_no_partial_is_near_a_bin_turns_as_its_own_middle() -> None:
    flat = torch.zeros(1, BINS + 1, 20)
    assert torch.equal(peak_places(flat), torch.arange(BINS).float()[None, :, None].expand(1, BINS, 20))


@pytest.mark.parametrize("frequency", [82.4, 110.0, 196.0, 440.0, 987.8])
def test_a_tone_rebuilt_from_magnitudes_and_ramp_keeps_its_pitch(frequency: float) -> None:
    waveform = tones(frequency)
    magnitude = forward_stft(waveform, MEL).abs()
    signs = 1.0 - 2.0 * (torch.arange(magnitude.shape[1]) % 2)[None, :, None]
    ramp = phase_ramp(log_magnitude(waveform)[:, : BINS + 1], 0.25, PERIOD)
    phase = torch.cat([ramp, torch.zeros_like(magnitude[:, BINS:])], dim=1)
    rebuilt = inverse_stft(torch.polar(magnitude, phase) * signs, MEL)[0, 8192:-8192]
    spectrum = torch.fft.rfft(rebuilt * torch.hann_window(len(rebuilt))).abs()
    heard = float(spectrum.argmax()) * MEL.sample_rate / len(rebuilt)
    # Turns are whole in 16 frames: a pitch lies within half of 5.4 Hz of its own, and one wave carries nearly all.
    assert heard == pytest.approx(frequency, abs=MEL.frame_rate / PERIOD / 2 + 0.7)
    near = int(spectrum.argmax())
    assert spectrum[near - 4 : near + 5].square().sum() > 0.9 * spectrum.square().sum()


def test_a_window_that_begins_at_a_multiple_of_the_period_has_the_phases_of_the_whole() -> None:
    generator = torch.Generator().manual_seed(1)
    log = torch.randn(2, BINS + 1, 96, generator=generator)
    whole, window = phase_ramp(log, 0.25, PERIOD), phase_ramp(log[..., 32:], 0.25, PERIOD)
    assert torch.equal(whole[..., 32 + 2 :], window[..., 2:])
    shifted = phase_ramp(log[..., 31:], 0.25, PERIOD)
    assert not torch.equal(whole[..., 31 + 2 :], shifted[..., 2:])


def test_phases_of_an_hour_are_as_exact_as_those_of_a_second() -> None:
    steady = log_magnitude(tones(330.0))[:, : BINS + 1, 40:41].expand(-1, -1, 320_000)
    ramp = phase_ramp(steady, 0.25, PERIOD)
    assert torch.equal(ramp[..., :PERIOD], ramp[..., -PERIOD:])


def test_attacks_are_left_to_the_network_and_what_follows_them_is_not() -> None:
    struck = tones(220.0)
    struck[:, :22_050] *= 0.01
    steady = steady_frames(log_magnitude(struck)[:, : BINS + 1])[0, 0]
    attack = 22_050 // 512
    assert not bool(steady[attack - 2 : attack + 3].any())
    assert bool(steady[8 : attack - 6].all())
    assert bool(steady[attack + 8 :].all())
    # A clip begins after silence.
    assert not bool(steady[:4].any())
