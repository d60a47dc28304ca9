"""A seed gives the same clip with whatever other clips it is computed, by every solver, and from its own file."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipelines import TextToAudioPipeline
from pipelines.generate import main

QUICK = ("--solver_steps", "2")


def run(small_bundle: Path, out: Path, *options: str) -> int:
    return main(["--model", str(small_bundle), "--out", str(out), "--device", "cpu", *QUICK, *options])


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]):
    return lambda: capsys.readouterr().out.splitlines()


def test_the_same_seed_gives_the_same_clip_alone_or_in_a_batch(small_bundle: Path) -> None:
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    many = pipeline(["a kick", "a long prompt about a bell with many words"], num_clips=9, seed=5, seconds=0.4)
    assert many.waveforms.shape == (18, round(0.4 * 44100))
    for index in (0, 8):
        alone = pipeline("a kick", num_clips=index + 1, seed=5, seconds=0.4).waveforms[index]
        assert (alone - many.waveforms[index]).abs().max() < 1e-3
    again = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")("a kick", seed=5, seconds=0.4)
    assert (again.waveforms[0] - many.waveforms[0]).abs().max() < 1e-3
    different = pipeline("a kick", seed=6, seconds=0.4)
    assert (different.waveforms[0] - many.waveforms[0]).abs().max() > 1e-2
    # Other words, other sound: the prompt must matter.
    assert (many.waveforms[9] - many.waveforms[0]).abs().max() > 1e-3


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun", "dpmpp_2m", "ddim", "stochastic", "ancestral"])
def test_every_solver_gives_the_same_clip_alone_or_in_a_batch(solver: str, small_bundle: Path) -> None:
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    options = {"seed": 5, "seconds": 0.3, "solver": solver, "solver_steps": 3}
    many = pipeline(["a kick", "a long prompt about a bell"], num_clips=9, **options).waveforms
    alone = pipeline("a kick", num_clips=9, **options).waveforms
    assert (alone - many[:9]).abs().max() < 2e-3
    assert (alone[0] - alone[1]).abs().max() > 1e-2


def test_a_clip_beyond_the_first_batch_is_made_again(small_bundle: Path, tmp_path: Path, lines) -> None:
    options = ("--prompt", "x", "--num_clips", "20", "--seconds", "0.2", "--seed", "1", "--plot", "false")
    assert run(small_bundle, tmp_path, *options) == 0
    paths = lines()
    assert len(paths) == 20
    for path in (paths[15], paths[16], paths[19]):
        words = ["--again", path, "--model", str(small_bundle), "--out", str(tmp_path / "again"), "--device", "cpu"]
        assert main([*words, "--plot", "false"]) == 0
        assert np.array_equal(soundfile.read(path)[0], soundfile.read(lines()[0])[0])
