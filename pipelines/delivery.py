"""Where clips go: into a folder, each as soon as it is made, or to standard output while it is being made."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.clips import WrittenClip, write_clips
from pipelines.live import send
from pipelines.progress import SolverBar, show_clips
from pipelines.request import AudioOutput, Job
from pipelines.text_to_audio import TextToAudioPipeline
from pipelines.watching import watch_clip, write_watch
from training.command import answer, say


@dataclass
class Delivery:
    """Writes clips, prints their paths, and knows what it has written.

    Args:
        pipeline: that generates.
        folder: to write into.
        kind: wav, flac or ogg.
        plot: write a picture of each.
        watch: write how the first of them came out of noise.
        written: so far.
    """

    pipeline: TextToAudioPipeline
    folder: Path
    kind: str
    plot: bool
    watch: bool
    written: list[WrittenClip] = field(default_factory=list)

    def deliver_all(self, outputs: Iterable[AudioOutput], clips: int, bar: SolverBar) -> None:
        """Write clips as they are made; whatever ends that early, what is written is told.

        Args:
            outputs: of `pipelines.making.outputs`.
            clips: in all.
            bar: that is shown meanwhile.
        """
        try:
            for output in outputs:
                self.deliver(output, bar)
        except BaseException:
            if self.written:
                say(f"{len(self.written)} of {clips} clips were made, and are in '{self.folder}'")
            raise

    def deliver(self, output: AudioOutput, bar: SolverBar | None = None) -> None:
        """Write the clips of an output and print their paths."""
        first = not self.written
        for clip in write_clips(output, self.pipeline, self.folder, self.kind, self.plot):
            self.written.append(clip)
            self._answer(clip.audio, bar)
        if first and self.watch:
            self._watch(output, bar)

    def _watch(self, output: AudioOutput, bar: SolverBar | None) -> None:
        first = self.written[0]
        seen = watch_clip(self.pipeline, output)
        for path in write_watch(seen, self.pipeline, first.audio.with_suffix(""), first.prompt):
            self._answer(path, bar)

    def _answer(self, path: Path, bar: SolverBar | None) -> None:
        if bar is None:
            answer(str(path))
            return
        with bar.hidden():
            answer(str(path))

    def show(self) -> None:
        """A table of what is written, on standard error."""
        show_clips(self.written)


def send_stream(pipeline: TextToAudioPipeline, job: Job, settings: dict[str, Any], kind: str) -> None:
    """Send a clip to standard output, and tell its seed and the pace on standard error.

    Args:
        pipeline: makes it.
        job: of `pipelines.live.live_job`.
        settings: of the same.
        kind: `wav`, with a header that tells how it was made, or `pcm`, samples alone.
    """
    began = time.perf_counter()
    say(
        f"seed {settings['seed']}: one clip of {job.seconds:g} s as it is made, {settings['solver']}, "
        f"{settings['solver_steps']} solver steps a stretch"
    )
    send(
        pipeline,
        job,
        settings,
        kind,
        lambda seconds: say(f"{seconds:.1f} s of sound after {time.perf_counter() - began:.1f} s"),
    )
