"""`python -m vocoder.curves --runs RUN RUN --out curves.png`: how far several runs were after equal training.

Drawn is the validation mel distance over the minutes that were spent on training alone, from the runs' own logs; the
minutes of the processor by default, because those that pass depend on what else a machine does. A comparison reads all
runs at the end of the shortest, between two validations linearly in the logarithm of the distance.
"""

import csv
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from audio.files import write_aside
from training.command import answer, run_command

Axis = Literal["cpu_minutes", "minutes"]
SUFFIXES = (".png", ".svg", ".pdf")
# What is read of a log, by the names of `Point`.
SCALARS = {
    "minutes": "validation/minutes",
    "cpu_minutes": "validation/cpu_minutes",
    "mel_distance": "validation/mel_distance",
    "griffin_lim_distance": "validation/griffin_lim_distance",
}


@dataclass(frozen=True)
class Point:
    """One validation.

    Args:
        step: number of the last optimiser step, from 0.
        minutes: of training that had passed.
        cpu_minutes: of the processor, spent on training by this process and its threads; loader processes
            (`data.workers`) are left out, so that only runs with equally many compare.
        mel_distance: mean multi-scale mel distance of the validation clips.
        griffin_lim_distance: of Griffin-Lim on the same clips.
    """

    step: int
    minutes: float
    cpu_minutes: float
    mel_distance: float
    griffin_lim_distance: float


def curves(out: Path, runs: Sequence[Path] | None = None, axis: Axis = "cpu_minutes") -> None:
    """Draw the validation mel distance of vocoder trainings over their training minutes: a chart and a table (.csv).

    Args:
        out: the chart, ends in .png, .svg or .pdf; the table lies beside it.
        runs: folders of trainings (`trainer.default_root_dir`).
        axis: cpu_minutes or minutes.

    Raises:
        ValueError: no run, one named twice or without a log, or a chart that cannot be written.
    """
    if not runs:
        raise ValueError("runs: expected at least one folder of a training (--runs runs/mine/vocoder)")
    if out.suffix not in SUFFIXES:
        raise ValueError(f"out: expected a name that ends in {', '.join(SUFFIXES)}, got '{out}'")
    folders = [Path(folder) for folder in runs]
    places = [folder.resolve() for folder in folders]
    twice = [folder for number, folder in enumerate(folders) if places[number] in places[:number]]
    if twice:
        raise ValueError(f"runs: '{twice[0]}' is named twice; name each folder once")
    make_folder(out)
    found = {name: read_run(folder) for name, folder in zip(_names(folders), folders, strict=True)}
    table = out.with_suffix(".csv")
    write_table(found, table)
    draw(found, axis, out)
    for line in report(found, axis):
        answer(line)
    answer(f"chart: {out}, table: {table}")


def make_folder(out: Path) -> None:
    """Make the folder of a chart.

    Raises:
        ValueError: it cannot be made or written to.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"out: the folder of '{out}' cannot be made: {error.strerror or error}") from error
    if not os.access(out.parent, os.W_OK) or out.is_dir():
        raise ValueError(f"out: '{out}' cannot be written; choose another --out")


def read_run(folder: Path) -> list[Point]:
    """The validations of a run, in the order of its training.

    A run that was resumed, or begun anew in the same folder, logs some minutes twice: what came later counts.

    Raises:
        ValueError: no such folder, no log of a vocoder in it, or one without minutes.
    """
    # Slow to import, and needed here alone.
    from tensorboard.backend.event_processing.event_accumulator import SCALARS as KIND  # type: ignore[import-untyped]
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not folder.is_dir():
        raise ValueError(f"runs: the folder '{folder}' does not exist")
    points: list[Point] = []
    # File by file: read as one folder, what came before a fresh start would be forgotten or mixed in by chance.
    for path in sorted(folder.glob("events.out.tfevents.*")):
        log = EventAccumulator(str(path), size_guidance={KIND: 0}).Reload()
        known = log.Tags()[KIND]
        if not set(SCALARS.values()) <= set(known):
            continue
        columns = {name: {event.step: event.value for event in log.Scalars(tag)} for name, tag in SCALARS.items()}
        for step in sorted(columns["minutes"]):
            if all(step in column for column in columns.values()):
                point = Point(step, **{name: column[step] for name, column in columns.items()})
                points = [old for old in points if old.step < step and old.minutes < point.minutes]
                points.append(point)
    if not points:
        raise ValueError(f"runs: '{folder}' holds no log of a vocoder's validations with training minutes")
    return points


def write_table(found: dict[str, list[Point]], path: Path) -> None:
    """One row for each run and validation."""
    with write_aside(path) as aside, aside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["run", *(field.name for field in fields(Point))])
        for name, points in found.items():
            writer.writerows([name, *astuple(point)] for point in points)


def draw(found: dict[str, list[Point]], axis: Axis, path: Path) -> None:
    """A line for each run, and one for Griffin-Lim."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for name, points in found.items():
        minutes = [getattr(point, axis) for point in points]
        axes.plot(minutes, [point.mel_distance for point in points], "o-", label=name)
    baselines = {round(points[-1].griffin_lim_distance, 4) for points in found.values()}
    for baseline in sorted(baselines):
        axes.axhline(baseline, color="grey", linestyle="--", label=f"Griffin-Lim, 64 iterations: {baseline:.3f}")
    axes.set_yscale("log")
    axes.set_xlim(left=0.0)
    axes.set_xlabel("training, minutes of the processor" if axis == "cpu_minutes" else "training, minutes")
    axes.set_ylabel("multi-scale mel distance, validation clips")
    axes.grid(True, which="both", alpha=0.3)
    # Above the axes: inside it would lie on a curve.
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
    with write_aside(path) as aside:
        figure.savefig(aside, format=path.suffix.lstrip("."), dpi=120)


def report(found: dict[str, list[Point]], axis: Axis) -> list[str]:
    """Every run at the end of the shortest, and how the first stands to each of the others."""
    end = min(float(getattr(points[-1], axis)) for points in found.values())
    reached = {name: at(points, axis, end) for name, points in found.items()}
    first = next(iter(reached.values()))
    lines = [f"after {end:.1f} {axis.replace('_', ' ')} of training:"]
    for name, point in reached.items():
        ratio = point.mel_distance / point.griffin_lim_distance
        lower = 100.0 * (1.0 - first.mel_distance / point.mel_distance)
        compared = f", the first run is {lower:.0f} % lower" if point is not first else ""
        lines.append(f"{name:24} {point.mel_distance:8.3f}, {ratio:.3f} of Griffin-Lim, step {point.step}{compared}")
    return lines


def at(points: Sequence[Point], axis: Axis, minutes: float) -> Point:
    """A run after so many minutes: its last validation until then, with the distance between that one and the next.

    The logarithm of the distance is taken as linear between two validations; before the first and after the last the
    run counts with that one.
    """
    before = ([point for point in points if getattr(point, axis) <= minutes] or list(points[:1]))[-1]
    after = next((point for point in points if getattr(point, axis) > minutes), None)
    start = float(getattr(before, axis))
    if after is None or start >= minutes:
        return before
    share = (minutes - start) / (float(getattr(after, axis)) - start)
    first, last = math.log(before.mel_distance), math.log(after.mel_distance)
    return replace(before, mel_distance=math.exp(first + share * (last - first)))


def _names(folders: list[Path]) -> list[str]:
    """The folders' own names, or whole paths where two are alike."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [folder.as_posix() for folder in folders]


if __name__ == "__main__":
    sys.exit(run_command(curves, several=["runs"]))
