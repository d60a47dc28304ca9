"""Render notes of a soundfont, each alone: by fluidsynth where it can be had, else by the PyPI package tinysoundfont.

Notes are laid out in slots of a silent timeline, one after another, and cut apart again. All sound is switched off
between two slots, so no tail reaches the next note. The two renderers agree in pitch and sample, not bit by bit: a
folder is built by one of them and remembers which.
"""

import importlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import mido
import numpy as np

from audio.files import read_audio
from audio.measures import Waveform
from pipelines.recipes.clips import SAMPLE_RATE
from pipelines.recipes.packages import install_package

DRUM_BANK = 128
DRUM_CHANNEL = 9
TICKS_PER_SECOND = 960  # 480 ticks a beat at MIDI's default of 120 beats a minute
BEND_RANGE = 12  # semitones
ALL_SOUND_OFF = 120
NOTE_SECONDS, DRUM_SECONDS = 1.5, 3.5
# After the key is let go: what a slot lasts on, and what a clip keeps of that.
SLOT_REST, KEPT_REST = 1.0, 0.5
GAP_SECONDS = 0.2


@dataclass(frozen=True)
class Note:
    """A key of a preset.

    Attributes:
        bank: 0 for instruments, 128 for drum kits.
        program: preset in the bank.
        key: MIDI note number.
        velocity: 1 to 127.
        bend: retuning in semitones.
        held: how long the key is held, in seconds; that of all drums or notes when left out.
    """

    bank: int
    program: int
    key: int
    velocity: int
    bend: float = 0.0
    held: float | None = None

    @property
    def held_seconds(self) -> float:
        """How long the key is held."""
        usual = DRUM_SECONDS if self.bank == DRUM_BANK else NOTE_SECONDS
        return usual if self.held is None else self.held

    @property
    def slot_seconds(self) -> float:
        """Its share of the timeline."""
        return self.held_seconds + SLOT_REST

    @property
    def kept_seconds(self) -> float:
        """How much of it a clip keeps at most."""
        return self.held_seconds + KEPT_REST


class Renderer(Protocol):
    """Anything that turns notes into waveforms."""

    name: str

    def render(self, font: Path, notes: Sequence[Note]) -> list[Waveform]:
        """One waveform a note: mono, 44.1 kHz, not normalised."""
        ...


def choose_renderer() -> Renderer:
    """Fluidsynth, installed where that is possible, or tinysoundfont.

    Raises:
        ValueError: neither can be had.
    """
    if shutil.which("fluidsynth") or (install_package("fluidsynth") and shutil.which("fluidsynth")):
        return Fluidsynth()
    if importlib.util.find_spec("tinysoundfont"):
        return TinySoundfont()
    raise ValueError(
        "no soundfont renderer: install fluidsynth (apt-get install fluidsynth, as root), "
        "or tinysoundfont (pip install --no-deps tinysoundfont)"
    )


class Fluidsynth:
    """The fluidsynth command: a MIDI file in, a float wav out, about 200 times faster than real time."""

    name = "fluidsynth"

    def render(self, font: Path, notes: Sequence[Note]) -> list[Waveform]:
        """Render a batch of notes.

        Raises:
            ValueError: fluidsynth failed.
        """
        with tempfile.TemporaryDirectory(prefix="melisma-") as folder:
            score, sound = Path(folder) / "notes.mid", Path(folder) / "notes.wav"
            write_score(score, notes)
            command = [
                "fluidsynth", "-ni", "-q", "-f", os.devnull, "-R", "0", "-C", "0", "-g", "1.0", "-r", str(SAMPLE_RATE),
                "-o", "synth.dynamic-sample-loading=1", "-T", "wav", "-O", "float", "-F", str(sound),
                str(font), str(score),
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            if done.returncode or not sound.exists():
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise ValueError(f"fluidsynth could not render '{font.name}' ({reason})")
            timeline, _ = read_audio(sound, SAMPLE_RATE)
        return cut_slots(timeline, notes)


class TinySoundfont:
    """The tinysoundfont package: a small C renderer inside a wheel; it ignores the fonts' modulators."""

    name = "tinysoundfont"

    def __init__(self) -> None:
        """Load the package, which is an optional one."""
        self._package: Any = importlib.import_module("tinysoundfont")
        self._fonts: dict[Path, tuple[Any, int]] = {}

    def render(self, font: Path, notes: Sequence[Note]) -> list[Waveform]:
        """Render a batch of notes."""
        if font not in self._fonts:
            synth = self._package.Synth(samplerate=SAMPLE_RATE)
            self._fonts = {font: (synth, synth.sfload(str(font)))}
        synth, number = self._fonts[font]
        return [self._render_one(synth, number, note) for note in notes]

    def _render_one(self, synth: Any, number: int, note: Note) -> Waveform:  # noqa: ANN401
        channel = DRUM_CHANNEL if note.bank == DRUM_BANK else 0
        synth.sounds_off()
        synth.generate(round(GAP_SECONDS * SAMPLE_RATE))
        synth.program_select(channel, number, note.bank, note.program)
        synth.pitchbend_range(channel, BEND_RANGE)
        synth.pitchbend(channel, 8192 + _bend_steps(note))
        synth.noteon(channel, note.key, note.velocity)
        parts = [np.array(synth.generate(round(note.held_seconds * SAMPLE_RATE)), dtype=np.float32, copy=True)]
        synth.noteoff(channel, note.key)
        rest = note.slot_seconds - note.held_seconds - GAP_SECONDS
        parts.append(np.array(synth.generate(round(rest * SAMPLE_RATE)), dtype=np.float32, copy=True))
        stereo = np.concatenate([part.reshape(-1, 2) for part in parts])
        return np.asarray(stereo.mean(axis=1), dtype=np.float32)


def write_score(path: Path, notes: Sequence[Note]) -> None:
    """Write a MIDI file that plays each note alone in its slot."""
    score = mido.MidiFile(ticks_per_beat=TICKS_PER_SECOND // 2)
    track = mido.MidiTrack()
    score.tracks.append(track)
    wait = 0
    for note in notes:
        channel = DRUM_CHANNEL if note.bank == DRUM_BANK else 0
        slot, held = round(note.slot_seconds * TICKS_PER_SECOND), round(note.held_seconds * TICKS_PER_SECOND)
        gap = round(GAP_SECONDS * TICKS_PER_SECOND)
        # Registered parameter 0 is the range of the pitch wheel.
        controls = ((101, 0), (100, 0), (6, BEND_RANGE), (38, 0))
        track.append(mido.Message("program_change", channel=channel, program=note.program, time=wait))
        for control, value in controls:
            track.append(mido.Message("control_change", channel=channel, control=control, value=value))
        track.append(mido.Message("pitchwheel", channel=channel, pitch=_bend_steps(note)))
        track.append(mido.Message("note_on", channel=channel, note=note.key, velocity=note.velocity))
        track.append(mido.Message("note_off", channel=channel, note=note.key, time=held))
        off_at = slot - gap - held
        track.append(mido.Message("control_change", channel=channel, control=ALL_SOUND_OFF, value=0, time=off_at))
        wait = gap
    track.append(mido.Message("control_change", channel=0, control=ALL_SOUND_OFF, value=0, time=wait))
    score.save(path)


def cut_slots(timeline: Waveform, notes: Sequence[Note]) -> list[Waveform]:
    """Cut a rendered timeline into the notes' slots, without the silent gap at their end."""
    clips, start = [], 0.0
    for note in notes:
        end = start + note.slot_seconds - GAP_SECONDS
        clips.append(timeline[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)])
        start += note.slot_seconds
    return clips


def _bend_steps(note: Note) -> int:
    """Pitch wheel position, -8192 to 8191."""
    return max(-8192, min(8191, round(note.bend / BEND_RANGE * 8192)))
