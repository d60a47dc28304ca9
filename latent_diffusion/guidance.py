"""Classifier-free guidance: a field made of two that is itself a field, so that any solver takes it.

    guided = unconditional + guidance_scale * (conditional - unconditional)

(Ho, Salimans, "Classifier-Free Diffusion Guidance", 2022, equation 6, with guidance_scale = 1 + w: 1 is off.) Because
data, noise, v and velocity are, for a given x_t, affine functions of each other, and the two weights sum to one,
guiding any of them guides all: the same lines serve every path and prediction.

Within an interval of time only: near noise guidance chooses among the sounds that fit a prompt and makes all clips
alike, near data it adds nothing (Kynkäänniemi et al., "Applying Guidance in a Limited Interval Improves Sample and
Distribution Quality in Diffusion Models", 2024; there in noise levels).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from latent_diffusion.conditioning import Condition
from latent_diffusion.solvers import Field

ConditionedField = Callable[[Tensor, Tensor, Condition], Tensor]


def guided_field(
    field: ConditionedField,
    condition: Condition,
    null: Condition,
    guidance_scale: float,
    interval: tuple[float, float] = (0.0, 1.0),
) -> Field:
    """Wrap a conditioned field.

    Args:
        field: of noisy latents, time `(batch,)` and condition.
        condition: of each row.
        null: what "no condition" means, of each row; not looked at when guidance is off.
        guidance_scale: 1 is off and costs one forward; otherwise both halves run as one batch of twice the rows.
        interval: first and last time at which it is guided, in [0, 1]; at others it is the conditioned field alone.

    Raises:
        ValueError: a scale that is not finite or negative, or an interval that is none.
    """
    if not math.isfinite(guidance_scale) or guidance_scale < 0.0:
        raise ValueError(f"guidance_scale: expected a number of at least 0, got {guidance_scale}")
    first, last = check_interval(interval)

    def plain(latents: Tensor, time: Tensor) -> Tensor:
        return field(latents, time.to(latents).expand(len(latents)), condition)

    if guidance_scale == 1.0:
        return plain
    both = Condition.join(condition, null)

    def guided(latents: Tensor, time: Tensor) -> Tensor:
        if not first <= float(time) <= last:
            return plain(latents, time)
        doubled = torch.cat([latents, latents])
        with_condition, without = field(doubled, time.to(latents).expand(len(doubled)), both).chunk(2)
        return without + guidance_scale * (with_condition - without)

    return guided


def check_interval(interval: tuple[float, float]) -> tuple[float, float]:
    """The interval of guidance, as it is.

    Raises:
        ValueError: not two rising times in [0, 1].
    """
    first, last = interval
    if not 0.0 <= first < last <= 1.0:
        raise ValueError(f"guidance_interval: expected two rising times from 0 to 1, got {first} and {last}")
    return first, last
