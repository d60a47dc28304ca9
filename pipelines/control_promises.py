"""What `pipelines.check_control` found of one promise, and its table."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from rich.console import Console
from rich.table import Table
from torch import Tensor

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
ROUGHEST = 1.0
QUIETEST = 1e-5
# Of a loop that is silence, which has no seam.
BROKEN = 100.0
# Of a clip in which no note is heard.
UNHEARD = BROKEN * 100.0
PITCH_CENTS = 50.0
# What no value of a promise may exceed: nats, times the usual change, decibels, steps, octaves, cents.
LIMITS: dict[str, float | None] = {
    "strength": None,
    "kept": 0.05,
    "extend": ROUGHEST,
    "goes_on": 12.0,
    "before": ROUGHEST,
    "morph": 3.0,
    "loop": ROUGHEST,
    "long": ROUGHEST,
    "stream": ROUGHEST,
    "loudness": 1.0,
    "brightness": 0.5,
    "pitch": PITCH_CENTS,
}


@dataclass(frozen=True)
class Property:
    """What was measured of one promise.

    Args:
        name: of the promise.
        values: one a clip that could be judged; of `strength`, the median distance at each strength.
        limit: that no value may exceed; None where values must rise instead.
    """

    name: str
    values: tuple[float, ...]
    limit: float | None

    @property
    def within(self) -> float | None:
        """Share of the values that keep the promise; None where there are none."""
        if self.limit is None:
            steps = np.diff(self.values)
            return float((steps > 0.0).mean())
        if not self.values:
            return None
        return sum(value <= self.limit for value in self.values) / len(self.values)


def show(found: Sequence[Property]) -> None:
    """The table on standard error."""
    table = Table("promise", "clips", "median", "worst", "limit", "within", title="What the modes promise")
    for part in found:
        if part.limit is None:
            rising = ", ".join(f"{value:.2f}" for value in part.values)
            name = f"{part.name} {', '.join(f'{value:g}' for value in STRENGTHS)}"
            table.add_row(name, "", rising, "", "rising", f"{part.within or 0.0:.0%}")
            continue
        if not part.values:
            table.add_row(part.name, "0", "nothing to judge", "", f"{part.limit:g}", "")
            continue
        middle, worst = (told(value) for value in (median(part.values), max(part.values)))
        table.add_row(part.name, str(len(part.values)), middle, worst, f"{part.limit:g}", f"{part.within or 0.0:.0%}")
    Console(stderr=True).print(table)


def told(value: float) -> str:
    """A value of the table, or what it stands for where there was nothing to measure."""
    return {BROKEN: "silent", UNHEARD: "no note"}.get(value) or f"{value:.3g}"


def decibels(waveform: Tensor) -> float:
    """Level of `(samples,)`."""
    return 20.0 * math.log10(max(QUIETEST, float(waveform.square().mean().sqrt())))
