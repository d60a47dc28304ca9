"""Clips of the same words that lie farther apart, on the bundled model and by rule."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram
from pipelines import TextToAudioPipeline
from pipelines.bundle import Defaults
from pipelines.editing import Edit
from pipelines.generate import main
from pipelines.morphing import job_meaning
from pipelines.ranking import evidence
from pipelines.request import Job, Request
from pipelines.settling import settle

PROMPTS = ("a tight acoustic snare", "a tom drum", "a bright piano, C4", "an acoustic guitar strum")
SETTINGS = {"seconds": 0.6, "seed": 4, "solver_steps": 10}


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def apart(pipeline: TextToAudioPipeline, variety: float) -> Tensor:
    """Mean absolute difference of the log-mels of four clips of a prompt, of each prompt."""
    made = pipeline(PROMPTS, num_clips=4, variety=variety, **SETTINGS).waveforms
    mels = LogMelSpectrogram(pipeline.autoencoder.mel)(made).unflatten(0, (len(PROMPTS), 4))
    pairs = torch.combinations(torch.arange(4))
    return torch.stack([(one[pairs[:, 0]] - one[pairs[:, 1]]).abs().mean() for one in mels])


def test_clips_of_the_same_words_lie_farther_apart(pipeline) -> None:
    plain, varied = apart(pipeline, 0.0), apart(pipeline, 0.8)
    assert float((varied / plain).mean()) > 1.1, (plain, varied)


def test_it_is_the_same_clip_alone_and_among_others(pipeline) -> None:
    given = {**SETTINGS, "variety": 0.5}
    together = pipeline(PROMPTS[:2], num_clips=2, **given)
    alone = pipeline(PROMPTS[1:2], num_clips=2, **given)
    assert (alone.waveforms - together.waveforms[2:]).abs().max() < 1e-3
    # And another one than without.
    plain = pipeline(PROMPTS[1:2], num_clips=2, **{**given, "variety": 0.0})
    assert (alone.waveforms - plain.waveforms).abs().max() > 0.01


def test_again_makes_the_same(tmp_path: Path, capsys) -> None:
    words = ["--prompt", PROMPTS[0], "--seconds", "0.4", "--solver_steps", "4", "--seed", "3", "--plot", "false"]
    assert main([*words, "--variety", "0.7", "--out", str(tmp_path / "first"), "--device", "cpu"]) == 0
    path = Path(capsys.readouterr().out.split()[0])
    again = ["--again", str(path), "--out", str(tmp_path / "second"), "--plot", "false", "--device", "cpu"]
    assert main(again) == 0
    second = Path(capsys.readouterr().out.split()[0])
    assert second != path
    assert np.array_equal(read_audio(second)[0], read_audio(path)[0])


def test_every_seed_and_clip_means_something_else_and_between_two_seeds_lies_between() -> None:
    settings = {"seed": 1, "to_seed": None, "variety": 0.5}
    job = Job("a bell", 0, 1.0)
    own = job_meaning(job, settings, 384)
    assert torch.equal(own, job_meaning(job, settings, 384))
    assert float(own.square().mean().sqrt()) == pytest.approx(0.5, abs=0.05)
    for other in (job_meaning(replace(job, index=1), settings, 384), job_meaning(job, {**settings, "seed": 2}, 384)):
        assert float((other - own).square().mean().sqrt()) > 0.5
    ends = {**settings, "to_seed": 2}
    assert torch.allclose(job_meaning(job, ends, 384), own, atol=1e-5)
    last = job_meaning(replace(job, place=1.0), ends, 384)
    assert torch.allclose(last, job_meaning(job, {**settings, "seed": 2}, 384), atol=1e-5)
    middle = job_meaning(replace(job, place=0.5), ends, 384)
    assert float((middle - own).norm()) == pytest.approx(float((middle - last).norm()), rel=0.1)


def test_the_bundle_says_how_much_and_a_recording_is_left_as_it_is(tmp_path: Path) -> None:
    write_audio(tmp_path / "bell.wav", np.full(44_100, 0.1, dtype=np.float32), 44_100)

    def settled(request: Request) -> float:
        spec = SimpleNamespace(latent_rate=43.0)
        diffusion = SimpleNamespace(solver_names=lambda: ("euler",), guide=None, spec=spec)
        given = settle(replace(request, seed=0), replace(Defaults(), variety=0.3), diffusion, torch.float32)
        return float(given["variety"])

    assert settled(Request(("a bell",))) == 0.3
    assert settled(Request(("a bell",), variety=0.0)) == 0.0
    edit = Edit(tmp_path / "bell.wav", extend_after=1.0)
    assert settled(Request(("a bell",), edit=edit)) == 0.0
    assert settled(Request(("a bell",), edit=edit, variety=0.6)) == 0.6


def test_words_alone_are_moved(pipeline) -> None:
    offset = torch.full((2, pipeline.diffusion.config.conditioning.text_width), 0.5)
    asked = (["", "a bell"], [None, None], [{}, {"pitch": 60.0}])
    plain, moved = (pipeline.diffusion.encode_conditions(*asked, given) for given in (None, offset))
    # The first row says nothing, and the first tokens are label and numbers.
    assert torch.equal(plain.vector[0], moved.vector[0])
    assert torch.equal(plain.tokens[:, :5], moved.tokens[:, :5])
    assert not torch.allclose(plain.vector[1], moved.vector[1], atol=0.01)


def test_the_judge_asks_by_the_plain_words(pipeline) -> None:
    settings = pipeline.settle(Request(PROMPTS[:1], **SETTINGS))
    jobs = [Job(PROMPTS[0], index, 0.6) for index in range(2)]
    latents = pipeline.latents(jobs, {**settings, "variety": 0.0})
    asked = [evidence(pipeline.diffusion, latents, jobs, {**settings, "variety": value}) for value in (0.0, 1.0)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize("variety", [4, -0.1, "0.4", True, float("nan")])
def test_a_bundle_out_of_range_is_refused(variety: object) -> None:
    with pytest.raises(ValueError, match="variety: expected 0 to 1"):
        replace(Defaults(), variety=variety)


def test_it_needs_words(tmp_path: Path, capsys) -> None:
    write_audio(tmp_path / "bell.wav", np.full(22_050, 0.1, dtype=np.float32), 44_100)
    assert main(["--init_audio", str(tmp_path / "bell.wav"), "--variety", "0.5", "--out", str(tmp_path / "out")]) == 2
    assert "--variety: only goes with words" in capsys.readouterr().err


@pytest.mark.parametrize("variety", ["-0.1", "1.5", ".nan"])
def test_out_of_range_is_refused(variety: str, tmp_path: Path, capsys) -> None:
    assert main(["--prompt", "a bell", "--variety", variety, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert "variety: expected 0 to 1" in told
    assert "Traceback" not in told
    assert not (tmp_path / "out").exists()
