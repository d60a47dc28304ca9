"""Kernel distance: how far apart two clouds of embeddings are, right on average at any number of clips.

    MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),    k(x, y) = exp(-|x - y|^2 / (2 width^2))

Pairs of a clip with itself are left out (Gretton et al., "A Kernel Two-Sample Test", 2012, equation 3), so alike clouds
measure 0 on average, and a little below it half of the time. Times 1,000. It leads every report.

That equation is of clips that are drawn one by one. Clips of one recording resemble each other, and a clip resembles
the real one whose caption it was made for: within a cloud such pairs would count as nearness of the cloud to itself,
across clouds as nearness of the two. So pairs of one unit are left out, within and across, and each mean is over the
rest.
"""

import torch
from torch import Tensor

from evaluation.embeddings import BLOCK_ROWS, check_embeddings, heavy_tails, squared_distances
from evaluation.intervals import FEWEST_UNITS, Replicated, Units

KERNEL_SCALE = 1000.0
# The median is taken over at most so many rows.
MEDIAN_ROWS = 2000
# More units than that are thrown together at random, so that their sums fit into 150 MB.
MOST_UNITS = 2500
# More splits than elsewhere: here they cost next to nothing.
KERNEL_SPLITS = 500


def kernel_bandwidth(reference: Tensor) -> float:
    """Median distance between different clips of the reference: the width of the kernel.

    Args:
        reference: `(clips, numbers)`; rows spread evenly over it serve where it is large.

    Raises:
        ValueError: clips that are all alike.
    """
    check_embeddings(reference)
    rows = reference[:: -(-len(reference) // MEDIAN_ROWS)].double()
    median = float(torch.pdist(rows).median())
    if median <= 0.0:
        raise ValueError("embeddings: half of the reference clips are alike, a kernel has no width")
    return median


def kernel_distance(
    made: Tensor, reference: Tensor, bandwidth: float | None = None, units: Units | None = None
) -> float:
    """Unbiased squared maximum mean discrepancy, times 1,000.

    Args:
        made: `(clips, numbers)`.
        reference: `(clips, numbers)`; decides the bandwidth.
        bandwidth: of the kernel; the reference's median distance when left out.
        units: of either; every clip is one of its own when left out.

    Raises:
        ValueError: what is no cloud.
    """
    check_embeddings(reference, made)
    own = units or Units.separate(len(made), len(reference))
    return _KernelSums(made, reference, own.grouped(MOST_UNITS), bandwidth).value()


def replicated_kernel_distance(
    made: Tensor, reference: Tensor, units: Units, bandwidth: float | None = None, seed: int = 0
) -> Replicated:
    """The same, and on halves of the units (the kernel's width stays).

    Args:
        made: `(clips, numbers)`.
        reference: `(clips, numbers)`.
        units: of either; a unit is in the same half of both clouds.
        bandwidth: as above.
        seed: of the splits.

    Raises:
        ValueError: what is no cloud.
    """
    check_embeddings(reference, made)
    grouped = units.grouped(MOST_UNITS)
    sums = _KernelSums(made, reference, grouped, bandwidth)
    reason = "too few independent units" if units.count < FEWEST_UNITS else heavy_tails(made, reference)
    if reason:
        return Replicated.alone(sums.value(), units.count, reason)
    first = grouped.halves(KERNEL_SPLITS, seed)
    return Replicated(sums.value(), torch.stack([sums.distances(first), sums.distances(~first)], dim=1), units.count)


class _KernelSums:
    """Sums of the kernel over pairs of units: all that a part of them asks for.

    Args:
        made: `(clips, numbers)`.
        reference: `(clips, numbers)`.
        units: of either, not many; where all clips of a cloud are one unit, each clip is taken for one of its own.
        bandwidth: of the kernel.
    """

    def __init__(self, made: Tensor, reference: Tensor, units: Units, bandwidth: float | None) -> None:
        width = bandwidth or kernel_bandwidth(reference)
        # A common shift changes no distance, and small numbers lose fewer digits.
        centre = reference.double().mean(dim=0)
        units = units if units.count > 1 else Units.separate(len(made), len(reference)).grouped(MOST_UNITS)
        self.total = units.total
        clouds = [(made.double() - centre, units.made), (reference.double() - centre, units.reference)]
        counts = [torch.bincount(own, minlength=self.total).double() for _, own in clouds]
        pairs = ((0, 0, 1.0), (1, 1, 1.0), (0, 1, -2.0))
        self.terms = [
            (sign, counts[a], counts[b], _unit_sums(clouds[a], clouds[b], self.total, width)) for a, b, sign in pairs
        ]

    def value(self) -> float:
        """The distance of all units."""
        return float(self.distances(torch.ones(1, self.total, dtype=torch.bool))[0])

    def distances(self, kept: Tensor) -> Tensor:
        """The distance of every choice of units `(choices, units)`, times 1,000."""
        weights = kept.double()
        result = torch.zeros(len(kept), dtype=torch.float64)
        for sign, first, second, sums in self.terms:
            number = (weights @ first) * (weights @ second) - weights @ (first * second)
            result += sign * ((weights @ sums) * weights).sum(dim=1) / number
        return KERNEL_SCALE * result


def _unit_sums(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], total: int, width: float) -> Tensor:
    """Sum of the kernel between all clips of two units, `(units, units)`, 0 for a unit with itself.

    Args:
        one: a cloud, and the units of its rows.
        other: another, or the same.
        total: units in all.
        width: of the kernel.
    """
    sums = torch.zeros(total, total, dtype=torch.float64)
    for start in range(0, len(one[0]), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        kernel = torch.exp(squared_distances(one[0][part], other[0]) / (-2.0 * width**2))
        gathered = torch.zeros(len(kernel), total, dtype=torch.float64).index_add(1, other[1], kernel)
        sums.index_add_(0, one[1][part], gathered)
    return sums.fill_diagonal_(0.0)
