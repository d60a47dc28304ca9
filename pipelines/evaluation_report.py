"""What an evaluation found, as plain containers for `report.json`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.intervals import Interval
from evaluation.measurements import Measurements, Subject
from evaluation.prompt_scores import by_family
from evaluation.score import Score

REPORT_FORMAT = 1


@dataclass(frozen=True)
class Report:
    """All that an evaluation found.

    Args:
        fingerprint: what two reports must share to be compared.
        columns: by name of the column, scores by metric.
        ratios: to the same of real held-out clips, by metric.
        comparison: difference and word by metric; None without a baseline.
        made: what was heard of the generated clips.
        held_out: what was heard of the real ones.
        subjects: the generated clips.
        real: the real held-out clips.
        classes: of the classifier; empty where it is not trusted or there is none.
        notes: what the reader must know.
    """

    fingerprint: dict[str, Any]
    columns: dict[str, dict[str, Score]]
    ratios: dict[str, Interval]
    comparison: dict[str, tuple[Interval | None, str]] | None
    made: Measurements
    held_out: Measurements
    subjects: Sequence[Subject]
    real: Sequence[Subject]
    classes: tuple[str, ...]
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain containers."""
        metrics: dict[str, Any] = {}
        for name in self.columns["generated"]:
            metrics[name] = {column: scores[name].to_dict() for column, scores in self.columns.items()}
            if name in self.ratios:
                metrics[name]["over_real_held_out"] = self.ratios[name].to_dict()
        page: dict[str, Any] = {"format": REPORT_FORMAT, "kind": "evaluation", "fingerprint": self.fingerprint}
        page |= {"metrics": metrics, "notes": self.notes, "families": self.families(), "confusion": self.confusion()}
        if self.comparison is not None:
            page["comparison"] = {
                name: {"word": word, **(difference.to_dict() if difference else {"value": None})}
                for name, (difference, word) in self.comparison.items()
            }
        return page

    def confusion(self) -> dict[str, dict[str, int]]:
        """How many clips of each family asked for are heard as which one; empty where the classifier is not trusted."""
        if self.columns["generated"]["class accuracy"].interval is None:
            return {}
        answers = self.made.probabilities.argmax(dim=1).tolist()
        counts: dict[str, Counter[str]] = {family: Counter() for family in self.classes}
        for family, answer in zip(self.made.families, answers, strict=True):
            if family in counts:
                counts[family][self.classes[answer]] += 1
        return {family: dict(sorted(heard.items())) for family, heard in counts.items()}

    def families(self) -> dict[str, dict[str, Any]]:
        """Clips and accuracies by family."""
        real, made = (by_family(part, self.classes) for part in (self.held_out, self.made))
        distrusted = self.columns["generated"]["class accuracy"].interval is None
        return {
            name: {
                "held_out_clips": real.get(name, (0, None))[0],
                "held_out_accuracy": real.get(name, (0, None))[1],
                "generated_clips": made.get(name, (0, None))[0],
                "generated_accuracy": None if distrusted else made.get(name, (0, None))[1],
            }
            for name in sorted(set(real) | set(made))
        }
