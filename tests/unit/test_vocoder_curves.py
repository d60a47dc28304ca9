"""Curves over training minutes: what is read of logs, resumed and begun anew, and how runs are compared."""

import csv
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from training.command import run_command
from vocoder.curves import SCALARS, at, curves, read_run


def log(folder, rows, suffix=""):
    """Validations as (step, minutes, cpu minutes, distance), Griffin-Lim at 0.5."""
    writer = SummaryWriter(str(folder), filename_suffix=suffix)
    for step, *values in rows:
        for tag, value in zip(SCALARS.values(), (*values, 0.5), strict=True):
            writer.add_scalar(tag, value, step)
    writer.close()


@pytest.fixture
def runs(tmp_path):
    log(tmp_path / "fast", [(9, 1.0, 0.5, 0.8), (19, 2.0, 1.0, 0.6), (29, 3.0, 1.5, 0.4)])
    log(tmp_path / "slow", [(4, 1.0, 0.6, 4.0), (9, 2.0, 1.2, 1.2)])
    return [str(tmp_path / "fast"), str(tmp_path / "slow")]


def test_chart_table_and_comparison(runs, tmp_path, capsys):
    out = tmp_path / "charts" / "c.png"
    assert run_command(curves, ["--out", str(out), "--runs", *runs], several=["runs"]) == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader(out.with_suffix(".csv").open()))
    assert [(row["run"], int(row["step"])) for row in rows] == [
        ("fast", 9),
        ("fast", 19),
        ("fast", 29),
        ("slow", 4),
        ("slow", 9),
    ]
    assert float(rows[1]["mel_distance"]) == pytest.approx(0.6)
    text = capsys.readouterr().out
    # At the 1.2 processor minutes of the shorter run the first stood between 0.6 (at 1.0) and 0.4 (at 1.5).
    assert "after 1.2 cpu minutes" in text
    assert "1.020 of Griffin-Lim" in text
    assert "the first run is 57 % lower" in text


def test_wall_minutes_on_request(runs, tmp_path, capsys):
    options = ["--out", str(tmp_path / "c.svg"), "--axis", "minutes", "--runs", *runs]
    assert run_command(curves, options, several=["runs"]) == 0
    assert "after 2.0 minutes" in capsys.readouterr().out


def test_a_resumed_run_is_one_curve(tmp_path):
    log(tmp_path / "run", [(9, 1.0, 1.0, 0.9), (19, 2.0, 2.0, 0.8), (29, 3.0, 3.0, 0.7)], ".1")
    log(tmp_path / "run", [(29, 3.1, 3.1, 0.65), (39, 4.1, 4.1, 0.6)], ".2")
    assert [point.step for point in read_run(tmp_path / "run")] == [9, 19, 29, 39]
    assert read_run(tmp_path / "run")[2].mel_distance == pytest.approx(0.65)


def test_a_fresh_start_forgets_what_lay_in_the_folder(tmp_path):
    log(tmp_path / "run", [(9, 5.0, 5.0, 0.9), (19, 9.0, 9.0, 0.8)], ".1")
    log(tmp_path / "run", [(15, 1.0, 1.0, 0.7)], ".2")
    assert [(point.step, point.minutes) for point in read_run(tmp_path / "run")] == [(15, 1.0)]


def test_runs_of_one_name_are_told_apart(tmp_path, capsys):
    for parent in "ab":
        log(tmp_path / parent / "run", [(9, 1.0, 1.0, 0.5)])
    folders = [str(tmp_path / parent / "run") for parent in "ab"]
    assert run_command(curves, ["--out", str(tmp_path / "c.png"), "--runs", *folders], several=["runs"]) == 0
    text = capsys.readouterr().out
    assert all(folder in text for folder in folders)


def test_a_run_that_is_too_young_counts_with_its_first_validation(runs):
    points = read_run(Path(runs[0]))
    assert at(points, "cpu_minutes", 0.1).step == 9
    assert at(points, "cpu_minutes", 1.49).step == 19


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--out", "c.png"], "runs: expected at least one folder"),
        (["--out", "c.txt", "--runs", "x"], "out: expected a name that ends in .png, .svg, .pdf, got 'c.txt'"),
        (["--out", "c.png", "--runs", "no_such"], "the folder 'no_such' does not exist"),
        (["--out", "c.png", "--runs", "."], "holds no log of a vocoder's validations"),
        (["--out", "c.png", "--runs", ".", "--axis", "hours"], "axis"),
    ],
)
def test_refused_in_one_line(tmp_path, monkeypatch, capsys, options, says):
    monkeypatch.chdir(tmp_path)
    assert run_command(curves, options, several=["runs"]) == 2
    found = capsys.readouterr().err.strip()
    assert says in found
    assert "\n" not in found


def test_between_two_validations_the_logarithm_of_the_distance_is_linear(runs):
    points = read_run(Path(runs[0]))
    # Half way from 0.6 to 0.4: their geometric mean, not the 0.6 of the validation before.
    assert at(points, "cpu_minutes", 1.25).mel_distance == pytest.approx((0.6 * 0.4) ** 0.5)
    assert at(points, "cpu_minutes", 1.0).mel_distance == pytest.approx(0.6)
    assert at(points, "cpu_minutes", 9.0) == points[-1]


@pytest.mark.parametrize("out", ["/proc/x/c.png", "afile/c.png", "folder.png"])
def test_a_chart_that_cannot_be_written_is_one_line(runs, tmp_path, monkeypatch, capsys, out):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").touch()
    (tmp_path / "folder.png").mkdir()
    assert run_command(curves, ["--out", out, "--runs", *runs], several=["runs"]) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("error: out: ")
    assert out in said
    assert "\n" not in said


def test_a_run_named_twice_is_refused(runs, tmp_path, capsys):
    again = str(Path(runs[0]) / ".." / "fast")
    assert run_command(curves, ["--out", str(tmp_path / "c.png"), "--runs", *runs, again], several=["runs"]) == 2
    assert "is named twice; name each folder once" in capsys.readouterr().err
