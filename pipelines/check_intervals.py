"""`python -m pipelines.check_intervals`: do the intervals of the report hold what they promise?

Clouds are drawn again and again from distributions that are known, every statistic is measured with its interval, and
the intervals that hold the estimand are counted: the mean over all repeats, which is what another such draw would give.
The same for the paired difference of two models that are equally good: there every verdict is a wrong one.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean, stdev

import torch
from rich.console import Console
from rich.progress import track
from torch import Generator, Tensor

from evaluation.frechet import replicated_frechet_distance
from evaluation.intervals import Interval, Replicated, Units, mean_interval, ratio_interval, share_interval
from evaluation.kernel import kernel_bandwidth, replicated_kernel_distance
from evaluation.neighbours import NeighbourGraph
from evaluation.set_scores import level_distance, spread_ratio
from pipelines.simulated_clouds import CLOUDS, gaussian_kernel_distance
from training.command import answer, run_command

SHARES = frozenset({"precision", "recall", "coverage"})
# Of the clips that a share is of, and how much more those of one unit resemble each other.
SHARE, SHARE_BELOW, CLIPS_PER_UNIT = 0.8, 0.9, 3


@dataclass
class Tally:
    """What the repeats of one statistic measured.

    Args:
        found: an interval of each repeat.
        exact: the closed form of each repeat, where there is one.
    """

    found: list[Interval] = field(default_factory=list)
    exact: list[float] = field(default_factory=list)

    def row(self, truth: float | None = None) -> str:
        """A line of the table: estimand, share of intervals that hold it, their width over that of the truth.

        Args:
            truth: the estimand; the mean of the repeats when left out.
        """
        values = [one.value for one in self.found]
        truth = fmean(values) if truth is None else truth
        exact = f"{fmean(self.exact):.4g}" if self.exact else "-"
        ends = [(one.low, one.high) for one in self.found if one.low is not None and one.high is not None]
        without = f"{1.0 - len(ends) / len(values):.3f}"
        if not ends:
            return f"| {truth:.4g} | {exact} | - | - | {without} |"
        held = fmean(low <= truth <= high for low, high in ends)
        spread = 2.0 * 1.96 * stdev(values)
        width = f"{fmean(high - low for low, high in ends) / spread:.2f}" if spread > 0.0 else "-"
        return f"| {truth:.4g} | {exact} | {held:.3f} | {width} | {without} |"


def check_intervals(
    clips: int = 200,
    numbers: int = 16,
    repeats: int = 200,
    seed: int = 0,
    only: str = "",
    differences: bool = True,
    neighbours: bool = True,
) -> None:
    """Count how often the intervals of every statistic hold the truth.

    Args:
        clips: of either cloud.
        numbers: of an embedding.
        repeats: clouds drawn from every distribution; 400 tell 95 % from 92 %.
        seed: of all of them.
        only: the one distribution to draw from; all when left out.
        differences: also compare two models that are equally good; what is not held is a wrong verdict.
        neighbours: also precision, recall, density and coverage, which take most of the time.

    Raises:
        ValueError: too few clips, numbers or repeats, or no such distribution.
    """
    for name, given, fewest in (("clips", clips, 24), ("numbers", numbers, 2), ("repeats", repeats, 10)):
        if given < fewest:
            raise ValueError(f"{name}: expected at least {fewest}, got {given}")
    if only and only not in CLOUDS:
        raise ValueError(f"only: expected one of {', '.join(CLOUDS)}, got '{only}'")
    answer(f"{clips} clips, {numbers} numbers, {repeats} repeats, seed {seed}")
    answer("| clouds | statistic | truth | closed form | coverage | width / true width | without interval |")
    answer("|---|---|---|---|---|---|---|")
    for name in [only] if only else CLOUDS:
        for statistic, tally in simulate(name, clips, numbers, repeats, seed, differences, neighbours).items():
            answer(f"| {name} | {statistic} {tally.row(0.0 if statistic.startswith('difference') else None)}")
    if not only:
        for statistic, (tally, truth) in simulate_shares(clips, repeats, seed).items():
            answer(f"| {CLIPS_PER_UNIT} clips a unit | {statistic} {tally.row(truth)}")


def simulate(
    name: str,
    clips: int,
    numbers: int,
    repeats: int,
    seed: int = 0,
    differences: bool = True,
    neighbours: bool = True,
) -> dict[str, Tally]:
    """Draw clouds, and measure what the report measures; see `check_intervals`."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    generator = torch.Generator().manual_seed(seed)
    for _ in progress(range(repeats), name):
        clouds = CLOUDS[name](clips, numbers, generator)
        made = measured(clouds.made, clouds.reference, clouds.units, neighbours)
        other = measured(clouds.other, clouds.reference, clouds.units, neighbours) if differences else {}
        for statistic, replicated in made.items():
            high = 1.0 if statistic in SHARES else float("inf")
            low = 0.0 if statistic in SHARES or statistic == "density" else -float("inf")
            tallies[statistic].found.append(replicated.interval(low, high))
            if differences:
                tallies[f"difference of {statistic}"].found.append((other[statistic] - replicated).interval())
        if clouds.shift is not None:
            exact = gaussian_kernel_distance(numbers, clouds.shift, clouds.scale, kernel_bandwidth(clouds.reference))
            tallies["kernel distance"].exact.append(exact)
    return dict(sorted(tallies.items(), key=lambda item: item[0].startswith("difference")))


def measured(made: Tensor, reference: Tensor, units: Units, neighbours: bool = True) -> dict[str, Replicated]:
    """Every statistic of two clouds."""
    spread = units.replicate(lambda rows, columns: [spread_ratio(made[rows], reference[columns])])
    # One number of the clouds stands for loudness.
    level = units.replicate(lambda rows, columns: [level_distance(made[rows, 0], reference[columns, 0])], smooth=False)
    found = {
        "kernel distance": replicated_kernel_distance(made, reference, units),
        "Frechet distance": replicated_frechet_distance(made, reference, units),
        "diversity": spread[0],
        "level error": level[0],
    }
    return found | NeighbourGraph(made, reference, units=units).replicated(units) if neighbours else found


def simulate_shares(clips: int, repeats: int, seed: int = 0) -> dict[str, tuple[Tally, float]]:
    """Means, shares and ratios of two shares, of clips of which three at a time resemble each other; with the truth."""
    generator = torch.Generator().manual_seed(seed)
    result: dict[str, tuple[Tally, float]] = {}

    def add(statistic: str, interval: Interval, truth: float) -> None:
        result.setdefault(statistic, (Tally(), truth))[0].found.append(interval)

    units = torch.arange(clips) // CLIPS_PER_UNIT
    for _ in range(repeats):
        add("mean", mean_interval(alike_in_units(units, generator).exp(), units), 2.718281828**0.5)
        for share in (0.5, SHARE, 0.98):
            add(f"share of {share}", share_interval(hits(share, units, generator), units), share)
        pair = [share_interval(hits(share, units, generator), units) for share in (SHARE, SHARE_BELOW)]
        add("ratio of shares", ratio_interval(*pair), SHARE / SHARE_BELOW)
        both = [hits(SHARE, units, generator) for _ in range(2)]
        add("difference of shares", mean_interval(both[0] - both[1], units), 0.0)
    return result


def alike_in_units(units: Tensor, generator: Generator) -> Tensor:
    """Standard normal numbers, half of their variance shared within a unit."""
    shared = torch.randn(int(units.max()) + 1, generator=generator, dtype=torch.float64)
    numbers: Tensor = (shared[units] + torch.randn(len(units), generator=generator, dtype=torch.float64)) / 2.0**0.5
    return numbers


def hits(share: float, units: Tensor, generator: Generator) -> Tensor:
    """0 or 1 for each clip, alike within a unit."""
    level = torch.special.ndtri(torch.tensor(share, dtype=torch.float64))
    below: Tensor = alike_in_units(units, generator) < level
    return below.double()


def progress(items: range, text: str) -> Iterable[int]:
    """A progress bar on standard error."""
    return track(items, text, console=Console(stderr=True), disable=not sys.stderr.isatty())


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.check_intervals`."""
    return run_command(check_intervals, arguments, program="python -m pipelines.check_intervals")


if __name__ == "__main__":
    sys.exit(main())
