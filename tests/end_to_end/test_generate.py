"""`generate.py` as a person and a script use it: files, determinism, every refused input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pipelines import TextToAudioPipeline
from pipelines.generate import main

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--solver_steps", "2", "--seconds", "0.3"]


def run(small_bundle: Path, out: Path, *options: str) -> int:
    return main(["--model", str(small_bundle), "--out", str(out), "--device", "cpu", *QUICK, *options])


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]):
    return lambda: capsys.readouterr().out.splitlines()


def test_each_clip_writes_three_files_and_prints_one_path(small_bundle: Path, tmp_path: Path, lines) -> None:
    assert (
        run(small_bundle, tmp_path, "--prompt", "A kick!", "--prompt", "bell", "--num_clips", "2", "--seed", "3") == 0
    )
    paths = [Path(line) for line in lines()]
    assert [path.name for path in paths] == [
        "a-kick_seed3_0.wav",
        "a-kick_seed3_1.wav",
        "bell_seed3_0.wav",
        "bell_seed3_1.wav",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        path.with_suffix(suffix).name for path in paths for suffix in (".wav", ".json", ".png")
    )
    for path in paths:
        waveform, rate = soundfile.read(path)
        assert rate == 44100
        assert len(waveform) == round(0.3 * 44100)
        assert np.abs(waveform).max() <= 0.99 + 1e-4
        assert abs(waveform[-1]) < 1e-3
    page = json.loads(paths[1].with_suffix(".json").read_text())
    assert page["prompt"] == "A kick!"
    assert (page["seed"], page["clip"]) == (3, 1)
    assert set(page["stages"]) == {"autoencoder", "latent_diffusion", "vocoder"}
    assert page["licences"] == ["CC-BY-3.0", "CC0-1.0"]
    assert page["settings"]["solver_steps"] == 2
    assert {"torch", "python"} <= set(page["versions"])


def test_never_over_another_clip_and_a_random_seed_is_recorded(small_bundle: Path, tmp_path: Path, lines) -> None:
    for _ in range(2):
        assert run(small_bundle, tmp_path, "--prompt", "x", "--seed", "1", "--plot", "false") == 0
    assert [Path(line).name for line in lines()] == ["x_seed1_0.wav", "x_seed1_0_2.wav"]
    assert run(small_bundle, tmp_path, "--prompt", "y", "--format", "flac", "--plot", "false") == 0
    path = Path(lines()[0])
    seed = json.loads(path.with_suffix(".json").read_text())["seed"]
    assert path.name == f"y_seed{seed}_0.flac"
    assert run(small_bundle, tmp_path / "again", "--prompt", "y", "--format", "flac", "--seed", str(seed)) == 0
    assert np.array_equal(soundfile.read(path)[0], soundfile.read(lines()[0])[0])


def test_prompts_file_pitch_numbers_and_label(small_bundle: Path, tmp_path: Path, lines) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("one\n\n  two \n")
    options = ("--prompts_file", str(prompts), "--pitch", "A4", "--loudness", "-12", "--label", "kick", "--seed", "0")
    assert run(small_bundle, tmp_path / "out", *options, "--plot", "false") == 0
    pages = [json.loads(Path(line).with_suffix(".json").read_text()) for line in lines()]
    assert [page["prompt"] for page in pages] == ["one", "two"]
    assert pages[0]["settings"]["pitch"] == 69.0
    assert pages[0]["settings"]["loudness"] == -12.0
    assert pages[0]["settings"]["label"] == "kick"


def test_a_note_in_the_words_is_a_number_too(small_bundle: Path) -> None:
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    said, asked, other = (
        pipeline("a bell, A4", seed=5, seconds=0.4, pitch=pitch).waveforms for pitch in (None, 69.0, 60.0)
    )
    assert torch.equal(said, asked)
    # A number that was asked for outweighs the words.
    assert (said - other).abs().max() > 1e-3
    # A note that the model does not know is left to the words; as a number it is refused.
    assert pipeline("a bell, C9", seed=5, seconds=0.4).waveforms.isfinite().all()
    with pytest.raises(ValueError, match="pitch"):
        pipeline("a bell", seed=5, seconds=0.4, pitch=120.0)


def test_the_interval_of_guidance_decides_and_is_recorded(small_bundle: Path, tmp_path: Path, lines) -> None:
    options = ("--prompt", "a kick", "--seed", "1", "--plot", "false", "--guidance_scale", "6")
    sounds = []
    for interval in ("0:1", "0.9:1"):
        assert run(small_bundle, tmp_path / "out", *options, "--guidance_interval", interval) == 0
        (line,) = lines()
        page = json.loads(Path(line).with_suffix(".json").read_text())
        assert page["settings"]["guidance_interval"] == [float(time) for time in interval.split(":")]
        sounds.append(soundfile.read(line)[0])
    assert np.abs(sounds[0] - sounds[1]).max() > 1e-3


def test_vocoders_swap_in(small_bundle: Path, stage_files: dict[str, Path], tmp_path: Path, lines) -> None:
    swap = ("--prompt", "x", "--seed", "1", "--plot", "false", "--vocoder", "vocoder.griffin_lim.GriffinLim")
    assert run(small_bundle, tmp_path, *swap, "--vocoder.iterations", "4") == 0
    assert run(small_bundle, tmp_path, *swap, "--vocoder.iterations=9") == 0
    (tmp_path / "nine.yaml").write_text("class: vocoder.griffin_lim.GriffinLim\niterations: 9\n")
    by_yaml = (*swap[:-1], str(tmp_path / "nine.yaml"))
    assert run(small_bundle, tmp_path, *by_yaml) == 0
    assert run(small_bundle, tmp_path, *by_yaml, "--vocoder.iterations", "4") == 0
    first, second, third, fourth = (soundfile.read(line)[0] for line in lines())
    assert np.abs(first - second).max() > 1e-3
    assert np.array_equal(third, second)
    assert np.array_equal(fourth, first)
    stages = ("--autoencoder", str(stage_files["autoencoder"]), "--diffusion", str(stage_files["latent_diffusion"]))
    own = ("--vocoder", str(stage_files["vocoder"]), "--prompt", "x", "--seed", "1", "--plot", "false")
    assert main([*stages, *own, "--out", str(tmp_path / "stages"), "--device", "cpu", *QUICK]) == 0
    assert run(small_bundle, tmp_path / "bundle", "--prompt", "x", "--seed", "1", "--plot", "false") == 0
    from_stages, from_bundle = (soundfile.read(line)[0] for line in lines())
    assert np.array_equal(from_stages, from_bundle)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "--prompt"),
        (["--prompt", ""], "empty prompt"),
        (["--prompt", "  "], "empty prompt"),
        (["--prompts_file", "/nowhere.txt"], "/nowhere.txt"),
        (["--prompt", "x", "--seconds", "-1"], "seconds"),
        (["--prompt", "x", "--seconds", "0"], "seconds"),
        (["--prompt", "x", "--seconds", "nan"], "seconds"),
        (["--prompt", "x", "--seconds", ".nan"], "seconds"),
        (["--prompt", "x", "--seconds", "inf"], "seconds"),
        (["--prompt", "x", "--seconds", "601"], "600"),
        (["--prompt", "x", "--num_clips", "0"], "num_clips"),
        (["--prompt", "x", "--num_clips", "-2"], "num_clips"),
        (["--prompt", "x", "--solver", "magic"], "euler"),
        (["--prompt", "x", "--solver_steps", "0"], "solver_steps"),
        (["--prompt", "x", "--guidance_scale", ".nan"], "guidance_scale"),
        (["--prompt", "x", "--guidance_interval", "0.8:0.2"], "guidance_interval"),
        (["--prompt", "x", "--guidance_interval", "early"], "such as 0.1:0.8, got 'early'"),
        (["--prompt", "x", "--seed", "-1"], "seed"),
        (["--prompt", "x", "--pitch", "H9"], "pitch"),
        (["--prompt", "x", "--loudness", ".inf"], "loudness"),
        (["--prompt", "x", "--label", "kikc"], "kick"),
        (["--prompt", "x", "--format", "mp3"], "format"),
        (["--prompt", "x", "--promt", "y"], "promt"),
        (["--prompt", "x", "--plot", "maybe"], "plot"),
        (["--prompt", "x", "--device", "tpu"], "device"),
        (["--prompt", "x", "--device", "cuda"], "cuda"),
        (["--prompt", "x", "--model", "/nowhere"], "/nowhere"),
        (["--prompt", "x", "--autoencoder", "a.ckpt", "--diffusion", "b.ckpt"], "contradict"),
        (["--prompt", "x", "--vocoder", "missing.ckpt"], "missing.ckpt"),
        (["--prompt", "x", "--vocoder", "no.such.Class"], "no.such.Class"),
        (["--prompt", "x", "--vocoder", "pathlib.Path"], "mel"),
        (["--prompt", "x", "--vocoder", "vocoder.griffin_lim.GriffinLim", "--vocoder.colour", "red"], "colour"),
        (["--prompt", "x", "--vocoder.iterations", "3"], "--vocoder"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    options: list[str], words: str, small_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    base = [] if "--model" in options else ["--model", str(small_bundle)]
    base += [] if "--device" in options else ["--device", "cpu"]
    assert main([*base, "--out", str(out), *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    errors = [line for line in printed.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert "Traceback" not in printed.err
    assert "usage:" not in printed.err
    assert not out.exists() or list(out.iterdir()) == []


def test_an_unwritable_folder_is_told_before_any_work(small_bundle: Path, tmp_path: Path, capsys) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("x")
    assert run(small_bundle, blocker / "deep", "--prompt", "x") == 2
    assert "cannot write" in capsys.readouterr().err


def test_mismatched_stages_and_changed_files_are_refused(
    small_bundle: Path, stage_files: dict[str, Path], tmp_path: Path, capsys
) -> None:
    from dataclasses import replace

    import torch

    from training.checkpoint import load_stage, save_stage

    record, weights = load_stage(stage_files["autoencoder"], "autoencoder")
    retrained = {**weights, "encoder.0.bias": weights["encoder.0.bias"] + 0.1}
    save_stage(tmp_path / "new.safetensors", record.sealed(retrained), retrained, torch.float32)
    other_mel = {**record.config, "mel": {**record.config["mel"], "f_max": 16000.0}}
    save_stage(tmp_path / "mel.safetensors", replace(record, config=other_mel), weights, torch.float32)
    voc, voc_weights = load_stage(stage_files["vocoder"], "vocoder")
    foreign = {**voc.config, "mel": {**voc.config["mel"], "mel_scale": "htk"}}
    save_stage(tmp_path / "voc.safetensors", replace(voc, config=foreign), voc_weights, torch.float32)
    diffusion = ["--diffusion", str(stage_files["latent_diffusion"]), "--prompt", "x", "--out", str(tmp_path / "o")]
    cases = [
        (["--autoencoder", str(tmp_path / "new.safetensors"), *diffusion], str(stage_files["vocoder"]), "stale"),
        (["--autoencoder", str(tmp_path / "mel.safetensors"), *diffusion], str(stage_files["vocoder"]), "16000.0"),
        (
            ["--model", str(small_bundle), "--prompt", "x"],
            str(tmp_path / "voc.safetensors"),
            "mel_scale: slaney != htk",
        ),
    ]
    for options, vocoder, words in cases:
        assert main([*options, "--vocoder", vocoder, "--device", "cpu"]) == 2
        assert words in capsys.readouterr().err
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in small_bundle.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "vocoder.safetensors").write_bytes((small_bundle / "vocoder.safetensors").read_bytes()[:-100])
    assert run(broken, tmp_path / "o", "--prompt", "x") == 2
    assert "truncated or changed" in capsys.readouterr().err
    page = json.loads((broken / "bundle.json").read_text())
    (broken / "bundle.json").write_text(json.dumps({**page, "format": 99}))
    assert run(broken, tmp_path / "o", "--prompt", "x") == 2
    assert "format 99" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_is_130_and_leaves_nothing_half_written(small_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "generate.py", "--model", str(small_bundle), "--out", str(out), "--device", "cpu"]
    options = ["--prompt", "x", "--num_clips", "64", "--solver_steps", "2000", "--seconds", "2"]
    child = subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A gate that runs in the background is deaf to Ctrl-C, and so would its children be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stderr is not None
    while "solver steps" not in child.stderr.readline():
        assert child.poll() is None
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert output == ""
    assert "Traceback" not in errors
    assert list(out.iterdir()) == []
