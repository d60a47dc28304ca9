"""Where a mel VAE starts: at the best linear one.

Blocks of `frames_per_latent` mel frames x have mean m and covariance C = V diag(variance) V'. With the first k columns
of V, the linear autoencoder

    z = variance^(-1/2) V' (x - m),    x' = m + V variance^(1/2) z

loses least of all linear ones in squared error, and its latents are white (Baldi, Hornik, "Neural networks and
principal component analysis", 1989). The networks beside it start at zero and learn what no line can.
"""

import math

import torch
from torch import Tensor, nn

from autoencoder.layers import ResidualSequence
from autoencoder.model import MelVAE

# Standard deviation of the posterior at the start, where the prior's is 1.
START_STD = 0.1
SMALLEST_VARIANCE = 1e-6


class BlockMoments:
    """Mean and covariance of blocks of mel frames, summed up over batches in float64.

    Args:
        numbers: in a block: mel bins times frames.
    """

    def __init__(self, numbers: int) -> None:
        self.count = 0
        self.total = torch.zeros(numbers, dtype=torch.float64)
        self.products = torch.zeros(numbers, numbers, dtype=torch.float64)

    def add(self, blocks: Tensor) -> None:
        """Take in blocks `(count, numbers)`."""
        blocks = blocks.double().cpu()
        self.count += len(blocks)
        self.total += blocks.sum(dim=0)
        self.products += blocks.T @ blocks

    def mean_and_covariance(self) -> tuple[Tensor, Tensor]:
        """`(numbers,)` and `(numbers, numbers)`.

        Raises:
            ValueError: fewer than two blocks.
        """
        if self.count < 2:
            raise ValueError("principal components: the training clips hold fewer than two blocks of mel frames")
        mean = self.total / self.count
        return mean, self.products / self.count - mean[:, None] * mean[None]


def frame_blocks(network: MelVAE, log_mel: Tensor, valid_frames: Tensor) -> Tensor:
    """The normalised blocks that lie inside their clips, `(blocks, factor * n_mels)`, stacked as `Downsample` does.

    Args:
        network: gives the normalisation and the frames of a block.
        log_mel: `(batch, n_mels, frames)`.
        valid_frames: of each row, `(batch,)`.
    """
    factor = network.config.frames_per_latent
    rows = []
    for row, frames in zip(network.normalise(log_mel), valid_frames.tolist(), strict=True):
        whole = min(int(frames), row.shape[-1]) // factor
        inside = row[:, : whole * factor].reshape(row.shape[0], whole, factor)
        rows.append(inside.permute(1, 2, 0).reshape(whole, -1))
    return torch.cat(rows)


@torch.no_grad()
def start_at_principal_components(network: MelVAE, moments: BlockMoments) -> None:
    """Set the linear maps of encoder and decoder.

    Args:
        network: with `linear_path`.
        moments: of the training blocks, from `frame_blocks`.

    Raises:
        ValueError: a network without a linear path, or more latent channels than a block has numbers.
    """
    if not isinstance(network.encoder, ResidualSequence) or not isinstance(network.decoder, ResidualSequence):
        raise ValueError("principal components: the network has no linear path")
    mean, covariance = moments.mean_and_covariance()
    channels = network.config.latent_channels
    if channels > len(mean):
        raise ValueError(f"latent_channels: expected at most the {len(mean)} numbers of a block, got {channels}")
    values, vectors = torch.linalg.eigh(covariance)
    variance = values.flip(0)[:channels].clamp(min=SMALLEST_VARIANCE)
    axes = vectors.flip(1)[:, :channels]
    analysis = axes.T / variance.sqrt()[:, None]
    log_variance = torch.full((channels,), 2.0 * math.log(START_STD), dtype=torch.float64)
    down = torch.cat([analysis, torch.zeros_like(analysis)])
    _set(network.encoder.linear.mix, down, torch.cat([-analysis @ mean, log_variance]))
    _set(network.decoder.linear.mix, axes * variance.sqrt(), mean)


def _set(mix: nn.Conv1d, weight: Tensor, bias: Tensor) -> None:
    """Put a matrix and an offset into a point-wise convolution."""
    mix.load_state_dict({"weight": weight[:, :, None].float(), "bias": bias.float()})
