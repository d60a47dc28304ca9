"""What is refused before any work, and what a page tells, where a clip is made again or looked at."""

import json
from pathlib import Path

import pytest
import soundfile

from audio.comments import read_comment
from audio.files import read_audio, write_audio
from pipelines import TextToAudioPipeline
from pipelines.generate import main
from pipelines.inspect import main as inspect
from pipelines.provenance import MARK, REVISION, as_comment
from pipelines.request import Request

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
    assert not any(line.startswith("extend_before") for line in lines)


def test_a_clip_of_another_revision_says_so(given_back, tmp_path, capsys) -> None:
    page = json.loads(read_comment(given_back).removeprefix(MARK))
    assert page["revision"] == REVISION
    sound, rate = soundfile.read(given_back)
    told = []
    for name, revision in (("same", REVISION), ("older", None)):
        path = tmp_path / f"{name}.wav"
        own = {key: value for key, value in page.items() if key != "revision"}
        with soundfile.SoundFile(path, "w", rate, 1) as file:
            file.comment = as_comment(own | ({"revision": revision} if revision else {}))
            file.write(sound)
        capsys.readouterr()
        assert main(["--again", str(path), "--plot", "false", "--out", str(tmp_path / name), "--device", "cpu"]) == 0
        told.append("another revision" in capsys.readouterr().err)
    assert told == [False, True]


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
    for tenths in range(2, 600):
        seconds = pipeline.settle(Request(prompts=("x",), seconds=tenths / 10.0, loop=True))["seconds"]
        samples = round(seconds * pipeline.sample_rate)
        assert pipeline.diffusion.spec.num_latent_frames(seconds) * unit == samples
