"""Clouds of embeddings from distributions that are known, to try statistics on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, log

import torch
from torch import Generator, Tensor

from evaluation.intervals import Units
from evaluation.kernel import KERNEL_SCALE

CLIPS_PER_UNIT = 3
# Of the variance of a clip, what it shares with the others of its recording.
SHARED = 0.5


@dataclass(frozen=True)
class Clouds:
    """One draw.

    Args:
        made: of a model, `(clips, numbers)`.
        other: of a model that is just as good, for the same prompts: of the same units.
        reference: `(clips, numbers)`.
        units: what was drawn independently.
        shift: distance of the means of two Gaussians; None where the clouds are none.
        scale: standard deviation of the made one; the reference has 1.
    """

    made: Tensor
    other: Tensor
    reference: Tensor
    units: Units
    shift: float | None = None
    scale: float = 1.0


def gaussian_kernel_distance(numbers: int, shift: float, scale: float, bandwidth: float) -> float:
    """What `kernel_distance` estimates for N(shift, scale^2) and N(0, 1) in so many numbers, in closed form.

    With v the variance of a number of x - y, E exp(-|x - y|^2 / (2 w^2)) = (1 + v / w^2)^(-numbers / 2)
    exp(-shift^2 / (2 (w^2 + v))).
    """

    def mean(variance: float, distance: float) -> float:
        reach = bandwidth**2 + variance
        return exp(-(distance**2) / (2.0 * reach) - numbers / 2.0 * log(reach / bandwidth**2))

    alike = mean(2.0, 0.0) + mean(2.0 * scale**2, 0.0)
    return KERNEL_SCALE * (alike - 2.0 * mean(1.0 + scale**2, shift))


def gaussians(shift: float, scale: float) -> Callable[[int, int, Generator], Clouds]:
    """Draws N(shift, scale^2) and N(0, 1), every clip a unit of its own."""

    def draw(clips: int, numbers: int, generator: Generator) -> Clouds:
        made, other, reference = torch.split(normal(3 * clips, numbers, generator), clips)
        made, other = made * scale, other * scale
        made[:, 0] += shift
        other[:, 0] += shift
        return Clouds(made, other, reference, Units.separate(clips, clips), shift, scale)

    return draw


def mixtures(clips: int, numbers: int, generator: Generator) -> Clouds:
    """Draws classes of several sizes with heavy tails and directions that matter less and less; the made lack some."""
    # The classes are the same in every draw.
    centres = 2.0 * normal(8, numbers, torch.Generator().manual_seed(1))
    importance = (1.0 + torch.arange(numbers, dtype=torch.float64)) ** -0.5

    def draw(classes: int) -> Tensor:
        sizes = 1.0 / (1.0 + torch.arange(classes, dtype=torch.float64))
        chosen = torch.multinomial(sizes, clips, replacement=True, generator=generator)
        tail = normal(clips, 5, generator).square().mean(dim=1, keepdim=True).rsqrt()
        return (centres[chosen] + normal(clips, numbers, generator) * tail) * importance

    return Clouds(draw(6), draw(6), draw(8), Units.separate(clips, clips))


def recordings(paired: bool) -> Callable[[int, int, Generator], Clouds]:
    """Draws several clips of every recording, which resemble each other.

    Args:
        paired: whether made clip i was asked for with the caption of reference clip i, and resembles it.
    """

    def draw(clips: int, numbers: int, generator: Generator) -> Clouds:
        unit = torch.arange(clips) // CLIPS_PER_UNIT
        count = int(unit.max()) + 1
        shared = normal(count, numbers, generator)
        asked = shared if paired else normal(count, numbers, generator)
        clouds = []
        # The reference is louder in one number, which no model has learned.
        for base in (asked, asked, shared):
            own = normal(clips, numbers, generator)
            clouds.append(SHARED**0.5 * base[unit] + (1.0 - SHARED) ** 0.5 * own)
        clouds[2][:, 0] += 0.5
        return Clouds(clouds[0], clouds[1], clouds[2], Units(unit, unit if paired else count + unit))

    return draw


def rectified(clips: int, numbers: int, generator: Generator) -> Clouds:
    """Draws what a network's last layer is like: no number below 0, many at 0, all made of a few hidden causes."""
    causes = max(2, numbers // 4)
    mixing = normal(causes, numbers, torch.Generator().manual_seed(2)) / causes**0.5

    def draw(gain: float) -> Tensor:
        hidden: Tensor = normal(clips, causes, generator).exp() * gain - 1.0
        features: Tensor = hidden @ mixing + 0.3 * normal(clips, numbers, generator)
        return features.clamp(min=0.0)

    return Clouds(draw(0.9), draw(0.9), draw(1.0), Units.separate(clips, clips))


def normal(clips: int, numbers: int, generator: Generator) -> Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(clips, numbers, generator=generator, dtype=torch.float64)


CLOUDS: Mapping[str, Callable[[int, int, Generator], Clouds]] = {
    "alike": gaussians(0.0, 1.0),
    "small shift": gaussians(0.5, 1.0),
    "far": gaussians(2.0, 1.3),
    "mixtures": mixtures,
    "rectified": rectified,
    "recordings": recordings(False),
    "paired recordings": recordings(True),
}
