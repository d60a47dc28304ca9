"""Which frames of a canvas are held, and until when."""

import pytest
import torch

from pipelines.canvas import BEYOND_FROM, EDGE_FRAMES, EDGE_FROM, ease_sides, let_go, taken_up


def eased(frames: int, *regions: tuple[int, int]) -> torch.Tensor:
    kept = torch.ones(frames)
    for start, end in regions:
        kept[start:end] = 0.0
    ease_sides(kept)
    return kept


def test_frames_are_let_go_one_after_the_other() -> None:
    assert let_go(4, 0.8).tolist() == pytest.approx([0.8, 0.6, 0.4, 0.2])
    assert let_go(0, 0.8).shape == (0,)


def test_what_follows_an_end_is_taken_up_and_let_go() -> None:
    held = taken_up(40)
    assert held.shape == (40,)
    assert int(held.argmax()) in (EDGE_FRAMES - 1, EDGE_FRAMES)
    assert float(held[0]) == pytest.approx(BEYOND_FROM / EDGE_FRAMES)
    assert float(held.max()) == pytest.approx(BEYOND_FROM)
    assert bool((held[:EDGE_FRAMES].diff() > 0.0).all())
    assert bool((held[EDGE_FRAMES:].diff() < 0.0).all())
    assert taken_up(0).shape == (0,)


def test_both_sides_of_a_region_are_let_go_and_nothing_else() -> None:
    kept = eased(100, (20, 80))
    assert kept[19] == kept[80] == 1.0
    assert float(kept[20]) == float(kept[79]) == pytest.approx(EDGE_FROM)
    assert not kept[20 + EDGE_FRAMES : 80 - EDGE_FRAMES].any()
    assert torch.equal(kept, kept.flip(0))
    # Never more than a quarter at either side.
    assert int((eased(100, (20, 28))[20:28] == 0.0).sum()) == 4
    assert not eased(100, (20, 23))[20:23].any()


def test_where_the_clip_begins_or_ends_nothing_of_the_source_is_left() -> None:
    assert not eased(100, (0, 50))[: 50 - EDGE_FRAMES].any()
    assert not eased(100, (50, 100))[50 + EDGE_FRAMES :].any()
    assert not eased(100, (0, 100)).any()


def test_regions_that_touch_are_one() -> None:
    assert torch.equal(eased(100, (20, 50), (50, 80)), eased(100, (20, 80)))
