"""How a clip comes out of noise, to look at and to hear, on the bundled model."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from audio.files import read_audio
from audio.mel import LogMelSpectrogram
from pipelines import TextToAudioPipeline
from pipelines.clips import free_name
from pipelines.editing import Edit
from pipelines.generate import main
from pipelines.request import Job, Request
from pipelines.watching import watch_clip, write_watch

QUICK = ["--solver_steps", "4", "--plot", "false", "--device", "cpu"]


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def nats(pipeline: TextToAudioPipeline, first: Tensor, second: Tensor) -> float:
    log_mel = LogMelSpectrogram(pipeline.autoencoder.mel)
    return float((log_mel(first[None]) - log_mel(second[None])).abs().mean())


def test_the_denoising_can_be_watched(pipeline, tmp_path, capsys) -> None:
    options = ["--prompt", "a bell", "--seconds", "0.5", "--seed", "1", "--watch", "true", "--num_clips", "2"]
    assert main(["--solver_steps", "6", "--plot", "false", "--device", "cpu", *options, "--out", str(tmp_path)]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in paths[2:]] == ["a-bell_seed1_0_watch.png", "a-bell_seed1_0_watch.wav"]
    assert paths[2].read_bytes()[:4] == b"\x89PNG"
    heard, clip = (torch.from_numpy(read_audio(path, pipeline.sample_rate)[0]) for path in (paths[3], paths[0]))
    assert len(heard) / pipeline.sample_rate == pytest.approx(6 * (0.5 + 0.15), abs=0.4)
    # Guess after guess, each followed by a pause: the last is the clip, the first is not, and both are heard.
    guesses = [part[: len(clip)] for part in heard.reshape(6, -1)]
    apart = [nats(pipeline, guess / guess.abs().max(), clip / clip.abs().max()) for guess in (guesses[0], guesses[-1])]
    assert apart[1] < 0.2 < apart[0]
    assert min(float(guess.abs().max()) for guess in guesses) > 0.01
    watch = watch_clip(pipeline, pipeline(("a bell",), seconds=0.5, seed=1, solver_steps=6))
    assert watch.times == pytest.approx([number / 6 for number in range(6)])
    # What is held begins as noise, and the last guess is nearly the clip; the first is not.
    made = pipeline.latents([Job("a bell", 0, 0.5)], pipeline.settle(Request(("a bell",), 0.5, 1, 1, solver_steps=6)))[
        0
    ]
    far = [float((guess - made).abs().mean()) for guess in watch.guesses]
    assert far[-1] < 1e-4 < far[0]
    assert float(pipeline.diffusion.spec.whiten(watch.states[0][None]).std()) == pytest.approx(1.0, abs=0.1)


def test_the_change_of_a_recording_can_be_watched(pipeline, sonic_pi_folder, tmp_path, capsys) -> None:
    """A variation is seen from where its solver starts, and ends as the clip; so does what fills a mask."""
    snare = sonic_pi_folder / "sn_dolf.flac"
    for words, edit, steps in (((), Edit(snare, 0.5), 3), (("a clap",), Edit(snare, mask=((0.1, 0.2),)), 6)):
        made = pipeline(words, edit=edit, seed=1, solver_steps=6)
        watch = watch_clip(pipeline, made)
        # Steps before the start are not taken: of six at a strength of a half three.
        assert watch.times == pytest.approx([number / 6 for number in range(6 - steps, 6)])
        guesses = pipeline.sound(torch.stack(watch.guesses), watch.settings, [watch.job] * steps)
        clip = made.waveforms[0] / made.waveforms[0].abs().max()
        apart = [nats(pipeline, one[: len(clip)] / one.abs().max(), clip) for one in guesses]
        # What is held is guessed too, and not quite as it is.
        assert apart[-1] < 0.5
        assert apart[-1] < 0.5 * apart[0]
    command = [
        "--init_audio",
        str(snare),
        "--mask",
        "0.1:0.2",
        "--watch",
        "true",
        "--seed",
        "1",
        "--out",
        str(tmp_path),
    ]
    assert main([*QUICK, *command]) == 0
    names = [Path(line).name for line in capsys.readouterr().out.splitlines()]
    assert [name.endswith(end) for name, end in zip(names[1:], ("_watch.png", "_watch.wav"), strict=True)] == [True] * 2


def test_what_was_watched_is_never_written_over(tmp_path) -> None:
    (tmp_path / "a-bell_seed1_0_watch.wav").write_bytes(b"kept")
    assert free_name(tmp_path, "a-bell_seed1_0").name == "a-bell_seed1_0_2"


def test_a_loop_can_be_watched(pipeline, tmp_path) -> None:
    """What is seen last is the clip, wherever its file begins."""
    for loop, seconds in (("struck", 0.75), ("circle", 0.75)):
        made = pipeline("a deep kick", loop=loop, seconds=seconds, seed=1, solver_steps=8)
        watch = watch_clip(pipeline, made)
        _, path = write_watch(watch, pipeline, tmp_path / loop, loop)
        heard = torch.from_numpy(read_audio(path, pipeline.sample_rate)[0]).reshape(6, -1)[-1]
        turn = made.waveforms[0].roll(-made.origins[0])
        seen = heard[: len(turn)]
        assert float(torch.nn.functional.cosine_similarity(seen, turn, dim=0)) > 0.99
