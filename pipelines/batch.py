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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audio.files import write_aside
from audio.latents import LatentSpec
from pipelines.clips import check_writable, clip_name, write_clips
from pipelines.generate import generate
from pipelines.options import BATCHED
from pipelines.provenance import NEUTRAL, REVISION
from pipelines.request import BATCH_CLIPS, NUMBERS, Job, Request
from pipelines.shaping import clip_of
from pipelines.table import read_table
from pipelines.text_to_audio import TextToAudioPipeline
from pipelines.turns import with_struck
from pipelines.vocabulary import tell_unheard
from pipelines.words import request_of
from training.command import answer, run_command, say
from training.device import Device, Precision

STATE_NAME, METADATA_NAME = "batch.json", "metadata.jsonl"
# What a row may say for itself.
ROW_WORDS = ("seconds", "label", *NUMBERS)
MOST_NAMED = 5
# Counts up where the same rows come to give other loops.
LOOPS = 2


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
    vocoder: str | None = None,
    format: Literal["wav", "flac", "ogg"] = "wav",
    plot: bool = False,
    device: Device = "auto",
    precision: Precision = "auto",
    **words: Any,  # noqa: ANN401
) -> None:
    """Make a clip for each row of a table; started again with the same words, it goes on.

    Args:
        table: .csv with a header, or .jsonl; columns prompt and, as you like, seconds, pitch, loudness, brightness,
            label. Of a batch that was made, it may have more rows below.
        out: folder to write into.
        model: folder of a bundle; the bundled model when left out.
        seed: row i of seed K is always the same clip.
        vocoder: a checkpoint or an import path that replaces the bundle's vocoder.
        format: of the sound files.
        plot: write a spectrogram picture of each clip.
        device: where to compute.
        precision: of matrix products.
        words: options of `generate.py` (`BATCHED`): those of `ROW_WORDS` for rows that say nothing of it, the others
            for all.

    Raises:
        ValueError: an unusable table, or a folder that holds another batch.
    """
    rows = read_table(table)
    pipeline = TextToAudioPipeline.from_pretrained(model, vocoder, None, device, precision)
    # One prompt stands for all: of how many there are nothing is decided here.
    request = request_of((rows[0]["prompt"],), {**words, "seed": seed})
    jobs = tuple(jobs_from_rows(rows, request, pipeline))
    nothing: dict[str, Any] = dict.fromkeys((*NUMBERS, "label"))
    settings = pipeline.settle(replace(request, seconds=max(job.seconds for job in jobs), **nothing))
    # A recording that cannot be heard is told before the folder is anyone's.
    pipeline.style(settings)
    plan = Plan(jobs, settings, out, format)
    todo = plan.missing()
    sound = sum(job.seconds for job in todo) * pipeline.sample_rate * 2 * (1 + bool(request.stereo))
    check_writable(out, int(sound + 100_000 * len(todo) * plot))
    claim(plan, {"stages": pipeline.fingerprints, "revision": REVISION, **({"loops": LOOPS} if request.loop else {})})
    tell_unheard([job.prompt for job in jobs], pipeline.words)
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
        for number, same in enumerate(alike(todo, pipeline.diffusion.spec)):
            began = time.perf_counter()
            jobs = with_struck(pipeline, same, plan.settings)
            waveforms = pipeline.batch(jobs, plan.settings)
            for row in range(len(jobs)):
                output = clip_of(waveforms, jobs, row, plan.settings, pipeline.autoencoder.mel)
                # What a kill left of this clip, a picture or a page, is written over.
                name = plan.audio(jobs[row]).stem
                yield from (clip.audio for clip in write_clips(output, pipeline, plan.folder, plan.kind, plot, name))
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


def jobs_from_rows(rows: Sequence[dict[str, Any]], request: Request, pipeline: TextToAudioPipeline) -> Iterator[Job]:
    """A clip for each row; what the model does not know is told before any is made.

    Args:
        rows: of the table.
        request: says what rows leave open, and whether they are loops.
        pipeline: of the model.

    Raises:
        ValueError: names the row.
    """
    conditioning = pipeline.diffusion.config.conditioning
    for index, row in enumerate(rows):
        own = {name: getattr(request, name) if row[name] is None else row[name] for name in ROW_WORDS}
        numbers = {name: float(own[name]) for name in NUMBERS if own[name] is not None}
        try:
            alone = Request(prompts=(row["prompt"],), seconds=own["seconds"], seed=0, loop=request.loop)
            seconds = pipeline.settle(alone)["seconds"]
            conditioning.label_index(own["label"])
            conditioning.number_row({**numbers, "seconds": min(seconds, pipeline.diffusion.max_seconds)})
        except ValueError as error:
            raise ValueError(f"table: row {index + 1}: {error}") from error
        yield Job(row["prompt"], index, seconds, own["label"], numbers)


def row_hash(job: Job) -> str:
    """What is asked for in a row, in a few letters."""
    told = json.dumps([job.prompt, job.seconds, job.label, dict(job.numbers)], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def claim(plan: Plan, identity: dict[str, Any]) -> None:
    """Write down what the folder holds; of a batch that was there before, which rows have come below.

    Args:
        plan: what is to be made.
        identity: what all of its clips share.

    Raises:
        ValueError: it holds another batch.
    """
    rows = [row_hash(job) for job in plan.jobs]
    state = {**identity, "settings": shared(plan.settings), "format": plan.kind}
    path = plan.folder / STATE_NAME
    if path.exists():
        found = read_state(path)
        differing = [name for name in state if found.get(name) != state[name]]
        known = found.get("rows", [])
        if known != rows[: len(known)]:
            other = [str(place + 1) for place, row in enumerate(known) if rows[place : place + 1] != [row]]
            more = f" and {len(other) - MOST_NAMED} more" if len(other) > MOST_NAMED else ""
            differing.append(f"rows: {', '.join(other[:MOST_NAMED])}{more}")
        if differing:
            raise ValueError(
                f"out: '{plan.folder}' holds another batch (other {', '.join(differing)}); take another folder "
                "(rows may be added below those that are there, and none changed)"
            )
    with write_aside(path) as aside:
        aside.write_text(json.dumps({**state, "rows": rows}, indent=2) + "\n", encoding="utf-8")


def shared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that hold for all rows; how long the longest is does not."""
    return {name: value for name, value in {**NEUTRAL, **settings}.items() if name != "seconds"}


def read_state(path: Path) -> dict[str, Any]:
    """What `claim` wrote; what an older version did not know was neutral.

    Raises:
        ValueError: something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"out: '{path}' cannot be read") from error
    if (
        not isinstance(found, dict)
        or not isinstance(found.get("settings", {}), dict)
        or not isinstance(found.get("rows", []), list)
    ):
        raise ValueError(f"out: '{path}' is not what a batch wrote")
    return {**found, "settings": shared(found.get("settings", {}))}


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
    return run_command(
        batch,
        arguments,
        positionals=("table",),
        program="python -m pipelines.batch",
        config=True,
        borrowed=(generate, BATCHED),
    )


if __name__ == "__main__":
    sys.exit(main())
