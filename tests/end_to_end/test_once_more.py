"""What is refused before any work, and what a page tells, where a clip is made again or looked at."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from audio.comments import read_comment
from audio.files import pcm16, read_audio, write_audio
from pipelines import TextToAudioPipeline
from pipelines.again import again, device_of
from pipelines.generate import main
from pipelines.inspect import main as inspect
from pipelines.provenance import MARK, REVISION, as_comment
from pipelines.request import Request
from training.device import choose_device

QUICK = ["--solver_steps", "2", "--seed", "3", "--plot", "false", "--device", "cpu"]


@pytest.fixture
def source(sonic_pi_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "bell.wav"
    write_audio(path, read_audio(sonic_pi_folder / "perc_bell.flac", 44_100, seconds=0.5)[0], 44_100)
    return path


@pytest.fixture
def given_back(source: Path, small_bundle: Path, tmp_path: Path) -> Path:
    """A clip of strength 0."""
    options = ["--init_audio", str(source), "--strength", "0", "--model", str(small_bundle), *QUICK]
    assert main([*options, "--out", str(tmp_path / "made")]) == 0
    return next((tmp_path / "made").glob("*.wav"))


def test_what_no_solver_made_cannot_be_watched_again(given_back, tmp_path, capsys) -> None:
    capsys.readouterr()
    out = tmp_path / "again"
    assert main(["--again", str(given_back), "--watch", "true", "--out", str(out), "--device", "cpu"]) == 2
    assert "--watch and a clip of strength 0 contradict each other" in capsys.readouterr().err
    assert not out.exists()


def test_a_zero_is_a_setting_and_is_told(given_back, capsys) -> None:
    capsys.readouterr()
    assert inspect([str(given_back)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "strength: 0.0" in lines
    assert f"computed on: cpu, threads {torch.get_num_threads()}" in lines
    assert not any(line.startswith("extend_before") for line in lines)


def page_of(clip: Path) -> dict[str, Any]:
    page: dict[str, Any] = json.loads(read_comment(clip).removeprefix(MARK))
    return page


def with_page(clip: Path, page: dict[str, Any], path: Path) -> Path:
    """The same sound that tells another story."""
    sound, rate = soundfile.read(clip)
    with soundfile.SoundFile(path, "w", rate, 1) as file:
        file.comment = as_comment(page)
        file.write(sound)
    return path


def test_a_clip_of_another_revision_says_so(given_back, tmp_path, capsys) -> None:
    page = page_of(given_back)
    assert page["revision"] == REVISION
    told = []
    for name, revision in (("same", REVISION), ("older", None)):
        own = {key: value for key, value in page.items() if key != "revision"}
        path = with_page(given_back, own | ({"revision": revision} if revision else {}), tmp_path / f"{name}.wav")
        capsys.readouterr()
        assert main(["--again", str(path), "--plot", "false", "--out", str(tmp_path / name), "--device", "cpu"]) == 0
        told.append("another revision" in capsys.readouterr().err)
    assert told == [False, True]


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({}, [], ""),
        ({"device": "tpu"}, [], "made on the device tpu, which is not here, and now on cpu: samples may differ"),
        ({"device": "tpu"}, ["--device", "cpu"], "made on the device tpu, and now on cpu: samples may differ"),
        ({"device": None}, ["--device", "cpu"], ""),
        ({"versions": {"torch": "1.0"}}, [], "made with torch 1.0, and here is "),
    ],
)
def test_what_is_not_as_it_was_is_said(change, options, says, given_back, tmp_path, capsys) -> None:
    page = page_of(given_back)
    assert page["device"] == "cpu"
    path = with_page(given_back, page | change, tmp_path / "told.wav")
    capsys.readouterr()
    assert main(["--again", str(path), "--plot", "false", "--out", str(tmp_path / "again"), *options]) == 0
    printed = capsys.readouterr()
    assert json.loads(Path(printed.out.strip()).with_suffix(".json").read_text())["device"] == "cpu"
    lines = [line for line in printed.err.splitlines() if line.startswith("made ") and "loading that again" not in line]
    assert len(lines) == bool(says)
    assert all(says in line for line in lines)


def test_a_clip_is_made_where_it_was_though_another_device_would_be_taken(monkeypatch, capsys) -> None:
    """Of a machine with a GPU nothing is computed here, only chosen."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert choose_device("auto").type == "cuda"
    assert device_of({"device": "cpu"}, "auto") == "cpu"
    assert device_of({"device": "cuda"}, "auto") == "cuda"
    # Older pages do not say.
    assert device_of({}, "auto") == "auto"
    assert capsys.readouterr().err == ""
    assert device_of({"device": "cpu"}, "cuda") == "cuda"
    assert capsys.readouterr().err == "made on the device cpu, and now on cuda: samples may differ\n"
    assert device_of({"device": "mps"}, "auto") == "cuda"
    assert "mps, which is not here, and now on cuda" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("part", "damage", "says"),
    [
        ("edit", {"strength": ...}, "what is told of the edit lacks strength: the page is damaged"),
        ("edit", {"mask": 3}, "what is told of the edit is damaged"),
        ("edit", {"extend_before": None}, "what is told of the edit is damaged"),
        ("style", {"path": "x.wav"}, "lacks sha256, strength of the style"),
    ],
)
def test_a_damaged_page_is_one_clear_line(part, damage, says, given_back, tmp_path, capsys) -> None:
    page = page_of(given_back)
    told = (page["settings"].get(part) or {}) | damage
    page["settings"][part] = {name: value for name, value in told.items() if value is not ...}
    path = with_page(given_back, page, tmp_path / "damaged.wav")
    capsys.readouterr()
    for command, words in ((main, ["--again", str(path), "--out", str(tmp_path / "no")]), (inspect, [str(path)])):
        assert command(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert says in line
    assert not (tmp_path / "no").exists()


def test_python_makes_a_clip_again_too(given_back, small_bundle, source, capsys) -> None:
    threads = torch.get_num_threads()
    assert np.array_equal(pcm16(again(given_back).waveforms[0].numpy()), soundfile.read(given_back, dtype="int16")[0])
    assert torch.get_num_threads() == threads
    with pytest.raises(ValueError, match=r"again: expected model, autoencoder, .* got seed; the file says all else"):
        again(given_back, seed=3)
    with pytest.raises(ValueError, match="made by another model"):
        again(given_back, model="bundles/oneshots")
    source.unlink()
    with pytest.raises(ValueError, match="is missing"):
        again(given_back)


def test_what_was_made_at_once_is_no_stream(given_back, capsys) -> None:
    capsys.readouterr()
    assert main(["--again", str(given_back), "--stream", "wav"]) == 2
    assert "--stream and a clip that was made at once contradict each other" in capsys.readouterr().err
    assert main(["--again", str(given_back), "--stream", "wav", "--format", "flac"]) == 2
    assert "--format: only goes with files, and --stream writes none" in capsys.readouterr().err


def test_a_source_shorter_than_any_training_clip_is_worked_on(sonic_pi_folder, small_bundle, tmp_path) -> None:
    tick = tmp_path / "tick.wav"
    write_audio(tick, read_audio(sonic_pi_folder / "drum_cowbell.flac", 44_100, seconds=0.03)[0], 44_100)
    assert main(["--init_audio", str(tick), "--model", str(small_bundle), *QUICK, "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").glob("*.wav"))) == 1


def test_a_vocoder_that_cannot_go_round_is_refused_before_any_work(small_bundle, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(TextToAudioPipeline, "latents", None)
    options = ["--prompt", "x", "--loop", "true", "--vocoder", "vocoder.griffin_lim.GriffinLim", *QUICK]
    assert main([*options, "--model", str(small_bundle), "--out", str(tmp_path / "out")]) == 2
    assert "loop: this vocoder does not say how far it hears" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_whole_numbers_may_come_as_floats(small_bundle) -> None:
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    settings = {"seconds": 0.3, "solver_steps": 2}
    made = pipeline("x", num_clips=2.0, seed=1.0, **settings)
    assert made.waveforms.equal(pipeline("x", num_clips=2, seed=1, **settings).waveforms)


def test_a_loop_is_a_whole_circle_at_any_length() -> None:
    pipeline = TextToAudioPipeline.from_pretrained(device="cpu")
    unit = pipeline.diffusion.spec.frames_per_latent * pipeline.autoencoder.mel.hop_length
    for tenths in range(2, 601):
        seconds = pipeline.settle(Request(prompts=("x",), seconds=tenths / 10.0, loop=True))["seconds"]
        # As tables do, whose rows are settled one by one.
        assert pipeline.settle(Request(prompts=("x",), seconds=seconds, loop=True))["seconds"] == seconds
        samples = round(seconds * pipeline.sample_rate)
        assert pipeline.diffusion.spec.num_latent_frames(seconds) * unit == samples
