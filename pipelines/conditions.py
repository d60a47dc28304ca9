"""What clips should be, as the diffusion stage takes it: prompts, numbers and labels become conditions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from audio.notes import named_pitch
from latent_diffusion.conditioning import Condition
from latent_diffusion.guidance import Mixture
from latent_diffusion.model import LatentDiffusion
from pipelines.morphing import job_meaning
from pipelines.request import Job
from pipelines.shaping import finished_as_asked


def conditions_of(
    diffusion: LatentDiffusion, jobs: Sequence[Job], settings: Mapping[str, Any], latent_frames: int
) -> tuple[Condition | Mixture, Condition | None]:
    """Conditions of a batch, and what is not wanted of it.

    Args:
        diffusion: encodes them.
        jobs: one for each row; all of them are made of as many prompts.
        settings: of `pipelines.settling.settle`.
        latent_frames: of the batch; prompts that follow each other share them.

    Raises:
        ValueError: an unknown label or a number out of range.
    """
    width = diffusion.config.conditioning.text_width
    offsets = torch.stack([job_meaning(job, settings, width) for job in jobs]) if settings["variety"] else None

    def said(prompts: Sequence[str]) -> Condition:
        # A source may be shorter than anything that was trained on.
        shortest = diffusion.config.conditioning.number_ranges.get("seconds", (0.0,))[0]
        numbers = [
            {
                **named_numbers(diffusion, prompt),
                **told_numbers(diffusion, job, settings),
                "seconds": max(shortest, min(job.seconds, diffusion.max_seconds)),
            }
            for prompt, job in zip(prompts, jobs, strict=True)
        ]
        return diffusion.encode_conditions(prompts, [job.label for job in jobs], numbers, offsets)

    unwanted = settings.get("negative_prompt")
    negative = (
        diffusion.encode_conditions([unwanted] * len(jobs), [None] * len(jobs), [{}] * len(jobs)) if unwanted else None
    )
    parts = len(jobs[0].parts)
    if not parts:
        return said([job.prompt for job in jobs]), negative
    weights: Iterable[Tensor] = map(torch.tensor, settings["mix"])
    if settings["glide"]:
        weights = glide_weights(parts, latent_frames, [at / settings["seconds"] for at in settings["glide_at"]])
    elif settings["morph_clips"]:
        place = torch.tensor([job.place for job in jobs])[:, None, None]
        weights = (1.0 - place, place)
    conditions = tuple(said([job.parts[part] for job in jobs]) for part in range(parts))
    return Mixture(conditions, tuple(weights)), negative


def glide_weights(parts: int, latent_frames: int, places: Sequence[float] = ()) -> tuple[Tensor, ...]:
    """Weights of prompts that follow each other, `(latent_frames,)` each: straight from each to the next.

    Args:
        parts: how many prompts.
        latent_frames: how many frames; in each of them the weights sum to one.
        places: where each rules alone, rising shares of the clip; evenly from its first frame to its last when empty.
    """
    order = torch.linspace(0.0, parts - 1.0, latent_frames)
    if places:
        order = _order_at(torch.linspace(0.0, 1.0, latent_frames), torch.tensor(places))
    return tuple((1.0 - (order - part).abs()).clamp(min=0.0) for part in range(parts))


def _order_at(frame: Tensor, own: Tensor) -> Tensor:
    """Which prompt rules each frame, counted from 0 with fractions: `own` is where each rules alone."""
    # How many prompts have had their place, and how far it has gone to the next: before the first it is the first.
    past = torch.searchsorted(own, frame, right=True)
    low, high = (past - 1).clamp(0, len(own) - 1), past.clamp(0, len(own) - 1)
    gone = ((frame - own[low]) / (own[high] - own[low]).clamp(min=1e-9)).clamp(0.0, 1.0)
    return low + torch.where(high > low, gone, torch.zeros_like(gone))


def named_numbers(diffusion: LatentDiffusion, prompt: str) -> dict[str, float]:
    """The note that a prompt names, as a number; nothing where the model knows no such note.

    A number says it better than a word: it is what training knew of every note, however its caption was put.
    """
    pitch = named_pitch(prompt)
    low, high = diffusion.config.conditioning.number_ranges.get("pitch", (0.0, -1.0))
    return {"pitch": pitch} if pitch is not None and low <= pitch <= high else {}


def told_numbers(diffusion: LatentDiffusion, job: Job, settings: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a job that the model is told: all but a level that a gain gives afterwards.

    Guidance would press that one further than asked, down to where the mels hear nothing (ADR 23).

    Raises:
        ValueError: a number out of range, whether it is told or not.
    """
    diffusion.config.conditioning.number_row(job.numbers)
    untold = ("loudness",) if finished_as_asked(settings) else ()
    return {name: number for name, number in job.numbers.items() if name not in untold}
