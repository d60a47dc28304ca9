"""Sound files: round trips, lying headers, nothing half-written."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.files import list_audio_files, read_audio, resample, write_audio
from audio.streaming import write_blocks


def tone(seconds: float = 0.5, rate: int = 44100, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
def test_what_is_written_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{kind}"
    write_audio(path, tone(), 44100)
    waveform, rate = read_audio(path)
    assert rate == 44100
    assert len(waveform) == 22050
    assert np.abs(waveform - tone()).max() < (0.05 if kind == "ogg" else 1e-4)
    assert list(tmp_path.iterdir()) == [path]


def test_samples_are_the_nearest_ones_in_every_lossless_file(tmp_path: Path) -> None:
    sound = np.append(np.random.default_rng(0).uniform(-1.0, 1.0, 5_000), [1.0, -1.0, 0.0, -1e-6]).astype(np.float32)
    found = {}
    for kind in ("wav", "flac"):
        write_audio(tmp_path / f"a.{kind}", sound, 22_050)
        with write_blocks(tmp_path / f"b.{kind}", 22_050) as append:
            append(sound[:3_000])
            append(sound[3_000:])
        found[kind], blocks = (soundfile.read(tmp_path / f"{name}.{kind}", dtype="int16")[0] for name in "ab")
        assert np.array_equal(found[kind], blocks)
    assert np.array_equal(found["wav"], found["flac"])
    assert np.abs(found["wav"] / 32_768.0 - sound).max() <= 1.0 / 32_768.0
    assert np.abs(found["wav"] / 32_768.0 - sound)[sound < 0.9999].max() <= 0.5 / 32_768.0
    assert found["wav"][-3:].tolist() == [-32_768, 0, 0]


def test_stereo_is_averaged_and_rates_are_resampled(tmp_path: Path) -> None:
    left, right = tone(rate=48000), 0.5 * tone(rate=48000)
    soundfile.write(tmp_path / "s.wav", np.stack([left, right], axis=1), 48000, subtype="FLOAT")
    waveform, rate = read_audio(tmp_path / "s.wav", 44100)
    assert rate == 44100
    assert abs(len(waveform) - 22050) <= 1
    middle = slice(2000, 20000)
    assert np.abs(waveform[middle] - 0.75 * tone()[middle]).max() < 2e-3


def test_resampling_keeps_a_tone_and_drops_what_cannot_be_heard() -> None:
    kept = resample(tone(1.0, 44100, 1000.0), 44100, 16000)
    lost = resample(tone(1.0, 44100, 12000.0), 44100, 16000)
    assert np.abs(kept[500:-500] - tone(1.0, 16000, 1000.0)[500:-500]).max() < 2e-3
    assert np.abs(lost[500:-500]).max() < 2e-3


def test_a_header_that_lies_about_its_length_gives_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "lie.wav"
    write_audio(path, tone(), 44100)
    data = bytearray(path.read_bytes())
    start = data.index(b"data") + 4
    data[start : start + 4] = struct.pack("<I", 0x7FFFFFF0)
    path.write_bytes(bytes(data))
    waveform, _ = read_audio(path)
    assert len(waveform) == 22050


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a sound at all" * 100])
def test_foreign_files_are_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.wav: not a readable sound file") as caught:
        read_audio(path)
    assert "\n" not in str(caught.value)


def test_empty_and_non_finite_files_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0, np.float32), 44100)
    with pytest.raises(ValueError, match="no samples"):
        read_audio(tmp_path / "empty.wav")
    soundfile.write(tmp_path / "nan.wav", np.full(100, np.nan, np.float32), 44100, subtype="FLOAT")
    with pytest.raises(ValueError, match="not finite"):
        read_audio(tmp_path / "nan.wav")
    with pytest.raises(ValueError, match="not finite"):
        write_audio(tmp_path / "out.wav", np.array([np.inf], np.float32), 44100)
    assert not (tmp_path / "out.wav").exists()


def test_writing_where_nothing_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("x")
    with pytest.raises(ValueError, match="cannot be written"):
        write_audio(blocker / "a.wav", tone(), 44100)
    with pytest.raises(ValueError, match="expected one of flac, ogg, wav"):
        write_audio(tmp_path / "a.mp3", tone(), 44100)
    assert list(tmp_path.iterdir()) == [blocker]


def test_hidden_and_other_files_are_not_listed(tmp_path: Path) -> None:
    write_audio(tmp_path / "b" / "one.wav", tone(), 44100)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.wav").write_bytes(b"")
    assert list_audio_files(tmp_path) == [tmp_path / "b" / "one.wav"]
    with pytest.raises(ValueError, match="existing folder"):
        list_audio_files(tmp_path / "missing")
