"""Kernel distance between clips and what became of each of them.

Copy i hears of real clip i, so the pair (i, i) is no draw from two clouds: the unpaired estimator puts perfect copies
of N clips at -2 (1 - mean k) / N, below 0. With z = (copy, real), the estimator for pairs is

    MMD^2 = mean over i, j of different units of  k(x_i, x_j) + k(y_i, y_j) - k(x_i, y_j) - k(x_j, y_i)

(Gretton et al., "A Kernel Two-Sample Test", 2012, equation 4). It is right on average however x_i hangs together with
y_i, and it is exactly 0 where every copy is its clip. A unit is a recording: clips of one recording say little news of
each other, so those pairs are left out as well. Times 1,000.
"""

import torch
from torch import Tensor

from evaluation.embeddings import BLOCK_ROWS, check_embeddings, squared_distances
from evaluation.intervals import FEWEST_UNITS, Replicated, Units
from evaluation.kernel import KERNEL_SCALE, KERNEL_SPLITS, MOST_UNITS


def paired_kernel_distance(
    copies: Tensor, reference: Tensor, units: Tensor, bandwidth: float, seed: int = 0
) -> Replicated:
    """The distance, and the same on halves of the units.

    Args:
        copies: `(clips, numbers)`.
        reference: `(clips, numbers)`; row i is what row i of `copies` was made from or asked for.
        units: of each pair, `(clips,)`, integers from 0.
        bandwidth: of the kernel.
        seed: of the splits; distances of one seed and the same units may be subtracted.

    Raises:
        ValueError: what is no cloud, clouds of different sizes, or too few units for an interval.
    """
    check_embeddings(reference, copies)
    if not len(copies) == len(reference) == len(units):
        raise ValueError(f"copies: expected one for each of {len(reference)} clips, got {len(copies)}")
    pairs = Units(units, units)
    if pairs.count < FEWEST_UNITS:
        raise ValueError(f"units: expected at least {FEWEST_UNITS}, got {pairs.count}")
    grouped = pairs.grouped(MOST_UNITS)
    sums = _unit_sums(copies, reference, grouped.made, grouped.total, bandwidth)
    counts = torch.bincount(grouped.made, minlength=grouped.total).double()

    def distances(kept: Tensor) -> Tensor:
        weights = kept.double()
        number = (weights @ counts).square() - weights @ counts.square()
        return KERNEL_SCALE * ((weights @ sums) * weights).sum(dim=1) / number

    value = float(distances(torch.ones(1, grouped.total, dtype=torch.bool))[0])
    first = grouped.halves(KERNEL_SPLITS, seed)
    return Replicated(value, torch.stack([distances(first), distances(~first)], dim=1), pairs.count)


def _unit_sums(copies: Tensor, reference: Tensor, units: Tensor, total: int, width: float) -> Tensor:
    """Sums of the four kernels over the pairs of two units, `(units, units)`; 0 for a unit with itself."""
    # A common shift changes no distance, and small numbers lose fewer digits.
    centre = reference.double().mean(dim=0)
    made, real = copies.double() - centre, reference.double() - centre
    sums = torch.zeros(total, total, dtype=torch.float64)
    for start in range(0, len(made), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        four = _kernel(made[part], made, width) + _kernel(real[part], real, width)
        four -= _kernel(made[part], real, width) + _kernel(real[part], made, width)
        columns = torch.zeros(len(four), total, dtype=torch.float64).index_add(1, units, four)
        sums.index_add_(0, units[part], columns)
    return sums.fill_diagonal_(0.0)


def _kernel(first: Tensor, second: Tensor, width: float) -> Tensor:
    return torch.exp(squared_distances(first, second) / (-2.0 * width**2))
