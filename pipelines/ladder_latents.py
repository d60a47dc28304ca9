"""Latents that a model makes for the captions of real clips, on disk: decoded often, made once.

They lie in a folder named after model, settings and list of prompts, a file each: a killed run goes on where it was.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from audio.dataset import Clip
from audio.files import write_aside
from pipelines.counterparts import counterpart_prompt
from pipelines.request import BATCH_CLIPS, Job, Request
from pipelines.settling import SHORTEST_SECONDS
from pipelines.text_to_audio import TextToAudioPipeline

KEY = "latents"


def latent_jobs(pipeline: TextToAudioPipeline, clips: Sequence[Clip]) -> list[Job]:
    """One clip for each real one, with its caption and its length, as in `pipelines.counterparts`."""
    longest = pipeline.defaults.max_seconds
    return [
        Job(counterpart_prompt(clip, number), number, min(max(clip.seconds, SHORTEST_SECONDS), longest))
        for number, clip in enumerate(clips)
    ]


def make_latents(
    pipeline: TextToAudioPipeline,
    clips: Sequence[Clip],
    folder: Path,
    seed: int = 0,
    on_clip: Callable[[], None] | None = None,
) -> list[Path]:
    """Sample latents for the captions of clips, or find those of an earlier run.

    Args:
        pipeline: of the model.
        clips: real ones.
        folder: of all latents.
        seed: clip i draws its noise from (seed, i).
        on_clip: called after every clip.

    Returns:
        a file for each clip, in their order; see `read_latents`.

    Raises:
        ValueError: the folder cannot be written.
    """
    jobs = latent_jobs(pipeline, clips)
    settings = pipeline.settle(Request(prompts=("ladder",), seed=seed))
    identity = [pipeline.fingerprints, settings, [[job.prompt, round(job.seconds, 6)] for job in jobs]]
    name = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    paths = [folder / name / f"{number:05d}.safetensors" for number in range(len(jobs))]
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    for _ in range(len(jobs) - len(missing)):
        if on_clip:
            on_clip()
    # Clips of like length share a batch.
    missing.sort(key=lambda number: jobs[number].seconds)
    for start in range(0, len(missing), BATCH_CLIPS):
        part = missing[start : start + BATCH_CLIPS]
        batch = pipeline.latents([jobs[number] for number in part], settings).float().cpu()
        for number, latents in zip(part, batch, strict=True):
            frames = pipeline.diffusion.spec.num_latent_frames(jobs[number].seconds)
            with write_aside(paths[number]) as aside:
                save_file({KEY: latents[:, :frames].contiguous()}, aside)
            if on_clip:
                on_clip()
    return paths


def read_latents(path: Path) -> Tensor:
    """Raw latents `(1, channels, latent_frames)`.

    Raises:
        ValueError: the file is broken.
    """
    try:
        return load_file(path)[KEY][None]
    except (safetensors.SafetensorError, OSError, KeyError) as error:
        raise ValueError(f"{path}: no latents in it; delete it, and they are made again") from error


@torch.inference_mode()
def decode_latents(pipeline: TextToAudioPipeline, latents: Tensor) -> Tensor:
    """Log-mel `(batch, n_mels, frames)` of latents and the lead ahead of them, in the pipeline's precision."""
    with torch.autocast(pipeline.device.type, pipeline.precision, enabled=pipeline.precision != torch.float32):
        log_mel = pipeline.autoencoder.decode(pipeline.autoencoder.led(latents.to(pipeline.device)))
    return log_mel.float()
