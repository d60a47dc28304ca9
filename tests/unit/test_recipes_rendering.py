"""Notes on a timeline: each alone in its slot, at its pitch, by whichever renderer there is."""

import importlib.util
import shutil
from pathlib import Path

import mido
import numpy as np
import pytest

from pipelines.recipes import rendering
from pipelines.recipes.clips import SAMPLE_RATE
from pipelines.recipes.general_midi import FLUID, HELD_SECONDS, held_seconds, program_pitches
from pipelines.recipes.gm_names import PROGRAMS
from pipelines.recipes.oneshots import holds_its_note, sounds_the_same
from pipelines.recipes.packages import package_folder
from pipelines.recipes.rendering import DRUM_BANK, Fluidsynth, Note, TinySoundfont, cut_slots, write_score

NOTES = [Note(0, 0, 69, 100), Note(DRUM_BANK, 25, 36, 80, -3.0), Note(0, 73, 81, 40)]


def test_score_plays_one_note_a_slot(tmp_path):
    path = tmp_path / "notes.mid"
    write_score(path, NOTES)
    clock, sounding, starts = 0.0, 0, []
    for message in mido.MidiFile(path):
        clock += message.time
        if message.type == "note_on":
            starts.append((round(clock, 3), message.note, message.channel))
            sounding += 1
        sounding -= message.type == "note_off"
        assert sounding <= 1
    assert starts == [(0.0, 69, 0), (2.5, 36, 9), (7.0, 81, 0)]
    assert clock == pytest.approx(sum(note.slot_seconds for note in NOTES), abs=0.01)


def test_slots_are_cut_where_the_score_put_them():
    timeline = np.zeros(round(9.5 * SAMPLE_RATE), dtype=np.float32)
    for start, value in ((0.0, 1.0), (2.5, 2.0), (7.0, 3.0)):
        timeline[round(start * SAMPLE_RATE)] = value
    assert [float(clip[0]) for clip in cut_slots(timeline, NOTES)] == [1.0, 2.0, 3.0]
    assert [np.count_nonzero(clip) for clip in cut_slots(timeline, NOTES)] == [1, 1, 1]


def test_neither_renderer_is_one_line_that_names_both(monkeypatch):
    monkeypatch.setattr(rendering.shutil, "which", lambda name: None)
    monkeypatch.setattr(rendering, "install_package", lambda name: False)
    monkeypatch.setattr(rendering.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"fluidsynth .* tinysoundfont"):
        rendering.choose_renderer()


def test_only_a_different_sound_counts_as_different():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    generator = np.random.default_rng(0)
    noise = generator.standard_normal(SAMPLE_RATE) * np.exp(-5 * time)
    dark = np.convolve(noise, np.ones(12) / 12, mode="same")
    assert sounds_the_same(noise.astype(np.float32), (-np.roll(noise, 40)).astype(np.float32))
    assert not sounds_the_same(noise.astype(np.float32), dark.astype(np.float32))


def test_a_thump_is_not_its_note():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    assert holds_its_note(np.sin(2 * np.pi * 440 * time).astype(np.float32), 69.0)
    assert not holds_its_note(np.exp(-300 * time).astype(np.float32) * 0.5 + 0.4, 69.0)
    assert holds_its_note(np.sin(2 * np.pi * 50 * time).astype(np.float32), None)


def test_pitches_lie_in_range_and_hold_middle_c():
    for program in range(120):
        pitches = program_pitches(program)
        assert pitches == sorted(set(pitches))
        assert 20 < pitches[0] < pitches[-1] < 110
        assert 60 in pitches or not pitches[0] <= 60 <= pitches[-1]
    assert len(program_pitches(0)) == 24


def test_notes_of_every_instrument_are_held_short_and_long_wherever_they_lie():
    for program in range(len(PROGRAMS)):
        pitches = program_pitches(program)
        for part in (pitches, pitches[: len(pitches) // 2], pitches[len(pitches) // 2 :]):
            assert {held_seconds(program, pitch) for pitch in part} == set(HELD_SECONDS)
    # Low notes are not the short ones, over all instruments.
    lowest = [held_seconds(program, program_pitches(program)[0]) for program in range(len(PROGRAMS))]
    assert set(lowest) == set(HELD_SECONDS)
    longest = Note(0, 0, 60, 100, held=3.5)
    assert (longest.held_seconds, longest.kept_seconds, longest.slot_seconds) == (3.5, 4.0, 4.5)
    assert Note(0, 0, 60, 100).held_seconds == 1.5


def _available():
    found = [Fluidsynth] if shutil.which("fluidsynth") else []
    return found + ([TinySoundfont] if importlib.util.find_spec("tinysoundfont") else [])


@pytest.mark.slow
@pytest.mark.parametrize("renderer", _available())
def test_renders_are_in_tune_and_alone(renderer):
    folder = package_folder(FLUID.package)
    if not folder.is_dir():
        pytest.skip(f"{FLUID.package} is not in the cache")
    font: Path = folder / FLUID.file
    flute = [Note(0, 73, key, 100) for key in (69, 74, 81)]
    clips = renderer().render(font, [*flute, Note(0, 73, 69, 100, -2.0)])
    for clip, expected in zip(clips, (440.0, 587.33, 880.0, 391.995), strict=True):
        middle = clip[SAMPLE_RATE // 2 : SAMPLE_RATE] * np.hanning(SAMPLE_RATE // 2)
        spectrum = np.abs(np.fft.rfft(middle, 1 << 19))
        band = np.arange(len(spectrum)) * SAMPLE_RATE / (1 << 19)
        near = (band > expected * 0.9) & (band < expected * 1.1)
        assert band[near][np.argmax(spectrum[near])] == pytest.approx(expected, rel=0.012)  # 20 cents
    alone = renderer().render(font, flute[:1])[0]
    assert sounds_the_same(alone, clips[0])
