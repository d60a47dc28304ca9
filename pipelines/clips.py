"""Generated clips on disk: a sound file, a picture and a page of facts for each, never over another clip."""

import importlib.metadata
import json
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audio.files import write_aside, write_audio
from audio.measures import Waveform, brightness_hz, loudness_db
from audio.mel import MelConfig
from pipelines.looping import seam_score
from pipelines.provenance import REVISION, as_comment, batch_of, telling
from pipelines.request import BATCH_CLIPS, AudioOutput
from pipelines.stereo import band_coherence, mono_of
from pipelines.text_to_audio import TextToAudioPipeline

SUFFIXES = (".wav", ".flac", ".ogg")
# What `--watch` writes beside a clip.
WATCHED = ("_watch.png", "_watch.wav")
VERSIONED = ("melisma", "torch", "torchaudio", "vocos", "safetensors")


@dataclass(frozen=True)
class WrittenClip:
    """A clip on disk.

    Args:
        audio: its sound file.
        prompt: that it was made from.
        seconds: length.
        loudness: of its loudest 50 ms, in dBFS.
        brightness: spectral centroid, in Hz.
        guarded: its peak was lowered to avoid clipping.
        tuned: by how many semitones it was moved to be in tune; 0 where it was left alone.
        seam: of a loop, how rough its seam is, on its circle or at its end (`pipelines.looping.seam_score`).
        attack: of a loop that is struck, the seconds into the file at which it begins anew.
        coherence: of two channels, how alike they are in three bands (`pipelines.stereo.band_coherence`).
    """

    audio: Path
    prompt: str
    seconds: float
    loudness: float
    brightness: float
    guarded: bool
    tuned: float = 0.0
    seam: float | None = None
    attack: float | None = None
    coherence: tuple[float, ...] | None = None


def check_writable(folder: Path, bytes_needed: int) -> None:
    """Find out before any work whether clips can be written.

    Raises:
        ValueError: the folder cannot be made or written, or the disk is too full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        raise ValueError(f"out: cannot write into '{folder}' ({(error.strerror or str(error)).lower()})") from error
    if free < bytes_needed:
        raise ValueError(
            f"out: '{folder}' has {free / 2**20:.1f} MiB free, these clips need {bytes_needed / 2**20:.1f} MiB"
        )


def write_clips(
    output: AudioOutput, pipeline: TextToAudioPipeline, folder: Path, kind: str, plot: bool, name: str | None = None
) -> Iterator[WrittenClip]:
    """Write every clip with its page and, if asked, its picture.

    Args:
        output: what was generated.
        pipeline: that generated it.
        folder: to write into.
        kind: wav, flac or ogg.
        plot: write spectrogram pictures too.
        name: of the one clip, without suffix: a picture or page that lies there without its sound is written over; a
            free name of its own for each when left out.

    Raises:
        ValueError: the disk is full, or the folder cannot be written. Nothing half-written stays.
    """
    for row, (prompt, index) in enumerate(zip(output.prompts, output.indices, strict=True)):
        made = output.waveforms[row]
        waveform = np.asarray(mono_of(made).numpy(), dtype=np.float32)
        base = folder / name if name else free_name(folder, name_of(output, row))
        facts = WrittenClip(
            audio=base.with_name(f"{base.name}.{kind}"),
            prompt=prompt,
            seconds=len(waveform) / output.sample_rate,
            loudness=round(loudness_db(waveform, output.sample_rate), 2),
            brightness=round(brightness_hz(waveform, output.sample_rate), 1),
            guarded=output.guarded[row],
            tuned=round(output.tuned[row], 2),
            seam=seam_score(mono_of(made), pipeline.autoencoder.mel, output.closing(row)) if output.origins else None,
            attack=output.origins[row] / output.sample_rate if output.struck(row) else None,
            coherence=tuple(band_coherence(made, output.sample_rate)) if made.ndim == 2 else None,
        )
        page = {**_page(facts, index, output, pipeline), "batch": batch_of(output, output.rows[row], BATCH_CLIPS)}
        picture = base.with_name(f"{base.name}.png")
        text = base.with_name(f"{base.name}.json")
        try:
            if plot:
                write_spectrogram(picture, waveform, pipeline.autoencoder.mel, prompt)
            with write_aside(text) as aside:
                aside.write_text(json.dumps(page, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            # The sound comes last: where it is, its page and picture are.
            write_audio(facts.audio, made.numpy(), output.sample_rate, as_comment(page))
        except BaseException:
            for path in (picture, text, facts.audio):
                path.unlink(missing_ok=True)
            raise
        yield facts


def clip_name(prompt: str, seed: int, index: int | str) -> str:
    """`a-deep-kick_seed7_0`: words of the prompt, the seed and the clip's number."""
    words = re.sub(r"[^\w]+", "-", prompt.strip().lower()).strip("-_")[:60].strip("-_")
    return f"{words or 'clip'}_seed{seed}_{index}"


def name_of(output: AudioOutput, row: int) -> str:
    """The name of one of some clips; the steps of a morph, which are all clip 0, are counted so that they sort."""
    prompt, step = output.prompts[row], output.jobs[output.rows[row]].step
    number = f"{step:0{len(str(output.settings['morph_clips']))}}" if step else str(output.indices[row])
    return clip_name(prompt, output.seed, number)


def free_name(folder: Path, name: str) -> Path:
    """`folder/name`, or with `_2`, `_3` … where files of that name exist."""
    for number in range(1, 1_000_000):
        base = folder / (name if number == 1 else f"{name}_{number}")
        if not any(base.with_name(base.name + suffix).exists() for suffix in (*SUFFIXES, ".json", ".png", *WATCHED)):
            return base
    raise ValueError(f"out: '{folder}' holds a million clips named {name}")


def write_spectrogram(path: Path, waveform: Waveform, mel: MelConfig, title: str) -> None:
    """A picture of the clip's log-mel, with seconds and Hz on its axes.

    Args:
        path: of the PNG.
        waveform: samples, mono.
        mel: contract of the picture.
        title: shown above it.

    Raises:
        ValueError: the file cannot be written.
    """
    # Matplotlib is slow to import, and a run without pictures needs none.
    from evaluation.pictures import spectrogram_figure

    figure = spectrogram_figure(waveform, mel, title)
    with write_aside(path) as aside:
        figure.savefig(aside, format="png")


def _page(facts: WrittenClip, index: int, output: AudioOutput, pipeline: TextToAudioPipeline) -> dict[str, Any]:
    # A vocoder behind a mel adapter says how far the adapted mel is off, in nats.
    loss = getattr(pipeline.vocoder, "adapter_loss", None)
    return {
        **origin(facts.prompt, index, output.settings, pipeline),
        "measured": {
            "seconds": round(facts.seconds, 4),
            "loudness": facts.loudness,
            "brightness": facts.brightness,
            "peak_guarded": facts.guarded,
            **({"tuned_semitones": facts.tuned} if facts.tuned else {}),
            **({} if facts.seam is None else {"seam": round(facts.seam, 3)}),
            **({} if facts.attack is None else {"attack": round(facts.attack, 4)}),
            **({} if facts.coherence is None else {"coherence": [round(value, 3) for value in facts.coherence]}),
        },
        **({} if loss is None else {"adapter_loss": loss}),
    }


def origin(prompt: str, index: int, settings: dict[str, Any], pipeline: TextToAudioPipeline) -> dict[str, Any]:
    """What is known of a clip before it is made."""
    return {
        "prompt": prompt,
        "seed": settings["seed"],
        "clip": index,
        "sample_rate": pipeline.sample_rate,
        "settings": telling(settings),
        "stages": pipeline.fingerprints,
        "licences": list(pipeline.licences),
        "versions": versions(),
        "revision": REVISION,
        # Sums depend on what computes them, and on how many threads share them.
        "device": pipeline.device.type,
        "threads": torch.get_num_threads(),
        **({"loaded": pipeline.loaded} if pipeline.loaded else {}),
    }


def versions() -> dict[str, str]:
    """Of what takes part in making a sound."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "checkout"
    return found
