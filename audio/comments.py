"""A text inside a sound file: the comment that every player knows, of any length.

FLAC and OGG have a COMMENT field, which libsndfile writes and reads. Of a WAV libsndfile keeps short ones only and
drops others in silence, so there a LIST chunk of type INFO with one ICMT entry is put behind the samples here
("Multimedia Programming Interface and Data Specifications 1.0", 1991, RIFF).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import soundfile

INFO, COMMENT = b"INFO", b"ICMT"
# A comment of ours is a few thousand bytes; more is not read into memory.
LONGEST = 16 * 2**20


def append_wav_comment(path: Path, text: str) -> None:
    """Put a comment behind the samples of a WAV.

    Args:
        path: of a WAV that ends with its last chunk.
        text: any.
    """
    body = _entry(COMMENT, text.encode("utf-8") + b"\0")
    with path.open("r+b") as file:
        file.seek(0, 2)
        if file.tell() % 2:
            file.write(b"\0")
        file.write(_entry(b"LIST", INFO + body))
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))


def wav_header(sample_rate: int, samples: int, text: str) -> bytes:
    """The beginning of a 16-bit mono WAV that will have so many samples, with a comment before them.

    Args:
        sample_rate: in Hz.
        samples: that follow.
        text: any.
    """
    form = struct.pack("<HHIIHH", 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    chunks = _entry(b"fmt ", form) + _entry(b"LIST", INFO + _entry(COMMENT, text.encode("utf-8") + b"\0"))
    data = b"data" + struct.pack("<I", 2 * samples)
    size = len(b"WAVE") + len(chunks) + len(data) + 2 * samples
    return b"RIFF" + struct.pack("<I", size) + b"WAVE" + chunks + data


def read_comment(path: Path) -> str:
    """The comment of a sound file; empty where there is none.

    Raises:
        ValueError: the file cannot be read as sound.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) == b"RIFF":
                return _wav_comment(file)
        with soundfile.SoundFile(str(path)) as sound:
            return str(sound.comment)
    except (soundfile.LibsndfileError, OSError, RuntimeError, struct.error) as error:
        raise ValueError(f"'{path}' is not a readable sound file") from error


def _wav_comment(file: BinaryIO) -> str:
    file.seek(12)
    for name, size in _chunks(file):
        if name != b"LIST" or not 4 <= size <= LONGEST or file.read(4) != INFO:
            continue
        end = file.tell() + size - 4
        for entry, length in _chunks(file, end):
            if entry == COMMENT and length <= LONGEST:
                return file.read(length).split(b"\0")[0].decode("utf-8", errors="replace")
    return ""


def _chunks(file: BinaryIO, end: int | None = None) -> Iterator[tuple[bytes, int]]:
    """Names and sizes of the chunks from here on; the file stands at each one's content, and moves on by itself."""
    while end is None or file.tell() < end:
        head = file.read(8)
        if len(head) < 8:
            return
        name, size = struct.unpack("<4sI", head)
        after = file.tell() + size + size % 2
        yield name, size
        file.seek(after)


def _entry(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
