"""`python -m pipelines.gallery`: what every mode makes of one recording, as a strip of spectrograms and as sounds."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram
from evaluation.pictures import save_small, strip_figure
from pipelines.clips import check_writable
from pipelines.gallery_edits import extend, long_edit, mask, recordings, strength, style
from pipelines.gallery_maker import Gallery, Sound
from pipelines.gallery_sampling import autoguidance, eta, guidance, scale, solvers, times
from pipelines.gallery_words import (
    best_of,
    glide,
    labels,
    long,
    loop,
    morph,
    numbers,
    prompts,
    seeds,
    stereo,
    table,
    variety,
)
from pipelines.text_to_audio import TextToAudioPipeline
from training.command import answer, run_command, say

PICTURE_DPI = 80
ABOUT_BYTES = 64 * 2**20

MODES: dict[str, Callable[[Gallery], Iterator[Sound]]] = {
    mode.__name__: mode
    for mode in (
        *(strength, mask, long_edit, extend, prompts, glide, numbers, labels, table, best_of, variety, style, loop),
        *(morph, seeds, recordings, long, stereo, scale, solvers, eta, times, guidance, autoguidance),
    )
}


def gallery(
    audio: Path,
    out: Path,
    prompt: str = "a sound",
    model: Path | None = None,
    modes: list[str] | None = None,
    sounds: bool = True,
    seed: int = 3,
    solver_steps: int | None = None,
) -> None:
    """Show what every mode makes of one recording: OUT/MODE.png, and the sounds beside it.

    Args:
        audio: a sound file, up to a few seconds long.
        out: folder to write into.
        prompt: what the recording could be called.
        model: folder of a bundle; the bundled model when left out.
        modes: strength, mask, long_edit, extend, prompts, glide, numbers, labels, table, best_of, variety, style, loop,
            morph, seeds, recordings, long, stereo, scale, solvers, eta, times, guidance, autoguidance; all when left
            out.
        sounds: write the sounds too.
        seed: of everything.
        solver_steps: of the solver; from the bundle when left out.

    Raises:
        ValueError: an unreadable file, an unknown mode, or a model that cannot do one of them.
    """
    unknown = [name for name in modes or () if name not in MODES]
    if unknown:
        raise ValueError(f"modes: expected some of {', '.join(MODES)}, got {', '.join(unknown)}")
    read_audio(audio)
    shown = Gallery(TextToAudioPipeline.from_pretrained(model), audio, prompt, seed, solver_steps)
    check_writable(out, ABOUT_BYTES)
    for name in modes or MODES:
        say(f"{name}: {(MODES[name].__doc__ or '').strip()}")
        made = list(MODES[name](shown))
        if not made:
            say(f"{name}: this model knows nothing of it")
            continue
        save(made, out / name, shown.pipeline, sounds)
        answer(str(out / f"{name}.png"))


def save(made: list[Sound], base: Path, pipeline: TextToAudioPipeline, sounds: bool) -> None:
    """Write a strip, and the sounds under numbered names."""
    mel = pipeline.autoencoder.mel
    front_end = LogMelSpectrogram(mel)
    with torch.inference_mode():
        panels = [(title, np.asarray(front_end(clip[None])[0].numpy())) for title, clip in made]
    save_small(strip_figure([panels], mel, dpi=PICTURE_DPI), base.with_suffix(".png"))
    for number, (_, clip) in enumerate(made if sounds else ()):
        write_audio(base.with_name(f"{base.name}_{number}.wav"), clip.numpy(), pipeline.sample_rate)


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.gallery`."""
    return run_command(gallery, arguments, lists=("modes",), program="python -m pipelines.gallery")


if __name__ == "__main__":
    sys.exit(main())
