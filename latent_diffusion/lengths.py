"""Which total lengths training sees: a clip's own, cut short, or followed by silence."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LengthConfig:
    """Total lengths in training.

    Args:
        min_seconds: shortest.
        max_seconds: longest; longer clips are cut from their start.
        own: how often a clip keeps its own length.
        cut: how often it is cut; otherwise silence follows it.

    Raises:
        ValueError: lengths or shares that cannot be.
    """

    min_seconds: float = 0.05
    max_seconds: float = 3.0
    own: float = 0.3
    cut: float = 0.1

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0.0 < self.min_seconds < self.max_seconds <= 600.0:
            raise ValueError(
                "data.lengths: expected 0 < min_seconds < max_seconds <= 600, "
                f"got {self.min_seconds} and {self.max_seconds}"
            )
        if self.own < 0.0 or self.cut < 0.0 or self.own + self.cut > 1.0:
            raise ValueError(f"data.lengths: expected own + cut between 0 and 1, got {self.own} and {self.cut}")

    def draw(self, frames: Tensor, latent_rate: float, generator: torch.Generator) -> Tensor:
        """Total latent frames of clips that have `frames` of their own, `(draws,)`; cut and longer are log-uniform."""
        low, high = self.limits(latent_rate)
        own = frames.clamp(low, high)
        share, place = torch.rand(2, len(frames), generator=generator)
        start = torch.where(share < self.own + self.cut, low, own).double()
        end = torch.where(share < self.own + self.cut, own, high).double()
        drawn = (start.log() + place * (end.log() - start.log())).exp().round().long()
        return torch.where(share < self.own, own, drawn.clamp(low, high))

    def limits(self, latent_rate: float) -> tuple[int, int]:
        """Fewest and most latent frames."""
        most = max(2, math.floor(self.max_seconds * latent_rate))
        return min(most - 1, max(1, math.ceil(self.min_seconds * latent_rate))), most
