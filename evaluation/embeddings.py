"""What every statistic of clouds of embeddings shares: their check, and distances in blocks."""

import torch
from torch import Tensor

# Rows of a matrix of distances that are held at once: 10,000 clips then need 40 MiB a block, not 800.
BLOCK_ROWS = 512


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


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """Squared Euclidean distances between the rows of two clouds, `(rows, columns)`."""
    return torch.cdist(first, second).square()
