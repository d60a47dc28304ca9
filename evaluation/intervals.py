"""Every interval of a report, and the word that it decides.

    clouds       halves of the units: see `evaluation/replicated.py`
    means        Student's interval over units
    shares       the score test (Wilson, 1927)

`python -m pipelines.check_intervals` shows by simulation how often they hold.
"""

from math import inf

import torch
from scipy.stats import norm, t
from torch import Tensor

from evaluation.replicated import FEWEST_UNITS, LEVEL, SPLITS, Interval, Replicated
from evaluation.units import Units, distinct

__all__ = [
    "FEWEST_UNITS",
    "LEVEL",
    "SPLITS",
    "Interval",
    "Replicated",
    "Units",
    "distinct",
    "even_interval",
    "mean_error",
    "mean_interval",
    "ratio_interval",
    "share_interval",
    "verdict",
    "wilson",
]


def mean_error(values: Tensor, units: Tensor) -> float:
    """Standard error of the mean of numbers that come in units (linearised; Cochran, 1977, chapter 9).

    Args:
        values: `(clips,)`.
        units: of each, `(clips,)`, integers.

    Returns:
        infinite for a single unit.
    """
    names = distinct(units)
    rows, count = torch.searchsorted(names, units), len(names)
    if count < 2:
        return inf
    residual = torch.zeros(count, dtype=torch.float64).index_add(0, rows, (values - values.double().mean()).double())
    return float((residual.square().sum() * count / (count - 1)) ** 0.5) / len(values)


def mean_interval(values: Tensor, units: Tensor) -> Interval:
    """A mean with Student's interval; none from fewer than eight units.

    Args:
        values: `(clips,)`.
        units: of each, `(clips,)`, integers.
    """
    mean, count = float(values.double().mean()), len(distinct(units))
    if count < FEWEST_UNITS:
        return Interval(mean, reason=f"{count} independent units, {FEWEST_UNITS} are enough")
    reach = float(t.ppf(0.5 + LEVEL / 2.0, count - 1)) * mean_error(values, units)
    return Interval(mean, mean - reach, mean + reach)


def even_interval(hits: Tensor, groups: Tensor, units: Tensor) -> Interval:
    """The mean of the shares of groups that weigh alike, with Student's interval; none from fewer than eight units.

    Args:
        hits: 0 or 1 for each clip, `(clips,)`.
        groups: of each, `(clips,)`, integers from 0 on, none of them empty.
        units: of each, `(clips,)`, integers.
    """
    hits, count = hits.double(), torch.bincount(groups).double()
    shares = torch.zeros(len(count), dtype=torch.float64).index_add(0, groups, hits) / count
    mean, independent = float(shares.mean()), len(distinct(units))
    if independent < FEWEST_UNITS:
        return Interval(mean, reason=f"{independent} independent units, {FEWEST_UNITS} are enough")
    # What a clip adds to the error of its group's share, weighed as the group is.
    residual = (hits - shares[groups]) * len(hits) / (len(count) * count[groups])
    reach = float(t.ppf(0.5 + LEVEL / 2.0, independent - 1)) * mean_error(residual, units)
    return Interval(mean, mean - reach, mean + reach)


def share_interval(hits: Tensor, units: Tensor) -> Interval:
    """A share of clips, by Wilson's score interval.

    Clips of one unit resemble each other: the number of clips is lowered to the number of independent ones that would
    give the same variance, and once more for how well a few units show it (Korn, Graubard, 1998). None from fewer than
    eight units.

    Args:
        hits: 0 or 1 for each clip, `(clips,)`.
        units: of each, `(clips,)`, integers.

    Raises:
        ValueError: no clips.
    """
    if not len(hits):
        raise ValueError("share: expected at least one clip, got none")
    share, clips, independent = float(hits.double().mean()), len(hits), len(distinct(units))
    effective = float(clips)
    if 0.0 < share < 1.0 and independent > 1:
        effective = share * (1.0 - share) / max(mean_error(hits.double(), units) ** 2, 1e-12)
        quantile = 0.5 + LEVEL / 2.0
        effective *= float(t.ppf(quantile, clips - 1) / t.ppf(quantile, independent - 1)) ** 2
    elif independent < clips:
        effective = float(independent)
    if independent < FEWEST_UNITS:
        return Interval(share, reason=f"{independent} independent units, {FEWEST_UNITS} are enough")
    low, high = wilson(share, min(effective, float(clips)))
    return Interval(share, low, high)


def wilson(share: float, clips: float) -> tuple[float, float]:
    """Ends of Wilson's score interval of a share out of so many clips."""
    z = float(norm.ppf(0.5 + LEVEL / 2.0))
    centre = (share + z**2 / (2.0 * clips)) / (1.0 + z**2 / clips)
    reach = z / (1.0 + z**2 / clips) * (share * (1.0 - share) / clips + z**2 / (4.0 * clips**2)) ** 0.5
    # At the ends rounding alone would leave a share of 1e-18.
    low = 0.0 if share <= 0.0 else max(0.0, centre - reach)
    return low, 1.0 if share >= 1.0 else min(1.0, centre + reach)


def ratio_interval(first: Interval, second: Interval) -> Interval:
    """The ratio of two independent shares, from their own intervals (MOVER-R; Donner, Zou, 2012, equation 9).

    Args:
        first: above the line.
        second: below it.
    """
    if second.value <= 0.0 or None in (first.low, first.high, second.low, second.high):
        return Interval(0.0 if second.value <= 0.0 else first.value / second.value, reason="the divisor may be 0")
    a, al, au = first.value, float(first.low or 0.0), float(first.high or 0.0)
    b, bl, bu = second.value, float(second.low or 0.0), float(second.high or 0.0)
    if bl <= 0.0 or bu >= 2 * b:
        return Interval(a / b, reason="the divisor may be 0")
    low = (a * b - max(0.0, (a * b) ** 2 - al * bu * (2 * a - al) * (2 * b - bu)) ** 0.5) / (bu * (2 * b - bu))
    high = (a * b + max(0.0, (a * b) ** 2 - au * bl * (2 * a - au) * (2 * b - bl)) ** 0.5) / (bl * (2 * b - bl))
    return Interval(a / b, low, high)


def verdict(difference: Interval, higher_is_better: bool) -> str:
    """`better`, `worse` or `cannot tell`: whether the interval of a difference lies on one side of 0."""
    if difference.low is None or difference.high is None or difference.low <= 0.0 <= difference.high:
        return "cannot tell"
    return "better" if (difference.low > 0.0) == higher_is_better else "worse"
