"""What training leaves unsaid."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from audio.dataset import NUMBERS
from latent_diffusion.conditioning import NO_LABEL, ConditionInputs


@dataclass(frozen=True)
class ConditionDropout:
    """How often training leaves each part of a condition unsaid, so that prompts may be as short as one likes.

    A clip whose level was changed always says how loud it is, one whose spectrum was tilted how bright, and neither is
    ever drawn for `everything`: where nothing is asked of them, clips are to be as the recordings are.

    Args:
        everything: all of it at once; the unconditional half of guidance.
        text: the caption, so that labels and numbers steer alone.
        label: the label.
        pitch: the number.
        loudness: the number.
        brightness: the number.
        seconds: the number.
    """

    everything: float = 0.1
    text: float = 0.15
    label: float = 0.5
    pitch: float = 0.4
    loudness: float = 0.5
    brightness: float = 0.6
    seconds: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what is not a probability."""
        for name, value in vars(self).items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"condition_dropout.{name}: expected 0 to 1, got {value}")

    def apply(
        self, inputs: ConditionInputs, own_level: Tensor | None = None, own_colour: Tensor | None = None
    ) -> ConditionInputs:
        """Leave parts unsaid at random, row by row.

        Args:
            inputs: all that is known.
            own_level: `(batch,)`, False where a clip's level was changed; None where none was.
            own_colour: the same of its spectrum.
        """
        batch = len(inputs.labels)
        none = torch.zeros(batch, dtype=torch.bool)
        changed = {
            "loudness": none if own_level is None else ~own_level.cpu(),
            "brightness": none if own_colour is None else ~own_colour.cpu(),
        }
        everything = (torch.rand(batch) < self.everything) & ~changed["loudness"] & ~changed["brightness"]
        no_text = (everything | (torch.rand(batch) < self.text)).to(inputs.labels.device)
        no_label = (everything | (torch.rand(batch) < self.label)).to(inputs.labels.device)
        rates = torch.tensor([getattr(self, name) for name in NUMBERS])
        unsaid = torch.rand(batch, len(NUMBERS)) < rates
        for name, rows in changed.items():
            unsaid[:, NUMBERS.index(name)] &= ~rows
        no_number = (everything[:, None] | unsaid).to(inputs.labels.device)
        return ConditionInputs(
            text=inputs.text,
            text_mask=inputs.text_mask & ~no_text[:, None],
            labels=inputs.labels.masked_fill(no_label, NO_LABEL),
            numbers=inputs.numbers.masked_fill(no_number, math.nan),
            after=inputs.after,
        )
