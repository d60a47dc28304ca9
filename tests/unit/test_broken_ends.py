"""Recordings that break in or off, and what lies beyond such an end."""

from pathlib import Path

import numpy as np
import torch

from audio.files import write_audio
from pipelines.broken_ends import back_and_forth, breaks_in, gone_on, last_moments, led_over

RATE = 44100


def written(path: Path, waveform: np.ndarray) -> Path:
    write_audio(path, waveform.astype(np.float32), RATE)
    return path


def test_a_sound_breaks_in_that_is_at_its_level_from_the_first_sample_on_and_stays_there(tmp_path) -> None:
    held = 0.3 * np.sin(2.0 * np.pi * 440.0 * np.arange(RATE) / RATE + 1.0)
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE)
    rise = np.minimum(1.0, np.arange(RATE) / (0.01 * RATE))
    for waveform in (held, noise):
        assert breaks_in(written(tmp_path / "a.wav", waveform), RATE)
        # In a millisecond of nothing ahead, or by a rise, it begins.
        assert not breaks_in(written(tmp_path / "b.wav", np.pad(waveform, (RATE // 900, 0))), RATE)
        assert not breaks_in(written(tmp_path / "c.wav", waveform * rise), RATE)
        # Trimmed to its attack, it decays at once.
        decay = np.exp(-np.arange(RATE) / (0.05 * RATE))
        assert not breaks_in(written(tmp_path / "e.wav", waveform * decay), RATE)
    assert not breaks_in(written(tmp_path / "d.wav", np.zeros(RATE)), RATE)


def test_the_last_moments_go_back_and_forth() -> None:
    waveform = torch.tensor([[1.0, 2.0, 3.0]])
    assert back_and_forth(waveform, 7, 5)[0].tolist() == [1, 2, 3, 3, 2, 1, 1, 2, 3, 3]
    assert back_and_forth(waveform, 5, 2)[0].tolist() == [1, 2, 3, 3, 2, 2, 3, 3]
    assert back_and_forth(waveform, 0, 2)[0].tolist() == [1, 2, 3]


def test_the_first_moments_lie_ahead() -> None:
    waveform = torch.tensor([[1.0, 2.0, 3.0]])
    assert led_over(waveform, 4, 1000)[0].tolist() == [3, 3, 2, 1, 1, 2, 3]
    assert gone_on(waveform, 4, 1000)[0].tolist() == [1, 2, 3, 3, 2, 1, 1]


def test_a_sound_that_has_died_away_is_not_taken_up_again() -> None:
    held, silence = torch.ones(1, 1000), torch.zeros(1, 100)
    assert last_moments(held, 1000) == 250
    assert last_moments(held[:, :90], 1000) == 90
    assert last_moments(torch.cat([held, silence], dim=1), 1000) == 80
    assert last_moments(torch.cat([held, 0.4 * held[:, :120]], dim=1), 1000) == 120
    assert last_moments(torch.cat([held, 0.6 * held[:, :120]], dim=1), 1000) == 250
