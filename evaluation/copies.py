"""Does a generator copy? How near its clips lie to training clips, and how near real clips lie to each other.

A clip is looked for twice: by an embedding (levelled first) and by a gist of its picture for the training clips worth a
look, ten each; then by the aligned distance of their pictures (`evaluation.alignment`).

What "too near" means is learned from real clips alone. The *null* distance of a training clip is that to its nearest
training clip of another recording: the whole set is searched, as it is for a generated clip, so that both are nearest
of equally many. Classes differ (two kicks are nearer than two ambiences), so a distance is divided by the median null
distance of its class, and the first percentile of these ratios is the line. A clip that is as new as another recording
of its class falls below it once in a hundred times; real held-out clips show whether that holds. Training clips that
hold one and the same waveform under two recordings say nothing of how near two recordings lie: they count as one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import torch
from torch import Tensor

from audio.measures import Waveform, peak
from evaluation.alignment import LEVEL_PEAK, Picture, aligned_distance
from evaluation.embedders import Embedder
from evaluation.embeddings import BLOCK_ROWS, check_embeddings, squared_distances

SHORTLIST = 10
PERCENTILE = 1.0
FEWEST_NULL = 100
FEWEST_OF_CLASS = 20
FEWEST_RECORDINGS = 5
EVERYTHING = "all clips"


class LevelledEmbedder:
    """An embedder that hears every clip at the same peak: a copy turned down is still a copy.

    Args:
        inner: any embedder.
    """

    def __init__(self, inner: Embedder) -> None:
        self.inner = inner
        self.name = f"{inner.name} levelled"
        self.sample_rate = inner.sample_rate
        self.width = inner.width
        self.fingerprint = inner.fingerprint
        self._block = torch.empty(0, self.width)
        self._used = 0

    def embed(self, waveform: Waveform) -> Tensor:
        """Mono samples at `sample_rate` to `(width,)`."""
        vector = self.inner.embed((waveform * (LEVEL_PEAK / max(peak(waveform), 1e-9))).astype(np.float32))
        # Thousands of vectors are kept. Each would lie where a network's large, short-lived tensors were and keep that
        # space from being used again (1 MB a clip, measured); rows of a block do not.
        if self._used == len(self._block):
            self._block, self._used = torch.empty(BLOCK_ROWS, self.width), 0
        row = self._block[self._used]
        self._used += 1
        return row.copy_(vector)


@dataclass(frozen=True)
class Neighbour:
    """The training clip nearest to a clip.

    Args:
        index: of the training clip; -1 where there is none.
        distance: of the aligned pictures, in nats.
        shift_seconds: that fits the training clip best.
        embedding_index: of the training clip nearest in the embedding alone.
        embedding_nearest: its distance.
    """

    index: int
    distance: float
    shift_seconds: float
    embedding_index: int
    embedding_nearest: float


def shortlist(
    points: Tensor, cloud: Tensor, recordings: Sequence[str], own: Sequence[str] | None = None, size: int = SHORTLIST
) -> tuple[Tensor, Tensor]:
    """The nearest rows of a cloud for every point, those of its own recording left out.

    Args:
        points: `(points, numbers)`.
        cloud: `(clips, numbers)`.
        recordings: of each row of the cloud.
        own: recording of each point; nothing is left out without it.
        size: how many are wanted.

    Returns:
        distances and rows, both `(points, size or fewer)`, nearest first; an infinite distance is no neighbour.
    """
    check_embeddings(cloud, points, fewest=1)
    codes = {name: number for number, name in enumerate(sorted(set(recordings)))}
    of_cloud = torch.tensor([codes[name] for name in recordings])
    of_points = torch.tensor([codes.get(name, -1) for name in own] if own is not None else [-1] * len(points))
    values, rows = [], []
    for start in range(0, len(points), BLOCK_ROWS):
        distances = squared_distances(points[start : start + BLOCK_ROWS].double(), cloud.double())
        distances[of_points[start : start + BLOCK_ROWS, None] == of_cloud[None]] = inf
        found = distances.topk(min(size, len(cloud)), dim=1, largest=False)
        values.append(found.values.sqrt())
        rows.append(found.indices)
    return torch.cat(values), torch.cat(rows)


def nearest_by_picture(
    picture: Picture, cloud: Sequence[Picture], heard: tuple[Tensor, Tensor], also: Sequence[int] = ()
) -> Neighbour:
    """Of the training clips worth a look the one whose aligned picture is nearest.

    Args:
        picture: of the clip.
        cloud: pictures of the training clips.
        heard: distances and rows of the shortlist by the embedding, both `(size,)`.
        also: further rows that are worth a look.
    """
    near = {row: value for value, row in zip(heard[0].tolist(), heard[1].tolist(), strict=True) if value < inf}
    first = int(heard[1][0]) if near else -1
    best = Neighbour(-1, inf, 0.0, first, float(heard[0][0]))
    for row in dict.fromkeys([*near, *also]):
        aligned, shift = aligned_distance(picture, cloud[row], best.distance)
        if aligned < best.distance:
            best = Neighbour(row, aligned, shift, best.embedding_index, best.embedding_nearest)
    return best


@dataclass(frozen=True)
class CopyTest:
    """The line below which a clip is suspected.

    Args:
        ratio: first percentile of null distance over median null distance of the class.
        medians: median null distance of every class, family and of all clips, where there are enough for one.
        null_ratios: of the training clips.
    """

    ratio: float
    medians: dict[str, float]
    null_ratios: tuple[float, ...]

    def group(self, label: str, family: str) -> str:
        """Whose median a clip is compared with: its class, else its family, else all clips."""
        return next((name for name in _names(label, family) if name in self.medians), EVERYTHING)

    def threshold(self, label: str, family: str) -> float:
        """Distance below which a clip of this class is suspected."""
        return self.ratio * self.medians[self.group(label, family)]

    def relative(self, distance: float, label: str, family: str) -> float:
        """Distance over the median null distance of the class."""
        return distance / self.medians[self.group(label, family)]


def fit_copy_test(
    distances: Sequence[float],
    labels: Sequence[str],
    families: Sequence[str],
    recordings: Sequence[str],
    percentile: float = PERCENTILE,
) -> CopyTest:
    """Learn from real clips how near is too near.

    The line is the order statistic k = floor(percentile (n + 1)) of n ratios: a further clip of the same kind lies
    below it with probability k / (n + 1), never more than the percentile.

    Args:
        distances: of training clips to the nearest of another recording; infinite ones do not count.
        labels: class of each.
        families: coarse class of each.
        recordings: of each.
        percentile: of the line.

    Raises:
        ValueError: fewer than a hundred finite distances; says how many there are.
    """
    rows = [row for row in zip(distances, labels, families, recordings, strict=True) if row[0] < inf]
    if len(rows) < FEWEST_NULL:
        raise ValueError(
            f"{len(rows)} training clips have a neighbour of another recording, {FEWEST_NULL} are enough for a first "
            "percentile"
        )
    members: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for distance, label, family, recording in rows:
        for name in (*_names(label, family), EVERYTHING):
            members[name].append((distance, recording))
    # Copies within the training set have distance 0; a median of 0 would divide by it.
    medians = {name: max(_median(group), 1e-9) for name, group in members.items() if _enough(name, group)}
    test = CopyTest(0.0, medians, ())
    ratios = sorted(test.relative(distance, label, family) for distance, label, family, _ in rows)
    place = int(percentile / 100.0 * (len(ratios) + 1))
    return CopyTest(ratios[max(0, place - 1)], medians, tuple(ratios))


def merged(groups: Sequence[str], pairs: Sequence[tuple[int, int]]) -> list[str]:
    """Names of groups after those of every pair have become one.

    Args:
        groups: of each clip.
        pairs: of clips.
    """
    parent = {name: name for name in groups}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for first, second in pairs:
        one, other = sorted((root(groups[first]), root(groups[second])))
        parent[other] = one
    return [root(name) for name in groups]


def _names(label: str, family: str) -> tuple[str, ...]:
    return (f"class {label}", f"family {family}")


def _enough(name: str, group: Sequence[tuple[float, str]]) -> bool:
    recordings = {recording for _, recording in group}
    return name == EVERYTHING or (len(group) >= FEWEST_OF_CLASS and len(recordings) >= FEWEST_RECORDINGS)


def _median(group: Sequence[tuple[float, str]]) -> float:
    return float(np.median([distance for distance, _ in group]))
