"""A field on more than the network can see at once: window by window, on a line or on a circle.

At every time the line is cut into pieces, and the network sees each piece inside a window of the length it knows, with
frames of both neighbours around it. The cuts lie elsewhere at every time. A network that knows where a sound begins
would begin one in every window; as the cuts move, no place is the first, except the line's own beginning, where a
window always begins, and its end. On a circle there is no such place, and one window may hold all of it.

(Windows of one field after Bar-Tal, Yariv, Lipman, Dekel, "MultiDiffusion", 2023, there averaged where they overlap;
pieces whose cuts move need no averaging, which takes the edge off noise-like sounds.)
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from latent_diffusion.conditioning import Condition
from latent_diffusion.guidance import ConditionedField

# How often the cuts go round between noise and data; so crooked that steps do not see one place twice (but at 31 and 62
# even steps, of which it is nearly a multiple: there cuts wander over a fifth of a piece only).
TURNS = 61.8033988
# Rows that the network is asked for at once.
ROWS_TOGETHER = 32
ENDLESS = 1e6


def looped_field(field: ConditionedField, window: int, margin: int) -> ConditionedField:
    """A field on a circle.

    Args:
        field: on a line.
        window: what the network sees at most, in latent frames, more than twice the margin.
        margin: latent frames of either neighbour that a piece hears.
    """

    def looped(latents: Tensor, time: Tensor, condition: Condition) -> Tensor:
        frames = latents.shape[-1]
        count = -(-frames // (window - 2 * margin))
        piece = -(-frames // count)
        cut = int(frames * turned(float(time.flatten()[0])))
        rows = torch.arange(-margin, piece + margin, device=latents.device)
        # The last piece begins early enough to end at the cut: where pieces overlap, both are as good.
        starts = [min(number * piece, frames - piece) for number in range(count)]
        windows = [latents[..., (rows + cut + start) % frames] for start in starts]
        # A circle has no end, near or far.
        made = _asked(field, windows, time, condition, [ENDLESS] * count)
        around = made[0].new_empty(*made[0].shape[:-1], frames)
        for start, one in zip(starts, made, strict=True):
            around[..., start : start + piece] = one[..., margin : margin + piece]
        return around.roll(cut, dims=-1)

    return looped


def windowed_field(field: ConditionedField, window: int, margin: int, after: int = 0) -> ConditionedField:
    """A field on a line of any length, which tells each window how much of the line follows it.

    Args:
        field: on at most `window` frames.
        window: what the network sees, in latent frames, more than twice the margin.
        margin: latent frames of either neighbour that a piece hears, at least.
        after: latent frames that follow the line itself.
    """

    def windowed(latents: Tensor, time: Tensor, condition: Condition) -> Tensor:
        frames = latents.shape[-1]
        if frames <= window:
            return field(latents, time, condition.followed_by(after) if after else condition)
        pieces = list(cut_line(frames, window, margin, turned(float(time.flatten()[0]))))
        windows = [latents[..., begin : begin + window] for _, _, begin in pieces]
        left = [float(after + frames - begin - window) for _, _, begin in pieces]
        made = _asked(field, windows, time, condition, left)
        parts = [one[..., start - begin : end - begin] for (start, end, begin), one in zip(pieces, made, strict=True)]
        return torch.cat(parts, dim=-1)

    return windowed


def line_margin(window: int) -> int:
    """Latent frames of either neighbour that a piece of a line hears, of a window's."""
    return window // 4


def cuts_at(frames: int, window: int, time: float) -> list[int]:
    """The frames at which pieces of a line meet at a time; none of a line that one window holds.

    Args:
        frames: of the line.
        window: frames that the network sees.
        time: 0 noise, 1 data.
    """
    if frames <= window:
        return []
    return [end for _, end, _ in cut_line(frames, window, line_margin(window), turned(time))][:-1]


def cut_line(frames: int, window: int, margin: int, place: float) -> Iterator[tuple[int, int, int]]:
    """Pieces of a line: first frame, frame behind the last, first frame of the window around it.

    Args:
        frames: of the line, more than a window.
        window: frames of each window.
        margin: frames of either neighbour, but at the line's ends.
        place: where the first cut lies, 0 to 1 of the longest piece.
    """
    longest = window - 2 * margin
    # The first window begins with the line, so its piece may be longer by a margin, and is never shorter than one.
    end = margin + max(1, round(longest * place))
    start = 0
    while start < frames:
        end = frames if end >= frames - margin else end
        yield start, end, max(0, min(start - margin, frames - window))
        start, end = end, end + longest


def turned(time: float) -> float:
    """Where cuts lie at a time, 0 to 1."""
    turn = time * TURNS
    return turn - math.floor(turn)


def _asked(
    field: ConditionedField, windows: list[Tensor], time: Tensor, condition: Condition, after: list[float]
) -> list[Tensor]:
    """The field of each window, several of them at once, told how many frames follow each."""
    rows = len(windows[0])
    together = max(1, ROWS_TOGETHER // rows)
    made: list[Tensor] = []
    for first in range(0, len(windows), together):
        part = windows[first : first + together]
        follow = torch.tensor(after[first : first + together], device=part[0].device).repeat_interleave(rows)
        many = condition.repeated(len(part)).followed_by(follow)
        made += field(torch.cat(part), time.expand(rows).repeat(len(part)), many).chunk(len(part))
    return made
