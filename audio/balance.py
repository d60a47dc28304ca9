"""How often each clip is drawn in training, so that large classes and sources do not drown the small ones."""

from collections import Counter
from collections.abc import Iterable
from typing import Protocol


class Drawn(Protocol):
    """What a clip must tell to be weighed: clips of a folder and rows of a latent file both do."""

    @property
    def source(self) -> str:
        """Where it came from."""

    @property
    def family(self) -> str:
        """Its coarse class."""

    @property
    def rendered(self) -> bool:
        """Made by a synthesiser, not recorded."""


def balanced_weights(clips: Iterable[Drawn], balance: float) -> list[float]:
    """How often each clip is drawn.

    A clip of a (source, family) cell with n clips weighs n ** -balance; that is multiplied by m ** (-balance / 2),
    where m clips are, like it, recorded or rendered.

    Args:
        clips: of one split.
        balance: 0 draws all clips alike, 1 all cells alike.

    Raises:
        ValueError: balance outside [0, 1].
    """
    if not 0.0 <= balance <= 1.0:
        raise ValueError(f"balance: expected 0 to 1, got {balance}")
    clips = list(clips)
    cells = Counter((clip.source, clip.family) for clip in clips)
    kinds = Counter(clip.rendered for clip in clips)
    return [
        (cells[clip.source, clip.family] ** -balance) * (kinds[clip.rendered] ** (-0.5 * balance)) for clip in clips
    ]
