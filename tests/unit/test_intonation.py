"""Notes that are brought in tune."""

import numpy as np
import pytest
import torch

from audio.intonation import MOST_SEMITONES, semitones_off, tune
from pipelines.request import Job
from pipelines.shaping import LONGEST_TUNED_SECONDS, asked_of, finish

RATE = 44_100


def tone(midi: float, seconds: float = 1.0, partials: int = 6) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    hertz = 440.0 * 2.0 ** ((midi - 69.0) / 12.0)
    made = sum(np.sin(2.0 * np.pi * partial * hertz * time) / partial for partial in range(1, partials + 1))
    return (0.1 * made * np.exp(-2.0 * time)).astype(np.float32)


@pytest.mark.parametrize("midi", [33.0, 60.0, 96.0])
@pytest.mark.parametrize("off", [-1.2, -0.3, 0.0, 0.7, 1.4])
def test_what_a_note_is_off_is_heard(midi, off) -> None:
    assert semitones_off(tone(midi + off), RATE, midi) == pytest.approx(off, abs=0.05)


@pytest.mark.parametrize("midi", [40.0, 68.0])
@pytest.mark.parametrize("off", [-1.0, 0.8])
def test_it_is_in_tune_afterwards_and_as_long(midi, off) -> None:
    sound = tone(midi + off)
    length = len(sound)
    assert tune(sound, RATE, midi) == pytest.approx(-off, abs=0.05)
    assert len(sound) == length
    assert semitones_off(sound, RATE, midi) == pytest.approx(0.0, abs=0.03)
    assert float(np.abs(sound[-1])) < 1e-4


def test_it_fades_over_what_is_missing_at_the_end_or_too_long() -> None:
    flat, sharp = tone(68.0 - 1.0), tone(68.0 + 1.0)
    tune(flat, RATE, 68.0)
    # Played 6 % faster.
    assert not flat[round(0.945 * RATE) :].any()
    assert flat[round(0.90 * RATE) : round(0.92 * RATE)].any()
    tune(sharp, RATE, 68.0)
    for sound, end in ((flat, 0.943), (sharp, 1.0)):
        levels = [float(np.abs(sound[round((end - before) * RATE) :][:441]).max()) for before in (0.07, 0.04, 0.015)]
        assert levels[0] > levels[1] > levels[2]
        assert levels[2] < 0.2 * levels[0]


@pytest.mark.parametrize("partials", [1, 3, 6, 12])
@pytest.mark.parametrize("midi", [36.0, 60.0, 84.0])
def test_another_note_is_not_one_out_of_tune(midi, partials) -> None:
    # Some partial of nearly every other note lies within two semitones of one of the wanted note's.
    for off in (-14, -13, -12, -11, -8, -7, -6, -5, -4, -3.5, -3, -2.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 11, 12, 13):
        assert tune(tone(midi + off, partials=partials), RATE, midi) == 0.0, off


def moving(midi: np.ndarray) -> np.ndarray:
    """A note whose pitch moves as told, sample by sample."""
    phase = 2.0 * np.pi * np.cumsum(440.0 * 2.0 ** ((midi - 69.0) / 12.0)) / RATE
    return (0.1 * sum(np.sin(partial * phase) / partial for partial in range(1, 9))).astype(np.float32)


def test_vibrato_unison_bends_and_glides_are_left_alone() -> None:
    time = np.arange(2 * RATE) / RATE
    for depth in (0.15, 0.25, 0.35, 0.5):
        for rate in (4.5, 5.0, 5.5, 6.0):
            assert tune(moving(60.0 + depth * np.sin(2.0 * np.pi * rate * time)), RATE, 60.0) == 0.0, (depth, rate)
    for apart in (0.1, 0.15, 0.3):
        both = moving(np.full(RATE, 60.0 - apart)) + moving(np.full(RATE, 60.0 + apart))
        assert tune(both, RATE, 60.0) == 0.0, apart
    assert tune(moving(np.where(time < 0.8, 62.0 + 2.0 * time / 0.8, 64.0)), RATE, 64.0) == 0.0
    assert tune(moving(40.0 + 3.0 * np.exp(-time / 0.6)), RATE, 40.0) == 0.0
    # What is faint ahead does not decide for what is loud behind it.
    late = np.concatenate([0.1 * moving(np.full(RATE, 60.7)), moving(np.full(RATE, 60.0))])
    assert tune(late, RATE, 60.0) == 0.0


def test_a_bar_whose_partials_are_not_harmonic_is_left_alone() -> None:
    time = np.arange(RATE) / RATE
    modes = ((1.0, 0.25), (2.76, 1.0), (5.4, 0.6))
    hertz = 440.0 * 2.0 ** ((60.0 - 69.0) / 12.0)
    bar = sum(level * np.sin(2.0 * np.pi * hertz * ratio * time) for ratio, level in modes) * np.exp(-3.0 * time)
    assert tune((0.1 * bar).astype(np.float32), RATE, 60.0) == 0.0


def test_what_is_no_note_out_of_tune_stays_as_it_is() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    click = np.zeros(RATE, dtype=np.float32)
    click[-400:] = 0.5
    # In tune; an octave off, which is another note; two notes off; and what has no note.
    for sound in (tone(60.0), tone(72.0), tone(62.0), tone(60.0 + MOST_SEMITONES + 0.2), noise, click, 0.0 * noise):
        before = sound.copy()
        assert tune(sound, RATE, 60.0) == 0.0
        assert np.array_equal(sound, before)
    assert semitones_off(np.zeros(0, dtype=np.float32), RATE, 60.0) is None


def finished(sound: np.ndarray, **settings: object) -> np.ndarray:
    """What a prompt that names C4 gives."""
    job = Job("a flute, C4", 0, len(sound) / RATE)
    asked = asked_of({"edit": None, "stream": False, "morph_clips": 0, **settings}, [job])
    made = finish(torch.from_numpy(sound.copy())[None], RATE, not settings.get("loop", False), asked=asked)
    # What was done is told.
    assert (made.tuned != (0.0,)) == (not np.array_equal(made.waveforms[0, :20_000].numpy(), sound[:20_000]))
    return made.waveforms[0].numpy()


def test_finished_clips_are_in_tune_where_nothing_speaks_against_it() -> None:
    sharp = tone(60.8)
    assert semitones_off(finished(sharp), RATE, 60.0) == pytest.approx(0.0, abs=0.03)
    # What is worked on has its own notes, a stream is out before it is whole, a loop would not close, steps are even.
    for settings in ({"edit": object()}, {"stream": True}, {"loop": True}, {"morph_clips": 4}):
        assert semitones_off(finished(sharp, **settings), RATE, 60.0) == pytest.approx(0.8, abs=0.03)
    long = tone(60.8, LONGEST_TUNED_SECONDS + 0.1)
    assert semitones_off(finished(long), RATE, 60.0) == pytest.approx(0.8, abs=0.03)
