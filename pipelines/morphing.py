"""From one sound to another in so many clips: between two seeds, two prompts or two recordings.

noise      great circle between the two (its length stays that of noise)
prompts    weighted sum of what the model says to each
recordings straight line between their latents, then a variation of strength `strength`
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from audio.files import AUDIO_SUFFIXES
from pipelines.request import Job
from pipelines.shaping import clip_noise

Kind = Literal["seeds", "prompts", "clips"]


def morph_kind(ends: Sequence[str]) -> Kind:
    """What two words of `--morph` are: whole numbers are seeds, sound files are clips, everything else is prompts.

    Raises:
        ValueError: not two, or two of different kinds.
    """
    if any(not end.strip() for end in ends):
        raise ValueError("morph: expected some words, got an empty end")
    if len(ends) != 2:
        raise ValueError(f"morph: expected two prompts, two seeds or two sound files, got {len(ends)}")
    kinds = [_kind(end) for end in ends]
    if kinds[0] != kinds[1]:
        raise ValueError(f"morph: expected two of one kind, got {kinds[0]} and {kinds[1]} ({ends[0]!r}, {ends[1]!r})")
    return kinds[0]


def _kind(end: str) -> Kind:
    if end.isdecimal():
        return "seeds"
    return "clips" if Path(end).suffix.lower() in AUDIO_SUFFIXES else "prompts"


def great_circle(first: Tensor, second: Tensor, place: float) -> Tensor:
    """Between two noises at equal angles (Shoemake, "Animating rotation with quaternion curves", 1985)."""
    cosine = (first * second).sum() / (first.norm() * second.norm()).clamp(min=1e-12)
    angle = torch.arccos(cosine.clamp(-1.0, 1.0))
    if float(angle) < 1e-4:
        return torch.lerp(first, second, place)
    made: Tensor = (torch.sin((1.0 - place) * angle) * first + torch.sin(place * angle) * second) / torch.sin(angle)
    return made


def job_noise(job: Job, settings: Mapping[str, Any], channels: int, frames: int) -> Tensor:
    """The noise a clip starts from, `(channels, frames)`: its own, or one between two seeds."""
    own = clip_noise(settings["seed"], job.index, channels, frames)
    if settings["to_seed"] is None:
        return own
    return great_circle(own, clip_noise(settings["to_seed"], job.index, channels, frames), job.place)
