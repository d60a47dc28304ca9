"""What every statistic of clouds of embeddings shares: their check, and distances in blocks."""

import torch
from torch import Tensor

# Rows of a matrix of distances that are held at once: 10,000 clips then need 40 MiB a block, not 800.
BLOCK_ROWS = 512
LEAST_PARTICIPATION = 0.35


def check_embeddings(*clouds: Tensor, fewest: int = 2) -> None:
    """Refuse what is no cloud.

    Raises:
        ValueError: wrong shapes, different widths, numbers that are not finite, or too few rows.
    """
    for cloud in clouds:
        if cloud.dim() != 2 or cloud.shape[1] != clouds[0].shape[1]:
            raise ValueError(f"embeddings: expected (clips, {clouds[0].shape[-1]}), got {tuple(cloud.shape)}")
        if len(cloud) < fewest:
            raise ValueError(f"embeddings: expected at least {fewest} clips, got {len(cloud)}")
        if not cloud.isfinite().all():
            raise ValueError("embeddings: some numbers are not finite")


def heavy_tails(*clouds: Tensor) -> str:
    """Why no interval can be trusted, where a few clips carry most of a cloud's variance; empty elsewhere.

    With r the squared distances of clips from their mean, (sum r)^2 / (N sum r^2) is 0.9 to 1 for Gaussians of many
    numbers, 0.86 for aiSFX on one-shots, and 0.1 where tails are log-normal; there intervals were too short.
    """
    for cloud in clouds:
        spread = (cloud - cloud.double().mean(dim=0)).square().sum(dim=1).double()
        if float(spread.sum().square()) < LEAST_PARTICIPATION * len(spread) * float(spread.square().sum()):
            return "a few clips carry most of the variance: no honest interval is known for tails so heavy"
    return ""


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Squared Euclidean distances between the rows of two clouds, `(rows, columns)`."""
    return torch.cdist(first, second).square()
