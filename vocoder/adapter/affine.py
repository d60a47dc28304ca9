"""The simplest repair of a foreign mel, as a yardstick: the best gain and offset for each band.

    x_t[band] = a[band] x_s[band'] + b[band]                  least squares

The frames are taken at the target's times; band' is the source's band of the same number, as if the one mel were the
other, or the one with the nearest middle frequency, which is fairer.
"""

import torch
from einops import rearrange
from torch import Tensor

from audio.mel import MelConfig
from vocoder.adapter.grids import between_frames


class AffineFix:
    """Fitted from sums, so that any number of clips fits into memory.

    Args:
        source: the contract that is read.
        target: the contract that is made.
        bands: the source's band for each band of the target, `(target n_mels,)`.
    """

    def __init__(self, source: MelConfig, target: MelConfig, bands: Tensor) -> None:
        self.source, self.target = source, target
        self.bands = bands
        self.sums = torch.zeros(5, target.n_mels, dtype=torch.float64)

    def raw(self, log_mel: Tensor, wanted: int) -> Tensor:
        """The source's bands in the target's places, unchanged: `(batch, target n_mels, wanted)`."""
        return between_frames(log_mel[:, self.bands.to(log_mel.device)], self.source, self.target, wanted)

    def add(self, log_mel: Tensor, target: Tensor, inside: Tensor) -> None:
        """Take a batch into the sums.

        Args:
            log_mel: of the source, `(batch, source n_mels, frames)`.
            target: what it should become, `(batch, target n_mels, target frames)`.
            inside: frames that count, `(batch, target frames)`.
        """
        x = rearrange(self.raw(log_mel, target.shape[-1]), "batch bands frames -> bands (batch frames)")
        y = rearrange(target, "batch bands frames -> bands (batch frames)")
        keep = rearrange(inside, "batch frames -> (batch frames)")
        x, y = x[:, keep].double().cpu(), y[:, keep].double().cpu()
        self.sums += torch.stack([torch.ones_like(x), x, y, x * x, x * y]).sum(dim=2)

    def __call__(self, log_mel: Tensor, wanted: int) -> Tensor:
        """The repaired log-mel `(batch, target n_mels, wanted)`."""
        count, x, y, xx, xy = self.sums
        count = count.clamp(min=1.0)
        variance = (xx / count - (x / count).square()).clamp(min=1e-12)
        gain = (xy / count - x * y / count.square()) / variance
        offset = y / count - gain * x / count
        gain, offset = (value.float().to(log_mel.device)[:, None] for value in (gain, offset))
        repaired: Tensor = gain * self.raw(log_mel, wanted) + offset
        return repaired.clamp(min=self.target.log_mel_floor)
