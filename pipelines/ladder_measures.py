"""From vectors to numbers: the distance of every rung, what each stage loses, and the floor beside them."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from audio.dataset import Clip
from evaluation.intervals import FEWEST_UNITS, Interval, Units, mean_interval
from evaluation.kernel import kernel_bandwidth, replicated_kernel_distance
from evaluation.paired_kernel import paired_kernel_distance
from pipelines.ladder_attacks import Attacks, measure_attacks
from pipelines.ladder_rungs import DECODERS, RUNGS, Climb, Rung
from pipelines.ladder_verdict import STAGES, Verdict, judge_losses, losses


@dataclass(frozen=True)
class Ladder:
    """All numbers.

    Args:
        recordings: independent ones among the clips judged.
        floor: kernel distance of real training clips; without ends, and with a reason, where it cannot be had.
        distances: kernel distance of every rung; none where the clips are too few.
        losses: what each stage adds to it.
        decoders: kernel distance by the vocoder minus that by Griffin-Lim, on the rung of each stage.
        mel_distances: mean multi-scale mel distance of the aligned rungs.
        bandwidth: of the kernel.
        verdict: which stage loses most.
        reason: why there are no kernel distances.
        attacks: how long struck clips take to rise.
    """

    recordings: int
    floor: Interval | None
    distances: dict[Rung, Interval]
    losses: dict[Rung, Interval]
    decoders: dict[str, Interval]
    mel_distances: dict[Rung, Interval]
    bandwidth: float | None
    verdict: Verdict
    reason: str = ""
    attacks: Attacks = field(default_factory=Attacks)


def choose_floor(train: Sequence[Clip], judged: Sequence[Clip], seed: int) -> list[Clip]:
    """As many training clips as are judged, of the same families as far as there are such, of other recordings.

    Args:
        train: the training clips.
        judged: the real clips of the ladder.
        seed: of the choice.
    """
    taken = {clip.recording for clip in judged}
    others = [clip for clip in train if clip.recording not in taken]
    random.Random(seed).shuffle(others)
    wanted = Counter(clip.family for clip in judged)
    chosen: list[Clip] = []
    left: list[Clip] = []
    for clip in others:
        wanted[clip.family] -= 1
        (chosen if wanted[clip.family] >= 0 else left).append(clip)
    return chosen + left[: len(judged) - len(chosen)]


def measure(
    clips: Sequence[Clip], found: Climb, floor: Sequence[Clip], floor_vectors: Sequence[Tensor], seed: int = 0
) -> Ladder:
    """Compare.

    Args:
        clips: judged.
        found: what became of them.
        floor: training clips.
        floor_vectors: of them.
        seed: of the splits that the intervals stand on.
    """
    names = [clip.recording for clip in clips]
    units = Units.named(names, names)
    mel = {rung: mean_interval(torch.tensor(values), units.made) for rung, values in found.mel_distances.items()}
    attacks = measure_attacks(clips, found.real_rises, found.rises, seed)
    if units.count < FEWEST_UNITS:
        reason = f"{units.count} independent recordings, {FEWEST_UNITS} are enough"
        sentence = f"Cannot tell which stage loses most: {reason}."
        return Ladder(units.count, None, {}, {}, {}, mel, None, Verdict(None, sentence), reason, attacks)
    real = torch.stack(found.real)
    width = kernel_bandwidth(real)
    rungs = {
        rung: paired_kernel_distance(torch.stack(found.made[rung]), real, units.made, width, seed) for rung in RUNGS
    }
    by_decoder = {name: losses({stage: rungs[stage, name] for stage in STAGES}) for name in DECODERS}
    return Ladder(
        recordings=units.count,
        floor=_floor(floor, floor_vectors, names, real, width, seed),
        distances={rung: value.interval() for rung, value in rungs.items()},
        losses={(stage, name): by_decoder[name][stage].interval() for stage, name in RUNGS},
        decoders={stage: (rungs[stage, DECODERS[0]] - rungs[stage, DECODERS[1]]).interval() for stage in STAGES},
        mel_distances=mel,
        bandwidth=width,
        verdict=judge_losses(by_decoder[DECODERS[0]]),
        attacks=attacks,
    )


def _floor(
    floor: Sequence[Clip], vectors: Sequence[Tensor], names: Sequence[str], real: Tensor, width: float, seed: int
) -> Interval | None:
    """Kernel distance of training clips; None where they are too few."""
    units = Units.named([clip.recording for clip in floor], names) if floor else None
    if units is None or units.count < FEWEST_UNITS:
        return None
    return replicated_kernel_distance(torch.stack(list(vectors)), real, units, width, seed).interval()
