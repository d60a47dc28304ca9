"""Kernel distance: how far apart two clouds of embeddings are, right on average at any number of clips.

    MMD^2 = mean k(x, x') + mean k(y, y') - 2 mean k(x, y),    k(x, y) = exp(-|x - y|^2 / (2 width^2))

Pairs of a clip with itself are left out (Gretton et al., "A Kernel Two-Sample Test", 2012, equation 3), so alike clouds
measure 0 on average, and a little below it half of the time. Times 1,000. It leads every report.
"""

import torch
from torch import Tensor

from evaluation.embeddings import BLOCK_ROWS, check_embeddings, heavy_tails, squared_distances
from evaluation.intervals import FEWEST_UNITS, Replicated, Units, distinct

KERNEL_SCALE = 1000.0
# The median is taken over at most so many rows.
MEDIAN_ROWS = 2000
# More units than that are thrown together at random, so that their sums fit into 50 MB.
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


def kernel_distance(made: Tensor, reference: Tensor, bandwidth: float | None = None) -> float:
    """Unbiased squared maximum mean discrepancy, times 1,000.

    Args:
        made: `(clips, numbers)`.
        reference: `(clips, numbers)`; decides the bandwidth.
        bandwidth: of the kernel; the reference's median distance when left out.

    Raises:
        ValueError: what is no cloud.
    """
    check_embeddings(reference, made)
    return _KernelSums(
        made, reference, Units.separate(len(made), len(reference)).grouped(MOST_UNITS), bandwidth
    ).value()


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
        units: of either, not many.
        bandwidth: of the kernel.
    """

    def __init__(self, made: Tensor, reference: Tensor, units: Units, bandwidth: float | None) -> None:
        width = bandwidth or kernel_bandwidth(reference)
        # A common shift changes no distance, and small numbers lose fewer digits.
        centre = reference.double().mean(dim=0)
        self.names = [distinct(units.made), distinct(units.reference)]
        places = [torch.searchsorted(*pair) for pair in zip(self.names, (units.made, units.reference), strict=True)]
        clouds = [(made.double() - centre, places[0]), (reference.double() - centre, places[1])]
        self.counts = [torch.bincount(place).double() for place in places]
        self.own = [_unit_sums(cloud, cloud, width) for cloud in clouds]
        self.across = _unit_sums(clouds[0], clouds[1], width)

    def value(self) -> float:
        """The distance of all units."""
        total = 1 + int(torch.cat(self.names).max())
        return float(self.distances(torch.ones(1, total, dtype=torch.bool))[0])

    def distances(self, kept: Tensor) -> Tensor:
        """The distance of every choice of units `(choices, units)`, times 1,000."""
        weights = [kept[:, names].double() for names in self.names]
        sizes = [weight @ count for weight, count in zip(weights, self.counts, strict=True)]
        result = -2.0 * ((weights[0] @ self.across) * weights[1]).sum(dim=1) / (sizes[0] * sizes[1])
        for weight, sums, size in zip(weights, self.own, sizes, strict=True):
            # A clip's kernel with itself is 1 and is left out.
            result += (((weight @ sums) * weight).sum(dim=1) - size) / (size * (size - 1.0))
        return KERNEL_SCALE * result


def _unit_sums(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], width: float) -> Tensor:
    """Sum of the kernel between all clips of two units, `(units, units)`; clouds come with the units of their rows."""
    rows, columns = (1 + int(units.max()) for _, units in (one, other))
    sums = torch.zeros(rows, columns, dtype=torch.float64)
    for start in range(0, len(one[0]), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        kernel = torch.exp(squared_distances(one[0][part], other[0]) / (-2.0 * width**2))
        gathered = torch.zeros(len(kernel), columns, dtype=torch.float64).index_add(1, other[1], kernel)
        sums.index_add_(0, one[1][part], gathered)
    return sums
