"""The two ends of the chain: the noise a clip starts from, and the last touches on its waveform."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from audio.intonation import tune
from audio.measures import loudness_db
from audio.mel import MelConfig
from audio.tilting import tilt_toward, tilted
from pipelines.canvas import Canvas
from pipelines.guarding import PEAK_LIMIT, Zone, lowered
from pipelines.looping import begun_at, smooth_starts
from pipelines.request import AudioOutput, Job
from pipelines.stereo import mono_of, widen
from pipelines.striking import attack_frame
from pipelines.tuning import note_of

FADE_SECONDS = 0.01
# More would lift what hiss a clip has.
MOST_LIFT_DB = 30.0
# An octave: more would lift hiss where a sound has nothing.
MOST_TILT_DB = 6.0
# Longer sounds are not played faster or slower: they would end seconds early.
LONGEST_TUNED_SECONDS = 10.0


def clip_noise(seed: int, index: int, channels: int, frames: int) -> Tensor:
    """The noise of clip `index` of `seed`: `(channels, frames)`, drawn on the CPU."""
    return torch.randn(channels, frames, generator=named_generator(f"{seed}:{index}"))


def named_generator(name: str) -> torch.Generator:
    """A generator on the CPU whose seed is the hash of a name."""
    digest = hashlib.sha256(name.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class Finished(NamedTuple):
    """Clips with the last touches.

    Args:
        waveforms: `(clips, samples)` or `(clips, 2, samples)`.
        guarded: for each, whether its level was lowered.
        tuned: for each, by how many semitones it was moved to be in tune; 0 where it was left alone.
        loudest: peak of all of them, before the guard.
    """

    waveforms: Tensor
    guarded: tuple[bool, ...]
    tuned: tuple[float, ...]
    loudest: float


def finish(
    waveforms: Tensor,
    sample_rate: int,
    fade_out: bool = True,
    stereo: float = 0.0,
    asked: Sequence[Mapping[str, float]] = (),
    least_peak: float | None = None,
    zones: Sequence[Zone] = (),
) -> Finished:
    """Give the clips the note, brightness, width and level that were asked for, guard the peak and end in a short fade.

    Args:
        waveforms: `(clips, samples)`, which are changed.
        sample_rate: in Hz.
        fade_out: a loop has no end to fade.
        stereo: width of two channels; 0 is one.
        asked: of each clip, `note` as a MIDI number, `brightness` in Hz and `loudness` in dBFS of its loudest 50 ms,
            where it is not as it came.
        least_peak: the clips are steps of one way, and are guarded alike, by the loudest of them or by this where it is
            louder; each by its own peak where None.
        zones: where clips are not what they keep of a recording: they are lowered there alone, unless what is kept is
            too loud itself; as a whole where there are none.
    """
    tuned = [0.0] * len(waveforms)
    for row, (waveform, numbers) in enumerate(zip(waveforms, asked, strict=bool(asked))):
        # A loop played faster would not close.
        if "note" in numbers and fade_out and len(waveform) <= LONGEST_TUNED_SECONDS * sample_rate:
            tuned[row] = tune(waveform.numpy(), sample_rate, numbers["note"])
        if "brightness" in numbers:
            colour(waveform, sample_rate, numbers["brightness"], circular=not fade_out)
    if stereo:
        waveforms = widen(waveforms, sample_rate, stereo, circular=not fade_out)
    for waveform, numbers in zip(waveforms, asked, strict=bool(asked)):
        if "loudness" in numbers:
            waveform *= level_gain(waveform, sample_rate, numbers["loudness"])
    peaks = waveforms.abs().flatten(1).amax(dim=1).view(-1, *[1] * (waveforms.ndim - 1))
    loudest = max(float(peaks.max()), least_peak or 0.0)
    if least_peak is not None:
        peaks = torch.full_like(peaks, loudest)
    # In place: of a clip of minutes there is no second copy.
    if zones:
        guarded = lowered(waveforms, zones)
    else:
        guarded = tuple((peaks.flatten() > PEAK_LIMIT).tolist())
        waveforms *= torch.where(peaks > PEAK_LIMIT, PEAK_LIMIT / peaks.clamp(min=1e-9), 1.0)
    if not fade_out:
        return Finished(waveforms, guarded, tuple(tuned), loudest)
    length = min(round(FADE_SECONDS * sample_rate), waveforms.shape[-1])
    fade = torch.cos(torch.linspace(0.0, math.pi / 2, length)).square()
    waveforms[..., -length:] *= fade
    return Finished(waveforms, guarded, tuple(tuned), loudest)


def level_gain(waveform: Tensor, sample_rate: int, wanted: float) -> float:
    """What brings a clip to a level, which the transformer is not told (ADR 23); up by 30 dB at most.

    Args:
        waveform: `(samples,)` or `(2, samples)`.
        sample_rate: in Hz.
        wanted: dBFS of its loudest 50 ms.
    """
    level = loudness_db(np.asarray(mono_of(waveform).numpy(), dtype=np.float32), sample_rate)
    return float(10.0 ** (min(MOST_LIFT_DB, wanted - level) / 20.0))


def colour(waveform: Tensor, sample_rate: int, wanted: float, circular: bool) -> None:
    """Tilt the spectrum of a clip toward a brightness, by 6 dB an octave at most: the model leads most of the way.

    Args:
        waveform: `(samples,)`, which is changed.
        sample_rate: in Hz.
        wanted: spectral centroid, in Hz.
        circular: it is a loop.
    """
    own = waveform.numpy()
    tilted(own, sample_rate, tilt_toward(own, sample_rate, wanted, MOST_TILT_DB), circular, in_place=True)


def finished_as_asked(settings: Mapping[str, Any]) -> bool:
    """Whether finished clips are given the note, the level and the brightness that were asked for.

    Not where a source is worked on, for what is kept of it stays as it is; nor in a stream, whose loudest moment nobody
    knows before it is made.
    """
    return settings.get("edit") is None and not settings.get("stream")


def asked_of(settings: Mapping[str, Any], jobs: Sequence[Job]) -> list[Mapping[str, float]]:
    """Of each clip."""
    if not finished_as_asked(settings):
        return [{} for _ in jobs]
    # The steps of a morph are even as they came: none is moved by itself.
    notes = [None if settings["morph_clips"] else note_of(job) for job in jobs]
    return [{**job.numbers, **({} if note is None else {"note": note})} for job, note in zip(jobs, notes, strict=True)]


def clip_of(
    waveforms: Tensor,
    jobs: Sequence[Job],
    row: int,
    settings: Mapping[str, Any],
    mel: MelConfig,
    canvas: Canvas | None = None,
) -> AudioOutput:
    """One clip of a batch, finished, which still knows the others.

    Args:
        waveforms: `(clips, samples)` of the batch.
        jobs: of the batch.
        row: of the clip.
        settings: of all of them.
        mel: of the model.
        canvas: that they were laid on, where they start from a sound.
    """
    own = {**settings, "seconds": jobs[row].seconds, "label": jobs[row].label}
    return output_of(waveforms[row : row + 1], jobs, [row], own, mel, canvas)


def output_of(
    waveforms: Tensor,
    jobs: Sequence[Job],
    rows: Sequence[int],
    settings: Mapping[str, Any],
    mel: MelConfig,
    canvas: Canvas | None = None,
) -> AudioOutput:
    """Some of the clips that were made, finished.

    Args:
        waveforms: one for each of `rows`, `(rows, samples)`, at least as long as the settings say; they may be changed.
        jobs: all that were made.
        rows: which of them these are.
        settings: of all of them.
        mel: of the model.
        canvas: that they were laid on, where they start from a sound.
    """
    samples = round(settings["seconds"] * mel.sample_rate)
    # What comes out of inference mode cannot be changed outside it. A long clip does not, and there is no second of it.
    own = waveforms[:, :samples]
    asked = asked_of(settings, [jobs[row] for row in rows])
    own = own.clone() if own.is_inference() else own
    # Of a morph made again, one clip alone, the page tells how loud the others were, and where all of them begin.
    least = float(settings.get("loudest", 0.0)) if settings["morph_clips"] else None
    struck = [jobs[row].struck for row in rows]
    starts = loop_starts(own, struck, settings, mel) if settings["loop"] else []
    own = begun_at(own, starts, mel) if starts else own
    zones = canvas.zones if canvas else ()
    made = finish(own, mel.sample_rate, not settings["loop"], settings["stereo"], asked, least, zones)
    together = {} if least is None else {"loudest": made.loudest, **({"loop_start": starts[0]} if starts else {})}
    return AudioOutput(
        waveforms=made.waveforms,
        sample_rate=mel.sample_rate,
        prompts=tuple(jobs[row].prompt for row in rows),
        indices=tuple(jobs[row].index for row in rows),
        seed=settings["seed"],
        settings={**settings, **together},
        guarded=made.guarded,
        tuned=made.tuned,
        jobs=tuple(jobs),
        rows=tuple(rows),
        origins=tuple(-start * mel.hop_length % samples for start in starts),
    )


def loop_starts(waveforms: Tensor, struck: Sequence[bool], settings: Mapping[str, Any], mel: MelConfig) -> list[int]:
    """The frame at which each loop is to begin; the steps of a morph all at the same.

    Args:
        waveforms: `(clips, samples)`.
        struck: whether each of them is: the file begins a little before it does.
        settings: of all of them.
        mel: of the model.
    """
    known = settings.get("loop_start")
    if known is not None:
        return [int(known)] * len(waveforms)
    frames = waveforms.shape[1] // mel.hop_length
    starts = [frames - attack_frame(mel, frames, settings["stereo"] > 0.0)] * len(waveforms)
    circles = [row for row, own in enumerate(struck) if not own]
    if circles:
        smooth = smooth_starts(waveforms[circles], mel, together=bool(settings["morph_clips"]))
        for row, start in zip(circles, smooth, strict=True):
            starts[row] = start
    return starts
