"""Balls around neighbours: against the definition, and against clouds that were built."""

import pytest
import torch
from torch import Tensor

from evaluation.intervals import Units
from evaluation.neighbours import HUBS, NeighbourGraph, Neighbourhood, neighbourhood


def cloud(clips: int, numbers: int, seed: int) -> Tensor:
    return torch.randn(clips, numbers, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_definition(made: Tensor, reference: Tensor, k: int) -> Neighbourhood:
    """The four equations as they are printed."""
    reach_made, reach_reference = (
        torch.cdist(part, part).sort(dim=1).values[:, k] for part in (made, reference)
    )  # The 0th neighbour is the clip itself.
    across = torch.cdist(made, reference)
    in_reference = across <= reach_reference[None]
    in_made = across <= reach_made[:, None]
    return Neighbourhood(
        precision=float(in_reference.any(dim=1).double().mean()),
        recall=float(in_made.any(dim=0).double().mean()),
        density=float(in_reference.double().sum(dim=1).mean()) / k,
        coverage=float(in_reference.any(dim=0).double().mean()),
    )


@pytest.mark.parametrize(("made", "reference", "k"), [(300, 200, 5), (60, 700, 3), (12, 12, 11)])
def test_four_numbers_are_those_of_the_definition(made: int, reference: int, k: int) -> None:
    clouds = cloud(made, 3, 1) + 0.7, cloud(reference, 3, 2)
    found, wanted = neighbourhood(*clouds, k), by_definition(*clouds, k)
    assert vars(found) == pytest.approx(vars(wanted), abs=1e-6)


def test_parts_are_those_of_the_definition() -> None:
    """Half of the clips, without any new distance."""
    made, reference = cloud(150, 4, 1) + 0.5, cloud(120, 4, 2)
    generator = torch.Generator().manual_seed(3)
    for k in (3, 5):
        rows, columns = (torch.rand(size, generator=generator) < 0.5 for size in (150, 120))
        found = NeighbourGraph(made, reference, k).neighbourhood(rows, columns)
        assert vars(found) == pytest.approx(vars(by_definition(made[rows], reference[columns], k)), abs=1e-6)


def test_clouds_that_were_built() -> None:
    """Half of the reference is missing in one set; half of the other set is nonsense."""
    reference = torch.cat([cloud(300, 2, 1), cloud(300, 2, 2) + 50.0])
    same = neighbourhood(torch.cat([cloud(300, 2, 3), cloud(300, 2, 4) + 50.0]), reference)
    assert min(same.precision, same.recall, same.coverage) > 0.9
    assert same.density == pytest.approx(1.0, abs=0.1)
    dropped = neighbourhood(cloud(600, 2, 5), reference)
    assert dropped.precision > 0.9
    assert dropped.recall == pytest.approx(0.5, abs=0.05)
    assert dropped.coverage == pytest.approx(0.5, abs=0.05)
    nonsense = neighbourhood(torch.cat([cloud(300, 2, 6), cloud(300, 2, 7) - 500.0]), reference[:300])
    assert nonsense.precision == pytest.approx(0.5, abs=0.05)
    assert nonsense.recall > 0.9


def test_one_sound_again_and_again_is_precise_and_covers_nothing() -> None:
    """Duplicates: balls of no size, and no division by 0."""
    reference = cloud(200, 4, 1)
    found = neighbourhood(reference[:1].repeat(200, 1), reference)
    assert found.precision == 1.0
    assert found.recall <= 1 / 200
    assert found.coverage < 0.15


def test_copies() -> None:
    """The reference itself: everything is right, and nothing varies, so nothing is said of how sure that is."""
    reference = cloud(100, 4, 1)
    graph = NeighbourGraph(reference, reference)
    assert vars(graph.neighbourhood()) == pytest.approx({"precision": 1, "recall": 1, "density": 1.2, "coverage": 1})
    paired = Units(torch.arange(100), torch.arange(100))
    for name, found in graph.replicated(paired).items():
        assert found.interval().low is None
        assert found.interval().reason == (HUBS if name == "density" else "all halves of the clips measure the same")


def test_an_outlier_makes_coverage_and_density_no_better() -> None:
    """One far reference clip has a ball as wide as the world: precision is fooled, density is not."""
    reference = torch.cat([cloud(200, 2, 1), torch.full((1, 2), 1000.0, dtype=torch.float64)])
    far = neighbourhood(cloud(200, 2, 2) + 500.0, reference)
    assert far.precision == 1.0
    assert far.density < 0.25
    assert far.coverage < 0.01


def test_dropped_classes_are_told_apart() -> None:
    """The verdict on recall and coverage: a model that lacks half of the classes against one that lacks none."""
    reference, both, half = (
        torch.cat([cloud(100, 3, seed), cloud(100, 3, seed + 1) + move])
        for seed, move in ((1, 9.0), (3, 9.0), (5, 0.0))
    )
    units = Units.separate(200, 200)
    full, less = (NeighbourGraph(made, reference).replicated(units) for made in (both, half))
    for name in ("recall", "coverage"):
        high = (less[name] - full[name]).interval().high
        assert high is not None
        assert high < -0.2
    low, high = (getattr((less["precision"] - full["precision"]).interval(), end) for end in ("low", "high"))
    assert low <= 0.0 <= high


def test_too_few() -> None:
    with pytest.raises(ValueError, match="at least 6 clips, got 5"):
        NeighbourGraph(cloud(5, 3, 1), cloud(50, 3, 2))
    few = NeighbourGraph(cloud(19, 3, 1), cloud(50, 3, 2)).replicated(Units.separate(19, 50))["recall"].interval()
    assert (few.low, few.reason) == (None, "20 clips are enough")
    one = Units(torch.zeros(50, dtype=torch.long), torch.ones(50, dtype=torch.long))
    lone = NeighbourGraph(cloud(50, 3, 1), cloud(50, 3, 2)).replicated(one)["recall"].interval()
    assert lone.reason == "1 independent units, 8 are enough"


def test_balls_reach_to_clips_of_other_recordings() -> None:
    """Four near copies of each recording: their balls would hold no other recording."""
    generator = torch.Generator().manual_seed(1)
    clouds = torch.randn(2, 60, 1, 2, generator=generator, dtype=torch.float64).expand(-1, -1, 8, -1)
    made, reference = (clouds + 1e-3 * torch.randn(2, 60, 8, 2, generator=generator, dtype=torch.float64)).flatten(1, 2)
    own = torch.arange(480) // 8
    apart = NeighbourGraph(made, reference, units=Units(own, 60 + own)).neighbourhood()
    alike = NeighbourGraph(made, reference).neighbourhood()
    assert max(alike.recall, alike.precision, alike.coverage) < 0.1
    assert min(apart.recall, apart.precision) > 0.4
    # Where all clips are of one recording, there are no others to reach to.
    one = Units(torch.zeros(480, dtype=torch.long), torch.ones(480, dtype=torch.long))
    assert NeighbourGraph(made, reference, units=one).neighbourhood() == alike
