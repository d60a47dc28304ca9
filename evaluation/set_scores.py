"""Metrics of a whole set of clips against another, blind to which clip was made for which prompt."""

from dataclasses import replace

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor

from evaluation.frechet import Moments, frechet_distance, frechet_distance_at_infinity, replicated_frechet_distance
from evaluation.intervals import FEWEST_UNITS, Interval, Replicated, Units
from evaluation.kernel import kernel_distance, replicated_kernel_distance
from evaluation.measurements import Measurements
from evaluation.neighbours import NeighbourGraph
from evaluation.score import FEWEST_LEVELS, FEWEST_NEIGHBOURS, Score, replicated_score, share_score, too_few

FEWEST_KERNEL, FEWEST_FRECHET, FEWEST_DIVERSITY = 20, 100, 20
FEWEST_IN_FAMILY = 8
NEIGHBOUR_NAMES = ("precision", "recall", "density", "coverage")


def kernel_score(made: Measurements, reference: Measurements, bandwidth: float, seed: int, replicate: bool) -> Score:
    """Kernel distance; `replicate` asks for its interval."""
    name, clips = "kernel distance", min(len(made), len(reference))
    if clips < FEWEST_KERNEL:
        return too_few(name, clips, False, True, FEWEST_KERNEL)
    units = Units.named(made.units, reference.units)
    if not replicate:
        value = kernel_distance(made.embeddings, reference.embeddings, bandwidth, units)
        return Score(name, Interval(value), False, clips, True)
    measured = replicated_kernel_distance(made.embeddings, reference.embeddings, units, bandwidth, seed)
    return replicated_score(name, measured, False, clips)


def family_kernel_score(made: Measurements, reference: Measurements, bandwidth: float, seed: int) -> Score:
    """The mean over families of the distance within each: what a model pays that puts sounds under other names."""
    name = "kernel distance by family"
    parts: list[tuple[int, Replicated]] = []
    for family in sorted(set(made.families) & set(reference.families) - {""}):
        first, second = (
            part.rows([row for row, own in enumerate(part.families) if own == family]) for part in (made, reference)
        )
        units = Units.named(first.units, second.units)
        if min(len(first), len(second)) >= FEWEST_IN_FAMILY and units.count >= FEWEST_UNITS:
            measured = replicated_kernel_distance(first.embeddings, second.embeddings, units, bandwidth, seed)
            parts.append((len(second), measured))
    if not parts:
        reason = f"no family has {FEWEST_IN_FAMILY} clips of {FEWEST_UNITS} recordings on either side"
        return Score(name, None, False, 0, False, reason)
    clips = sum(count for count, _ in parts)
    value = sum(count * part.value for count, part in parts) / clips
    reason = next((part.reason for _, part in parts if part.reason), "")
    if reason:
        return Score(name, Interval(value, reason=reason), False, clips)
    halves = torch.stack([count * part.halves for count, part in parts]).sum(dim=0) / clips
    units_in_all = min(clips, len(set(reference.units)))
    return replace(replicated_score(name, Replicated(value, halves, units_in_all), False, clips), blind=False)


def frechet_scores(made: Measurements, reference: Measurements, seed: int, replicate: bool) -> list[Score]:
    """Frechet distance and FAD-inf."""
    name, clips = "Frechet distance", min(len(made), len(reference))
    first, second = made.embeddings, reference.embeddings
    if clips < FEWEST_FRECHET:
        plain = too_few(name, clips, False, True, FEWEST_FRECHET)
    elif replicate:
        units = Units.named(made.units, reference.units)
        plain = replicated_score(name, replicated_frechet_distance(first, second, units, seed), False, clips)
    else:
        value = frechet_distance(Moments.of(first), Moments.of(second))
        plain = Score(name, Interval(value), False, clips, True)
    try:
        line = frechet_distance_at_infinity(first, second, Units.named(made.units, reference.units), seed)
    except ValueError as error:
        return [plain, Score("FAD-inf", None, False, clips, True, str(error))]
    reason = "the end of a line through dependent points: no honest interval is known"
    return [plain, Score("FAD-inf", Interval(line, reason=reason), False, clips, True)]


def neighbour_scores(made: Measurements, reference: Measurements, seed: int, replicate: bool) -> list[Score]:
    """Precision, recall, density and coverage, of equally many clips."""
    clips = min(len(made), len(reference))
    if clips < FEWEST_NEIGHBOURS:
        return [too_few(name, clips, True, True, FEWEST_NEIGHBOURS) for name in NEIGHBOUR_NAMES]
    first, second = (thinned(part, clips, seed) for part in (made, reference))
    units = Units.named(first.units, second.units)
    graph = NeighbourGraph(first.embeddings, second.embeddings, units=units)
    if not replicate:
        whole = graph.neighbourhood()
        return [Score(name, Interval(getattr(whole, name)), True, clips, True) for name in NEIGHBOUR_NAMES]
    found = graph.replicated(units, seed)
    return [
        replicated_score(name, found[name], True, clips, 0.0, np.inf if name == "density" else 1.0)
        for name in NEIGHBOUR_NAMES
    ]


def thinned(part: Measurements, clips: int, seed: int) -> Measurements:
    """So many clips of a set, drawn at random."""
    if len(part) <= clips:
        return part
    return part.rows(sorted(np.random.default_rng(seed).choice(len(part), clips, replace=False).tolist()))


def diversity_score(made: Measurements, reference: Measurements, seed: int, replicate: bool) -> Score:
    """Root of the ratio of the two sets' total variances: below 1 the set is narrower than the real one."""
    name, clips = "diversity", min(len(made), len(reference))
    first, second = made.embeddings, reference.embeddings
    if clips < FEWEST_DIVERSITY:
        return too_few(name, clips, True, True, FEWEST_DIVERSITY)

    if not replicate:
        return Score(name, Interval(spread_ratio(first, second)), True, clips, True)
    units = Units.named(made.units, reference.units)
    measured = units.replicate(lambda rows, columns: [spread_ratio(first[rows], second[columns])], seed=seed)[0]
    return replicated_score(name, measured, True, clips, 0.0)


def spread_ratio(first: Tensor, second: Tensor) -> float:
    """Root of the ratio of two clouds' total variances."""
    return float((first.var(dim=0).sum() / second.var(dim=0).sum().clamp(min=1e-12)).sqrt())


def level_scores(made: Measurements, reference: Measurements, seed: int, replicate: bool) -> list[Score]:
    """How far loudness (dB) and silence (share of a clip) lie apart, by Wasserstein-1; silent clips, and cut ones."""
    names, clips = ("loudness error, dB", "silence error"), min(len(made), len(reference))
    silent = share_score("silent clips", (made.silence >= 1.0).double(), made)
    cut = share_score("cut ends", made.cut.double(), made)
    shares = [replace(share, higher_is_better=False, blind=True) for share in (silent, cut)]
    if clips < FEWEST_LEVELS:
        return [*(too_few(name, clips, False, True, FEWEST_LEVELS) for name in names), *shares]

    pairs = ((made.loudness, reference.loudness), (made.silence, reference.silence))
    if not replicate:
        values = [level_distance(own, other) for own, other in pairs]
        return [*(Score(n, Interval(v), False, clips, True) for n, v in zip(names, values, strict=True)), *shares]
    units = Units.named(made.units, reference.units)
    # Near 0 the distance falls with the root of the number of clips, not with the number: it is not smooth there.
    found = units.replicate(
        lambda rows, columns: [level_distance(own[rows], other[columns]) for own, other in pairs], seed, smooth=False
    )
    return [*(replicated_score(n, part, False, clips, 0.0) for n, part in zip(names, found, strict=True)), *shares]


def level_distance(own: Tensor, other: Tensor) -> float:
    """Wasserstein-1 distance of two sets of numbers, `(clips,)` each."""
    return float(wasserstein_distance(own.numpy(), other.numpy()))
