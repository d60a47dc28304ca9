"""A sound as style: what is made is drawn towards the mean of a reference, frame by frame as loud as it likes.

    mean(z)  = sum over frames of a(z_f) z_f / sum of a(z_f),    a(z_f) = min(1, |z_f - silence|^2 / its mean)
    data'_f  = data_f + strength * a(data_f) * (mean(reference) - mean(data))

on whitened latents, at every time, for every guess of the data. The mean of latents is the mean log spectrum, by and
large: timbre, and of a note its pitch as well. Frames of silence count for nothing and stay what they are. (The first
moment alone of Huang, Belongie, "Arbitrary style transfer in real-time with adaptive instance normalization", 2017,
equation 8, as a field: with the second moment as well, more of what was asked for is lost for the same gain.)
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from latent_diffusion.flow import data_and_noise, data_slope
from latent_diffusion.guidance import Prediction
from latent_diffusion.paths import alpha_sigma
from latent_diffusion.solvers import Field

TINY = 1e-6
# So little noise is none.
DATA_SIGMA = 1e-3


@dataclass(frozen=True)
class Style:
    """What to be drawn towards.

    Args:
        reference: whitened latents of a sound, `(1, channels, latent_frames)`.
        silence: the whitened latent frame of silence, `(channels,)`.
        strength: 0 not at all, 1 all the way at every time.

    Raises:
        ValueError: a strength out of its range.
    """

    reference: Tensor
    silence: Tensor
    strength: float

    def __post_init__(self) -> None:
        """Check the numbers."""
        check_style_strength(self.strength)

    def mean(self, latents: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """How much each frame counts, `(batch, 1, latent_frames)`, and the mean so weighted, `(batch, channels, 1)`.

        Args:
            latents: whitened, `(batch, channels, latent_frames)`.
            mask: `(batch, latent_frames)`, True where a frame is part of its row; None where all are.
        """
        distance = (latents - self.silence.to(latents)[:, None]).square().sum(dim=1, keepdim=True)
        inside = torch.ones_like(distance) if mask is None else mask[:, None].to(distance)
        typical = (distance * inside).sum(dim=-1, keepdim=True) / inside.sum(dim=-1, keepdim=True).clamp(min=1.0)
        counts = (distance / typical.clamp(min=TINY)).clamp(max=1.0) * inside
        return counts, (counts * latents).sum(dim=-1, keepdim=True) / counts.sum(dim=-1, keepdim=True).clamp(min=TINY)


def check_style_strength(strength: float) -> None:
    """Refuse a strength out of [0, 1].

    Raises:
        ValueError: names it.
    """
    if not math.isfinite(strength) or not 0.0 <= strength <= 1.0:
        raise ValueError(f"style_strength: expected 0 to 1, got {strength}")


def styled_field(field: Field, style: Style, prediction: Prediction, mask: Tensor | None = None) -> Field:
    """A field whose guesses of the data are drawn towards a style.

    Args:
        field: any.
        style: towards which.
        prediction: what the field gives.
        mask: `(batch, latent_frames)`, True where a frame is part of its row; None where all are.
    """
    _, wanted = style.mean(style.reference)

    def styled(latents: Tensor, time: Tensor) -> Tensor:
        made = field(latents, time)
        if float(alpha_sigma(prediction.path, time)[1]) <= DATA_SIGMA:
            # x_t is the data: there is no guess left to be drawn anywhere.
            return made
        data, _ = data_and_noise(made, latents, time, prediction.path, prediction.name)
        counts, own = style.mean(data, mask)
        moved = style.strength * counts * (wanted.to(data) - own)
        return made + data_slope(time, prediction.path, prediction.name).to(made) * moved

    return styled
