"""Clips that a model makes for the captions of real ones: each real clip gets a counterpart.

A counterpart has the caption and the length of its clip (as far as the model knows such lengths), and nothing else of
it. The clips lie in a folder that can be
listened to, read by any command, and filled up after a kill: what is there is not made again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio.dataset import METADATA_NAME, Clip
from audio.files import write_aside, write_audio
from audio.notes import named_pitch
from pipelines.provenance import REVISION
from pipelines.request import Job, Request
from pipelines.settling import SHORTEST_SECONDS
from pipelines.text_to_audio import TextToAudioPipeline

PLAN_NAME = "counterparts.json"


@dataclass(frozen=True)
class Counterpart:
    """A generated clip and the real clip that it was asked for.

    Args:
        path: of the generated clip.
        prompt: the caption that it was made from.
        clip: the real one.
    """

    path: Path
    prompt: str
    clip: Clip


def counterpart_prompt(clip: Clip, number: int) -> str:
    """A caption of a clip: one that names its note where there is one, the others in turn."""
    captions = [text for text in clip.captions if named_pitch(text) == clip.pitch] if clip.pitch is not None else []
    captions = captions or list(clip.captions)
    return captions[number % len(captions)]


def make_counterparts(
    pipeline: TextToAudioPipeline,
    clips: Sequence[Clip],
    folder: Path,
    seed: int = 0,
    on_clip: Callable[[], None] | None = None,
) -> list[Counterpart]:
    """Generate a clip for each real one, or find it where it was generated before.

    Args:
        pipeline: of the model.
        clips: real ones.
        folder: where the generated clips lie, as `00000.flac` and so on, with a `metadata.jsonl`.
        seed: clip i draws its noise from (seed, i).
        on_clip: called after every clip.

    Returns:
        one for each clip, in their order.

    Raises:
        ValueError: the folder holds clips of another model, seed or list of prompts.
    """
    known = pipeline.diffusion.config.conditioning.number_ranges.get("seconds", (0.0, pipeline.defaults.max_seconds))
    shortest, longest = max(SHORTEST_SECONDS, known[0]), min(pipeline.defaults.max_seconds, known[1])
    jobs = [
        Job(counterpart_prompt(clip, number), number, min(max(clip.seconds, shortest), longest))
        for number, clip in enumerate(clips)
    ]
    request = Request(prompts=("counterparts",), seed=seed)
    settings = pipeline.settle(request)
    identity = {"stages": pipeline.fingerprints, "settings": settings, "revision": REVISION}
    _claim(folder, {**identity, "jobs": [_job_row(job) for job in jobs]})
    paths = [folder / f"{number:05d}.flac" for number in range(len(jobs))]
    missing = [number for number, path in enumerate(paths) if not path.is_file()]
    for _ in range(len(jobs) - len(missing)):
        if on_clip:
            on_clip()
    for number, waveform in pipeline.run_jobs([jobs[number] for number in missing], request):
        write_audio(paths[missing[number]], np.asarray(waveform.numpy(), dtype=np.float32), pipeline.sample_rate)
        if on_clip:
            on_clip()
    found = [Counterpart(path, job.prompt, clip) for path, job, clip in zip(paths, jobs, clips, strict=True)]
    _write_metadata(folder, found)
    return found


def _job_row(job: Job) -> list[Any]:
    return [job.prompt, round(job.seconds, 6)]


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    """Write down what the folder is for; refuse one that is for something else."""
    path = folder / PLAN_NAME
    # Through JSON and back: tuples become lists, as in the file.
    identity = json.loads(json.dumps(identity))
    if path.is_file():
        try:
            same = json.loads(path.read_text(encoding="utf-8")) == identity
        except json.JSONDecodeError:
            same = False
        if not same:
            raise ValueError(f"'{folder}' holds clips of another model, seed or list of prompts; choose another --out")
        return
    with write_aside(path) as aside:
        aside.write_text(json.dumps(identity), encoding="utf-8")


def _write_metadata(folder: Path, counterparts: Sequence[Counterpart]) -> None:
    """Describe the clips as a folder of sound that every command reads."""
    rows = []
    for part in counterparts:
        row: dict[str, Any] = {"file_name": part.path.name, "text": [part.prompt], "family": part.clip.family}
        row |= {"label": part.clip.label, "recording": part.clip.recording, "split": "test"}
        if part.clip.pitch is not None:
            row["pitch"] = part.clip.pitch
        rows.append(json.dumps(row, ensure_ascii=False))
    with write_aside(folder / METADATA_NAME) as aside:
        aside.write_text("\n".join(rows) + "\n", encoding="utf-8")
