"""Frechet distance: two clouds as two Gaussians, and how far it is from one to the other.

    d = |m - n|^2 + tr A + tr B - 2 tr (A B)^(1/2)        (Dowson, Landau, 1982; "FAD": Kilgour et al., 2019)

It is biased: of N clips it measures about c / N too much, and with fewer clips than numbers it says little. FAD-inf
reads the line over 1 / N at 0 (Chong, Forsyth, 2020).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from evaluation.embeddings import check_embeddings, heavy_tails
from evaluation.intervals import Replicated, Units, distinct

FEWEST_CLIPS = 8
LINE_SIZES = 6
LINE_REPEATS = 3


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a cloud, the covariance as its root: B = root' root.

    Args:
        mean: `(numbers,)`, float64.
        root: `(rows, numbers)`, float64.
    """

    mean: Tensor
    root: Tensor

    @classmethod
    def of(cls, cloud: Tensor) -> "Moments":
        """Measure a cloud `(clips, numbers)`; the covariance is the unbiased one."""
        check_embeddings(cloud)
        cloud = cloud.double()
        mean = cloud.mean(dim=0)
        root = (cloud - mean) / (len(cloud) - 1) ** 0.5
        if len(root) > root.shape[1]:
            root = torch.linalg.qr(root, mode="r").R
        return cls(mean, root)

    @classmethod
    def from_covariance(cls, mean: Tensor, covariance: Tensor) -> "Moments":
        """Of a known Gaussian.

        Args:
            mean: `(numbers,)`.
            covariance: `(numbers, numbers)`, symmetric, not negative.
        """
        values, vectors = torch.linalg.eigh(covariance.double())
        return cls(mean.double(), values.clamp(min=0.0).sqrt()[:, None] * vectors.T)


def frechet_distance(first: Moments, second: Moments) -> float:
    """Squared distance of two Gaussians with these moments.

    tr (A B)^(1/2) is the sum of the singular values of root_A root_B': no root of a matrix that is not symmetric, and
    as small as the smaller cloud.
    """
    overlap = torch.linalg.svdvals(first.root @ second.root.T).sum()
    traces = first.root.square().sum() + second.root.square().sum()
    return float((first.mean - second.mean).square().sum() + traces - 2.0 * overlap)


def replicated_frechet_distance(made: Tensor, reference: Tensor, units: Units, seed: int = 0) -> Replicated:
    """The distance of two clouds, and of halves of them.

    Args:
        made: `(clips, numbers)`.
        reference: `(clips, numbers)`.
        units: of either.
        seed: of the splits.

    Raises:
        ValueError: what is no cloud.
    """
    check_embeddings(reference, made, fewest=FEWEST_CLIPS)
    made, reference = made.double(), reference.double()

    reason = heavy_tails(made, reference)
    if reason:
        return Replicated.alone(frechet_distance(Moments.of(made), Moments.of(reference)), units.count, reason)

    def distance(rows: Tensor, columns: Tensor) -> list[float]:
        return [frechet_distance(Moments.of(made[rows]), Moments.of(reference[columns]))]

    return units.replicate(distance, seed)[0]


def frechet_distance_at_infinity(made: Tensor, reference: Tensor, units: Units | None = None, seed: int = 0) -> float:
    """The Frechet distance that no number of clips inflates.

    Both clouds are thinned alike, to several shares of their units, without replacement; the line through the
    distances over 1 / N is read at 0. (Half of the clips of each recording would be nearly as many recordings.)

    Args:
        made: `(clips, numbers)`.
        reference: `(clips, numbers)`.
        units: of either; every clip is one of its own when left out.
        seed: of the choice.

    Raises:
        ValueError: fewer clips than a line needs: two for every number of an embedding, on either side.
    """
    check_embeddings(reference, made, fewest=0)
    fewest, numbers = min(len(made), len(reference)), made.shape[1]
    if fewest < 2 * numbers:
        raise ValueError(f"{fewest} clips are too few for {numbers} numbers a clip; {2 * numbers} are enough")
    own = units or Units.separate(len(made), len(reference))
    clouds = ((made, own.made, distinct(own.made)), (reference, own.reference, distinct(own.reference)))
    generator = torch.Generator().manual_seed(seed)
    # Evenly spread in 1 / N, the axis of the line.
    shares = 1.0 / torch.linspace(1.0, 2.0, LINE_SIZES, dtype=torch.float64)
    inverse, found = [], []
    for share in shares.tolist():
        for _ in range(1 if share == 1.0 else LINE_REPEATS):
            parts = []
            for cloud, of, names in clouds:
                chosen = names[torch.randperm(len(names), generator=generator)[: round(share * len(names))]]
                parts.append(cloud[torch.isin(of, chosen)])
            found.append(frechet_distance(Moments.of(parts[0]), Moments.of(parts[1])))
            inverse.append(1.0 / share)
    line = torch.stack([torch.ones(len(found), dtype=torch.float64), torch.tensor(inverse, dtype=torch.float64)], dim=1)
    return float(torch.linalg.lstsq(line, torch.tensor(found, dtype=torch.float64)[:, None]).solution[0, 0])
