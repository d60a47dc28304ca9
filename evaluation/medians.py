"""The median of numbers of heavy tails, with an interval that assumes nothing of them.

Clips of one recording resemble each other, so each recording counts once, with the median of its clips. Of n recordings
drawn independently, the median of their law lies between the k-th smallest and the k-th largest number with

    probability  1 - 2 P(B < k),    B binomial of n and 1/2

whatever that law is (the sign test turned round; Conover, "Practical Nonparametric Statistics", 1999, section 3.2).
k is the largest that leaves at least 95 %; ties only make it safer. For a ratio of two medians of the same
recordings no such law is known: recordings are drawn again with replacement (the percentile bootstrap; Efron,
Tibshirani, "An introduction to the bootstrap", 1993, chapter 13).
"""

import numpy as np
import torch
from scipy.stats import binom
from torch import Tensor

from evaluation.intervals import FEWEST_UNITS, LEVEL, Interval, distinct

BOOTSTRAP_DRAWS = 2000


def unit_medians(values: Tensor, units: Tensor) -> Tensor:
    """The median of the clips of each unit, `(units,)`; the mean of the middle two where they are even.

    Args:
        values: `(clips,)`.
        units: of each, `(clips,)`, integers.
    """
    return torch.stack([_median(values[units == unit].double()) for unit in distinct(units)])


def median_interval(values: Tensor, units: Tensor) -> Interval:
    """The median over units with its distribution-free interval; none from fewer than eight units.

    Args:
        values: `(clips,)`, at least one.
        units: of each, `(clips,)`, integers.
    """
    ordered = unit_medians(values, units).sort().values
    count, middle = len(ordered), float(_median(ordered))
    if count < FEWEST_UNITS:
        return Interval(middle, reason=f"{count} independent units, {FEWEST_UNITS} are enough")
    rank = int(binom.ppf((1.0 - LEVEL) / 2.0, count, 0.5))
    return Interval(middle, float(ordered[rank - 1]), float(ordered[count - rank]))


def median_ratio_interval(above: Tensor, below: Tensor, units: Tensor, seed: int = 0) -> Interval:
    """Ratio of two medians over the same units, with its bootstrap interval; none from fewer than eight units.

    Args:
        above: `(clips,)`, at least one.
        below: of the same clips, positive.
        units: of each, `(clips,)`, integers.
        seed: of the draws.
    """
    first, second = unit_medians(above, units), unit_medians(below, units)
    ratio, count = float(_median(first) / _median(second)), len(first)
    if count < FEWEST_UNITS:
        return Interval(ratio, reason=f"{count} independent units, {FEWEST_UNITS} are enough")
    rows = torch.from_numpy(np.random.default_rng(seed).integers(count, size=(BOOTSTRAP_DRAWS, count)))
    drawn = first[rows].quantile(0.5, dim=1) / second[rows].quantile(0.5, dim=1)
    return Interval(ratio, float(drawn.quantile((1.0 - LEVEL) / 2.0)), float(drawn.quantile((1.0 + LEVEL) / 2.0)))


def _median(values: Tensor) -> Tensor:
    # torch.median takes the lower of the middle two.
    found: Tensor = values.quantile(0.5)
    return found
