"""Intervals against closed forms, and by simulation against what they claim."""

import math
from collections.abc import Callable

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from evaluation.embeddings import heavy_tails
from evaluation.frechet import Moments, frechet_distance, replicated_frechet_distance
from evaluation.intervals import (
    Interval,
    Replicated,
    Units,
    mean_interval,
    ratio_interval,
    share_interval,
    verdict,
    wilson,
)
from evaluation.kernel import kernel_distance, replicated_kernel_distance
from pipelines.check_intervals import main, simulate, simulate_shares
from pipelines.simulated_clouds import CLOUDS


def normal(clips: int, numbers: int, seed: int) -> Tensor:
    return torch.randn(clips, numbers, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def replicated(halves: Tensor, units: int = 50, smooth: bool = True) -> Replicated:
    return Replicated(1.0, halves, units, smooth)


@pytest.mark.parametrize(("hits", "clips"), [(0, 20), (3, 20), (19, 20), (20, 20), (80, 200)])
def test_wilson_is_that_of_scipy(hits: int, clips: int) -> None:
    wanted = binomtest(hits, clips).proportion_ci(0.95, method="wilson")
    assert wilson(hits / clips, clips) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_a_share_of_clips_in_threes_is_that_of_a_third_as_many() -> None:
    """Clips of one unit that always agree add nothing."""
    units = torch.arange(60) // 3
    found = share_interval((units < 12).double(), units)
    alone = share_interval((torch.arange(20) < 12).double(), torch.arange(20))
    # A little wider: twenty units show less well than sixty clips how much they vary.
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=0.02)
    assert found.high - found.low > alone.high - alone.low
    few = share_interval((torch.arange(60) < 12).double(), torch.arange(60) // 10)
    assert (few.low, few.reason) == (None, "6 independent units, 8 are enough")
    every = share_interval(torch.ones(60), units)
    assert every.high == 1.0
    assert every.low == pytest.approx(wilson(1.0, 20.0)[0])


def test_a_mean_of_independent_numbers_has_students_interval() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 3.0, 7.0, 5.0, 0.0, 2.0, 1.0])
    found = mean_interval(values, torch.arange(9))
    reach = 2.306004135 * float(values.double().std()) / 3.0
    assert (found.low, found.high) == pytest.approx((found.value - reach, found.value + reach), rel=1e-6)
    few = mean_interval(values, torch.arange(9) % 7)
    assert few.low is None
    assert few.reason == "7 independent units, 8 are enough"


def test_ratio_of_two_shares() -> None:
    """MOVER-R with symmetric ends is Fieller's interval; a divisor that may be 0 has none."""
    found = ratio_interval(Interval(0.6, 0.5, 0.7), Interval(0.8, 0.7, 0.9))
    assert found.value == pytest.approx(0.75)
    # Fieller: the roots of (0.6 - r 0.8)^2 = 0.1^2 + r^2 0.1^2.
    roots = [(0.48 + sign * math.sqrt(0.48**2 - 0.63 * 0.35)) / 0.63 for sign in (-1.0, 1.0)]
    assert (found.low, found.high) == pytest.approx(tuple(roots), rel=1e-9)
    for second in (Interval(0.1, 0.0, 0.3), Interval(0.0, 0.0, 0.1), Interval(0.1, 0.05, 0.2), Interval(0.5)):
        none = ratio_interval(Interval(0.6, 0.5, 0.7), second)
        assert none.low is None
        assert none.reason == "the divisor may be 0"


def test_halves_give_the_variance_of_a_mean() -> None:
    """A linear statistic: the error is that of the textbook, up to the splits' own noise."""
    values = normal(200, 1, 1)[:, 0]
    units = Units.separate(200, 200)
    found = units.replicate(lambda rows, columns: (float(values[rows].mean()),))[0]
    assert found.value == pytest.approx(float(values.mean()))
    assert found.standard_error() == pytest.approx(float(values.std()) / 200**0.5, rel=0.2)


def test_halves_give_the_variance_of_a_square() -> None:
    """A quadratic statistic at 0, where the spread of halves is three times too much: planted L = 0."""
    # (x + d)^2 of one half and (x - d)^2 of the other; x over data and d over splits have the variance 1 / 2.
    x, d = normal(400, 1, 2) / 2.0**0.5, normal(400, 500, 3) / 2.0**0.5
    halves = torch.stack([(x + d).square(), (x - d).square()], dim=2)
    covariance = -float((halves - halves.mean(dim=1, keepdim=True)).prod(dim=2).mean())
    variance = float((halves - halves.mean(dim=1, keepdim=True)).square().mean())
    exact = float(x.square().var())
    assert covariance == pytest.approx(exact, rel=0.25)
    assert variance > 2.5 * exact
    # One direction alone scatters so much that the bound from below is often met.
    found = [replicated(half).standard_error() ** 2 for half in halves]
    assert exact < sum(found) / len(found) < 0.7 * variance
    rough = [replicated(half, smooth=False).standard_error() ** 2 for half in halves]
    assert sum(rough) / len(rough) == pytest.approx(variance, rel=0.05)


def test_refused_intervals_say_why() -> None:
    few = replicated(normal(9, 2, 1), units=7).interval()
    assert (few.low, few.reason) == (None, "7 independent units, 8 are enough")
    still = replicated(torch.ones(9, 2)).interval()
    assert (still.low, still.reason) == (None, "all halves of the clips measure the same")
    alone = Replicated.alone(2.0, 50, "20 clips are enough").interval()
    assert (alone.value, alone.low, alone.reason) == (2.0, None, "20 clips are enough")
    assert alone.to_dict() == {"value": 2.0, "low": None, "high": None, "reason": "20 clips are enough"}
    with pytest.raises(ValueError, match="paired difference: expected the same splits, got 9 of 50 units and 8 of 50"):
        replicated(normal(9, 2, 1)) - replicated(normal(8, 2, 1))
    with pytest.raises(ValueError, match="share: expected at least one clip, got none"):
        share_interval(torch.zeros(0), torch.zeros(0, dtype=torch.long))


def test_intervals_stay_within_the_scale() -> None:
    found = replicated(1.0 + normal(100, 2, 1), smooth=False).interval(0.0, 1.0)
    assert (found.low, found.high) == (0.0, 1.0)
    assert str(Interval(0.5, 0.25, 1.0)) == "0.5 [0.25, 1]"
    assert str(Interval(0.5)) == "0.5"


@pytest.mark.parametrize(
    ("interval", "higher", "word"),
    [
        (Interval(1.0, 0.5, 1.5), True, "better"),
        (Interval(1.0, 0.5, 1.5), False, "worse"),
        (Interval(-1.0, -1.5, -0.5), False, "better"),
        (Interval(0.1, -0.5, 0.7), True, "cannot tell"),
        (Interval(9.0), True, "cannot tell"),
    ],
)
def test_verdict(interval: Interval, higher: bool, word: str) -> None:
    assert verdict(interval, higher) == word


def test_a_unit_is_split_as_a_whole() -> None:
    units = Units.named(["a", "a", "b", "c"] * 4, ["c", "d", "e", "f"] * 4)
    assert (units.count, units.total) == (3, 6)
    assert units.strata().tolist() == [1, 1, 3, 2, 2, 2]
    first = units.halves(50)
    assert first.shape == (50, 6)
    # Of two made alone one is in either half, of three of the reference one or two, in turn.
    assert (first[:, :2].sum(dim=1) == 1).all()
    assert (first[:, 3:].sum(dim=1) == 1).all()
    assert first[:, 0].any()
    assert not first[:, 0].all()


def test_many_units_are_thrown_together_with_their_kind() -> None:
    units = Units(torch.arange(1000), 500 + torch.arange(1000))
    grouped = units.grouped(90)
    assert units.grouped(5000) is units
    assert grouped.total == 90
    kinds = grouped.strata()
    assert [int((kinds == kind).sum()) for kind in (1, 2, 3)] == [30, 30, 30]
    assert (kinds[grouped.made[:500]] == 1).all()
    assert (kinds[grouped.made[500:]] == 3).all()
    assert (grouped.made[500:] == grouped.reference[:500]).all()


def bootstrap_holds(truth: float, statistic: Callable[[Tensor, Tensor], float], clips: int, repeats: int) -> int:
    """How many percentile intervals of a plain bootstrap hold the truth."""
    held = 0
    for seed in range(repeats):
        made, reference = normal(clips, 16, 2 * seed), normal(clips, 16, 2 * seed + 1)
        generator = torch.Generator().manual_seed(seed)
        rows = torch.randint(clips, (60, 2, clips), generator=generator)
        found = torch.tensor([statistic(made[row], reference[column]) for row, column in rows])
        low, high = torch.quantile(found, torch.tensor([0.025, 0.975])).tolist()
        held += low <= truth <= high
    return held


def test_a_plain_bootstrap_of_a_distance_never_holds() -> None:
    """Why there is none here: what it draws lies far above what clips without repetition measure."""
    pairs = [(normal(200, 16, 9000 + n), normal(200, 16, 9500 + n)) for n in range(20)]
    frechet = [frechet_distance(Moments.of(a), Moments.of(b)) for a, b in pairs]
    truth = sum(frechet) / len(frechet)
    assert bootstrap_holds(truth, lambda a, b: frechet_distance(Moments.of(a), Moments.of(b)), 200, 12) == 0
    assert bootstrap_holds(0.0, lambda a, b: kernel_distance(a, b, 5.5), 100, 12) < 8


def test_kernel_intervals_hold() -> None:
    """Alike clouds, where the closed form is 0: of 150 intervals at 95 %, fewer than 132 are impossible by chance."""
    held, repeats = 0, 150
    for seed in range(repeats):
        made, reference = normal(60, 8, 2 * seed), normal(60, 8, 2 * seed + 1)
        found = replicated_kernel_distance(made, reference, Units.separate(60, 60), 4.0).interval()
        held += found.low is not None and found.high is not None and found.low <= 0.0 <= found.high
    assert 132 <= held < repeats


def test_equal_models_are_seldom_told_apart() -> None:
    """Paired differences on recordings of three clips each: one verdict in twenty may be wrong."""
    for neighbours, repeats, most in ((False, 10, 3), (True, 2, 1)):
        for name, tally in simulate("paired recordings", 60, 8, repeats, 3, True, neighbours).items():
            if name.startswith("difference"):
                assert sum(verdict(one, True) != "cannot tell" for one in tally.found) <= most, name


def test_shares_and_means_of_clips_in_threes_hold() -> None:
    for name, (tally, truth) in simulate_shares(150, 300, seed=1).items():
        ends = [(one.low, one.high) for one in tally.found if one.low is not None and one.high is not None]
        held = sum(low <= truth <= high for low, high in ends) / len(ends)
        assert 0.9 <= held < 1.0, name


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--clips", "24", "--numbers", "4", "--repeats", "10", "--only", "alike", "--neighbours", "false"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "24 clips, 4 numbers, 10 repeats, seed 0"
    assert len(lines) == 3 + 8
    assert lines[3].startswith("| alike | kernel distance | ")
    for bad, message in (
        (["--clips", "9"], "error: clips: expected at least 24, got 9"),
        (["--only", "x"], "error: only: expected one of alike, small shift, far, mixtures, rectified, recordings"),
    ):
        assert main(bad) == 2
        assert message in capsys.readouterr().err


def test_heavy_tails_get_a_reason_and_no_interval() -> None:
    draw = torch.Generator().manual_seed(1)
    clouds = CLOUDS["rectified"](200, 16, draw)
    for measure in (replicated_kernel_distance, replicated_frechet_distance):
        heavy = measure(clouds.made, clouds.reference, clouds.units)
        assert heavy.interval().low is None
        assert "a few clips carry most of the variance" in heavy.interval().reason
        plain = CLOUDS["mixtures"](200, 16, draw)
        fine = measure(plain.made, plain.reference, plain.units)
        assert fine.interval().low is not None
        # A comparison of the two has no interval either, and no error.
        assert (heavy - fine).interval().low is None
    assert heavy_tails(torch.zeros(9, 2)) == ""
