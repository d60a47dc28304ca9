"""All metrics of a report, in its order, computed from what the ears heard."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from evaluation.adherence import AdherenceJudge
from evaluation.measurements import Measurements
from evaluation.prompt_scores import adherence_score, class_score, pitch_scores
from evaluation.score import Score
from evaluation.set_scores import (
    diversity_score,
    family_kernel_score,
    frechet_scores,
    kernel_score,
    level_scores,
    neighbour_scores,
)


@dataclass(frozen=True)
class Yardstick:
    """What a set of clips is held against.

    Args:
        reference: real held-out clips.
        bandwidth: of the kernel: the median distance between them.
        judge: of adherence; None where it could not learn.
        texts: prompts to features `(prompts, numbers)`.
        classes: the classifier's families; empty without one.
        distrust: why the classifier is not asked; empty where it is.
        seed: of halves.
    """

    reference: Measurements
    bandwidth: float
    judge: AdherenceJudge | None
    texts: Callable[[Sequence[str]], Tensor]
    classes: tuple[str, ...] = ()
    distrust: str = ""
    seed: int = 0

    def score(self, made: Measurements, replicate: bool = True) -> dict[str, Score]:
        """All metrics of a set of clips, by name.

        Args:
            made: the set.
            replicate: give intervals to the distances between sets too; they take time.
        """
        reference, seed = self.reference, self.seed
        found = [
            kernel_score(made, reference, self.bandwidth, seed, replicate),
            family_kernel_score(made, reference, self.bandwidth, seed),
            *frechet_scores(made, reference, seed, replicate),
            *neighbour_scores(made, reference, seed, replicate),
            diversity_score(made, reference, seed, replicate),
            class_score(made, self.classes, self.distrust),
            *pitch_scores(made),
            adherence_score(made, self.judge, self.texts(made.prompts)),
            *level_scores(made, reference, seed, replicate),
        ]
        return {item.name: item for item in found}
