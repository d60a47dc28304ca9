"""The adversarial game of two stages: discriminators tell real from made, and a network learns to be taken for real.

    hinge:          D: mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)),   G: mean max(0, 1 - D(fake))
    least squares:  D: mean (D(real) - 1)^2 + mean D(fake)^2,                 G: mean (D(fake) - 1)^2
    matching:       mean over layers of mean |features(real) - features(fake)|

Averages, not sums, over discriminators and layers, so that a weight means the same for any number of them. (The
discriminator's hinge after Lim, Ye, "Geometric GAN", 2017, the generator's, which lets go of what is believed, after
Zeghidour et al., "SoundStream", 2021; Mao et al., "Least squares generative adversarial networks", ICCV 2017, equation
9; feature matching as in Kumar et al., "MelGAN", NeurIPS 2019, equation 3.)
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

Game = Literal["hinge", "least_squares"]
SLOPE = 0.1


@dataclass(frozen=True)
class Judgement:
    """What all discriminators say of a batch.

    Args:
        scores: one tensor a discriminator; more is more real.
        features: outputs of all their layers.
    """

    scores: list[Tensor]
    features: list[Tensor]


def run_layers(hidden: Tensor, layers: Iterable[nn.Module], score: nn.Module) -> tuple[Tensor, list[Tensor]]:
    """The score map, and what each layer says on the way there."""
    features = []
    for layer in layers:
        hidden = leaky_relu(layer(hidden), SLOPE)
        features.append(hidden)
    return score(hidden), features


def judged_by(members: Iterable[nn.Module], made: Tensor) -> Judgement:
    """What several discriminators say, each of which gives a score map and its features."""
    scores: list[Tensor] = []
    features: list[Tensor] = []
    for member in members:
        score, layers = member(made)
        scores.append(score)
        features += layers
    return Judgement(scores, features)


def weighted_sum(terms: dict[str, Tensor], weights: object) -> Tensor:
    """A loss: each term times the weight of its name, which is a field of `weights`."""
    return torch.stack([term * getattr(weights, name) for name, term in terms.items()]).sum()


def discriminator_hinge(real: Judgement, fake: Judgement) -> Tensor:
    """What the discriminators minimise, averaged over them."""
    sides = [
        (1.0 - first).clamp(min=0.0).mean() + (1.0 + second).clamp(min=0.0).mean()
        for first, second in zip(real.scores, fake.scores, strict=True)
    ]
    return torch.stack(sides).mean()


def generator_hinge(fake: Judgement) -> Tensor:
    """What a network minimises to be taken for real, averaged over discriminators."""
    return torch.stack([(1.0 - score).clamp(min=0.0).mean() for score in fake.scores]).mean()


def discriminator_least_squares(real: Judgement, fake: Judgement) -> Tensor:
    """What the discriminators minimise in the least-squares game, averaged over them."""
    sides = [
        (first - 1.0).square().mean() + second.square().mean()
        for first, second in zip(real.scores, fake.scores, strict=True)
    ]
    return torch.stack(sides).mean()


def generator_least_squares(fake: Judgement) -> Tensor:
    """What a network minimises in the least-squares game, averaged over discriminators."""
    return torch.stack([(score - 1.0).square().mean() for score in fake.scores]).mean()


# Both sides of each game, by its name.
DISCRIMINATOR_LOSSES: dict[str, Callable[[Judgement, Judgement], Tensor]] = {
    "hinge": discriminator_hinge,
    "least_squares": discriminator_least_squares,
}
GENERATOR_LOSSES: dict[str, Callable[[Judgement], Tensor]] = {
    "hinge": generator_hinge,
    "least_squares": generator_least_squares,
}


def feature_matching(real: Judgement, fake: Judgement) -> Tensor:
    """Mean absolute difference of the discriminators' features, averaged over all layers; `real` gets no gradient."""
    distances = [
        (first.detach() - second).abs().mean() for first, second in zip(real.features, fake.features, strict=True)
    ]
    return torch.stack(distances).mean()
