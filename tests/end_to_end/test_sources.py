"""What is said of sources: how long they are, how many channels they have, where they come to lie."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audio.files import audio_seconds, read_audio, write_audio
from pipelines import TextToAudioPipeline
from pipelines.generate import main
from pipelines.words import request_of

ELEVEN_HOURS = 11 * 3600


@pytest.fixture(scope="module")
def pipeline(small_bundle: Path) -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")


@pytest.fixture
def bell(sonic_pi_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "bell.wav"
    write_audio(path, read_audio(sonic_pi_folder / "perc_bell.flac", 44_100, seconds=0.5)[0], 44_100)
    return path


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A WAV of eleven hours, which are a hole in the disk."""
    rate, path = 8_000, tmp_path / "endless.wav"
    size = 2 * rate * ELEVEN_HOURS
    riff = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE"
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    with path.open("wb") as file:
        file.write(riff + form + b"data" + struct.pack("<I", size))
        file.truncate(44 + size)
    assert audio_seconds(path) == ELEVEN_HOURS
    return path


@pytest.mark.parametrize("options", [[], ["--mask", "1:2"], ["--extend_after", "1"], ["--morph"]])
def test_of_eleven_hours_nothing_is_read(options, endless, bell, small_bundle, tmp_path, capsys, monkeypatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a file was read that is known to be too long")

    monkeypatch.setattr(soundfile.SoundFile, "read", never)
    monkeypatch.setattr("pipelines.editing.file_sha256", never)
    named = ["--morph", str(bell), str(endless)] if options == ["--morph"] else ["--init_audio", str(endless), *options]
    assert main([*named, "--model", str(small_bundle), "--device", "cpu", "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "at most 600 s can be worked on, this would be 39600.00 s" in line or "would be 39601.00 s" in line
    assert not (tmp_path / "out").exists()


def test_of_a_style_of_eleven_hours_half_a_minute_is_heard(
    endless, small_bundle, tmp_path, capsys, monkeypatch
) -> None:
    asked = []
    read = soundfile.SoundFile.read

    def counted(self: soundfile.SoundFile, frames: int = -1, *rest: object, **more: object) -> object:
        asked.append(frames)
        return read(self, frames, *rest, **more)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    options = ["--prompt", "x", "--style", str(endless), "--model", str(small_bundle), "--device", "cpu"]
    assert main([*options, "--out", str(tmp_path / "out")]) == 2
    assert "holds no sound" in capsys.readouterr().err
    assert asked == [30 * 8_000]


@pytest.mark.parametrize(("seconds", "frames"), [(0.3, 13), (0.311, 13), (0.001, 1), (0.0, 0)])
def test_seconds_before_a_source_are_whole_latent_frames(seconds, frames, bell, pipeline) -> None:
    """The clip is as long as its parts, and the source lies where its page says."""
    rate = pipeline.diffusion.spec.latent_rate
    settings = pipeline.settle(request_of((), {"init_audio": bell, "extend_before": seconds, "extend_after": 0.2}))
    assert settings["edit"]["extend_before"] == pytest.approx(frames / rate, abs=1e-12)
    assert settings["seconds"] == pytest.approx(frames / rate + 0.5 + 0.2, abs=1e-9)
    canvas = pipeline.canvas(settings)
    assert int(canvas.kept[0].nonzero()[0]) == frames
    # More frames of silence before it, and the same latents of the source.
    plain = pipeline.canvas(pipeline.settle(request_of((), {"init_audio": bell, "extend_after": 0.2}))).latents
    shared = min(plain.shape[-1], canvas.latents.shape[-1] - frames)
    assert torch.equal(canvas.latents[..., frames : frames + shared], plain[..., :shared])


@pytest.mark.parametrize(
    ("channels", "says"),
    [
        (1, ""),
        (2, "is stereo, averaged to one channel"),
        (6, "is of 6 channels, averaged to one channel"),
    ],
)
@pytest.mark.parametrize("option", ["--init_audio", "--style"])
def test_channels_that_are_averaged_are_said(option, channels, says, bell, small_bundle, tmp_path, capsys) -> None:
    sound, _ = read_audio(bell)
    path = tmp_path / "wide.wav"
    write_audio(path, np.stack([sound] * channels) if channels > 1 else sound, 44_100)
    options = ["--prompt", "x", option, str(path), "--model", str(small_bundle), "--device", "cpu", "--seed", "3"]
    options += ["--solver_steps", "1", "--plot", "false", *([] if option == "--init_audio" else ["--seconds", "0.2"])]
    assert main([*options, "--out", str(tmp_path / "out")]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "averaged" in line]
    assert told == ([f"'{path.resolve()}' {says}"] if says else [])


def test_a_stream_tells_its_seed_and_is_sent_again(small_bundle, tmp_path, capsysbinary) -> None:
    options = ["--prompt", "x", "--seconds", "0.4", "--solver_steps", "2", "--model", str(small_bundle)]
    options += ["--device", "cpu"]
    assert main([*options, "--stream", "pcm"]) == 0
    drawn = capsysbinary.readouterr()
    seed = drawn.err.decode().split("seed ", 1)[1].split(":")[0]
    assert f"seed {seed}: one clip of 0.4 s as it is made, ".encode() in drawn.err
    assert main([*options, "--stream", "wav", "--seed", seed]) == 0
    sent = capsysbinary.readouterr().out
    assert sent[-len(drawn.out) :] == drawn.out
    file = tmp_path / "sent.wav"
    file.write_bytes(sent)
    for kind, expected in (("pcm", drawn.out), ("wav", sent)):
        assert main(["--again", str(file), "--model", str(small_bundle), "--stream", kind]) == 0
        again = capsysbinary.readouterr()
        assert again.out[-len(drawn.out) :] == drawn.out
        assert len(again.out) == len(expected)
