"""One command from a folder of real audio to clips: it finishes, survives `kill -9`, and refuses what it must."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from pipelines.bundle import Bundle
from pipelines.train import main, warm_start_options
from training.checkpoint import load_stage

ROOT = Path(__file__).resolve().parents[2]
SPLIT = (("long", "train"), ("short", "validation"))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, sonic_pi_folder: Path) -> Path:
    """A folder with twelve real clips, one broken one, and the tiny preset cut down to seconds."""
    place = tmp_path_factory.mktemp("workplace")
    (place / "sounds").mkdir()
    for path in sorted(sonic_pi_folder.glob("drum_*.flac"))[:12]:
        shutil.copy(path, place / "sounds" / path.name)
    (place / "sounds" / "broken.wav").write_bytes(b"RIFF")
    shutil.copytree(ROOT / "configs/mel", place / "configs/mel")
    (place / "configs/tiny").mkdir()
    for stage in ("autoencoder", "latent_diffusion", "vocoder"):
        values = yaml.safe_load((ROOT / f"configs/tiny/{stage}.yaml").read_text())
        values["trainer"]["max_steps"] = 4
        values["data"] |= {"batch_size": 2, "steps_per_epoch": 2}
        if "segment_seconds" in values["data"]:
            values["data"] |= {"segment_seconds": 0.3, "validation_clips": 1, "validation_seconds": 0.5}
        (place / f"configs/tiny/{stage}.yaml").write_text(yaml.safe_dump(values))
    return place


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "pipelines.train", "--audio", "sounds", "--preset", "tiny", "--out", "run", *options]


@pytest.mark.timeout(600)
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_killed_run_goes_on_and_ends_in_clips(workplace: Path) -> None:
    first = subprocess.Popen(command(), cwd=workplace, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert first.stderr is not None
    seen = []
    for line in first.stderr:
        seen.append(line)
        if "train latent_diffusion" in line:
            break
    first.send_signal(signal.SIGKILL)
    first.wait()
    text = "".join(seen)
    assert "12 clips" in text
    assert "skipped sounds/broken.wav: unreadable" in text
    assert "in all about" in text
    plan = json.loads((workplace / "run/plan.json").read_text())
    assert plan["done"] == ["train autoencoder", "encode"]
    time.sleep(1.0)
    again = subprocess.run(command(), cwd=workplace, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "train autoencoder: done before" in again.stderr
    assert "bundle: run/bundle" in again.stdout
    assert (workplace / "run/bundle/words.txt").is_file()
    clips = [line for line in again.stdout.splitlines() if line.endswith(".wav")]
    assert len(clips) == 4
    for clip in clips:
        waveform, rate = soundfile.read(workplace / clip)
        assert rate == 44100
        assert np.isfinite(waveform).all()
    # A third start has nothing left to do.
    started = time.monotonic()
    third = subprocess.run(command(), cwd=workplace, capture_output=True, text=True, check=False)
    assert third.returncode == 0
    assert third.stderr.count("done before") == 6
    assert time.monotonic() - started < 60
    refused = subprocess.run(
        [*command()[:-2], "--out", "run", "--init_from", "run/bundle"],
        cwd=workplace,
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert "holds another run" in refused.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--audio", "/nowhere"], "/nowhere"),
        (["--audio", "{empty}"], "no sound files"),
        (["--audio", "{broken}"], "no usable sound file"),
        (["--audio", "{empty}", "--preset", "huge"], "preset"),
        (["--audio", "{empty}", "--init_from", "/nowhere"], "no sound files"),
        (["--out", "x"], "audio"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/x.wav").write_bytes(b"RIFF")
    given = [text.format(empty=tmp_path / "empty", broken=tmp_path / "broken") for text in options]
    if "--out" not in given:
        given += ["--out", str(tmp_path / "run")]
    assert main(given) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "run").exists()


def test_a_folder_that_holds_something_else_is_left_alone(
    sonic_pi_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    assert main(["--audio", str(sonic_pi_folder), "--preset", "tiny", "--out", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.timeout(600)
def test_every_stage_starts_from_a_bundle(workplace: Path, small_bundle: Path) -> None:
    """With a learning rate of zero, what comes out is what went in, although preset and labels differ."""
    for stage in ("autoencoder", "latent_diffusion", "vocoder"):
        path = workplace / f"configs/tiny/{stage}.yaml"
        values = yaml.safe_load(path.read_text())
        values["model"]["optimiser"]["learning_rate"] = 0.0
        path.write_text(yaml.safe_dump(values))
    options = ["--out", "warm", "--init_from", str(small_bundle), "--num_clips", "1"]
    done = subprocess.run([*command()[:-2], *options], cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # It knows the words of the bundle too, of which these are not all.
    assert not (workplace / "warm/bundle/words.txt").exists()
    for stage in ("autoencoder", "vocoder"):
        _, before = load_stage(small_bundle / f"{stage}.safetensors", stage)
        _, after = load_stage(workplace / f"warm/bundle/{stage}.safetensors", stage)
        # A bundle of before there was a lead gets one.
        assert before.keys() == after.keys() - {"lead"}
        assert all(torch.allclose(before[name], after[name], rtol=2e-3, atol=1e-3) for name in before)
    _, before = load_stage(small_bundle / "latent_diffusion.safetensors", "latent_diffusion")
    _, after = load_stage(workplace / "warm/bundle/latent_diffusion.safetensors", "latent_diffusion")
    assert torch.allclose(before["network.output.weight"], after["network.output.weight"], rtol=2e-3, atol=1e-3)


def test_a_stage_that_knows_of_known_frames_goes_on_hearing_of_them(small_bundle: Path) -> None:
    bundled = warm_start_options("latent_diffusion", Bundle.open(ROOT / "bundles/oneshots"))
    assert bundled[bundled.index("--data.known") + 1] == "0.3"
    assert "--data.known" not in warm_start_options("latent_diffusion", Bundle.open(small_bundle))
    assert "--data.known" not in warm_start_options("vocoder", Bundle.open(ROOT / "bundles/oneshots"))


def test_what_would_fail_after_hours_is_refused_at_once(tmp_path: Path, sonic_pi_folder: Path, capsys) -> None:
    """No first clip, and held-out clips that the last stage could not judge."""
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    shutil.copy(sonic_pi_folder / "drum_snare_hard.flac", sounds / "long.flac")
    waveform, rate = soundfile.read(sounds / "long.flac")
    soundfile.write(sounds / "short.flac", waveform[:1500], rate)
    rows = [{"file_name": f"{name}.flac", "text": name, "split": split} for name, split in SPLIT]
    (sounds / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    words = ["--audio", str(sounds), "--preset", "tiny", "--out", str(tmp_path / "run")]
    for options, message in (
        ((), "none of the clips to validate on (1) is long enough"),
        (("--num_clips", "0"), "num_clips: expected at least 1, got 0"),
    ):
        assert main([*words, *options]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
