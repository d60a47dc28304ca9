"""Best of several: more clips than asked for are made, and those kept that fit their prompt best.

The judge is the diffusion stage itself (`latent_diffusion.likelihood`), so it is there with any bundle and knows
whatever the model was taught: words, labels, notes, lengths.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from latent_diffusion.conditioning import Condition
from latent_diffusion.likelihood import prompt_evidence
from latent_diffusion.model import LatentDiffusion
from pipelines.conditions import conditions_of
from pipelines.request import Job, Request
from pipelines.turns import any_struck, parts_of

MOST = 64


def check_best_of(request: Request) -> None:
    """Refuse a number of tries that is none, and requests whose clips do not answer one prompt.

    Raises:
        ValueError: says what is wrong.
    """
    if isinstance(request.best_of, bool) or not 1 <= request.best_of <= MOST:
        raise ValueError(f"best_of: expected 1 to {MOST}, got {request.best_of}")
    if request.best_of == 1:
        return
    if request.mix or request.glide or request.morph_clips:
        raise ValueError("best_of ranks clips of one prompt: it contradicts mix, glide and morph")
    if not request.prompts:
        raise ValueError("best_of: needs a prompt to rank clips by")


def evidence(
    diffusion: LatentDiffusion,
    latents: Tensor,
    jobs: Sequence[Job],
    settings: Mapping[str, Any],
    on_pass: Callable[[int, int], None] | None = None,
) -> list[float]:
    """How well each of a batch's latents fit what its job asks for; more is better.

    Args:
        diffusion: judges.
        latents: raw, `(clips, channels, latent_frames)`.
        jobs: one for each.
        settings: of `pipelines.settling.settle`.
        on_pass: called after each pass of the judge.

    Raises:
        ValueError: jobs that are made of several prompts.
    """
    if any_struck(jobs, settings):
        scores: dict[int, float] = {}
        for part in parts_of(diffusion, jobs, settings):
            given = (latents[part.rows, :, : part.frames], part.jobs, part.settings)
            scores |= zip(part.rows, evidence(diffusion, *given, on_pass), strict=True)
        return [scores[row] for row in range(len(jobs))]
    # By the plain words, however each of them was meant.
    condition, _ = conditions_of(diffusion, jobs, {**settings, "variety": 0.0}, latents.shape[-1])
    if not isinstance(condition, Condition):
        raise ValueError("best_of: expected jobs of one prompt each, got several that sound together")
    return [float(value) for value in prompt_evidence(diffusion, latents, condition, bool(settings["loop"]), on_pass)]


def best_rows(jobs: Sequence[Job], scores: Sequence[float], num_clips: int) -> list[int]:
    """The rows to keep, prompt by prompt in their order, the best of each first.

    Args:
        jobs: all clips that were made.
        scores: one for each.
        num_clips: to keep of each prompt.
    """
    kept: list[int] = []
    starts = [row for row, job in enumerate(jobs) if job.index == 0]
    for start, end in zip(starts, [*starts[1:], len(jobs)], strict=True):
        order = torch.tensor(scores[start:end]).argsort(descending=True, stable=True)
        kept += [start + int(place) for place in order[:num_clips]]
    return kept
