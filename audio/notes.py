"""Pitches as people write them: note names, frequencies, MIDI numbers."""

import math
import re

NOTE = re.compile(r"^([A-Ga-g])([#♯b♭]?)(-?\d)$")
# Inside a text only capitals count: "a 4" is no note.
NOTE_IN_TEXT = re.compile(r"\b([A-G])(#|♯|b|♭| sharp | flat )?(-?\d)\b|\b(middle) C\b")
MIDDLE_C = 60.0
SHARPS = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}


def parse_pitch(text: str) -> float:
    """`C4`, `F#3`, `Bb2`, `440Hz` or `60` as a MIDI note number (C4 is 60, A4 is 69 and 440 Hz).

    Raises:
        ValueError: not a pitch, or outside MIDI 0 to 127.
    """
    stripped = text.strip()
    note = NOTE.match(stripped)
    frequency = re.fullmatch(r"(\d+(?:\.\d+)?)\s*[hH][zZ]", stripped)
    if note:
        step, accidental, octave = note.groups()
        number = SEMITONES[step.lower()] + {"#": 1, "♯": 1, "b": -1, "♭": -1}.get(accidental, 0)
        midi = float(number + 12 * (int(octave) + 1))
    elif frequency and float(frequency[1]) > 0.0:
        midi = 69.0 + 12.0 * math.log2(float(frequency[1]) / 440.0)
    elif re.fullmatch(r"\d+(\.\d+)?", stripped):
        midi = float(stripped)
    else:
        raise ValueError(f"pitch: expected a note (C4, F#3), a frequency (440Hz) or a MIDI number (60), got '{text}'")
    if not 0.0 <= midi <= 127.0:
        raise ValueError(f"pitch: expected MIDI 0 to 127, got '{text}' ({midi:.1f})")
    return midi


def named_pitch(text: str) -> float | None:
    """The MIDI number of the first note that a text names, such as `C4`, `F#3`, `E flat 5` or `middle C`.

    None where it names none, or one outside MIDI 0 to 127.
    """
    found = NOTE_IN_TEXT.search(text)
    return None if found is None else _pitch_of(found)


def named_pitches(text: str) -> list[float]:
    """The MIDI numbers of all notes that a text names, in its order."""
    pitches = [_pitch_of(found) for found in NOTE_IN_TEXT.finditer(text)]
    return [pitch for pitch in pitches if pitch is not None]


def _pitch_of(found: re.Match[str]) -> float | None:
    step, accidental, octave, middle = found.groups()
    if middle:
        return MIDDLE_C
    sign = {" sharp ": "#", " flat ": "b"}.get(accidental, accidental or "")
    try:
        return parse_pitch(f"{step}{sign}{octave}")
    except ValueError:
        return None


def moved_notes(text: str, semitones: int) -> str:
    """A text whose notes are named so many semitones higher: `C sharp 4`, 2 higher, is `D#4`; all else stays."""

    def moved(found: re.Match[str]) -> str:
        pitch = named_pitch(found[0])
        if pitch is None or not 0.0 <= pitch + semitones <= 127.0:
            return found[0]
        octave, step = divmod(round(pitch) + semitones, 12)
        return f"{SHARPS[step]}{octave - 1}"

    return NOTE_IN_TEXT.sub(moved, text)
