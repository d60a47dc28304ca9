"""Fresh noise for solvers that add some on the way."""

import torch
from torch import Tensor

from latent_diffusion.solvers import FreshNoise


def row_noise(noise: Tensor, valid_frames: Tensor | None = None) -> FreshNoise:
    """Fresh noise that depends on each row's own first noise alone: a row is the same alone and in a batch.

    Args:
        noise: the first noise, `(batch, channels, latent_frames)`.
        valid_frames: `(batch,)`; noise beyond it is neither looked at nor drawn.
    """
    channels, frames = noise.shape[1:]
    lengths = [frames] * len(noise) if valid_frames is None else [int(length) for length in valid_frames]
    # The first noise names its row: the bits of some of its numbers are the seed.
    first = noise[:, :, 0].detach().to("cpu", torch.float32).contiguous().view(torch.int32).long()
    seeds = [int((row * torch.arange(1, channels + 1) * 2_654_435_761).sum()) % 2**62 for row in first]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def fresh(index: int) -> Tensor:
        result = torch.zeros(noise.shape)
        for row, (length, generator) in enumerate(zip(lengths, generators, strict=True)):
            result[row, :, :length] = torch.randn(channels, length, generator=generator)
        return result.to(noise)

    return fresh
