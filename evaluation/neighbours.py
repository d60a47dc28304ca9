"""How two clouds lie in each other, by balls around every clip that reach to its k-th neighbour in its own cloud.

    precision   share of made clips inside any ball of the reference      Kynkaanniemi et al., 2019, equation 2
    recall      share of reference clips inside any ball of the made      the same
    density     balls of the reference that a made clip is in, over k     Naeem et al., 2020, equation 3
    coverage    share of the reference's balls that hold a made clip      the same, equation 4

Distances are computed once, in blocks. Of each clip the nearest neighbours are kept, and of each pair across the
clouds only those that could ever be in a ball: half samples then cost no distance at all, and memory grows with the
number of clips, not with its square.

Balls reach to clips of other units. Clips of one recording are near copies of each other, and balls that ended at them
would be too small for any other draw of recordings.
"""

from dataclasses import astuple, dataclass

import torch
from torch import Tensor

from evaluation.embeddings import BLOCK_ROWS, check_embeddings, squared_distances
from evaluation.intervals import Replicated, Units

K = 5
# Neighbours that are remembered: in half of the clips the fifth one is about the tenth, and seldom beyond this one.
REMEMBERED = 40
# Halves are measured from so many times k clips a half: below, a ball holds half of its cloud.
HALF_OF_ENOUGH = 2
# Why density has no interval: in 512 numbers, halves held it 70 to 93 % of the time with any k (docs/intervals.md).
HUBS = "in many numbers few clips are in most balls, and halves do not show how density varies"


@dataclass(frozen=True)
class Neighbourhood:
    """Four shares; see the module.

    Args:
        precision: are the made clips plausible?
        recall: is everything there?
        density: precision without the pull of outliers; may exceed 1.
        coverage: recall without it.
    """

    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class _Pairs:
    """Pairs across two clouds that are near enough to matter.

    Args:
        centre: row of the cloud that has the balls.
        point: row of the other cloud.
        squared: distance of the two.
    """

    centre: Tensor
    point: Tensor
    squared: Tensor


class NeighbourGraph:
    """All distances between two clouds that balls can ask for.

    Args:
        made: `(clips, numbers)`.
        reference: `(clips, numbers)`; the four numbers are comparable only at equal numbers of clips.
        k: neighbours that a ball reaches.
        units: of either; every clip is one of its own when left out, and where a clip has fewer than k of other units.

    Raises:
        ValueError: what is no cloud, or no more than k clips.
    """

    def __init__(self, made: Tensor, reference: Tensor, k: int = K, units: Units | None = None) -> None:
        check_embeddings(reference, made, fewest=k + 1)
        self.k = k
        # A common shift changes no distance, and small numbers lose fewer digits.
        centre = reference.double().mean(dim=0)
        made, reference = made.double() - centre, reference.double() - centre
        self.sizes = (len(made), len(reference))
        alone = Units.separate(len(made), len(reference))
        units = units if units and min(map(_fewest_others, (units.made, units.reference))) >= k else alone
        clouds = ((made, units.made), (reference, units.reference))
        self.own = [_nearest(cloud, own, max(k, REMEMBERED)) for cloud, own in clouds]
        self.balls_of_made = _near_pairs(made, reference, self.own[0][0][:, -1])
        self.balls_of_reference = _near_pairs(reference, made, self.own[1][0][:, -1])

    def neighbourhood(self, rows: Tensor | None = None, columns: Tensor | None = None) -> Neighbourhood:
        """The four numbers of the whole clouds, or of parts of them.

        Args:
            rows: which made clips, `(made,)`, booleans; all when left out.
            columns: which reference clips; all when left out.
        """
        rows = torch.ones(self.sizes[0], dtype=torch.bool) if rows is None else rows
        columns = torch.ones(self.sizes[1], dtype=torch.bool) if columns is None else columns
        made, reference = int(rows.sum()), int(columns.sum())
        held, inside = self._inside(self.balls_of_reference, 1, columns, rows)
        recalled = self._inside(self.balls_of_made, 0, rows, columns)[1]
        return Neighbourhood(
            precision=_different(inside, self.sizes[0]) / made,
            recall=_different(recalled, self.sizes[1]) / reference,
            density=len(inside) / (self.k * made),
            coverage=_different(held, self.sizes[1]) / reference,
        )

    def replicated(self, units: Units, seed: int = 0) -> dict[str, Replicated]:
        """The four numbers by name, with those of halves of the clouds."""
        names = ("precision", "recall", "density", "coverage")
        if min(self.sizes) < HALF_OF_ENOUGH * 2 * self.k:
            whole, reason = astuple(self.neighbourhood()), f"{2 * HALF_OF_ENOUGH * self.k} clips are enough"
            return {n: Replicated.alone(v, units.count, reason) for n, v in zip(names, whole, strict=True)}
        measured = units.replicate(lambda *kept: astuple(self.neighbourhood(*kept)), seed, smooth=False)
        found = dict(zip(names, measured, strict=True))
        return found | {"density": Replicated.alone(found["density"].value, units.count, HUBS)}

    def _inside(self, pairs: _Pairs, side: int, centres: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and point of every pair of which the point is in the centre's ball."""
        reach = _reach(*self.own[side], centres, self.k)
        within = centres[pairs.centre] & points[pairs.point] & (pairs.squared <= reach[pairs.centre])
        return pairs.centre[within], pairs.point[within]


def neighbourhood(made: Tensor, reference: Tensor, k: int = K) -> Neighbourhood:
    """Precision, recall, density and coverage; see `NeighbourGraph`."""
    return NeighbourGraph(made, reference, k).neighbourhood()


def _different(rows: Tensor, size: int) -> int:
    """How many different rows out of so many are named."""
    return int(torch.bincount(rows, minlength=size).count_nonzero())


def _fewest_others(units: Tensor) -> int:
    """How many clips are of other units, for the clip that has fewest."""
    return len(units) - int(torch.bincount(units).max())


def _nearest(cloud: Tensor, units: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Squared distances and rows of each clip's nearest neighbours in its own cloud, its own unit left out."""
    number = min(number, _fewest_others(units))
    values, indices = [], []
    for start in range(0, len(cloud), BLOCK_ROWS):
        distances = squared_distances(cloud[start : start + BLOCK_ROWS], cloud)
        distances[units[start : start + BLOCK_ROWS, None] == units] = torch.inf
        found = distances.topk(number, dim=1, largest=False)
        values.append(found.values)
        indices.append(found.indices)
    return torch.cat(values), torch.cat(indices)


def _near_pairs(centres: Tensor, points: Tensor, reach: Tensor) -> _Pairs:
    """Pairs no farther apart than the remembered reach of their centre."""
    parts = []
    for start in range(0, len(centres), BLOCK_ROWS):
        distances = squared_distances(centres[start : start + BLOCK_ROWS], points)
        row, column = torch.nonzero(distances <= reach[start : start + BLOCK_ROWS, None], as_tuple=True)
        parts.append((row + start, column, distances[row, column]))
    return _Pairs(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _reach(squared: Tensor, neighbours: Tensor, kept: Tensor, k: int) -> Tensor:
    """Squared distance of each clip to its k-th neighbour among those that are kept."""
    rank = kept[neighbours].cumsum(dim=1)
    found = rank >= k
    # Beyond what is remembered the last one stands in.
    place = torch.where(found.any(dim=1), found.int().argmax(dim=1), neighbours.shape[1] - 1)
    return squared[torch.arange(len(squared)), place]
