"""The note that a clip was asked for, told to a vocoder that can use it (ADR 26)."""

from collections.abc import Mapping, Sequence
from typing import Any

from audio.notes import named_pitches
from pipelines.request import Job
from vocoder.base import Vocoder, told_notes


def told_vocoder(vocoder: Vocoder, jobs: Sequence[Job], settings: Mapping[str, Any]) -> Vocoder:
    """The vocoder for a batch.

    Args:
        vocoder: of the chain.
        jobs: one for each row.
        settings: of all of them. Where a source is worked on nothing is told: what is kept of it has its own notes.
    """
    return vocoder if settings.get("edit") is not None else told_notes(vocoder, [note_of(job) for job in jobs])


def note_of(job: Job) -> float | None:
    """The MIDI number of the one note that is asked for: by number, or by every prompt and no other note beside it.

    None where there is none, or where there are several.
    """
    if "pitch" in job.numbers:
        return job.numbers["pitch"]
    named = [set(named_pitches(text)) for text in job.parts or (job.prompt,)]
    every = set.union(*named)
    return every.pop() if len(every) == 1 and all(named) else None
