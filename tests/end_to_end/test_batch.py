"""A table of prompts becomes a folder of clips, once, however often it is started."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.dataset import AudioFolder
from pipelines import TextToAudioPipeline
from pipelines.generate import main as generate
from tests.batch_runs import QUICK, TABLE, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "sounds.csv"
    path.write_text(TABLE)
    return path


def clips(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: soundfile.read(path)[0] for path in sorted(folder.glob("[!.]*.wav"))}


def test_each_row_becomes_a_clip_of_its_own_length_and_words(small_bundle, table, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert run(small_bundle, table, out) == 0
    assert capsys.readouterr().out.strip() == str(out)
    made = clips(out)
    assert {name: len(clip) for name, clip in made.items()} == {
        "a-bell-bright_seed5_1.wav": round(0.6 * 44_100),
        "a-deep-kick_seed5_0.wav": round(0.3 * 44_100),
        "a-deep-kick_seed5_3.wav": round(0.2 * 44_100),
        "a-snare_seed5_2.wav": round(0.4 * 44_100),
    }
    bell = json.loads((out / "a-bell-bright_seed5_1.json").read_text())
    (own,) = bell["batch"]["jobs"]
    assert own["numbers"] == {"pitch": 69.0, "loudness": -12.0}
    # It is a folder to train on, too.
    scanned = AudioFolder.scan(out)
    assert sorted(clip.captions[0] for clip in scanned.clips) == [
        "a bell, bright",
        "a deep kick",
        "a deep kick",
        "a snare",
    ]
    # A row is the clip that the pipeline makes of it alone.
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    alone = pipeline("a deep kick", seed=5, seconds=0.3, solver_steps=2).waveforms[0].numpy()
    assert np.abs(alone - made["a-deep-kick_seed5_0.wav"]).max() < 2e-3


def test_what_is_there_is_not_made_again_and_what_is_missing_is(small_bundle, table, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert run(small_bundle, table, out) == 0
    first = clips(out)
    times = {path: path.stat().st_mtime_ns for path in out.glob("[!.]*.wav")}
    files = {path.name for path in out.iterdir()}
    # As a kill leaves it: the page is there, the sound is not yet.
    gone = out / "a-snare_seed5_2.wav"
    gone.unlink()
    assert run(small_bundle, table, out) == 0
    assert "3 of them there already" in capsys.readouterr().err
    again = clips(out)
    assert again.keys() == first.keys()
    assert {path.name for path in out.iterdir()} == files
    assert all(path.stat().st_mtime_ns == time for path, time in times.items() if path != gone)
    assert np.abs(again[gone.name] - first[gone.name]).max() < 2e-3


def test_a_batch_that_is_killed_goes_on_and_repeats_nothing(tmp_path) -> None:
    """The bundled model in a process of its own, killed as soon as some clips are there."""
    rows = [f"a snare drum,0.3\na marimba,{0.4 + 0.05 * number}" for number in range(6)]
    (tmp_path / "sounds.csv").write_text("\n".join(["prompt,seconds", *rows]))
    command = [sys.executable, "-m", "pipelines.batch", str(tmp_path / "sounds.csv"), *QUICK, "--out"]
    with subprocess.Popen([*command, str(tmp_path / "out")], stderr=subprocess.DEVNULL, cwd=ROOT) as process:
        while not list((tmp_path / "out").glob("[!.]*.wav")) and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("[!.]*.wav")}
    assert 0 < len(there) < 12
    done = subprocess.run([*command, str(tmp_path / "out")], capture_output=True, check=True, cwd=ROOT, text=True)
    assert f"12 clips, {len(there)} of them there already" in done.stderr
    assert all(path.stat().st_mtime_ns == written for path, written in there.items())
    subprocess.run([*command, str(tmp_path / "whole")], capture_output=True, check=True, cwd=ROOT)
    first, whole = clips(tmp_path / "out"), clips(tmp_path / "whole")
    assert len(whole) == 12
    assert first.keys() == whole.keys()
    assert all(np.abs(first[name] - whole[name]).max() < 2e-3 for name in whole)


def test_a_table_may_be_longer_than_what_is_made_at_once(small_bundle, table, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.settling.MOST_CLIPS", 2)
    assert run(small_bundle, table, tmp_path / "out") == 0
    assert len(clips(tmp_path / "out")) > 2


def test_a_clip_of_a_batch_is_made_again_from_its_own_file(small_bundle, table, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert run(small_bundle, table, out) == 0
    capsys.readouterr()
    for path in sorted(out.glob("[!.]*.wav")):
        again = ["--again", str(path), "--model", str(small_bundle), "--plot", "false", "--device", "cpu"]
        assert generate([*again, "--out", str(tmp_path / "again")]) == 0
        made = capsys.readouterr().out.strip()
        assert np.array_equal(soundfile.read(path)[0], soundfile.read(made)[0])


def test_a_batch_in_stereo_and_in_a_style_is_made_again_too(
    small_bundle, table, sonic_pi_folder, tmp_path, capsys
) -> None:
    out, style = tmp_path / "out", str(sonic_pi_folder / "perc_bell.flac")
    options = ["--stereo", "0.5", "--style", style, "--style_strength", "0.5"]
    assert run(small_bundle, table, out, *options) == 0
    assert run(small_bundle, table, tmp_path / "plain", *options[:2]) == 0
    capsys.readouterr()
    styled, plain = clips(out), clips(tmp_path / "plain")
    assert all(clip.ndim == 2 for clip in styled.values())
    assert all(np.abs(styled[name] - plain[name]).max() > 1e-3 for name in styled)
    for path in sorted(out.glob("[!.]*.wav"))[:2]:
        again = ["--again", str(path), "--model", str(small_bundle), "--plot", "false", "--device", "cpu"]
        assert generate([*again, "--out", str(tmp_path / "again")]) == 0
        assert np.array_equal(soundfile.read(path)[0], soundfile.read(capsys.readouterr().out.strip())[0])
    # A batch of before these options is the same batch.
    state = json.loads((tmp_path / "plain" / "batch.json").read_text())
    for name in ("style", "glide_at"):
        del state["settings"][name]
    (tmp_path / "plain" / "batch.json").write_text(json.dumps(state))
    assert run(small_bundle, table, tmp_path / "plain", *options[:2]) == 0


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "prompt\n", "holds no rows"),
        ("a.csv", "prompt,colour\nx,red\n", "row 1 of"),
        ("a.csv", "prompt,seconds\nx,0.3\n ,0.3\n", "row 2 of"),
        ("a.csv", "prompt,seconds\nx,long\n", "seconds: got 'long'"),
        ("a.csv", "prompt,seconds\nx,999\n", "row 1: seconds"),
        ("a.csv", "prompt,pitch\nx,H2\n", "pitch: got 'H2'"),
        ("a.csv", "prompt,label\nx,kikc\n", "row 1: "),
        ("a.jsonl", '{"prompt": "x"}\n{broken\n', "line 2 of"),
        ("a.jsonl", '["x"]\n', "is no JSON object"),
        ("a.txt", "x\n", "expected a .csv or .jsonl file"),
        ("a.csv", None, "cannot read"),
    ],
)
def test_bad_tables_are_one_line(small_bundle, tmp_path, capsys, name, content, words) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    assert run(small_bundle, path, tmp_path / "out") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_another_batch_is_not_mixed_in(small_bundle, table, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert run(small_bundle, table, out) == 0
    assert run(small_bundle, table, out, "--solver_steps", "3") == 2
    assert "holds another batch (other settings)" in capsys.readouterr().err
    table.write_text(TABLE.replace("snare", "clap").replace("A4", "A3"))
    assert run(small_bundle, table, out) == 2
    assert "holds another batch (other rows: 2, 3); take another folder (rows may be" in capsys.readouterr().err
    # A row that is gone is another one, and so is one that leaves its length to an option.
    table.write_text("\n".join(TABLE.splitlines()[:-1]))
    assert run(small_bundle, table, out) == 2
    assert "(other rows: 4)" in capsys.readouterr().err
    table.write_text(TABLE)
    assert run(small_bundle, table, out, "--seconds", "0.7") == 2
    assert "(other rows: 3)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prompt,seconds\na bell, bright,0.3\n", "row 1 of '{table}' has more cells than the header; put words with a"),
        (f"prompt\n{'x' * 200_000}\n", "'{table}' is no CSV"),
    ],
)
def test_a_table_that_is_not_one_is_refused(text, words, small_bundle, table, tmp_path, capsys) -> None:
    table.write_text(text)
    assert run(small_bundle, table, tmp_path / "out") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert words.format(table=table) in line
    assert not (tmp_path / "out").exists()


def test_cells_may_hold_line_breaks_and_rows_any_character(small_bundle, tmp_path) -> None:
    (tmp_path / "a.csv").write_text('prompt,seconds\n"a kick\nand more",0.2\n')
    (tmp_path / "b.jsonl").write_text('{"prompt": "a\u2028kick", "seconds": 0.2}\n', encoding="utf-8")
    for name, prompt in (("a.csv", "a kick\nand more"), ("b.jsonl", "a\u2028kick")):
        assert run(small_bundle, tmp_path / name, tmp_path / name[0]) == 0
        (page,) = (tmp_path / name[0]).glob("*seed5_0.json")
        assert json.loads(page.read_text())["prompt"] == prompt


def test_a_folder_with_another_batch_json_is_refused(small_bundle, table, tmp_path, capsys) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "batch.json").write_text("[]")
    assert run(small_bundle, table, tmp_path / "out") == 2
    assert "batch.json' is not what a batch wrote" in capsys.readouterr().err


def test_a_batch_takes_the_words_of_the_sampler_from_yaml_too(small_bundle, table, tmp_path) -> None:
    (tmp_path / "words.yaml").write_text("guidance_interval: '0.1:0.8'\nspacing: cosine\nshift: 2.0\nseed: 9\n")
    # The command line wins, wherever it stands.
    assert run(small_bundle, table, tmp_path / "out", "--config", str(tmp_path / "words.yaml")) == 0
    page = json.loads((tmp_path / "out" / "a-snare_seed5_2.json").read_text())
    assert page["settings"]["guidance_interval"] == [0.1, 0.8]
    assert (page["settings"]["spacing"], page["settings"]["shift"]) == ("cosine", 2.0)
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    words = {"guidance_interval": "0.1:0.8", "spacing": "cosine", "shift": 2.0}
    alone = pipeline("a deep kick", seed=5, seconds=0.3, solver_steps=2, **words).waveforms[0].numpy()
    assert np.abs(alone - clips(tmp_path / "out")["a-deep-kick_seed5_0.wav"]).max() < 2e-3
