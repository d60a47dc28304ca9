"""Texts inside sound files."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.comments import read_comment
from audio.files import write_audio


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("length", [1, 2, 5_000, 200_001])
def test_a_text_of_any_length_comes_back_and_the_sound_is_untouched(tmp_path: Path, kind: str, length: int) -> None:
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 2_001).astype(np.float32)
    text = ("é" + "x" * length)[:length]
    plain, said = tmp_path / f"plain.{kind}", tmp_path / f"said.{kind}"
    write_audio(plain, waveform, 44_100)
    write_audio(said, waveform, 44_100, text)
    assert read_comment(said) == text
    assert read_comment(plain) == ""
    assert np.array_equal(soundfile.read(plain)[0], soundfile.read(said)[0])
    assert soundfile.info(str(said)).frames == 2_001


def test_a_wav_stays_whole_by_its_own_size(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    write_audio(path, np.zeros(101, dtype=np.float32), 8_000, "odd")
    content = path.read_bytes()
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
    assert len(content) % 2 == 0


@pytest.mark.parametrize(
    "content", [b"", b"no sound", b"RIFF\x00\x00\x00\x00WAVE", b"RIFF\xff\xff\xff\xffWAVELIST\xff"]
)
def test_files_that_are_none_or_broken_have_no_comment(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    if content.startswith(b"RIFF"):
        assert read_comment(path) == ""
        return
    with pytest.raises(ValueError, match="not a readable sound file"):
        read_comment(path)
