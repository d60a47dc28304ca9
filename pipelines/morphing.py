"""From one sound to another in so many clips: between two seeds, two prompts or two recordings.

noise      great circle between the two (its length stays that of noise), and so what the words mean (ADR 28)
prompts    weighted sum of what the model says to each
recordings straight line between their latents, then a variation of strength `strength`

A model does not go evenly along such a way: a kick stays a kick for long, and is a bell all at once. So places are
chosen where the sound has gone equally far, by the log-mels of clips at other places, and chosen again from those.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audio.files import AUDIO_SUFFIXES
from pipelines.request import Job
from pipelines.shaping import clip_noise, named_generator

# Times that places are chosen anew, and the longest step over the median one at which they are good enough.
ROUNDS, EVEN_ENOUGH = 4, 1.5

# Sound files that would be taken for words.
UNREAD_SUFFIXES = (".m4a", ".aac", ".wma", ".mp4", ".webm", ".amr", ".ac3", ".ape", ".mka")

Kind = Literal["seeds", "prompts", "clips"]


def morph_kind(ends: Sequence[str]) -> Kind:
    """What two words of `--morph` are: whole numbers are seeds, sound files are clips, everything else is prompts.

    Raises:
        ValueError: not two, or two of different kinds.
    """
    if any(not end.strip() for end in ends):
        raise ValueError("morph: expected some words, got an empty end")
    unread = [end for end in ends if Path(end).suffix.lower() in UNREAD_SUFFIXES]
    if unread:
        kinds_read = ", ".join(sorted(suffix.lstrip(".") for suffix in AUDIO_SUFFIXES))
        raise ValueError(f"morph: '{unread[0]}' is a sound file that is not read here; save it as one of {kinds_read}")
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


def job_meaning(job: Job, settings: Mapping[str, Any], width: int) -> Tensor:
    """What is added to the words of a clip, `(width,)`, so that the same words mean something else in each.

    A random direction that its seed chooses, times the variety that is asked for; between two seeds one between.
    """

    def drawn(seed: int) -> Tensor:
        return torch.randn(width, generator=named_generator(f"{seed}:{job.index}:words"))

    own = drawn(settings["seed"])
    if settings["to_seed"] is not None:
        own = great_circle(own, drawn(settings["to_seed"]), job.place)
    return float(settings["variety"]) * own


@torch.inference_mode()
def evened(
    jobs: Sequence[Job],
    log_mels: Callable[[Sequence[Job]], Tensor],
    batch_clips: int,
    on_round: Callable[[int], None] | None = None,
) -> list[Job]:
    """The jobs of a morph at places between which the sound goes equally far.

    Args:
        jobs: in the order of their places, evenly placed.
        log_mels: makes them: `(jobs, n_mels, frames)`.
        batch_clips: so many at once.
        on_round: told, as each round begins, of how many clips the mels are made.
    """
    known: dict[float, Tensor] = {}
    best, fewest = list(jobs), float("inf")
    for _ in range(ROUNDS + 1):
        new = [job for job in jobs if job.place not in known]
        if on_round is not None:
            on_round(len(new))
        for start in range(0, len(new), batch_clips):
            some = new[start : start + batch_clips]
            known |= {job.place: one for job, one in zip(some, log_mels(some), strict=True)}
        steps = step_lengths([known[job.place] for job in jobs])
        roughness = float(steps.max() / max(float(np.median(steps)), 1e-9))
        if roughness < fewest:
            best, fewest = list(jobs), roughness
        if fewest <= EVEN_ENOUGH:
            break
        places = sorted(known)
        chosen = even_places(places, step_lengths([known[place] for place in places]), len(jobs))
        jobs = [replace(job, place=place) for job, place in zip(jobs, chosen, strict=True)]
    return best


def step_lengths(log_mels: Sequence[Tensor]) -> NDArray[np.float64]:
    """Mean absolute difference of each to the next."""
    return np.array([float((one - other).abs().mean()) for one, other in pairwise(log_mels)])


def even_places(places: Sequence[float], steps: NDArray[np.float64], count: int) -> list[float]:
    """So many places that lie equally far apart along a way.

    Args:
        places: known ones, rising from 0 to 1.
        steps: from each to the next, in any measure.
        count: wanted, at least two.
    """
    gone = np.concatenate([[0.0], np.cumsum(steps)])
    if gone[-1] <= 0.0:
        return [number / (count - 1) for number in range(count)]
    found: list[float] = np.interp(np.linspace(0.0, gone[-1], count), gone, np.array(places)).tolist()
    return [0.0, *found[1:-1], 1.0]
