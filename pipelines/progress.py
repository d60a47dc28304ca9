"""What a person sees while and after clips are made."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress, track
from rich.table import Table

from pipelines.canvas import seam_reach
from pipelines.clips import WrittenClip
from pipelines.request import Request
from pipelines.text_to_audio import BATCH_CLIPS, TextToAudioPipeline
from training.command import say
from training.interrupts import stop_if_interrupted


def bar(text: str) -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A progress bar around a list, on standard error, where a person looks."""

    def shown(items: Iterable[Any]) -> Iterator[Any]:
        for item in track(list(items), text, console=Console(stderr=True), disable=not sys.stderr.isatty()):
            stop_if_interrupted()
            yield item

    return shown


def announce(pipeline: TextToAudioPipeline, request: Request, settings: dict[str, Any], clips: int) -> None:
    """Say what is going to be made, and how much of a source stays as it is.

    Args:
        pipeline: of the model.
        request: what is asked for.
        settings: of `TextToAudioPipeline.settle`.
        clips: in all.
    """
    kept = f", one of {request.best_of} kept" if request.best_of > 1 else ""
    say(
        f"seed {settings['seed']}: {clips} {'clip' if clips == 1 else 'clips'} of {settings['seconds']:g} s{kept}, "
        f"{settings['solver']}, {settings['solver_steps']} solver steps"
    )
    if request.edit is not None:
        reach = seam_reach(request.edit, pipeline.autoencoder, pipeline.diffusion, pipeline.vocoder)
        if reach is not None:
            say(f"further than {reach:.2f} s from what is made anew the source stays as at --strength 0")


@contextmanager
def solver_bar(
    pipeline: TextToAudioPipeline, clips: int, settings: dict[str, Any]
) -> Iterator[Callable[[int, int], None]]:
    """A bar over the solver steps of all batches; gives the function that moves it on.

    Args:
        pipeline: that generates.
        clips: in all.
        settings: of `TextToAudioPipeline.settle`.
    """
    batches = -(-clips // BATCH_CLIPS)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("generating", total=batches * settings["solver_steps"])

        def step(_done: int, _total: int) -> None:
            stop_if_interrupted()
            progress.advance(task)

        yield step


def remarks(clip: WrittenClip) -> list[str]:
    """What is to be said of a clip beside its numbers."""
    found = ["peak lowered"] if clip.guarded else []
    # A note is a matter of cents.
    found += [f"tuned by {100.0 * clip.tuned:+.0f} cents"] if clip.tuned else []
    return found + ([f"seam {clip.seam:.2f}"] if clip.seam is not None else [])


def show_clips(written: Sequence[WrittenClip]) -> None:
    """A table of the clips on standard error."""
    table = Table("clip", "prompt", "seconds", "loudness", "brightness", "")
    for clip in written:
        table.add_row(
            clip.audio.name,
            clip.prompt,
            f"{clip.seconds:.2f}",
            f"{clip.loudness:.1f} dB",
            f"{clip.brightness:.0f} Hz",
            ", ".join(remarks(clip)),
        )
    Console(stderr=True).print(table)
