"""What the table says of a clip beside its numbers."""

from pathlib import Path

import pytest

from pipelines.clips import WrittenClip
from pipelines.progress import remarks


@pytest.mark.parametrize(("loudness", "said"), [(-100.0, ["nearly silent"]), (-61.0, ["nearly silent"]), (-40.0, [])])
def test_a_clip_that_nobody_hears_is_named(loudness: float, said: list[str]) -> None:
    clip = WrittenClip(Path("x.wav"), "a kick", 1.0, loudness, 100.0, guarded=False, tuned=0.0, seam=None)
    assert remarks(clip) == said
