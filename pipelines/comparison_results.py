"""From clips to rows: one for each vocoder and source, with intervals and paired differences, and `results.csv`."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from audio.files import write_aside
from evaluation.intervals import Interval, verdict
from evaluation.medians import median_interval
from evaluation.speech_quality import missing_packages
from pipelines.comparison_decoding import GENERATED, Findings
from pipelines.comparison_measures import MEASURES, Ears, Measure
from pipelines.comparison_memory import Memory
from pipelines.comparison_vocoders import Contestant

FIRST_COLUMNS = (
    "vocoder",
    "source",
    "multi_scale_mel_distance",
    "real_time_factor",
    "peak_memory_mib",
    "parameters",
)
FACTS = ("adapter_loss", "clips", "speech_clips", "pitched_clips", "real_onset_rise_ms", "notes")


@dataclass(frozen=True)
class Cell:
    """A measure of one vocoder and source.

    Args:
        interval: value and ends; None where it does not apply.
        difference: to the first vocoder, paired; None for that one itself.
        word: better, worse or cannot tell, than the first vocoder; empty for that one itself.
    """

    interval: Interval | None = None
    difference: Interval | None = None
    word: str = ""


@dataclass(frozen=True)
class Row:
    """One vocoder on one source.

    Args:
        contestant: the vocoder.
        source: of the mels.
        cells: by measure.
        memory: that it takes.
        clips: that were decoded.
        notes: what is missing, and why.
    """

    contestant: Contestant
    source: str
    cells: Mapping[str, Cell]
    memory: Memory
    clips: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Results:
    """All rows.

    Args:
        rows: vocoders in the order of the command line, sources within.
        recordings: independent ones among the clips.
        speech: clips judged as speech.
        pitched: clips judged by their note.
        real_onset_rise: of the real clips, in ms.
    """

    rows: Sequence[Row]
    recordings: int
    speech: int
    pitched: int
    real_onset_rise: Interval | None


def sum_up(
    found: Findings, contestants: Sequence[Contestant], sources: Sequence[str], memory: Mapping[str, Memory], ears: Ears
) -> Results:
    """Rows of a comparison.

    Args:
        found: everything measured.
        contestants: the first one is what the others are held against.
        sources: of the mels.
        memory: by vocoder.
        ears: that listened.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys(clip.recording for clip in found.clips))}
    units = torch.tensor([names[clip.recording] for clip in found.clips])
    first = contestants[0].name
    rows = []
    for contestant in contestants:
        for source in sources:
            values = _tensors(found.values[contestant.name, source])
            rivals = None if contestant.name == first else _tensors(found.values[first, source])
            cells = {
                measure.name: _cell(measure, values[measure.name], rivals[measure.name] if rivals else None, units)
                for measure in MEASURES
            }
            notes = _notes(source, found, ears, memory[contestant.name])
            rows.append(Row(contestant, source, cells, memory[contestant.name], len(found.clips), tuple(notes)))
    rises = torch.tensor(found.real_onset_rises, dtype=torch.float64)
    heard = ~rises.isnan()
    real = median_interval(rises[heard], units[heard]) if heard.any() else None
    return Results(rows, len(names), found.speech, found.pitched, real)


def _tensors(values: Mapping[str, Sequence[float]]) -> dict[str, Tensor]:
    return {name: torch.tensor(column, dtype=torch.float64) for name, column in values.items()}


def _cell(measure: Measure, values: Tensor, rivals: Tensor | None, units: Tensor) -> Cell:
    there = values.isfinite()
    if not there.any():
        return Cell()
    interval = measure.within(measure.interval(values[there], units[there]))
    if rivals is None:
        return Cell(interval)
    both = there & rivals.isfinite()
    if not both.any():
        return Cell(interval)
    difference = measure.interval((values - rivals)[both], units[both])
    if measure.better == "neither":
        return Cell(interval, difference)
    return Cell(interval, difference, verdict(difference, measure.better == "higher"))


def _notes(source: str, found: Findings, ears: Ears, memory: Memory) -> list[str]:
    notes = []
    if source == GENERATED:
        notes.append("generated clips have no real clip to be held against")
    else:
        if not found.speech:
            notes.append(f"pesq and stoi: {missing_packages() or 'no clip is known as speech'}")
        if ears.pitch is None:
            notes.append("pitch: CREPE is not installed, python -m pipelines.install_ears --only crepe")
        elif not found.pitched:
            notes.append("pitch: no clip has a known note from C1 to B6")
    if memory.mebibytes is None:
        notes.append(f"memory: {memory.reason}")
    return notes


def save_results(results: Results, path: Path) -> None:
    """Write `results.csv`: a cell is empty where a number does not apply, and `notes` says why.

    Raises:
        ValueError: the file cannot be written.
    """
    columns = [*FIRST_COLUMNS, *(name for name in _measure_columns() if name not in FIRST_COLUMNS), *FACTS]
    with write_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        for row in results.rows:
            writer.writerow(_csv_row(row, results))


def _measure_columns() -> list[str]:
    names = []
    for measure in MEASURES:
        names += [measure.name, f"{measure.name}_low", f"{measure.name}_high"]
        names += [f"{measure.name}_difference{end}" for end in ("", "_low", "_high")]
        if measure.better != "neither":
            names.append(f"{measure.name}_verdict")
    return names


def _csv_row(row: Row, results: Results) -> dict[str, object]:
    real = results.real_onset_rise
    cells: dict[str, object] = {
        "vocoder": row.contestant.name,
        "source": row.source,
        "peak_memory_mib": _number(row.memory.mebibytes),
        "parameters": row.contestant.parameters,
        "adapter_loss": _number(row.contestant.adapter_loss),
        "clips": row.clips,
        "speech_clips": results.speech,
        "pitched_clips": results.pitched,
        "real_onset_rise_ms": _number(real.value if real else None),
        "notes": "; ".join(row.notes),
    }
    for name, cell in row.cells.items():
        for prefix, interval in ((name, cell.interval), (f"{name}_difference", cell.difference)):
            if interval is not None:
                ends = {"": interval.value, "_low": interval.low, "_high": interval.high}
                cells |= {prefix + end: _number(value) for end, value in ends.items()}
        if cell.word:
            cells[f"{name}_verdict"] = cell.word
    return cells


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
