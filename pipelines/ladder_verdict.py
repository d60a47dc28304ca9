"""Which stage loses most, in one sentence, or that nobody can tell.

A stage's loss is the step in kernel distance from the rung without it to the rung with it; the real clips themselves
stand at 0. All rungs are measured on the same recordings, halved in the same ways, so losses and their differences are
paired. A stage is named only if its loss lies above 0 and above the loss of every other, each at 95 % confidence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from evaluation.intervals import Interval, Replicated

STAGES = ("vocoder", "autoencoder", "diffusion")
# What the stages below are handed; named after the stage that is the last to join.
STARTS = {"vocoder": "real mel", "autoencoder": "real latents", "diffusion": "caption"}
NAMES = {"vocoder": "the vocoder", "autoencoder": "the autoencoder", "diffusion": "the diffusion model"}
ADVICE = {
    "vocoder": "train the vocoder next",
    "autoencoder": "train the autoencoder next (its decoder alone, with freeze_encoder, keeps the latents valid)",
    "diffusion": "train the diffusion model next",
}


@dataclass(frozen=True)
class Verdict:
    """What the ladder says.

    Args:
        stage: that loses most; None where that cannot be told.
        sentence: for people.
    """

    stage: str | None
    sentence: str


def losses(rungs: Mapping[str, Replicated]) -> dict[str, Replicated]:
    """What each stage adds to the kernel distance.

    Args:
        rungs: distance of the rung that ends with each of `STAGES`.
    """
    first = STAGES[0]
    return {first: rungs[first]} | {later: rungs[later] - rungs[earlier] for earlier, later in pairwise(STAGES)}


def judge_losses(lost: Mapping[str, Replicated]) -> Verdict:
    """Name the stage that loses most.

    Args:
        lost: of each stage, on the same splits.
    """
    ranked = sorted(lost, key=lambda stage: -lost[stage].value)
    worst = ranked[0]
    shown = lost[worst].interval()
    if shown.low is None:
        return Verdict(None, f"Cannot tell which stage loses most: {shown.reason}.")
    if not _above_zero(shown):
        return Verdict(
            None,
            f"Cannot tell which stage loses most: the largest loss, of {NAMES[worst]}, is {shown} and may be chance; "
            f"judge more clips ({lost[worst].units} recordings so far).",
        )
    rivals = [stage for stage in ranked[1:] if not _above_zero((lost[worst] - lost[stage]).interval())]
    if rivals:
        names = " and ".join(f"{NAMES[stage]} {lost[stage].interval()}" for stage in (worst, *rivals))
        return Verdict(
            None,
            f"Cannot tell which stage loses most: the losses of {names} are too close; judge more clips "
            f"({lost[worst].units} recordings so far).",
        )
    others = ", ".join(f"{NAMES[stage]} {lost[stage].interval()}" for stage in ranked[1:])
    name = NAMES[worst]
    return Verdict(
        worst,
        f"{name[0].upper()}{name[1:]} loses most: {shown} in kernel distance ({others}); {ADVICE[worst]}.",
    )


def _above_zero(interval: Interval) -> bool:
    return interval.low is not None and interval.low > 0.0
