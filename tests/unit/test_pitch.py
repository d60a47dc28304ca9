"""Pitches as people write them."""

import pytest

from pipelines.pitch import parse_pitch


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
