"""`python -m pipelines.doctor`: what is wrong with a folder of sound, before hours are spent on training with it.

A fault spoils training: a file that is cut, offset, silent, unreadable, held twice, or that ends far below its rate.
A note is worth knowing: stereo, mixed rates, captions that say nothing, files without a licence.
"""

import sys
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from pipelines.diagnosis import Diagnosis, examine
from pipelines.doctor_page import write_report
from training.command import answer, run_command


def doctor(folder: Path, out: Path) -> int:
    """Look for everything in a folder of sound that would spoil training.

    Args:
        folder: with sound files, with or without metadata.jsonl.
        out: folder for doctor.json and doctor.html.

    Returns:
        exit code 1 if a fault would spoil training, else 0.

    Raises:
        ValueError: no such folder, no sound file in it, or a report that cannot be written.
    """
    bar = Console(stderr=True)
    diagnosis = examine(
        Path(folder), lambda items: track(items, "examining", console=bar, disable=not sys.stderr.isatty())
    )
    paths = write_report(diagnosis, Path(out))
    print_table(diagnosis)
    for path in paths:
        answer(str(path))
    return 1 if diagnosis.spoiled else 0


def print_table(diagnosis: Diagnosis) -> None:
    """Counts by kind, on standard error."""
    table = Table("kind", "files", "spoils training", title=f"{len(diagnosis.files)} files in {diagnosis.folder}")
    for kind, count in diagnosis.counts().items():
        table.add_row(kind, str(count), "yes")
    for kind, count in diagnosis.note_counts().items():
        table.add_row(kind, str(count), "no")
    console = Console(stderr=True)
    console.print(table)
    if diagnosis.proposal is not None:
        console.print(f"mel preset {diagnosis.proposal.mel}: {diagnosis.proposal.mel_reason}", highlight=False)
        console.print(
            f"clips of {diagnosis.proposal.seconds:g} s: {diagnosis.proposal.seconds_reason}", highlight=False
        )


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.doctor`."""
    return run_command(doctor, arguments, positionals=("folder",), program="python -m pipelines.doctor")


if __name__ == "__main__":
    sys.exit(main())
