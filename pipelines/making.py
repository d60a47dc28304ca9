"""The clips of a request as they are made, so that those that are done are nobody's to lose.

Batches are made one after the other, and what is made of one does not wait for the next. Two kinds must: the best of
several are chosen among all tries of a prompt, so the batches up to one that ends with a prompt go together; the steps
of a morph are placed and guarded alike, so all of them do. How clips are shared out among batches is the same in any
case, and so are their samples.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from latent_diffusion.likelihood import PASSES
from pipelines.canvas import Canvas
from pipelines.decoding import decoded_mels, decoded_rows
from pipelines.morphing import evened
from pipelines.ranking import best_rows, evidence
from pipelines.request import BATCH_CLIPS, AudioOutput, Job, Request, jobs_of
from pipelines.settling import steps_run
from pipelines.shaping import output_of
from pipelines.turns import any_struck, hearing_steps, with_struck

if TYPE_CHECKING:
    # The pipeline's own `run` stands on this file.
    from pipelines.text_to_audio import TextToAudioPipeline

OnStep = Callable[[int, int], None]
OnPart = Callable[[str, int], None]


def outputs(
    pipeline: "TextToAudioPipeline", request: Request, on_step: OnStep | None = None, on_part: OnPart | None = None
) -> Iterator[AudioOutput]:
    """Make what a request asks for.

    Args:
        pipeline: makes it.
        request: what is asked for.
        on_step: called after every solver step of every batch, and after every pass of the judge of the best.
        on_part: told the name of each part of the work as it begins, and how many of these steps it has.

    Yields:
        clips that are done, in the order of their numbers.

    Raises:
        ValueError: a setting out of its range.
    """
    settings = pipeline.settle(request)
    jobs, canvas = jobs_of(request, settings), pipeline.canvas(settings)
    tell = on_part or (lambda _name, _steps: None)
    together = BATCH_CLIPS
    if settings["best_of"] > 1:
        together = math.lcm(BATCH_CLIPS, request.num_clips * request.best_of)
    elif settings["morph_clips"]:
        together = len(jobs)
    for start in range(0, len(jobs), together):
        part = jobs[start : start + together]
        if heard := hearing_steps(len(part), settings):
            tell("listening for what is struck", heard)
            part = with_struck(pipeline, part, settings, on_step)
        if settings["morph_clips"]:
            part = placed(pipeline, part, settings, canvas, on_step, tell)
        if heard or not start:
            # Of loops each part is told by itself, for nobody knows before which are struck.
            tell("generating", steps_of(part if heard else jobs, settings))
        yield _output(pipeline, part, request.num_clips, settings, canvas, on_step)


def steps_of(jobs: Sequence[Job], settings: dict[str, Any]) -> int:
    """How often `on_step` is called until some clips are made.

    Args:
        jobs: all of them, with those that are not kept.
        settings: of `TextToAudioPipeline.settle`.
    """
    batches = [jobs[start : start + BATCH_CLIPS] for start in range(0, len(jobs), BATCH_CLIPS)]
    # Struck loops and others are made apart.
    runs = sum(len({job.struck for job in batch}) for batch in batches)
    return runs * (steps_run(settings) + (PASSES if settings["best_of"] > 1 else 0))


def placed(
    pipeline: "TextToAudioPipeline",
    jobs: Sequence[Job],
    settings: dict[str, Any],
    canvas: Canvas | None,
    on_step: OnStep | None,
    tell: OnPart,
) -> list[Job]:
    """The steps of a morph, where the sound goes evenly from one to the next; arguments as in `outputs`."""

    def log_mels(some: Sequence[Job]) -> torch.Tensor:
        latents = pipeline.latents(some, settings, on_step, canvas)
        if any_struck(some, settings):
            # Of a struck loop the first turn, by far the loudest of its ring.
            return decoded_mels(
                pipeline.autoencoder, latents[..., : pipeline.diffusion.spec.num_latent_frames(some[0].seconds)]
            )
        return decoded_mels(pipeline.autoencoder, latents, bool(settings["loop"]))

    return evened(
        jobs, log_mels, BATCH_CLIPS, lambda count: tell("placing the steps", steps_of(jobs[:count], settings))
    )


def joined(parts: Sequence[AudioOutput]) -> AudioOutput:
    """One output of several that follow each other."""
    if len(parts) == 1:
        return parts[0]
    rows: list[int] = []
    jobs: list[Job] = []
    for part in parts:
        rows += [len(jobs) + row for row in part.rows]
        jobs += part.jobs
    return replace(
        parts[0],
        waveforms=torch.cat([part.waveforms for part in parts]),
        prompts=tuple(prompt for part in parts for prompt in part.prompts),
        indices=tuple(index for part in parts for index in part.indices),
        guarded=tuple(guarded for part in parts for guarded in part.guarded),
        tuned=tuple(tuned for part in parts for tuned in part.tuned),
        origins=tuple(origin for part in parts for origin in part.origins),
        jobs=tuple(jobs),
        rows=tuple(rows),
    )


def _output(
    pipeline: "TextToAudioPipeline",
    jobs: Sequence[Job],
    num_clips: int,
    settings: dict[str, Any],
    canvas: Canvas | None,
    on_step: OnStep | None,
) -> AudioOutput:
    """Clips of some batches that need no other."""
    parts = [jobs[start : start + BATCH_CLIPS] for start in range(0, len(jobs), BATCH_CLIPS)]
    latents = [pipeline.latents(part, settings, on_step, canvas) for part in parts]
    rows: Sequence[int] = range(len(jobs))
    if settings["best_of"] > 1:
        batches = zip(latents, parts, strict=True)
        scores = [score for batch in batches for score in evidence(pipeline.diffusion, *batch, settings, on_step)]
        rows = best_rows(jobs, scores, num_clips)
    waveforms = decoded_rows(latents, rows, lambda number: pipeline.sound(latents[number], settings, parts[number]))
    return output_of(waveforms, jobs, rows, settings, pipeline.autoencoder.mel, canvas)
