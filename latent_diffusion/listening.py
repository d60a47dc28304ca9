"""An ear for the validation of stage 2: the kernel distance between generated latents and real ones.

Each clip becomes one vector: mean, standard deviation and mean absolute step of every whitened channel over its own
frames. The distance is that of pairs (evaluation/paired_kernel.py), on vectors that cost nothing.
"""

from math import inf

import torch
from torch import Tensor

from evaluation.kernel import kernel_bandwidth
from evaluation.paired_kernel import paired_kernel_distance
from latent_diffusion.flow import frame_mask

FEWEST_CLIPS = 20


def describe_latents(latents: Tensor, valid_frames: Tensor) -> Tensor:
    """Vectors of clips, `(batch, 3 * channels)`.

    Args:
        latents: whitened, `(batch, channels, latent_frames)`.
        valid_frames: of each row, `(batch,)`; what lies beyond is not looked at.
    """
    mask = frame_mask(valid_frames, latents.shape[-1])[:, None].to(latents)
    count = valid_frames.to(latents)[:, None]
    mean = (latents * mask).sum(dim=2) / count
    deviation = (((latents - mean[:, :, None]) * mask).square().sum(dim=2) / count).sqrt()
    steps = (latents.diff(dim=2).abs() * mask[:, :, 1:]).sum(dim=2) / (count - 1.0).clamp(min=1.0)
    return torch.cat([mean, deviation, steps], dim=1)


def check_heard(clips: int, draws: int) -> None:
    """Refuse a kernel distance that is to choose a checkpoint, and cannot be had.

    Args:
        clips: to be generated at every validation.
        draws: of a validation.

    Raises:
        ValueError: fewer than 20 of either.
    """
    if min(clips, draws) < FEWEST_CLIPS:
        raise ValueError(
            f"early_stopping.monitor: the kernel distance needs kernel_clips and at least {FEWEST_CLIPS} "
            f"validation draws; got {clips} kernel_clips and {draws} draws. Raise them, or monitor "
            "validation/velocity_loss"
        )


class LatentEar:
    """Collects clips over the batches of a validation.

    Args:
        clips: to be generated; 0 turns the ear off.

    Raises:
        ValueError: a number of clips that no distance can be had of.
    """

    def __init__(self, clips: int) -> None:
        if clips != 0 and clips < FEWEST_CLIPS:
            raise ValueError(f"kernel_clips: expected 0 (off) or at least {FEWEST_CLIPS}, got {clips}")
        self.clips = clips
        self._made: list[Tensor] = []
        self._real: list[Tensor] = []

    @property
    def missing(self) -> int:
        """How many clips are still wanted."""
        return self.clips - sum(len(part) for part in self._made)

    def add(self, made: Tensor, real: Tensor, valid_frames: Tensor) -> None:
        """Take in generated and real whitened latents of the same captions and lengths."""
        self._made.append(describe_latents(made.float(), valid_frames).cpu())
        self._real.append(describe_latents(real.float(), valid_frames).cpu())

    def distance(self, needed: bool = False) -> float | None:
        """The kernel distance, times 1,000; forgets the clips.

        None of fewer than 20 clips, of clips that are all alike, and of numbers that are not finite: a run goes on.

        Args:
            needed: a checkpoint is chosen by it: of the last two it is infinite, which ends a run in words.

        Raises:
            ValueError: it is needed, and there are too few clips.
        """
        made, real = (torch.cat(parts) if parts else torch.zeros(0, 1) for parts in (self._made, self._real))
        self._made, self._real = [], []
        if len(made) < FEWEST_CLIPS:
            if needed:
                check_heard(self.clips, len(made))
            return None
        try:
            # Each was made for the caption and the length of its real one: they are pairs, not two clouds.
            return paired_kernel_distance(made, real, torch.arange(len(made)), kernel_bandwidth(real)).value
        except ValueError:
            return inf if needed else None
