"""Which notes and drums of a General MIDI font to render, and what each of them is.

Two facts of the fonts decide the plan. Most programs answer velocity with level alone, and level is normalised away:
a soft note is asked for only where the font steers more than level, and kept only where it really sounds different.
And eight drum kits share most of their samples: each sample set is rendered once per drum, at several tunings
instead.
"""

from dataclasses import dataclass
from pathlib import Path

from pipelines.recipes.clips import Clip
from pipelines.recipes.gm_names import DRUM_KEYS, ORCHESTRA_KIT, PROGRAMS, drum_names
from pipelines.recipes.rendering import DRUM_BANK, Note
from pipelines.recipes.soundfont import Soundfont, read_soundfont

LOUD, SOFT = 100, 40
PITCHES = 24
# Of those pitches that many apart are rendered from the held-out font: with its drums, more than a thousand clips.
HELD_OUT_EVERY = 3
MIDDLE_C = 60
# Lowest and highest note of a program: about what the instrument plays, so that few notes are silent or silly.
FAMILY_RANGES = {
    "piano": (28, 96), "chromatic_percussion": (48, 96), "organ": (36, 91), "guitar": (40, 84), "bass": (25, 60),
    "strings": (36, 88), "ensemble": (36, 88), "vocal": (40, 84), "brass": (40, 82), "reed": (44, 84),
    "pipe": (55, 100), "synth_lead": (36, 91), "synth_pad": (36, 86), "synth_effect": (36, 86), "ethnic": (43, 86),
    "percussion": (40, 80), "tom": (36, 72),
}  # fmt: skip
PROGRAM_RANGES = {
    32: (25, 60), 40: (55, 98), 41: (48, 86), 42: (36, 76), 43: (26, 58), 46: (28, 96), 47: (36, 60), 57: (40, 76),
    58: (28, 62), 60: (38, 78), 67: (36, 70), 70: (34, 72), 72: (72, 106), 22: (55, 91),
}  # fmt: skip
# Seconds that notes are held: a model is to know what a longer note of an instrument is.
HELD_SECONDS = (0.5, 1.0, 1.5, 2.5, 3.5)
# Programs that validation may take: a close relative of each stays in training.
SPARE_PROGRAMS = frozenset({2, 5, 15, 17, 20, 28, 31, 34, 37, 41, 59, 67, 69, 77, 79, 82, 106, 111, 116, 118})
# Struck or reversed noise: a key moves it up and down but is not the pitch that is heard.
UNPITCHED_PROGRAMS = frozenset({115, 116, 117, 118, 119})
# Semitones of retuning: families with few sample sets get more of them. One recording stays one recording.
TUNINGS = {
    "kick": (-3, -1, 0, 1, 3), "snare": (-3, -1, 0, 1, 3), "tom": (-3, -1, 0, 1, 3),
    "hihat": (-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5), "cymbal": (-4, -3, -2, -1, 0, 1, 2, 3, 4),
    "clap_and_snap": (-4, -3, -2, -1, 0, 1, 2, 3, 4), "percussion": (-2, 0, 2),
}  # fmt: skip
KIT_WORDS = (
    (8, ("acoustic",)), (16, ("room", "acoustic")), (24, ("power", "rock")), (25, ("electronic",)), (32, ("808",)),
    (40, ("jazz", "acoustic")), (48, ("brushed",)), (128, ("orchestral",)),
)  # fmt: skip
NOTE_LETTERS = ("c", "cs", "d", "ds", "e", "f", "fs", "g", "gs", "a", "as", "b")


@dataclass(frozen=True)
class Font:
    """A soundfont and the part it plays.

    Attributes:
        name: as it appears in `source`.
        package: Debian package.
        file: path of the font inside the package.
        licence: SPDX identifier.
        folder: where its clips go inside the built folder.
        held_out: true for a font that serves the test side alone.
    """

    name: str
    package: str
    file: str
    licence: str
    folder: str
    held_out: bool


FLUID = Font("FluidR3_GM", "fluid-soundfont-gm", "usr/share/sounds/sf2/FluidR3_GM.sf2", "MIT", "general_midi", False)
TIM = Font("TimGM6mb", "timgm6mb-soundfont", "usr/share/sounds/sf2/TimGM6mb.sf2", "GPL-2.0-only", "held_out_font", True)


@dataclass(frozen=True)
class RenderPlan:
    """A clip, the note that makes it, and the font's recordings in it.

    Attributes:
        louder: file name of the same note struck hard; the clip is kept only where it differs from that one.
        spare: whether validation may take it.
    """

    clip: Clip
    note: Note
    recordings: tuple[str, ...]
    louder: str = ""
    spare: bool = True


def plan_font(font: Font, package: Path) -> list[RenderPlan]:
    """All clips to render from a font, in a fixed order.

    Raises:
        ValueError: the font cannot be read.
    """
    headers = read_soundfont(package / font.file)
    plans = []
    for program in range(len(PROGRAMS)):
        plans += _plan_program(font, headers, program)
    return plans + _plan_drums(font, headers)


def program_pitches(program: int) -> list[int]:
    """The MIDI notes of a program: evenly over its range, middle C among them."""
    low, high = PROGRAM_RANGES.get(program, FAMILY_RANGES[PROGRAMS[program][0]])
    pitches = {low + round(i * (high - low) / (PITCHES - 1)) for i in range(PITCHES)}
    if low <= MIDDLE_C <= high and MIDDLE_C not in pitches:
        pitches.remove(min(pitches, key=lambda pitch: (abs(pitch - MIDDLE_C), pitch)))
        pitches.add(MIDDLE_C)
    return sorted(pitches)


def held_seconds(program: int, pitch: int) -> float:
    """How long a note is held: lengths take turns along an instrument's notes, and begin elsewhere in each."""
    pitches = program_pitches(program)
    place = min(range(len(pitches)), key=lambda index: abs(pitches[index] - pitch))
    return HELD_SECONDS[(2 * place + program) % len(HELD_SECONDS)]


def note_file_name(pitch: int) -> str:
    """A note's name as it may stand in a file name: 61 is "cs4"."""
    return f"{NOTE_LETTERS[pitch % 12]}{pitch // 12 - 1}"


def _plan_program(font: Font, headers: Soundfont, program: int) -> list[RenderPlan]:
    pitches = program_pitches(program)
    if font.held_out:
        pitches = pitches[::HELD_OUT_EVERY]
    plans: list[RenderPlan] = []
    for index, pitch in enumerate(pitches):
        loud = _plan_note(font, headers, program, pitch, LOUD)
        if loud is None:
            continue
        plans.append(loud)
        if (index % 2 or font.held_out) and headers.is_shaped(0, program, pitch, (SOFT, LOUD)):
            soft = _plan_note(font, headers, program, pitch, SOFT, loud.clip.file_name)
            plans += [soft] if soft else []
    return plans


def _plan_note(
    font: Font, headers: Soundfont, program: int, pitch: int, velocity: int, louder: str = ""
) -> RenderPlan | None:
    recordings = headers.recordings_of(0, program, pitch, velocity)
    if not recordings:
        return None
    family, names = PROGRAMS[program]
    stem = names[0].replace(" ", "_").replace("-", "_").lower()
    unpitched = program in UNPITCHED_PROGRAMS
    low, high = FAMILY_RANGES[family]
    height = ("low",) if pitch < low + (high - low) / 3 else ("high",) if pitch > high - (high - low) / 3 else ()
    clip = Clip(
        file_name=f"{font.folder}/{stem}_{note_file_name(pitch)}_v{velocity:03d}.flac",
        label=names[0], family=family, names=names, words=height if unpitched else (),
        pitch=None if unpitched else float(pitch), velocity=round(velocity / 127, 4),
        dynamics="soft" if louder else None, group=f"{font.name}/program {program}",
        recording=_recording_id(font, recordings), licence=font.licence, source=font.name, rendered=True,
    )  # fmt: skip
    note = Note(0, program, pitch, velocity, held=held_seconds(program, pitch))
    return RenderPlan(clip, note, recordings, louder, program in SPARE_PROGRAMS)


def _plan_drums(font: Font, headers: Soundfont) -> list[RenderPlan]:
    kits = sorted(program for bank, program in headers.presets if bank == DRUM_BANK)
    seen: dict[tuple[str, tuple[str, ...]], int] = {}
    plans = []
    for kit in kits:
        for key in DRUM_KEYS:
            family, names = drum_names(kit, key)
            recordings = headers.recordings_of(DRUM_BANK, kit, key, LOUD)
            # TimGM6mb's orchestra kit layers a stray click over most keys.
            if not recordings or (names[0], recordings) in seen or (font.held_out and kit == ORCHESTRA_KIT):
                continue
            seen[names[0], recordings] = kit
            tunings = (0,) if font.held_out else TUNINGS[family]
            plans += [_plan_drum(font, kit, key, tuning, recordings) for tuning in tunings]
    return plans


def _plan_drum(font: Font, kit: int, key: int, tuning: int, recordings: tuple[str, ...]) -> RenderPlan:
    family, names = drum_names(kit, key)
    words = next(words for limit, words in KIT_WORDS if kit < limit)
    stem = names[0].replace(" ", "_").replace("-", "_")
    suffix = f"_{'up' if tuning > 0 else 'down'}{abs(tuning)}" if tuning else ""
    tuned = ("tuned up",) if tuning > 0 else ("tuned down",) if tuning < 0 else ()
    clip = Clip(
        file_name=f"{font.folder}/drums/{stem}_kit{kit:02d}_key{key}{suffix}.flac",
        label=names[0], family=family, names=names, words=words + tuned,
        pitch=None, velocity=round(LOUD / 127, 4), dynamics=None, group=f"{font.name}/kit {kit}/{names[0]}",
        recording=_recording_id(font, recordings), licence=font.licence, source=font.name, rendered=True,
    )  # fmt: skip
    return RenderPlan(clip, Note(DRUM_BANK, kit, key, LOUD, float(tuning)), recordings)


def _recording_id(font: Font, recordings: tuple[str, ...]) -> str:
    return f"{font.name}:{'+'.join(recordings)}"
