"""Batches of loops of both kinds: what is struck (`pipelines.striking`) and what goes round (`pipelines.looping`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from latent_diffusion.model import LatentDiffusion
from latent_diffusion.sampling import Seen
from pipelines.decoding import decoded_mels
from pipelines.request import BATCH_CLIPS, Job
from pipelines.striking import heard_seconds, is_struck, laid_over, ring_seconds

if TYPE_CHECKING:
    # The pipeline itself stands on this file.
    from pipelines.text_to_audio import TextToAudioPipeline

# Solver steps by which a sound is heard beforehand.
HEARING_STEPS = 8


@torch.inference_mode()
def with_struck(
    pipeline: "TextToAudioPipeline",
    jobs: Sequence[Job],
    settings: Mapping[str, Any],
    on_step: Callable[[int, int], None] | None = None,
) -> list[Job]:
    """The jobs, told which of them are loops that are struck.

    Clips that are compared are of one kind: the steps of a morph struck if either end is, for it would be silent
    otherwise; tries of one prompt, of which the best are kept, as most of them are.

    Args:
        pipeline: makes them.
        jobs: as asked for, all of one length.
        settings: of `TextToAudioPipeline.settle`.
        on_step: called after every solver step.
    """
    if settings["loop"] is not True:
        return list(jobs)
    quick = {**settings, "solver": pipeline.diffusion.solver_names()[0], "solver_steps": HEARING_STEPS}
    quick |= {"spacing": "even", "shift": 1.0, "loop": False}
    rate, found = pipeline.autoencoder.mel.frame_rate, list[bool]()
    for start in range(0, len(jobs), BATCH_CLIPS):
        heard = heard_seconds(jobs[start].seconds, pipeline.diffusion.max_seconds)
        part = [replace(job, seconds=heard) for job in jobs[start : start + BATCH_CLIPS]]
        log_mels = decoded_mels(pipeline.autoencoder, pipeline.latents(part, quick, on_step))
        found += [is_struck(log_mel, rate) for log_mel in log_mels]
    if settings["morph_clips"]:
        found = [found[0] or found[-1]] * len(found)
    elif settings["best_of"] > 1:
        of_prompt: dict[str, list[bool]] = {}
        for job, struck in zip(jobs, found, strict=True):
            of_prompt.setdefault(job.prompt, []).append(struck)
        found = [2 * sum(of_prompt[job.prompt]) >= len(of_prompt[job.prompt]) for job in jobs]
    return [replace(job, struck=struck) for job, struck in zip(jobs, found, strict=True)]


def hearing_steps(clips: int, settings: Mapping[str, Any]) -> int:
    """How often `on_step` is called until so many clips are heard beforehand; 0 where none are.

    Args:
        clips: in all.
        settings: of all of them.
    """
    return -(-clips // BATCH_CLIPS) * HEARING_STEPS if settings["loop"] is True else 0


class Part(NamedTuple):
    """The clips of a batch that are of one kind.

    Args:
        struck: the kind.
        rows: of the batch.
        jobs: as they are made: struck ones are no loops, and long enough to ring on.
        settings: likewise.
        frames: latent frames of each.
    """

    struck: bool
    rows: list[int]
    jobs: list[Job]
    settings: dict[str, Any]
    frames: int


def any_struck(jobs: Sequence[Job], settings: Mapping[str, Any]) -> bool:
    """Whether a batch holds loops that are struck."""
    return bool(settings["loop"]) and any(job.struck for job in jobs)


def parts_of(diffusion: LatentDiffusion, jobs: Sequence[Job], settings: Mapping[str, Any]) -> Iterator[Part]:
    """A batch of loops by kinds, of those that there are."""
    for struck in (True, False):
        rows = [row for row, job in enumerate(jobs) if job.struck == struck]
        if rows:
            own = [jobs[row] for row in rows]
            own, told = ringing(diffusion, own, settings) if struck else (own, dict(settings))
            yield Part(struck, rows, own, told, diffusion.spec.num_latent_frames(own[0].seconds))


def ringing(
    diffusion: LatentDiffusion, jobs: Sequence[Job], settings: Mapping[str, Any]
) -> tuple[list[Job], dict[str, Any]]:
    """Struck jobs as they are made, with their settings: no loops, and long enough to ring on."""
    alone = [replace(job, seconds=ring_seconds(job.seconds, diffusion.max_seconds), struck=False) for job in jobs]
    return alone, {**settings, "loop": False}


def latents_of_kinds(
    pipeline: "TextToAudioPipeline",
    jobs: Sequence[Job],
    settings: Mapping[str, Any],
    on_step: Callable[[int, int], None] | None = None,
    watch: Seen | None = None,
) -> Tensor:
    """As `TextToAudioPipeline.latents`; a struck clip is as long as it rings, behind the end of others is silence."""
    parts = list(parts_of(pipeline.diffusion, jobs, settings))
    frames = max(part.frames for part in parts)
    silence = torch.tensor(pipeline.diffusion.spec.silence, device=pipeline.device)
    made = silence[None, :, None].repeat(len(jobs), 1, frames)
    for part in parts:
        made[part.rows, :, : part.frames] = pipeline.latents(part.jobs, part.settings, on_step, None, watch)
    return made


def sound_of_kinds(
    pipeline: "TextToAudioPipeline", latents: Tensor, jobs: Sequence[Job], settings: Mapping[str, Any]
) -> Tensor:
    """As `TextToAudioPipeline.sound`, of latents as `latents_of_kinds` gives them: one turn of each."""
    rate = pipeline.sample_rate
    heard = torch.empty(len(jobs), round(jobs[0].seconds * rate))
    for part in parts_of(pipeline.diffusion, jobs, settings):
        made = pipeline.sound(latents[part.rows, :, : part.frames], part.settings, part.jobs)
        made = made[:, : round(part.jobs[0].seconds * rate)]
        heard[part.rows] = laid_over(made, heard.shape[1], rate) if part.struck else made
    return heard
