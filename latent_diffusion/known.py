"""Frames that are known beforehand: the beginning of a sound that goes on, the sides of a gap that is filled.

The network sees them twice: noised like all others, as the sampler holds them, and clean, with a flag,

    known = (kept * data, kept)

so that it need not guess what it is to join. Training makes some frames of some rows known, and asks for the others
alone. (Given as further inputs, as in Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models",
2022, section 4.5, for masks.)
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from latent_diffusion.conditioning import Condition
from latent_diffusion.guidance import ConditionedField

# How often what is known is: the beginning, the beginning from within a sound, the end, both sides, the midst.
KINDS = ("beginning", "within", "end", "sides", "midst")
SHARES = (0.25, 0.25, 0.1, 0.3, 0.1)
# Of a sound: where a row that begins within it begins at the latest.
LATEST = 0.8


@dataclass(frozen=True)
class Known:
    """What is known of one row.

    Args:
        offset: frame of its clip with which the row begins.
        kept: `(frames,)`, True where a frame is known; a row that begins within its clip may be shorter than asked for.
    """

    offset: int
    kept: Tensor


def nothing_known(frames: int) -> Known:
    """A row of which nothing is known, `frames` long."""
    return Known(0, torch.zeros(frames, dtype=torch.bool))


def draw_known(share: float, sound: int, frames: int, generator: torch.Generator) -> Known:
    """Decide what of a row is known.

    Args:
        share: how often anything is.
        sound: frames of the clip's sound.
        frames: of the row.
        generator: decides.
    """
    whole = max(sound, frames)
    drawn, place = torch.rand((), generator=generator), torch.rand(3, generator=generator)
    if float(drawn) >= share or frames < 2:
        return nothing_known(frames)
    kind = KINDS[int(torch.multinomial(torch.tensor(SHARES), 1, generator=generator))]
    offset = 0
    if kind == "within":
        # Such a row ends where its clip does: silence behind it would teach sounds to end too early.
        offset = min(int(place[2] * LATEST * sound), whole - 2)
        frames = min(frames, whole - offset)
    # At least one frame is known and one is not.
    cut = 1 + int(place[0] * (frames - 1))
    other = 1 + int(place[1] * (frames - 1))
    first, last = min(cut, other), max(cut, other)
    at = torch.arange(frames)
    if kind in ("beginning", "within"):
        kept = at < cut
    elif kind == "end":
        kept = at >= cut
    elif kind == "sides":
        kept = (at < first) | (at >= max(last, first + 1))
    else:
        kept = (at >= first) & (at < max(last, first + 1))
    return Known(offset, kept)


def known_frames(data: Tensor, kept: Tensor) -> Tensor:
    """What the network is told of known frames: `(batch, channels + 1, latent_frames)`.

    Args:
        data: whitened latents, `(batch, channels, latent_frames)`.
        kept: `(batch, latent_frames)`, True where they are known.
    """
    flag = kept[:, None].to(data)
    return torch.cat([data * flag, flag], dim=1)


def told_field(field: ConditionedField, known: Tensor) -> ConditionedField:
    """A field that hears of known frames; they travel as further channels, so that windows cut them alike.

    Args:
        field: of noisy latents with `known` behind their channels.
        known: of `known_frames`.
    """

    def told(latents: Tensor, time: Tensor, condition: Condition) -> Tensor:
        beside = known.to(latents).repeat(len(latents) // len(known), 1, 1)
        return field(torch.cat([latents, beside], dim=1), time, condition)

    return told


def split_known(latents: Tensor, channels: int) -> tuple[Tensor, Tensor | None]:
    """Noisy latents, and what travels behind their channels, if anything."""
    if latents.shape[1] == channels:
        return latents, None
    return latents[:, :channels], latents[:, channels:]
