"""Attacks on the ladder: how long drums and other struck sounds take to rise, real and on every rung.

    onset rise      milliseconds from 10 to 90 % of the loudest (`evaluation.onsets`), median over recordings
    over vocoder    that of generated clips over that of the vocoder's own rung: what the other two stages smear
    over real       that of generated clips over that of the real ones

The vocoder's rung is spoken out as any real mel is, from the clip's first sample; decoded latents have the
autoencoder's silence ahead of them, from which a vocoder rises faster (ADR 24). So look at both.

Only clips of struck families are asked, chosen by their name and not by their sound: chosen by how fast they rise, real
clips would look faster than any others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from audio.dataset import Clip
from evaluation.intervals import FEWEST_UNITS, Interval
from evaluation.medians import median_interval, median_ratio_interval
from pipelines.ladder_verdict import STAGES, STARTS
from pipelines.recipes.clips import STRUCK_FAMILIES


@dataclass(frozen=True)
class Attacks:
    """Onset rises of the struck clips.

    Args:
        clips: struck ones that were heard on every rung.
        recordings: independent ones among them.
        real: of the real clips, in ms.
        rungs: of every stage's rung, in ms, as its vocoder speaks it.
        over_vocoder: of generated clips over the vocoder's own rung.
        over_real: of generated clips over the real ones.
        reason: why there are none.
    """

    clips: int = 0
    recordings: int = 0
    real: Interval | None = None
    rungs: Mapping[str, Interval] | None = None
    over_vocoder: Interval | None = None
    over_real: Interval | None = None
    reason: str = ""

    def sentence(self) -> str:
        """All of it in a line."""
        if self.real is None or self.rungs is None:
            return f"Onset rise of drums not computed: {self.reason}."
        rungs = ", ".join(f"{STARTS[stage]} {self.rungs[stage]}" for stage in STAGES)
        return (
            f"Onset rise of {self.clips} drums in ms: real {self.real}; from {rungs}. "
            f"Generated over the vocoder's own rung: {self.over_vocoder}; over real: {self.over_real}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain containers."""
        rungs = self.rungs or {}
        return {
            "clips": self.clips,
            "recordings": self.recordings,
            "not_computed": self.reason or None,
            "real": self.real.to_dict() if self.real else None,
            "rungs": {stage: rung.to_dict() for stage, rung in rungs.items()},
            "generated_over_vocoder": self.over_vocoder.to_dict() if self.over_vocoder else None,
            "generated_over_real": self.over_real.to_dict() if self.over_real else None,
        }


def measure_attacks(
    clips: Sequence[Clip], real: Sequence[float], made: Mapping[str, Sequence[float]], seed: int = 0
) -> Attacks:
    """Medians over the recordings of struck clips.

    Args:
        clips: that were judged.
        real: rises of these, in ms; not a number for silence.
        made: by stage, of what came of each on its rung.
        seed: of the interval of the ratio.
    """
    columns = [real, *(made[stage] for stage in STAGES)]
    rows = [
        row
        for row, clip in enumerate(clips)
        if clip.family in STRUCK_FAMILIES and all(isfinite(column[row]) for column in columns)
    ]
    names = [clips[row].recording for row in rows]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    if len(numbers) < FEWEST_UNITS:
        return Attacks(len(rows), len(numbers), reason=f"{len(numbers)} recordings of drums, {FEWEST_UNITS} are enough")
    units = torch.tensor([numbers[name] for name in names])

    def heard(column: Sequence[float]) -> Tensor:
        return torch.tensor([column[row] for row in rows], dtype=torch.float64)

    generated = heard(made[STAGES[-1]])
    return Attacks(
        clips=len(rows),
        recordings=len(numbers),
        real=median_interval(heard(real), units),
        rungs={stage: median_interval(heard(made[stage]), units) for stage in STAGES},
        over_vocoder=median_ratio_interval(generated, heard(made[STAGES[0]]), units, seed),
        over_real=median_ratio_interval(generated, heard(real), units, seed),
    )
