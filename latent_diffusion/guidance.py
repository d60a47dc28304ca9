"""Guidance: a field made of several that is itself a field, so that any solver takes it.

    guided = said + (scale - 1) * (said - negative),    said = sum of weight * prediction of each part of a mixture

(Ho, Salimans, "Classifier-Free Diffusion Guidance", 2022, equation 6, with scale = 1 + w: 1 is off.) `negative` is
what the model says to nothing, or to what is not wanted. Because data, noise, v and velocity are, for a given x_t,
affine functions of each other, and all weights sum to one, guiding any of them guides all: the same lines serve every
path and prediction. (Mixtures after Liu et al., "Compositional Visual Generation with Composable Diffusion Models",
2022, equation 11; their weights may differ from frame to frame, so that a prompt gives way to another.)

Within an interval of time only: near noise guidance chooses among the sounds that fit a prompt and makes all clips
alike, near data it adds nothing (Kynkäänniemi et al., "Applying Guidance in a Limited Interval Improves Sample and
Distribution Quality in Diffusion Models", 2024; there in noise levels).

Two remedies against what a large scale overdoes, both on the data that a prediction stands for, row by row:

    parallel   of the step data(said) - data(negative), the part along data(said) counts this much; 0 is the
               projection of adaptive projected guidance (Sadat, Hilliges, Weber, 2024, equation 7; no momentum)
    rescale    the guided data get this much of the spread of the unguided ones (Lin, Liu, Li, Yang, "Common Diffusion
               Noise Schedules and Sample Steps are Flawed", 2024, equations 15 and 16)

Autoguidance leads away from what a weaker model of the same kind makes of the same words:

    guided + (auto - 1) * (said - what the weaker one says)

(Karras, Aittala, Kynkäänniemi, Lehtinen, Aila, Laine, "Guiding a Diffusion Model with a Bad Version of Itself", 2024,
section 3.) What both get wrong in the same way, the weaker one gets more wrong: clips come nearer to real ones,
whatever the words.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from latent_diffusion.conditioning import Condition
from latent_diffusion.flow import data_and_noise, data_slope
from latent_diffusion.paths import PathConfig
from latent_diffusion.solvers import Field

ConditionedField = Callable[[Tensor, Tensor, Condition], Tensor]
TINY = 1e-12
EDGE = 1e-6


@dataclass(frozen=True)
class GuidanceConfig:
    """How a prompt is pressed.

    Args:
        scale: 1 is off.
        interval: first and last time at which it acts, 0 noise, 1 data.
        rescale: share of the unguided spread that is restored, 0 to 1.
        parallel: weight of the step's part along the data, 0 to 1; 1 is plain guidance.
        auto: away from a weaker model; 1 is off.
        auto_interval: first and last time at which that acts.

    Raises:
        ValueError: a number out of its range.
    """

    scale: float = 1.0
    interval: tuple[float, float] = (0.0, 1.0)
    rescale: float = 0.0
    parallel: float = 1.0
    auto: float = 1.0
    auto_interval: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Check the numbers."""
        for option, value in (("guidance_scale", self.scale), ("autoguidance", self.auto)):
            if not math.isfinite(value) or not 0.0 <= value <= 100.0:
                raise ValueError(f"{option}: expected 0 to 100, got {value}")
        for option, (first, last) in (
            ("guidance_interval", self.interval),
            ("autoguidance_interval", self.auto_interval),
        ):
            if not 0.0 <= first < last <= 1.0:
                raise ValueError(f"{option}: expected two rising times from 0 to 1, got {first} and {last}")
        for name in ("rescale", "parallel"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"guidance_{name}: expected 0 to 1, got {getattr(self, name)}")

    def acts_at(self, time: Tensor) -> bool:
        """Whether the prompt is pressed at a time; times are float32, and the ends of the interval are within it."""
        return self.scale != 1.0 and self.interval[0] - EDGE <= float(time) <= self.interval[1] + EDGE

    def leads_at(self, time: Tensor) -> bool:
        """Whether a weaker model is led away from at a time."""
        return self.auto != 1.0 and self.auto_interval[0] - EDGE <= float(time) <= self.auto_interval[1] + EDGE


@dataclass(frozen=True)
class Mixture:
    """Conditions that hold together, each with its weight.

    Args:
        parts: at least one condition, all of as many rows.
        weights: one for each, `()`, `(latent_frames,)` or `(batch, 1, 1)`; they sum to one.
    """

    parts: tuple[Condition, ...]
    weights: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.parts[0])


@dataclass(frozen=True)
class Prediction:
    """What a network's numbers mean.

    Args:
        path: from noise to data.
        name: velocity, noise or v.
    """

    path: PathConfig
    name: str


def guided_field(
    field: ConditionedField,
    said: Condition | Mixture,
    negative: Condition,
    guidance: GuidanceConfig,
    prediction: Prediction,
    mask: Tensor | None = None,
    weaker: ConditionedField | None = None,
) -> Field:
    """Wrap a conditioned field.

    Args:
        field: of noisy latents, time `(batch,)` and condition; all conditions of a time run as one batch, rows of the
            first before rows of the second.
        said: what is wanted, of each row.
        negative: what is not, or nothing, of each row; not looked at when guidance is off.
        guidance: how.
        prediction: what the field gives.
        mask: `(batch, latent_frames)`, True where a frame is part of its row; None where all are.
        weaker: of a weaker model, whose conditions are `for_guide` of those of `said`; for autoguidance.

    Raises:
        ValueError: autoguidance without a weaker model.
    """
    mixture = said if isinstance(said, Mixture) else Mixture((said,), (torch.ones(()),))
    if guidance.auto != 1.0 and weaker is None:
        raise ValueError("autoguidance: this model holds no weaker one to be led away from; 1 is off")
    for_guide = _for_guide(mixture) if guidance.auto != 1.0 else mixture

    def guided(latents: Tensor, time: Tensor) -> Tensor:
        acts, away = guidance.acts_at(time), guidance.leads_at(time)
        wanted = _together(field, latents, time, (*mixture.parts, *([negative] if acts else [])))
        made = with_condition = _mixed(wanted[: len(mixture.parts)], mixture)
        if acts:
            step = with_condition - wanted[-1]
            if guidance.parallel != 1.0:
                step = _less_parallel(step, with_condition, latents, time, guidance.parallel, prediction, mask)
            made = made + (guidance.scale - 1.0) * step
        if away and weaker is not None:
            poorer = _mixed(_together(weaker, latents, time, for_guide.parts), for_guide)
            made = made + (guidance.auto - 1.0) * (with_condition - poorer)
        if guidance.rescale and (acts or away):
            made = _rescaled(made, with_condition, latents, time, guidance.rescale, prediction, mask)
        return made

    return guided


def _for_guide(mixture: Mixture) -> Mixture:
    parts = tuple(part.for_guide for part in mixture.parts if part.for_guide is not None)
    if len(parts) != len(mixture.parts):
        raise ValueError("autoguidance: expected conditions that the weaker model understands")
    return replace(mixture, parts=parts)


def _together(field: ConditionedField, latents: Tensor, time: Tensor, conditions: Sequence[Condition]) -> list[Tensor]:
    """The predictions for several conditions, in one forward."""
    both = conditions[0]
    for condition in conditions[1:]:
        both = Condition.join(both, condition)
    many = latents if len(conditions) == 1 else torch.cat([latents] * len(conditions))
    return list(field(many, time.to(latents).expand(len(many)), both).chunk(len(conditions)))


def _mixed(predictions: Sequence[Tensor], mixture: Mixture) -> Tensor:
    if len(predictions) == 1:
        return predictions[0]
    weighted = [weight.to(one) * one for weight, one in zip(mixture.weights, predictions, strict=True)]
    return torch.stack(weighted).sum(dim=0)


def _less_parallel(
    step: Tensor,
    said: Tensor,
    latents: Tensor,
    time: Tensor,
    share: float,
    prediction: Prediction,
    mask: Tensor | None,
) -> Tensor:
    """Take off a part of the step along the data. A step between predictions is one between data, times a number."""
    data, _ = data_and_noise(said, latents, time, prediction.path, prediction.name)
    data = _inside(data, mask)
    along = (_inside(step, mask) * data).sum(dim=(1, 2), keepdim=True) / data.square().sum(
        dim=(1, 2), keepdim=True
    ).clamp(min=TINY)
    return step - (1.0 - share) * along * data


def _rescaled(
    made: Tensor,
    said: Tensor,
    latents: Tensor,
    time: Tensor,
    share: float,
    prediction: Prediction,
    mask: Tensor | None,
) -> Tensor:
    """Give the guided data the spread of the unguided ones."""
    guided, plain = (data_and_noise(one, latents, time, prediction.path, prediction.name)[0] for one in (made, said))
    ratio = (_spread(plain, mask) / _spread(guided, mask).clamp(min=TINY)) - 1.0
    return made + data_slope(time, prediction.path, prediction.name).to(made) * share * ratio * guided


def _inside(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else values * mask[:, None]


def _spread(values: Tensor, mask: Tensor | None) -> Tensor:
    """Standard deviation of each row over its own frames, `(batch, 1, 1)`."""
    inside = torch.ones_like(values[:, :1]) if mask is None else mask[:, None].to(values)
    count = inside.sum(dim=(1, 2), keepdim=True) * values.shape[1]
    mean = (values * inside).sum(dim=(1, 2), keepdim=True) / count
    return (((values - mean) * inside).square().sum(dim=(1, 2), keepdim=True) / count).sqrt()
