"""What a clip should be: text, label and numbers become one condition.

A condition is tokens `(batch, tokens, width)` with a mask, which the network attends to, and one vector
`(batch, width)`, which scales and shifts its layers. Each conditioner has a learned null that stands for "not said";
all of them together are the unconditional model that guidance needs.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from audio.dataset import NUMBERS

# Number conditions whose perception is a matter of ratios.
LOGARITHMIC = frozenset({"brightness", "seconds"})
UNITS = {"pitch": "MIDI note", "loudness": "dBFS", "brightness": "Hz", "seconds": "s"}
FOURIER_OCTAVES = 6
NO_LABEL = -1


@dataclass(frozen=True)
class Condition:
    """What the network is told.

    Args:
        tokens: `(batch, tokens, width)`.
        mask: `(batch, tokens)`, True where a token counts.
        vector: `(batch, width)`.
        after: latent frames that follow the last one that the network sees, `(batch,)`; None where it sees the end.
        for_guide: the same as the guiding model understands it; None where there is none.
    """

    tokens: Tensor
    mask: Tensor
    vector: Tensor
    after: Tensor | None = None
    for_guide: "Condition | None" = None

    def __len__(self) -> int:
        return len(self.vector)

    @staticmethod
    def join(first: "Condition", second: "Condition") -> "Condition":
        """The rows of both, tokens padded to the longer."""
        tokens = max(first.tokens.shape[1], second.tokens.shape[1])
        parts = [item.padded(tokens) for item in (first, second)]
        return Condition(
            torch.cat([item.tokens for item in parts]),
            torch.cat([item.mask for item in parts]),
            torch.cat([item.vector for item in parts]),
            None if first.after is second.after is None else torch.cat([item.frames_after() for item in parts]),
        )

    def frames_after(self) -> Tensor:
        """Latent frames that follow what is seen, `(batch,)`."""
        return self.vector.new_zeros(len(self)) if self.after is None else self.after

    def followed_by(self, frames: Tensor | float) -> "Condition":
        """The same where so many more latent frames follow."""
        return replace(self, after=self.frames_after() + frames)

    def repeated(self, count: int) -> "Condition":
        """All rows, then all rows again, `count` times."""
        tokens, mask = self.tokens.repeat(count, 1, 1), self.mask.repeat(count, 1)
        after = None if self.after is None else self.after.repeat(count)
        return Condition(tokens, mask, self.vector.repeat(count, 1), after)

    def padded(self, tokens: int) -> "Condition":
        """With tokens that do not count, up to that many."""
        missing = tokens - self.tokens.shape[1]
        if missing <= 0:
            return self
        pad = nn.functional.pad
        return replace(self, tokens=pad(self.tokens, (0, 0, 0, missing)), mask=pad(self.mask, (0, missing)))


@dataclass(frozen=True)
class ConditionInputs:
    """What a condition is made of, as tensors.

    Args:
        text: features of the text encoder, `(batch, tokens, text_width)`.
        text_mask: `(batch, tokens)`; a row without any True says nothing.
        labels: `(batch,)`, -1 where not said.
        numbers: `(batch, 4)` in the order of `NUMBERS` and in their own units, NaN where not said.
        after: latent frames that follow what is seen, `(batch,)`; None where nothing does.
    """

    text: Tensor
    text_mask: Tensor
    labels: Tensor
    numbers: Tensor
    after: Tensor | None = None

    @classmethod
    def nothing(cls, batch: int, text_width: int, device: torch.device | None = None) -> "ConditionInputs":
        """Rows that say nothing."""
        return cls(
            text=torch.zeros(batch, 1, text_width, device=device),
            text_mask=torch.zeros(batch, 1, dtype=torch.bool, device=device),
            labels=torch.full((batch,), NO_LABEL, device=device),
            numbers=torch.full((batch, len(NUMBERS)), math.nan, device=device),
        )


@dataclass(frozen=True)
class ConditioningConfig:
    """What a model understands.

    Args:
        text_encoder: as `latent_diffusion.text.text_encoder` names it.
        text_width: of that encoder's features.
        labels: known labels, sorted.
        number_ranges: lowest and highest value of each number that the training data holds.
    """

    text_encoder: str
    text_width: int
    labels: tuple[str, ...] = ()
    number_ranges: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Bring lists from a file into shape and check the ranges."""
        object.__setattr__(self, "labels", tuple(self.labels))
        ranges = {name: (float(low), float(high)) for name, (low, high) in self.number_ranges.items()}
        for name, (low, high) in ranges.items():
            if name not in NUMBERS or not low < high or (name in LOGARITHMIC and low <= 0.0):
                raise ValueError(f"conditioning.number_ranges.{name}: not a range, got {low} to {high}")
        object.__setattr__(self, "number_ranges", ranges)

    def to_dict(self) -> dict[str, Any]:
        """Plain containers."""
        ranges = {name: list(limits) for name, limits in self.number_ranges.items()}
        return {**vars(self), "labels": list(self.labels), "number_ranges": ranges}

    def label_index(self, label: str | None) -> int:
        """Where a label stands in the list; -1 for none.

        Raises:
            ValueError: an unknown label, with the nearest known ones.
        """
        if label is None:
            return NO_LABEL
        if label not in self.labels:
            near = difflib.get_close_matches(label, self.labels, n=4, cutoff=0.0)
            known = f"nearest of its {len(self.labels)} labels: {', '.join(near)}" if near else "it knows no labels"
            raise ValueError(f"label: this model does not know {label!r}; {known}")
        return self.labels.index(label)

    def number_row(self, values: Mapping[str, float]) -> list[float]:
        """The numbers in the order of `NUMBERS`, NaN where absent.

        Raises:
            ValueError: an unknown name, or a value that is not finite or outside of what the model was trained on.
        """
        row = [math.nan] * len(NUMBERS)
        for name, value in values.items():
            if name not in NUMBERS:
                raise ValueError(f"numbers: expected {', '.join(NUMBERS)}, got {name!r}")
            if name not in self.number_ranges:
                raise ValueError(f"{name}: this model was trained on clips whose {name} is not known")
            low, high = self.number_ranges[name]
            if not math.isfinite(value) or not low <= value <= high:
                raise ValueError(f"{name}: expected {low:g} to {high:g} {UNITS[name]}, got {value}")
            row[NUMBERS.index(name)] = float(value)
        return row


class NumberEmbedding(nn.Module):
    """One number in its range: Fourier features, a small network, and a learned null.

        z = (f(value) - f(low)) / (f(high) - f(low)),    f = log for ratios
        features = z, sin(2^k pi z), cos(2^k pi z)          k = 0 … octaves - 1

    (Tancik et al., "Fourier Features Let Networks Learn High Frequency Functions", 2020, section 5.)

    Args:
        width: of the embedding.
        limits: lowest and highest value; None for a number that the data does not know.
        logarithmic: compare ratios.
    """

    frequencies: Tensor

    def __init__(self, width: int, limits: tuple[float, float] | None, logarithmic: bool) -> None:
        super().__init__()
        low, high = limits or (1.0, 2.0)
        self.logarithmic = logarithmic
        self.low, self.high = (math.log(low), math.log(high)) if logarithmic else (low, high)
        self.register_buffer("frequencies", math.pi * 2.0 ** torch.arange(FOURIER_OCTAVES), persistent=False)
        self.layers = nn.Sequential(nn.Linear(1 + 2 * FOURIER_OCTAVES, width), nn.SiLU(), nn.Linear(width, width))
        self.null = nn.Parameter(0.02 * torch.randn(width))

    def forward(self, value: Tensor) -> Tensor:
        """`(batch,)` with NaN where absent, to `(batch, width)`."""
        absent = value.isnan()
        known = value.masked_fill(absent, 1.0)
        position = known.clamp(min=1e-6).log() if self.logarithmic else known
        position = ((position - self.low) / (self.high - self.low)).clamp(0.0, 1.0)[:, None]
        angles = position * self.frequencies
        embedded: Tensor = self.layers(torch.cat([position, angles.sin(), angles.cos()], dim=-1))
        return torch.where(absent[:, None], self.null, embedded)


class Conditioner(nn.Module):
    """Text, label and numbers to a `Condition`.

    One token for the label and one for each number come first, then the text's own. The vector is the sum of
    what the mean text token, label and numbers become.

    Args:
        config: what the model understands.
        width: of tokens and vector.
    """

    def __init__(self, config: ConditioningConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.text_tokens = nn.Linear(config.text_width, width)
        self.text_vector = nn.Linear(config.text_width, width)
        self.null_token = nn.Parameter(0.02 * torch.randn(width))
        self.null_vector = nn.Parameter(0.02 * torch.randn(width))
        # One row at least: an empty matrix has no place in an optimiser.
        self.labels = nn.Embedding(max(1, len(config.labels)), width)
        nn.init.normal_(self.labels.weight, std=0.5)
        self.null_label = nn.Parameter(0.02 * torch.randn(width))
        self.numbers = nn.ModuleDict(
            {name: NumberEmbedding(width, config.number_ranges.get(name), name in LOGARITHMIC) for name in NUMBERS}
        )

    def forward(self, inputs: ConditionInputs) -> Condition:
        """Embed a batch."""
        said = inputs.text_mask.any(dim=1)
        count = inputs.text_mask.sum(dim=1).clamp(min=1)[:, None]
        # Encoders differ in scale; unit power at the door makes them alike.
        text = nn.functional.rms_norm(inputs.text, inputs.text.shape[-1:])
        mean = (text * inputs.text_mask[..., None]).sum(dim=1) / count
        tokens = torch.where(said[:, None, None], self.text_tokens(text), self.null_token)
        first = torch.arange(inputs.text_mask.shape[1], device=text.device) == 0
        mask = torch.where(said[:, None], inputs.text_mask, first)
        unsaid = inputs.labels == NO_LABEL
        label = torch.where(unsaid[:, None], self.null_label, self.labels(inputs.labels.clamp(min=0)))
        parts = [label, *(self.numbers[name](inputs.numbers[:, index]) for index, name in enumerate(NUMBERS))]
        vector = torch.where(said[:, None], self.text_vector(mean), self.null_vector) + torch.stack(parts).sum(dim=0)
        return Condition(
            tokens=torch.cat([torch.stack(parts, dim=1).to(tokens), tokens], dim=1),
            mask=torch.cat([mask.new_ones(len(mask), len(parts)), mask], dim=1),
            vector=vector,
            after=inputs.after,
        )
