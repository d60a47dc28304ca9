"""`python -m pipelines.batch sounds.csv --out FOLDER`: thousands of clips from a table, and on again after a stop.

Each row is a clip: its prompt, and where a column says so its length, pitch, loudness, brightness, label. Row i draws
its noise from (seed, i), so a clip does not depend on which rows were done before. The folder that comes out is a data
set: `metadata.jsonl` holds the captions.
"""

import hashlib
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audio.files import write_aside
from audio.latents import LatentSpec
from latent_diffusion.solvers import Spacing
from pipelines.clips import check_writable, clip_name, write_clips
from pipelines.provenance import NEUTRAL, REVISION
from pipelines.request import NUMBERS, Job, Request
from pipelines.shaping import clip_of
from pipelines.table import read_table
from pipelines.text_to_audio import BATCH_CLIPS, TextToAudioPipeline
from pipelines.words import request_of
from training.command import answer, run_command, say
from training.device import Device, Precision

STATE_NAME, METADATA_NAME = "batch.json", "metadata.jsonl"


@dataclass(frozen=True)
class Plan:
    """What is to be made.

    Args:
        jobs: a clip for each row.
        settings: of all of them.
        folder: to write into.
        kind: wav, flac or ogg.
    """

    jobs: tuple[Job, ...]
    settings: dict[str, Any]
    folder: Path
    kind: str

    def audio(self, job: Job) -> Path:
        """Where a clip belongs."""
        return self.folder / f"{clip_name(job.prompt, self.settings['seed'], job.index)}.{self.kind}"

    def missing(self) -> list[Job]:
        """What is not there yet, short ones first: those of like length share a batch."""
        return sorted((job for job in self.jobs if not self.audio(job).exists()), key=lambda job: job.seconds)


def batch(
    table: Path,
    out: Path,
    model: Path | None = None,
    seed: int = 0,
    seconds: float | None = None,
    negative_prompt: str | None = None,
    guidance_scale: float | None = None,
    guidance_interval: str | None = None,
    guidance_rescale: float = 0.0,
    guidance_parallel: float = 1.0,
    autoguidance: float | None = None,
    autoguidance_interval: str | None = None,
    solver: str | None = None,
    solver_steps: int | None = None,
    spacing: Spacing = "even",
    shift: float = 1.0,
    eta: float = Request.eta,
    tolerance: float = Request.tolerance,
    stereo: float = 0.0,
    variety: float | None = None,
    style: Path | None = None,
    style_strength: float | None = None,
    vocoder: str | None = None,
    format: Literal["wav", "flac", "ogg"] = "wav",
    plot: bool = False,
    device: Device = "auto",
    precision: Precision = "auto",
) -> None:
    """Make a clip for each row of a table; started again with the same words, it goes on.

    Args:
        table: .csv with a header, or .jsonl; columns prompt and, as you like, seconds, pitch, loudness, brightness,
            label.
        out: folder to write into.
        model: folder of a bundle; the bundled model when left out.
        seed: row i of seed K is always the same clip.
        seconds: of rows that name no length; from the bundle when left out.
        negative_prompt: what is not wanted of any of them.
        guidance_scale: how strongly prompts are followed; 1 is off.
        guidance_interval: the times at which it acts, as 0.1:0.8; 0 is noise, 1 the finished sound.
        guidance_rescale: takes back what a large scale adds in spread, 0 to 1.
        guidance_parallel: how much of the guidance may make a sound louder and harsher, 0 to 1.
        autoguidance: how strongly clips are led away from what a weaker model makes of the same words; 1 is off.
        autoguidance_interval: the times at which it acts, as 0.4:1.
        solver: of the generating equation.
        solver_steps: of the solver.
        spacing: of the solver's times; quadratic has more near noise, cosine more at both ends.
        shift: above 1, more of the solver's times lie near noise.
        eta: fresh noise of the solver stochastic, 0 to 1.
        tolerance: error that the solver adaptive allows.
        stereo: width of sounds in two channels, up to 1; 0 is one channel.
        variety: how far clips of the same words may lie apart, 0 to 1; from the bundle when left out.
        style: a sound file whose timbre all clips are drawn towards.
        style_strength: how far, 0 to 1; 0.15 when left out.
        vocoder: a checkpoint or an import path that replaces the bundle's vocoder.
        format: of the sound files.
        plot: write a spectrogram picture of each clip.
        device: where to compute.
        precision: of matrix products.

    Raises:
        ValueError: an unusable table, or a folder that holds another batch.
    """
    rows = read_table(table)
    pipeline = TextToAudioPipeline.from_pretrained(model, vocoder, None, device, precision)
    jobs = tuple(jobs_from_rows(rows, pipeline.defaults.seconds if seconds is None else seconds, pipeline))
    words = {
        "seconds": max(job.seconds for job in jobs),
        "seed": seed,
        "negative_prompt": negative_prompt,
        "guidance_scale": guidance_scale,
        "guidance_interval": guidance_interval,
        "guidance_rescale": guidance_rescale,
        "guidance_parallel": guidance_parallel,
        "autoguidance": autoguidance,
        "autoguidance_interval": autoguidance_interval,
        "solver": solver,
        "solver_steps": solver_steps,
        "spacing": spacing,
        "shift": shift,
        "eta": eta,
        "tolerance": tolerance,
        "stereo": stereo,
        "variety": variety,
        "style": style,
        "style_strength": style_strength,
    }
    # One prompt stands for all: of how many there are nothing is decided here.
    request = request_of((rows[0]["prompt"],), words)
    settings = pipeline.settle(request)
    plan = Plan(jobs, settings, out, format)
    todo = plan.missing()
    check_writable(
        out,
        int(
            sum(job.seconds for job in todo) * pipeline.sample_rate * 2 * (1 + bool(stereo))
            + 100_000 * len(todo) * plot
        ),
    )
    table_hash = hashlib.sha256(table.read_bytes()).hexdigest()
    claim(plan, {"table": table_hash, "stages": pipeline.fingerprints, "revision": REVISION})
    for _ in made(plan, todo, pipeline, plot):
        pass
    write_metadata(plan)
    answer(str(out))


def made(plan: Plan, todo: Sequence[Job], pipeline: TextToAudioPipeline, plot: bool) -> Iterator[Path]:
    """Make and write what is missing, batch by batch, with a bar; gives the path of each."""
    done = len(plan.jobs) - len(todo)
    say(f"{len(plan.jobs)} clips, {done} of them there already" if done else f"{len(plan.jobs)} clips to make")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("generating", total=len(plan.jobs), completed=done)
        for number, jobs in enumerate(alike(todo, pipeline.diffusion.spec)):
            began = time.perf_counter()
            waveforms = pipeline.batch(jobs, plan.settings)
            for row in range(len(jobs)):
                output = clip_of(waveforms, jobs, row, plan.settings, pipeline.autoencoder.mel)
                # What a kill left of this clip, a picture or a page, is written over.
                name = plan.audio(jobs[row]).stem
                yield write_clips(output, pipeline, plan.folder, plan.kind, plot, name)[0].audio
                bar.advance(task)
            if not number and len(todo) > len(jobs):
                # Long clips come last, so this is told by seconds of sound.
                pace = (time.perf_counter() - began) / sum(job.seconds for job in jobs)
                left = pace * (sum(job.seconds for job in todo) - sum(job.seconds for job in jobs))
                say(f"about {left / 60:.0f} min to go")


def alike(jobs: Sequence[Job], spec: LatentSpec) -> Iterator[Sequence[Job]]:
    """Batches of clips of one length: beside a longer one, a clip would end in silence instead of in its end."""
    for _, group in itertools.groupby(jobs, key=lambda job: spec.num_latent_frames(job.seconds)):
        same = list(group)
        for start in range(0, len(same), BATCH_CLIPS):
            yield same[start : start + BATCH_CLIPS]


def jobs_from_rows(rows: Sequence[dict[str, Any]], seconds: float, pipeline: TextToAudioPipeline) -> Iterator[Job]:
    """A clip for each row; what the model does not know is told before any is made.

    Raises:
        ValueError: names the row.
    """
    conditioning = pipeline.diffusion.config.conditioning
    for index, row in enumerate(rows):
        numbers = {name: row[name] for name in NUMBERS if row[name] is not None}
        length = seconds if row["seconds"] is None else row["seconds"]
        try:
            pipeline.settle(Request(prompts=(row["prompt"],), seconds=length, seed=0))
            conditioning.label_index(row["label"])
            conditioning.number_row({**numbers, "seconds": min(length, pipeline.diffusion.max_seconds)})
        except ValueError as error:
            raise ValueError(f"table: row {index + 1}: {error}") from error
        yield Job(row["prompt"], index, length, row["label"], numbers)


def claim(plan: Plan, identity: dict[str, Any]) -> None:
    """Write down what the folder holds.

    Raises:
        ValueError: it holds another batch.
    """
    state = {**identity, "settings": {**NEUTRAL, **plan.settings}, "format": plan.kind}
    path = plan.folder / STATE_NAME
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise ValueError(f"out: '{path}' cannot be read") from error
        if not isinstance(found, dict) or not isinstance(found.get("settings", {}), dict):
            raise ValueError(f"out: '{path}' is not what a batch wrote")
        # What an older version did not know was neutral.
        found["settings"] = {**NEUTRAL, **found.get("settings", {})}
        differing = [name for name in state if found.get(name) != state[name]]
        if differing:
            raise ValueError(
                f"out: '{plan.folder}' holds another batch (other {', '.join(differing)}); take another folder"
            )
        return
    with write_aside(path) as aside:
        aside.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")


def write_metadata(plan: Plan) -> None:
    """The captions, as a folder of training data has them."""
    lines = [
        json.dumps({"file_name": plan.audio(job).name, "text": job.prompt, "label": job.label or "", **job.numbers})
        for job in plan.jobs
    ]
    with write_aside(plan.folder / METADATA_NAME) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.batch`."""
    return run_command(batch, arguments, positionals=("table",), program="python -m pipelines.batch", config=True)


if __name__ == "__main__":
    sys.exit(main())
