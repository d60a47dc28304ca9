"""The recipe from packages to a folder: real recordings, a small plan, killed and resumed, equal each time."""

import json
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.cache import default_cache
from pipelines.prepare_data import main
from pipelines.recipes import further, oneshots, packages, sonic_pi
from pipelines.recipes.archives import missing_archives
from pipelines.recipes.packages import fetch_package, package_folder

KEYS = ["file_name", "text", "label", "family", "instrument", "pitch", "velocity", "loudness", "brightness", "seconds",
        "recording", "licence", "source", "rendered", "split"]  # fmt: skip


@pytest.fixture(scope="module")
def plan_of_samples(sonic_pi_package):
    """A plan of the real recordings of one package."""
    plan = oneshots.Plan(recorded=sonic_pi.list_clips(sonic_pi_package))
    sides = oneshots._recorded_sides(plan)
    return [(oneshots.replace(clip, split=sides[clip.file_name]), path) for clip, path in plan.recorded]


def _build(recorded, out):
    plan = oneshots.Plan(recorded=list(recorded), silent=oneshots.open_folder(out, "fluidsynth"))
    oneshots.make_recorded(plan, out, lambda count: None)
    return oneshots.write_metadata(plan, out, lambda count: None)


@pytest.fixture(scope="module")
def built(plan_of_samples, tmp_path_factory):
    """A folder built from the recordings."""
    out = tmp_path_factory.mktemp("built")
    return out, _build(plan_of_samples, out)


def test_rows_hold_exactly_the_agreed_keys_and_true_values(built):
    out, rows = built
    assert len(rows) > 150
    assert [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()] == rows
    for row in rows:
        assert list(row) == KEYS
        assert 4 <= len(row["text"]) <= 12
        assert row["licence"] == "CC0-1.0"
        waveform, rate = soundfile.read(out / row["file_name"])
        assert (rate, waveform.ndim) == (44_100, 1)
        assert len(waveform) / rate == pytest.approx(row["seconds"], abs=1e-5)
        assert 0.01 <= row["seconds"] <= 6.0
        assert np.max(np.abs(waveform)) == pytest.approx(0.9, abs=2e-4)
        assert -40 < row["loudness"] <= 0
        assert 20 < row["brightness"] < 20_000


def test_no_recording_is_on_two_sides(built):
    _, rows = built
    sides = defaultdict(set)
    for row in rows:
        sides[row["recording"]].add(row["split"])
    assert all(len(found) == 1 for found in sides.values())
    by_file = {Path(row["file_name"]).stem: row["split"] for row in rows}
    for same in (
        ("drum_tom_hi_hard", "drum_tom_hi_soft"),
        ("loop_amen", "loop_amen_full"),
        ("tabla_te2", "tabla_te_m"),
        ("bd_klub", "loop_breakbeat"),
    ):
        assert len({by_file[stem] for stem in same}) == 1
    counts = defaultdict(int)
    for row in rows:
        counts[row["split"]] += 1
    assert 0.65 < counts["train"] / len(rows) < 0.9
    assert min(counts["validation"], counts["test"]) > 0.05 * len(rows)


def test_interrupted_build_ends_in_the_same_bytes(built, plan_of_samples, tmp_path):
    out, _ = built
    half = oneshots.Plan(recorded=plan_of_samples[:60], silent=oneshots.open_folder(tmp_path, "fluidsynth"))
    oneshots.make_recorded(half, tmp_path, lambda count: None)
    assert not (tmp_path / "metadata.jsonl").exists()
    first = tmp_path / plan_of_samples[0][0].file_name
    written = first.stat().st_mtime_ns
    _build(plan_of_samples, tmp_path)
    assert first.stat().st_mtime_ns == written  # what was complete is not made again
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    assert all((out / file).read_bytes() == (tmp_path / file).read_bytes() for file in files)


def test_folder_of_another_renderer_or_other_files_is_refused(tmp_path):
    oneshots.open_folder(tmp_path / "a", "fluidsynth")
    with pytest.raises(ValueError, match="'fluidsynth', not 'tinysoundfont'"):
        oneshots.open_folder(tmp_path / "a", "tinysoundfont")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "song.wav").write_text("mine")
    with pytest.raises(ValueError, match="expected an empty folder"):
        oneshots.open_folder(tmp_path / "b", "fluidsynth")


def test_without_apt_one_line_names_the_packages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    code = main(["oneshots", "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")])
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    lines = printed.err.strip().splitlines()
    assert len(lines) == 1
    for name in oneshots.needed_packages("default"):
        assert name in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["twoshots"], ["oneshots", "--licences", "some"], ["oneshots", "--ouut", "x"], []])
def test_misspelt_command_is_one_line(words, capsys):
    assert main(words) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_fetching_twice_gives_the_same_folder_without_apt(sonic_pi_package, monkeypatch):
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    assert fetch_package(sonic_pi.PACKAGE) == sonic_pi_package


def test_share_alike_kits_come_only_when_asked_for():
    assert "hydrogen-data" not in oneshots.needed_packages("default")
    assert "hydrogen-data" in oneshots.needed_packages("all")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_whole_recipe_killed_and_resumed(tmp_path):
    missing = [name for name in oneshots.needed_packages("default") if not package_folder(name).is_dir()]
    missing += [archive.requirement for archive in missing_archives(further.ARCHIVES)]
    if missing:
        pytest.skip(f"not in the cache: {', '.join(missing)}")
    command = [sys.executable, "-m", "pipelines.prepare_data", "oneshots", "--cache", str(default_cache()), "--out"]
    killed = subprocess.Popen([*command, str(tmp_path / "a")], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while len(list(tmp_path.glob("a/general_midi/*.flac"))) < 500 and killed.poll() is None:
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "a" / "metadata.jsonl").exists()
    for out in ("a", "b"):
        subprocess.run([*command, str(tmp_path / out)], check=True, capture_output=True)
    texts = [(tmp_path / out / "metadata.jsonl").read_bytes() for out in ("a", "b")]
    assert texts[0] == texts[1]
    rows = [json.loads(line) for line in texts[0].splitlines()]
    sides = defaultdict(set)
    families = defaultdict(int)
    for row in rows:
        families[row["family"], row["split"]] += 1
        for recording in row["recording"].split("+") if row["rendered"] else [row["recording"]]:
            sides[row["source"], recording.removeprefix(f"{row['source']}:")].add(row["split"])
        assert row["source"] != "TimGM6mb" or row["split"] == "test"
    assert all(len(found) == 1 for found in sides.values())
    assert sum(count >= 50 for (_, side), count in families.items() if side == "train") >= 12
