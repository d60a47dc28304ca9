"""The two ends of the chain: the noise a clip starts from, and the last touches on its waveform."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pipelines.request import AudioOutput, Job

PEAK_LIMIT = 0.99
FADE_SECONDS = 0.01


def clip_noise(seed: int, index: int, channels: int, frames: int) -> Tensor:
    """The noise of clip `index` of `seed`: `(channels, frames)`, drawn on the CPU."""
    digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randn(channels, frames, generator=generator)


def finish(waveforms: Tensor, sample_rate: int, fade_out: bool = True) -> tuple[Tensor, tuple[bool, ...]]:
    """Guard the peak and end in a short fade.

    Args:
        waveforms: `(clips, samples)`.
        sample_rate: in Hz.
        fade_out: a loop has no end to fade.

    Returns:
        the clips, and for each whether its level was lowered.
    """
    peaks = waveforms.abs().amax(dim=1, keepdim=True)
    waveforms = waveforms * torch.where(peaks > PEAK_LIMIT, PEAK_LIMIT / peaks.clamp(min=1e-9), 1.0)
    if not fade_out:
        return waveforms, tuple((peaks[:, 0] > PEAK_LIMIT).tolist())
    length = min(round(FADE_SECONDS * sample_rate), waveforms.shape[1])
    fade = torch.cos(torch.linspace(0.0, math.pi / 2, length)).square()
    waveforms[:, -length:] *= fade
    return waveforms, tuple((peaks[:, 0] > PEAK_LIMIT).tolist())


def clip_of(
    waveforms: Tensor, jobs: Sequence[Job], row: int, settings: Mapping[str, Any], sample_rate: int
) -> AudioOutput:
    """One clip of a batch, finished, which still knows the others.

    Args:
        waveforms: `(clips, samples)` of the batch.
        jobs: of the batch.
        row: of the clip.
        settings: of all of them.
        sample_rate: in Hz.
    """
    job = jobs[row]
    samples = round(job.seconds * sample_rate)
    made, guarded = finish(waveforms[row : row + 1, :samples].clone(), sample_rate, not settings["loop"])
    return AudioOutput(
        waveforms=made,
        sample_rate=sample_rate,
        prompts=(job.prompt,),
        indices=(job.index,),
        seed=settings["seed"],
        settings={**settings, "seconds": job.seconds, "label": job.label},
        guarded=guarded,
        jobs=tuple(jobs),
        first_row=row,
    )
