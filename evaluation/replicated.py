"""Intervals of statistics that are no means, which cover what they claim to.

A plain bootstrap repeats clips, and a repeated clip is its own nearest neighbour: at 200 clips its nominal 95 %
interval never covered the Frechet distance. Here nothing is ever repeated: the units are split at random into two
halves, many times, and the statistic is measured on either.

A statistic has a part that is linear in the data, with variance L, and one that is quadratic, with Q; near a distance
of 0 the quadratic one rules. What one half has too much of the linear part the other has too little of, while squares
do not care about signs. Over random splits of the same data the two halves therefore have

    variance L + 3 Q,    covariance -(L + Q)

and L + Q, the variance of the statistic on all units, is minus the covariance. The quadratic part is skewed: where the
value comes out low its error does as well, and L + Q held a little too seldom. What is used is L + 1.25 Q, a quarter of
the way to a quarter of the mean square difference of the halves, L + 2 Q. The variance itself, which a jackknife of
halves uses (Shao, Wu, 1989), shows too much (Efron, Stein, 1981), at a distance of 0 three times as much.
It serves where a statistic jumps: precision, recall, coverage.

A *unit* is what was drawn independently: a recording, with all its clips, and with the clips that were generated for
its captions. The estimand is the expectation at this number of clips, bias included: what another N clips would give.
`python -m pipelines.check_intervals` shows by simulation how often the intervals hold.
"""

from dataclasses import dataclass
from math import inf, nan

import torch
from scipy.stats import t
from torch import Tensor

LEVEL = 0.95
# Random splits into two halves.
SPLITS = 100
# Three parts of the covariance and one of the mean square difference of so many splits scatter at worst, where Q rules,
# as if they had so many degrees of freedom: sums of halves have the variance Q and differences 2 Q, and 2 (1.25 Q)^2
# over the variance of 3 / 4 (2 Q - Q) + 1 / 4 (2 Q) is about a half for each split.
DEGREES_PER_SPLIT = 0.5
FEWEST_UNITS = 8
# Rounding alone, in parts of the value.
STILL = 1e-9


@dataclass(frozen=True)
class Interval:
    """A number and where its estimand lies, at 95 % confidence.

    Args:
        value: as measured.
        low: lower end; None where no honest interval is known.
        high: upper end; None with `low`.
        reason: why there is no interval.
    """

    value: float
    low: float | None = None
    high: float | None = None
    reason: str = ""

    def to_dict(self) -> dict[str, float | str | None]:
        """Plain containers for a report."""
        ends: dict[str, float | str | None] = {"value": self.value, "low": self.low, "high": self.high}
        return ends | ({"reason": self.reason} if self.reason else {})

    def __str__(self) -> str:
        """`12.3 [11.0, 13.6]`."""
        if self.low is None or self.high is None:
            return f"{self.value:.3g}"
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclass(frozen=True)
class Replicated:
    """A statistic, and the same statistic on random halves of the units.

    Args:
        value: on all of them.
        halves: on the two halves of every split, `(splits, 2)`, float64.
        units: how many there are, in the smaller cloud.
        smooth: whether halves tell L and Q apart; balls around neighbours jump, and there L + 3 Q is taken.
        reason: why there are no splits.
    """

    value: float
    halves: Tensor
    units: int
    smooth: bool = True
    reason: str = ""

    @classmethod
    def alone(cls, value: float, units: int, reason: str) -> "Replicated":
        """A statistic that cannot be measured on halves."""
        return cls(value, torch.zeros(0, 2, dtype=torch.float64), units, reason=reason)

    def __sub__(self, other: "Replicated") -> "Replicated":
        """The paired difference: both were measured on the same halves.

        Raises:
            ValueError: other numbers of units or splits.
        """
        reason = self.reason or other.reason
        if reason:
            return Replicated.alone(self.value - other.value, min(self.units, other.units), reason)
        if self.units != other.units or self.halves.shape != other.halves.shape:
            raise ValueError(
                f"paired difference: expected the same splits, got {len(self.halves)} of {self.units} units and "
                f"{len(other.halves)} of {other.units}"
            )
        smooth = self.smooth and other.smooth
        return Replicated(self.value - other.value, self.halves - other.halves, self.units, smooth)

    def standard_error(self) -> float:
        """Root of L + 1.25 Q, or of L + 3 Q; see the module. Not a number without two splits."""
        if len(self.halves) < 2:
            return nan
        # Which half comes first is chance: either has the same mean.
        centred = self.halves - self.halves.mean()
        if not self.smooth:
            return float((centred.square().sum() / (centred.numel() - 1)) ** 0.5)
        found = -float(centred.prod(dim=1).sum()) / (len(centred) - 1)
        # The two halves' difference has the mean square 4 L + 8 Q, and neither part is negative.
        square = float((centred[:, 0] - centred[:, 1]).square().mean())
        found = min(max(found, square / 8.0), square / 4.0)
        return float(((3.0 * found + square / 4.0) / 4.0) ** 0.5)

    def interval(self, low: float = -inf, high: float = inf) -> Interval:
        """Student's interval around the value, within what the statistic can be; none from fewer than eight units."""
        if self.units < FEWEST_UNITS:
            return Interval(self.value, reason=f"{self.units} independent units, {FEWEST_UNITS} are enough")
        error = self.standard_error()
        if not error > STILL * abs(self.value):
            return Interval(self.value, reason=self.reason or "all halves of the clips measure the same")
        degrees = max(2.0, min(DEGREES_PER_SPLIT * len(self.halves), self.units - 1.0))
        reach = float(t.ppf(0.5 + LEVEL / 2.0, degrees)) * error
        return Interval(self.value, max(low, self.value - reach), min(high, self.value + reach))
