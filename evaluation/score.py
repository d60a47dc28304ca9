"""One metric of one set of clips: a number, its interval, which way is better, and how two of them compare."""

from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from evaluation.intervals import Interval, Replicated, mean_interval, share_interval, verdict
from evaluation.measurements import Measurements

# Below so many clips a metric is not computed.
FEWEST_NEIGHBOURS = 50
FEWEST_SHARE = 20
FEWEST_LEVELS = 20


@dataclass(frozen=True)
class Score:
    """A metric of one set of clips.

    Args:
        name: of the metric.
        interval: value and ends; None where it was not computed.
        higher_is_better: which way is better.
        clips: that took part.
        blind: whether it does not depend on which clip was made for which prompt.
        reason: why it was not computed.
        replicated: on subsets of the units, for paired differences.
        values: one a clip, NaN where it takes no part, for paired differences of means.
    """

    name: str
    interval: Interval | None
    higher_is_better: bool
    clips: int = 0
    blind: bool = False
    reason: str = ""
    replicated: Replicated | None = None
    values: Tensor | None = None

    def to_dict(self) -> dict[str, object]:
        """Plain containers for a report."""
        page: dict[str, object] = {"clips": self.clips, "higher_is_better": self.higher_is_better, "blind": self.blind}
        if self.interval is None:
            return page | {"value": None, "reason": self.reason}
        return page | self.interval.to_dict()


def compare(new: dict[str, Score], old: dict[str, Score], units: Tensor) -> dict[str, tuple[Interval | None, str]]:
    """The paired difference of every metric, new less old, and a word.

    Args:
        new: scores of one set.
        old: scores of another set, made for the same prompts.
        units: of the clips, `(clips,)`, integers.

    Returns:
        by name: the difference with its interval (None where it cannot be had), and better, worse or cannot tell.
    """
    result: dict[str, tuple[Interval | None, str]] = {}
    for name in new:
        difference = _difference(new[name], old[name], units)
        word = "cannot tell" if difference is None else verdict(difference, new[name].higher_is_better)
        result[name] = (difference, word)
    return result


def _difference(new: Score, old: Score, units: Tensor) -> Interval | None:
    if new.interval is None or old.interval is None:
        return None
    if new.replicated is not None and old.replicated is not None:
        return (new.replicated - old.replicated).interval()
    if new.values is not None and old.values is not None:
        values = new.values - old.values
        both = ~values.isnan()
        return mean_interval(values[both], units[both])
    return Interval(
        new.interval.value - old.interval.value, reason=new.interval.reason or "no honest interval is known"
    )


def share_score(name: str, values: Tensor, made: Measurements) -> Score:
    """A share of clips; values are 1, 0, or NaN for a clip that takes no part."""
    part = ~values.isnan()
    clips = int(part.sum())
    if clips < FEWEST_SHARE:
        return too_few(name, clips, True, False, FEWEST_SHARE)
    return Score(name, share_interval(values[part], unit_numbers(made)[part]), True, clips, values=values)


def replicated_score(
    name: str, measured: Replicated, higher: bool, clips: int, low: float = -inf, high: float = inf
) -> Score:
    """A distance between sets, with what it was on halves of them; low and high are what it can be."""
    return Score(name, measured.interval(low, high), higher, clips, True, replicated=measured)


def too_few(name: str, clips: int, higher: bool, blind: bool, enough: int) -> Score:
    """What stands in the place of a number that so few clips cannot give."""
    return Score(name, None, higher, clips, blind, f"{clips} clips are too few; {enough} are enough")


def unit_numbers(made: Measurements) -> Tensor:
    """Units as integers, `(clips,)`."""
    names = {name: number for number, name in enumerate(dict.fromkeys(made.units))}
    return torch.tensor([names[name] for name in made.units], dtype=torch.long)
