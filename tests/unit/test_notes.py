"""Pitches as people write them."""

import pytest

from audio.notes import moved_notes, named_pitch, parse_pitch


@pytest.mark.parametrize(
    ("text", "midi"),
    [
        *(("C4", 60), ("c4", 60), ("A4", 69), ("440Hz", 69), ("880 hz", 81), ("60", 60), ("60.5", 60.5)),
        *(("F#3", 54), ("Bb2", 46), ("C-1", 0), ("G9", 127), ("Cb4", 59), ("B#3", 60)),
    ],
)
def test_pitches(text: str, midi: float) -> None:
    assert parse_pitch(text) == pytest.approx(midi)


@pytest.mark.parametrize("text", ["H4", "C", "", "128", "-1", "0Hz", "99999Hz", "nan", "inf", "C44", "4C", "1e2"])
def test_what_is_no_pitch_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="pitch: expected"):
        parse_pitch(text)


@pytest.mark.parametrize(
    ("text", "midi"),
    [
        *(("a bright piano, F#3", 54), ("Bb2 on a warm organ", 46), ("a low C-1 tone", 0), ("flute at C sharp 4", 61)),
        *(("a single bell note at E flat 5", 75), ("piano middle C", 60), ("C4 and then D4", 60), ("C♯4", 61)),
    ],
)
def test_the_first_note_of_a_text_is_found(text: str, midi: float) -> None:
    assert named_pitch(text) == midi


@pytest.mark.parametrize(
    "text", ["an A flat organ", "a 4 bar loop", "an 808 kick", "c4 explosive", "G", "C44", "C-2", ""]
)
def test_a_text_without_a_note_names_none(text: str) -> None:
    assert named_pitch(text) is None


@pytest.mark.parametrize(
    ("text", "semitones", "moved"),
    [
        ("a dark flute at C sharp 5, sustained", 2, "a dark flute at D#5, sustained"),
        ("piano middle C and Bb2", -1, "piano B3 and A2"),
        ("an 808 kick in A flat", 3, "an 808 kick in A flat"),
        ("G9 whistle", 1, "G9 whistle"),
        ("E4", 0, "E4"),
    ],
)
def test_notes_in_a_text_move(text: str, semitones: int, moved: str) -> None:
    assert moved_notes(text, semitones) == moved
