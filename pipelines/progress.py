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
from pipelines.making import steps_of
from pipelines.request import Job, Request
from pipelines.settling import steps_run
from pipelines.text_to_audio import TextToAudioPipeline
from pipelines.vocabulary import tell_unheard
from training.command import say
from training.interrupts import stop_if_interrupted

# A clip whose loudest moment lies below this, in dBFS, nobody hears beside others.
SILENT_DB = -60.0


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
        f"{settings['solver']}, {told_steps(settings)}"
    )
    tell_unheard(request.prompts, pipeline.words)
    if request.edit is not None:
        reach = seam_reach(request.edit, pipeline.autoencoder, pipeline.diffusion, pipeline.vocoder)
        if reach is not None:
            say(
                f"further than {reach:.2f} s from what is made anew the source stays as at --strength 0, "
                "unless it is too loud itself"
            )


def told_steps(settings: dict[str, Any]) -> str:
    """`25 solver steps`, or how many of them where a sound is started from."""
    whole, run = settings["solver_steps"], steps_run(settings)
    return f"{whole} solver steps" if run == whole else f"{run} of {whole} solver steps"


class SolverBar:
    """A bar over the solver steps of all batches, on standard error, where a person looks.

    Args:
        jobs: all clips.
        settings: of `TextToAudioPipeline.settle`.
    """

    def __init__(self, jobs: Sequence[Job], settings: dict[str, Any]) -> None:
        console = Console(stderr=True)
        # Paths are for standard output, whatever is shown meanwhile.
        self.progress = Progress(
            console=console, disable=not sys.stderr.isatty(), transient=True, redirect_stdout=False
        )
        self.task = self.progress.add_task("generating", total=steps_of(jobs, settings) or None)

    def __enter__(self) -> "SolverBar":
        """Show it."""
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self.progress.stop()

    def step(self, _done: int, _total: int) -> None:
        """A step is done.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        stop_if_interrupted()
        self.progress.advance(self.task)

    def begin(self, name: str, steps: int) -> None:
        """A part of the work begins; one without steps of which to tell how far it is just moves."""
        self.progress.reset(self.task, description=name, total=steps or None)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Without it something may be printed."""
        if self.progress.disable:
            yield
            return
        self.progress.stop()
        yield
        self.progress.start()


def remarks(clip: WrittenClip) -> list[str]:
    """What is to be said of a clip beside its numbers."""
    found = ["peak lowered"] if clip.guarded else []
    found += ["nearly silent"] if clip.loudness < SILENT_DB else []
    # A note is a matter of cents.
    found += [f"tuned by {100.0 * clip.tuned:+.0f} cents"] if clip.tuned else []
    found += [f"struck at {clip.attack:.3f} s"] if clip.attack is not None else []
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
