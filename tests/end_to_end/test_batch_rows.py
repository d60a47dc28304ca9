"""What a table's command says for its rows, and tables that grow."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.files import write_audio
from pipelines import TextToAudioPipeline
from pipelines.generate import main as generate
from pipelines.request import Request
from tests.batch_runs import TABLE, run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "sounds.csv"
    path.write_text(TABLE)
    return path


def test_rows_may_be_added_below(small_bundle, table, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert run(small_bundle, table, out) == 0
    times = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*.wav")}
    # One of them longer than all that are there.
    table.write_text(TABLE + "a gong,0.8,,,\na clap,0.3,,,\n")
    capsys.readouterr()
    assert run(small_bundle, table, out) == 0
    assert "6 clips, 4 of them there already" in capsys.readouterr().err
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    assert {path.name for path in out.glob("[!.]*.wav")} - {path.name for path in times} == {
        "a-gong_seed5_4.wav",
        "a-clap_seed5_5.wav",
    }
    assert len((out / "metadata.jsonl").read_text().splitlines()) == 6
    # From now on they belong to it.
    table.write_text(TABLE + "a gong,0.8,,,\na tom,0.3,,,\n")
    assert run(small_bundle, table, out) == 2
    assert "(other rows: 6)" in capsys.readouterr().err


def test_what_cannot_be_heard_claims_no_folder(small_bundle, table, tmp_path, capsys) -> None:
    write_audio(tmp_path / "short.wav", np.full(20, 0.1, dtype=np.float32), 44_100)
    assert run(small_bundle, table, tmp_path / "out", "--style", str(tmp_path / "short.wav")) == 2
    assert "error: style: " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert run(small_bundle, table, tmp_path / "out") == 0


def test_options_say_what_rows_leave_open(small_bundle, table, tmp_path) -> None:
    out, options = tmp_path / "out", ["--pitch", "C3", "--loudness", "-20", "--brightness", "900", "--label", "bell"]
    assert run(small_bundle, table, out, *options) == 0
    pages = {path.stem: json.loads(path.read_text()) for path in out.glob("a-*.json")}
    asked = {name: page["batch"]["jobs"][page["batch"]["row"]] for name, page in pages.items()}
    assert asked["a-bell-bright_seed5_1"]["numbers"] == {"pitch": 69.0, "loudness": -12.0, "brightness": 900.0}
    assert asked["a-snare_seed5_2"]["numbers"] == {"pitch": 48.0, "loudness": -20.0, "brightness": 900.0}
    assert [asked[name]["label"] for name in ("a-bell-bright_seed5_1", "a-snare_seed5_2")] == ["bell", "kick"]
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    words = {"pitch": "C3", "loudness": -20.0, "brightness": 900.0, "label": "bell", "solver_steps": 2}
    alone = pipeline("a deep kick", seed=5, seconds=0.3, **words).waveforms[0].numpy()
    assert np.abs(alone - soundfile.read(out / "a-deep-kick_seed5_0.wav")[0]).max() < 2e-3


def test_a_table_of_loops(small_bundle, table, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert run(small_bundle, table, out, "--loop", "true") == 0
    capsys.readouterr()
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    for name, wanted in (("a-bell-bright_seed5_1", 0.6), ("a-deep-kick_seed5_3", 0.2)):
        alone = pipeline.settle(Request(prompts=("x",), seconds=wanted, loop=True))["seconds"]
        page = json.loads((out / f"{name}.json").read_text())
        assert soundfile.info(out / f"{name}.wav").frames == round(alone * 44_100)
        assert page["settings"]["loop"] is True
        assert page["measured"]["seam"] > 0.0
    path = out / "a-bell-bright_seed5_1.wav"
    assert generate(["--again", str(path), "--model", str(small_bundle), "--out", str(tmp_path / "again")]) == 0
    assert np.array_equal(soundfile.read(path)[0], soundfile.read(capsys.readouterr().out.strip())[0])
