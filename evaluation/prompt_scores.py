"""Metrics that ask each clip about its own prompt: class, note, words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from evaluation.adherence import AdherenceJudge
from evaluation.intervals import Interval, mean_interval
from evaluation.measurements import Measurements
from evaluation.score import FEWEST_SHARE, Score, share_score, too_few, unit_numbers

WITHIN_CENTS = 50.0
# A classifier that knows real held-out clips no better than this says nothing about generated ones.
LEAST_REAL_ACCURACY = 0.4
LEAST_OVER_CHANCE = 3.0


def shuffled(made: Measurements, seed: int = 0) -> Measurements:
    """The same clips, each asked about the prompt of another one."""
    order = np.random.default_rng(seed).permutation(len(made))
    # One cycle through all clips: nobody keeps its own prompt.
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    swapped = made.rows(other.tolist())
    heard = made.heard_pitch
    return replace(
        made,
        prompts=swapped.prompts,
        families=swapped.families,
        wanted_pitch=torch.where(heard.isnan() & made.wanted_pitch.isnan(), made.wanted_pitch, swapped.wanted_pitch),
    )


def trusted_accuracy(accuracy: float, classes: int) -> bool:
    """Whether a classifier's accuracy on real held-out clips lets it judge others."""
    return accuracy >= LEAST_REAL_ACCURACY and accuracy >= LEAST_OVER_CHANCE / max(1, classes)


def hits(made: Measurements, classes: Sequence[str]) -> Tensor:
    """1 where the classifier names a clip's family, 0 where not, NaN where it was not asked or does not know it."""
    if not len(classes) or not made.probabilities.shape[1]:
        return torch.full((len(made),), torch.nan, dtype=torch.float64)
    known = torch.tensor([family in classes for family in made.families], dtype=torch.bool)
    answers = [classes[answer] for answer in made.probabilities.argmax(dim=1).tolist()]
    right = [float(answer == family) for answer, family in zip(answers, made.families, strict=True)]
    return torch.where(known, torch.tensor(right, dtype=torch.float64), torch.nan)


def class_score(made: Measurements, classes: Sequence[str], distrust: str) -> Score:
    """Share of clips that the classifier gives to their family; `distrust` says why it is not asked."""
    name = "class accuracy"
    if distrust or not classes:
        return Score(name, None, True, 0, False, distrust or "no classifier")
    return share_score(name, hits(made, classes), made)


def pitch_scores(made: Measurements) -> list[Score]:
    """Share of notes within 50 cents of the one that the prompt names, and the median error; an octave off is off."""
    asked = ~made.wanted_pitch.isnan()
    cents = 100.0 * (made.heard_pitch - made.wanted_pitch).abs()
    # A clip in which no note is heard has missed the note.
    near = torch.where(asked, (cents <= WITHIN_CENTS).double(), torch.nan)
    within = share_score("pitch within 50 cents", near, made)
    heard = cents[asked & ~cents.isnan()]
    if len(heard) < FEWEST_SHARE:
        return [within, too_few("median pitch error, cents", len(heard), False, False, FEWEST_SHARE)]
    median = Interval(float(heard.median()), reason="the share within 50 cents has one")
    return [within, Score("median pitch error, cents", median, False, len(heard))]


def adherence_score(made: Measurements, judge: AdherenceJudge | None, texts: Tensor) -> Score:
    """Share of the other prompts that fit a clip worse than its own; texts are features of the clips' prompts."""
    name = "prompt adherence"
    if judge is None:
        return Score(name, None, True, 0, False, "too few training clips with captions to learn from")
    if len(made) < FEWEST_SHARE:
        return too_few(name, len(made), True, False, FEWEST_SHARE)
    try:
        values = judge.adherence(made.prompts, texts, made.embeddings)
    except ValueError as error:
        return Score(name, None, True, len(made), False, str(error))
    return Score(name, mean_interval(values, unit_numbers(made)), True, len(made), values=values)


def by_family(made: Measurements, classes: Sequence[str]) -> dict[str, tuple[int, float | None]]:
    """For each family: its clips, and the share of them that the classifier names rightly (None if unknown to it)."""
    right = hits(made, classes)
    counts = Counter(made.families)
    result: dict[str, tuple[int, float | None]] = {}
    for family in sorted(counts):
        rows = torch.tensor([own == family for own in made.families])
        part = right[rows]
        known = part[~part.isnan()]
        result[family] = (counts[family], float(known.mean()) if len(known) else None)
    return result
