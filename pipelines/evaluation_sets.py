"""The sets of clips that an evaluation listens to: generated here, or read from a folder."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress as Bar

from audio.dataset import AudioFolder
from audio.files import audio_rate
from audio.notes import named_pitch
from evaluation.measurements import Subject
from pipelines.counterparts import make_counterparts
from pipelines.reference import Reference
from pipelines.text_to_audio import TextToAudioPipeline
from training.command import say

BYTES_PER_SECOND = 60_000


def generate(model: Path, held: Reference, folder: Path, seed: int) -> list[Subject]:
    """Clips of a bundle for the captions of the held-out ones, with a bar; what is there is not made again."""
    pipeline = TextToAudioPipeline.from_pretrained(model)
    seconds = sum(clip.seconds for clip in held.held_out)
    disk = seconds * BYTES_PER_SECOND / 2**20
    say(f"{len(held.held_out)} clips of {seconds / 60:.1f} min in all to generate, {disk:.0f} MiB")
    with Bar(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("generating", total=len(held.held_out))
        made = make_counterparts(pipeline, held.held_out, folder, seed, lambda: progress.advance(task))
    return [
        Subject(part.path, part.clip.recording, part.prompt, part.clip.family, named_pitch(part.prompt))
        for part in made
    ]


def read_generated(folder: Path | None, held: Reference, notes: list[str]) -> list[Subject]:
    """Clips that were generated elsewhere; where they name no family, it is that of their caption in the reference."""
    scanned = AudioFolder.scan(folder or Path())
    if scanned.skipped:
        notes.append(f"{len(scanned.skipped)} generated files were left out: unreadable, empty, silent or too short")
    families = {caption: clip.family for clip in held.folder.clips for caption in clip.captions}
    known = {clip.family for clip in held.folder.clips}
    return [
        Subject(
            clip.path,
            clip.recording,
            clip.captions[0],
            clip.family if clip.family in known else families.get(clip.captions[0], ""),
            named_pitch(clip.captions[0]),
        )
        for clip in scanned.clips
    ]


def common_rate(subjects: Sequence[Subject], held: Reference, ear_rate: int, notes: list[str]) -> int:
    """The rate to which everything is brought: the lowest there is, for a band that one set lacks would decide all."""
    made, real = min(audio_rate(subject.path) for subject in subjects), held.sample_rate
    rate = min(made, real)
    if made != real:
        notes.append(f"generated clips have {made} Hz, real ones {real} Hz: all were brought to {rate} Hz first")
    if rate < ear_rate:
        notes.append(f"the ear takes {ear_rate} Hz; nothing above {rate / 2000:.1f} kHz was heard of any clip")
    return rate
