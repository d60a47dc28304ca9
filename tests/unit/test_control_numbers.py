"""How far clips are from the numbers they were asked for."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from audio.dataset import Clip
from audio.files import write_audio
from pipelines import control_numbers
from pipelines.control_numbers import colours_off, levels_off, notes_off
from pipelines.control_promises import UNHEARD

RATE = 44_100


def note(midi: float, level: float = 0.3) -> np.ndarray:
    """A second of six partials."""
    hertz, time = 440.0 * 2.0 ** ((midi - 69.0) / 12.0), np.arange(RATE) / RATE
    partials = sum(np.sin(2.0 * np.pi * number * hertz * time) / number for number in range(1, 7))
    return (level * partials).astype(np.float32)


def test_notes_are_heard_where_the_ear_hears_them_in_the_recording(ears, tmp_path) -> None:
    clips = []
    for number, sound in enumerate((note(60.0), note(67.0), np.random.default_rng(0).normal(0.0, 0.1, RATE))):
        path = tmp_path / f"{number}.wav"
        write_audio(path, sound.astype(np.float32), RATE)
        clips.append(Clip(path, ("x",), 1.0, -10.0, 100.0, label=f"thing {number}", pitch=60.0))
    asked = []

    def made(prompt: str, seconds: float, pitch: float) -> torch.Tensor:
        asked.append((prompt, seconds, pitch))
        return torch.from_numpy(note(60.3))[None]

    # The second recording sounds another note than it says, the third none; the last two are out of range or unnamed.
    clips += [replace(clips[0], pitch=20.0), replace(clips[0], pitch=None), replace(clips[0], label=None)]
    (off,) = notes_off(made, RATE, {"pitch": (24.0, 96.0)}, clips)
    assert off == pytest.approx(30.0, abs=5.0)
    assert asked == [("thing 0", 1.0, 60.0)]
    silent = notes_off(lambda *_, **__: torch.zeros(1, RATE), RATE, {"pitch": (24.0, 96.0)}, clips[:1])
    assert list(silent) == [UNHEARD]
    # A model that was not told notes promises none.
    assert list(notes_off(made, RATE, {}, clips)) == []


def test_without_an_ear_no_note_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ValueError("not installed")

    monkeypatch.setattr(control_numbers, "load_pitch_estimator", missing)
    clip = Clip(Path("x.wav"), ("x",), 1.0, -10.0, 100.0, label="x", pitch=60.0)
    assert list(notes_off(lambda *_, **__: torch.zeros(1, RATE), RATE, {"pitch": (24.0, 96.0)}, [clip])) == []


def test_levels_and_colours_are_heard() -> None:
    tone = torch.sin(torch.arange(RATE) * (2.0 * math.pi * 1000.0 / RATE))

    def soft(_: str, seconds: float, loudness: float) -> torch.Tensor:
        # 2 dB more than asked for.
        return tone[None] * 10.0 ** ((loudness + 3.01 + 2.0) / 20.0)

    told = {"loudness": (-40.0, 0.0)}
    assert list(levels_off(soft, RATE, told, ["x"])) == pytest.approx([2.0], abs=0.05)
    # Whatever is asked for, it stays at 1 kHz: an octave from half of it, one from twice; half lies out of range.
    ranges = {"brightness": (600.0, 4000.0)}
    assert list(colours_off(lambda *_, **__: tone[None], RATE, ranges, ["x"])) == pytest.approx([1.0], abs=0.02)


def test_no_level_is_asked_for_that_the_model_never_heard() -> None:
    asked = []

    def made(_: str, seconds: float, loudness: float) -> torch.Tensor:
        asked.append(loudness)
        return torch.ones(1, RATE) * 10.0 ** (loudness / 20.0)

    assert list(levels_off(made, RATE, {"loudness": (-20.0, 0.0)}, ["x"])) == pytest.approx([0.0], abs=0.05)
    assert list(levels_off(made, RATE, {"loudness": (-60.0, -30.0)}, ["x"])) == pytest.approx([0.0], abs=0.05)
    assert asked == [-20.0, -30.0]
    assert list(levels_off(made, RATE, {}, ["x"])) == []
