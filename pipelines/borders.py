"""Can a border be heard? How much a log-mel changes there, over how much it changes elsewhere."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from pipelines.looping import PERCENTILE

# Frames to either side of a border that count as it: a window of the mel, and a little.
BORDER_FRAMES = 4
# Nats below the loudest cell of a clip (52 dB): a border at which nothing is louder is not heard.
AUDIBLE_NATS = 6.0


def cut_scores(log_mel: Tensor, cuts: Sequence[int]) -> list[float]:
    """How much single frames change at each audible cut, over the 95th percentile of such changes elsewhere.

    Of a cut, the change across it counts, and the one before and the one behind it. One place in twenty exceeds a 95th
    percentile, and one of three changes oftener, by chance.

    Args:
        log_mel: `(n_mels, frames)`.
        cuts: first frames behind each; those at the ends, and those in silence, are left out.
    """
    # Number n leads from frame n to the next.
    changes = log_mel.diff(dim=-1).abs().mean(dim=0)
    loud = log_mel.amax(dim=0) > log_mel.max() - AUDIBLE_NATS
    audible = loud[1:] | loud[:-1]
    inside = [at for at in cuts if 2 <= at < len(changes)]
    usual = audible.clone()
    for at in inside:
        usual[at - 2 : at + 1] = False
    if not bool(usual.any()):
        return []
    level = max(float(np.percentile(changes[usual].numpy(), PERCENTILE)), 1e-9)
    return [float(changes[at - 2 : at + 1].max()) / level for at in inside if bool(audible[at - 1])]


def border_scores(log_mel: Tensor, borders: Sequence[int]) -> Iterator[float]:
    """The largest change around the worst audible border, over the 95th percentile of the same around other places.

    Args:
        log_mel: `(n_mels, frames)`.
        borders: frames; those at the ends, and those in silence, are left out.

    Yields:
        one score, or none where no border is to be judged.
    """
    around = 2 * BORDER_FRAMES
    changes = log_mel.diff(dim=-1).abs().mean(dim=0)
    if len(changes) <= around:
        return
    # Row n: what changes from n on, around frame n + BORDER_FRAMES.
    worst = changes.unfold(0, around, 1).amax(dim=1)
    audible = log_mel.amax(dim=0) > log_mel.max() - AUDIBLE_NATS
    rows = [at - BORDER_FRAMES for at in borders if BORDER_FRAMES <= at < len(changes) - BORDER_FRAMES]
    heard = [row for row in rows if bool(audible[row : row + around].any())]
    near = torch.zeros(len(worst), dtype=torch.bool)
    for row in rows:
        near[max(0, row - around) : row + around] = True
    usual = audible[BORDER_FRAMES : BORDER_FRAMES + len(worst)] & ~near
    if heard and bool(usual.any()):
        level = float(np.percentile(worst[usual].numpy(), PERCENTILE))
        yield max(float(worst[row]) for row in heard) / max(level, 1e-9)
