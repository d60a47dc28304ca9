"""The two ends of the chain: the noise a clip starts from, and the last touches on its waveform."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio.measures import loudness_db
from pipelines.request import AudioOutput, Job
from pipelines.stereo import mono_of, widen

PEAK_LIMIT = 0.99
FADE_SECONDS = 0.01
MOST_GAIN_DB = 20.0


def clip_noise(seed: int, index: int, channels: int, frames: int) -> Tensor:
    """The noise of clip `index` of `seed`: `(channels, frames)`, drawn on the CPU."""
    return torch.randn(channels, frames, generator=named_generator(f"{seed}:{index}"))


def named_generator(name: str) -> torch.Generator:
    """A generator on the CPU whose seed is the hash of a name."""
    digest = hashlib.sha256(name.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def finish(
    waveforms: Tensor,
    sample_rate: int,
    fade_out: bool = True,
    stereo: float = 0.0,
    loudness: Sequence[float | None] = (),
) -> tuple[Tensor, tuple[bool, ...]]:
    """Give the clips their width and the level that was asked for, guard the peak and end in a short fade.

    Args:
        waveforms: `(clips, samples)`, which are changed.
        sample_rate: in Hz.
        fade_out: a loop has no end to fade.
        stereo: width of two channels; 0 is one.
        loudness: dBFS of each clip's loudest 50 ms, None where it is as it came; all are when left out.

    Returns:
        the clips, `(clips, samples)` or `(clips, 2, samples)`, and for each whether its level was lowered.
    """
    if stereo:
        waveforms = widen(waveforms, sample_rate, stereo, circular=not fade_out)
    for waveform, wanted in zip(waveforms, loudness, strict=bool(loudness)):
        if wanted is not None:
            waveform *= level_gain(waveform, sample_rate, wanted)
    peaks = waveforms.abs().flatten(1).amax(dim=1).view(-1, *[1] * (waveforms.ndim - 1))
    guarded = tuple((peaks.flatten() > PEAK_LIMIT).tolist())
    # In place: of a clip of minutes there is no second copy.
    waveforms *= torch.where(peaks > PEAK_LIMIT, PEAK_LIMIT / peaks.clamp(min=1e-9), 1.0)
    if not fade_out:
        return waveforms, guarded
    length = min(round(FADE_SECONDS * sample_rate), waveforms.shape[-1])
    fade = torch.cos(torch.linspace(0.0, math.pi / 2, length)).square()
    waveforms[..., -length:] *= fade
    return waveforms, guarded


def level_gain(waveform: Tensor, sample_rate: int, wanted: float) -> float:
    """What brings a clip to a level, by 20 dB at most: the model comes close, and guidance presses further than asked.

    Args:
        waveform: `(samples,)` or `(2, samples)`.
        sample_rate: in Hz.
        wanted: dBFS of its loudest 50 ms.
    """
    level = loudness_db(np.asarray(mono_of(waveform).numpy(), dtype=np.float32), sample_rate)
    return float(10.0 ** (max(-MOST_GAIN_DB, min(MOST_GAIN_DB, wanted - level)) / 20.0))


def asked_loudness(settings: Mapping[str, Any], jobs: Sequence[Job]) -> list[float | None]:
    """Of each clip; none where a source is worked on, for what is kept of it stays as it is."""
    return [None if settings["edit"] is not None else job.numbers.get("loudness") for job in jobs]


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
    own = {**settings, "seconds": jobs[row].seconds, "label": jobs[row].label}
    return output_of(waveforms[row : row + 1], jobs, [row], own, sample_rate)


def output_of(
    waveforms: Tensor, jobs: Sequence[Job], rows: Sequence[int], settings: Mapping[str, Any], sample_rate: int
) -> AudioOutput:
    """Some of the clips that were made, finished.

    Args:
        waveforms: one for each of `rows`, `(rows, samples)`, at least as long as the settings say; they may be changed.
        jobs: all that were made.
        rows: which of them these are.
        settings: of all of them.
        sample_rate: in Hz.
    """
    samples = round(settings["seconds"] * sample_rate)
    # What comes out of inference mode cannot be changed outside it. A long clip does not, and there is no second of it.
    own = waveforms[:, :samples]
    loudness = asked_loudness(settings, [jobs[row] for row in rows])
    own = own.clone() if own.is_inference() else own
    made, guarded = finish(own, sample_rate, not settings["loop"], settings["stereo"], loudness)
    return AudioOutput(
        waveforms=made,
        sample_rate=sample_rate,
        prompts=tuple(jobs[row].prompt for row in rows),
        indices=tuple(jobs[row].index for row in rows),
        seed=settings["seed"],
        settings=dict(settings),
        guarded=guarded,
        jobs=tuple(jobs),
        rows=tuple(rows),
    )
