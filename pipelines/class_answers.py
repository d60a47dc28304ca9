"""What a classifier of families says of real clips and of generated ones, with intervals: families weigh alike."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from audio.files import resample
from evaluation.classifier import PICTURE, Classifier, picture
from evaluation.intervals import Interval, even_interval
from pipelines.text_to_audio import TextToAudioPipeline


@dataclass(frozen=True)
class Answers:
    """What a classifier said of clips.

    Args:
        hits: 1 where it named the family, else 0, one a clip.
        families: of the clips.
        units: what clips that resemble each other share, such as a recording or a prompt.
    """

    hits: tuple[float, ...]
    families: tuple[str, ...]
    units: tuple[str, ...]

    @classmethod
    def of(cls, classifier: Classifier, pictures: Tensor, families: Sequence[str], units: Sequence[str]) -> "Answers":
        """Ask it about pictures `(clips, n_mels, frames)`."""
        named = [classifier.classes[number] for number in classifier.probabilities(pictures).argmax(dim=1).tolist()]
        hits = tuple(float(one == family) for one, family in zip(named, families, strict=True))
        return cls(hits, tuple(families), tuple(units))

    def of_families(self, families: Container[str]) -> "Answers":
        """Those of some families."""
        kept = [row for row in zip(self.hits, self.families, self.units, strict=True) if row[1] in families]
        return Answers(*(tuple(column) for column in zip(*kept, strict=True)))

    def accuracies(self) -> dict[str, float]:
        """The share of right answers of each family, sorted by name."""
        rows = {name: [row for row, one in enumerate(self.families) if one == name] for name in self.families}
        return {name: sum(self.hits[row] for row in rows[name]) / len(rows[name]) for name in sorted(rows)}

    def accuracy(self) -> Interval:
        """The mean over families, which weigh alike."""
        groups, units = (
            torch.tensor([names.index(one) for one in column])
            for column, names in ((column, sorted(set(column))) for column in (self.families, self.units))
        )
        return even_interval(torch.tensor(self.hits), groups, units)


def generated_answers(
    pipeline: TextToAudioPipeline,
    classifier: Classifier,
    prompts: Mapping[str, Sequence[str]],
    clips_per_family: int,
    seconds: float,
    seed: int,
    solver_steps: int | None = None,
) -> Answers:
    """Generate from the prompts of each family, and ask the classifier; clips of one prompt are one unit."""
    pictures, families, units = [], [], []
    for family in track(sorted(prompts), "generating", console=Console(stderr=True)):
        stride = max(1, len(prompts[family]) // clips_per_family)
        chosen = (list(prompts[family][::stride]) * clips_per_family)[:clips_per_family]
        output = pipeline(chosen, seconds=seconds, seed=seed, solver_steps=solver_steps)
        for prompt, waveform in zip(chosen, output.waveforms, strict=True):
            pictures.append(picture(resample(waveform.numpy(), output.sample_rate, PICTURE.sample_rate)))
            families.append(family)
            units.append(f"{family}: {prompt}")
    return Answers.of(classifier, torch.stack(pictures), families, units)
