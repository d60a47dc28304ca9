"""Sound files in and out: the one place of the project that touches an audio container.

torchaudio's own `load` and `save` need TorchCodec; libsndfile (the `soundfile` package) reads and writes all that is
needed here. A waveform inside the project is float32 in [-1, 1], mono: stereo is averaged at this door.
"""

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchaudio.functional import resample as torchaudio_resample

from audio.comments import append_wav_comment
from audio.measures import Waveform

AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".w64", ".caf", ".opus"})
SUBTYPES = {"wav": "PCM_16", "flac": "PCM_16", "ogg": "VORBIS"}


def list_audio_files(folder: Path) -> list[Path]:
    """All sound files below `folder`, by name; hidden files are left out.

    Raises:
        ValueError: `folder` is not a folder.
    """
    if not folder.is_dir():
        raise ValueError(f"audio folder: expected an existing folder, got '{folder}'")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def audio_seconds(path: Path) -> float:
    """Length in seconds as the header tells it.

    Raises:
        ValueError: the file cannot be read.
    """
    header = _header(path)
    return float(header.frames) / float(header.samplerate)


def audio_rate(path: Path) -> int:
    """Samples per second as the header tells it, in Hz.

    Raises:
        ValueError: the file cannot be read.
    """
    return int(_header(path).samplerate)


def audio_channels(path: Path) -> int:
    """How many channels the header tells of.

    Raises:
        ValueError: the file cannot be read.
    """
    return int(_header(path).channels)


def read_audio(
    path: Path, sample_rate: int | None = None, start_seconds: float = 0.0, seconds: float | None = None
) -> tuple[Waveform, int]:
    """Read a sound file, average its channels, and resample it where asked.

    Args:
        path: any file libsndfile reads.
        sample_rate: wanted rate in Hz; the file's own when left out.
        start_seconds: where to begin.
        seconds: how much to read; to the end when left out.

    Returns:
        samples (float32, mono) and their rate in Hz.

    Raises:
        ValueError: the file is unreadable, empty or holds values that are not finite.
    """
    try:
        with soundfile.SoundFile(str(path)) as file:
            file_rate = int(file.samplerate)
            start = min(round(start_seconds * file_rate), max(0, file.frames - 1))
            if start:
                file.seek(start)
            wanted = -1 if seconds is None else max(1, round(seconds * file_rate))
            block = file.read(wanted, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError, MemoryError) as error:
        raise ValueError(f"{path}: not a readable sound file ({_reason(error)})") from error
    if block.shape[0] == 0:
        raise ValueError(f"{path}: holds no samples")
    waveform = block.mean(axis=1, dtype=np.float32)
    if not np.isfinite(waveform).all():
        raise ValueError(f"{path}: holds samples that are not finite")
    if sample_rate is not None and sample_rate != file_rate:
        waveform = resample(waveform, file_rate, sample_rate)
    return waveform, sample_rate or file_rate


def read_channels(path: Path, seconds: float | None = None) -> tuple[NDArray[np.float32], int]:
    """Read a sound file as it is: every channel, its own rate, values that are not finite too.

    Args:
        path: any file libsndfile reads.
        seconds: how much to read at most; all when left out.

    Returns:
        samples `(channels, samples)` and their rate in Hz; no samples for an empty file.

    Raises:
        ValueError: the file is unreadable, or ends before its header says.
    """
    try:
        with soundfile.SoundFile(str(path)) as file:
            rate, frames = int(file.samplerate), int(file.frames)
            wanted = frames if seconds is None else min(frames, round(seconds * rate))
            block = file.read(wanted, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, RuntimeError, MemoryError) as error:
        raise ValueError(f"{path}: not a readable sound file ({_reason(error)})") from error
    # A decoder of MP3 may come out a frame short; a broken file misses more.
    if len(block) < wanted - 4608:
        raise ValueError(f"{path}: ends after {len(block)} of {wanted} samples")
    return np.ascontiguousarray(block.T), rate


def resample(waveform: Waveform, source_rate: int, target_rate: int) -> Waveform:
    """Band-limited resampling (torchaudio's windowed sinc).

    Args:
        waveform: samples, mono.
        source_rate: in Hz.
        target_rate: in Hz.
    """
    result = resample_tensor(torch.from_numpy(np.ascontiguousarray(waveform)), source_rate, target_rate)
    return np.asarray(result.numpy(), dtype=np.float32)


def resample_tensor(waveform: Tensor, source_rate: int, target_rate: int) -> Tensor:
    """`resample` along the last axis of a tensor, on its device and differentiable; equal rates change nothing."""
    if source_rate == target_rate:
        return waveform
    divisor = gcd(source_rate, target_rate)
    resampled: Tensor = torchaudio_resample(
        waveform, source_rate // divisor, target_rate // divisor, lowpass_filter_width=16
    )
    return resampled


def pcm16(waveform: Waveform) -> NDArray[np.int16]:
    """Samples as the nearest 16-bit numbers, of the same shape; beyond [-1, 1] they are cut.

    libsndfile rounds floats to a FLAC and cuts their fraction off to a WAV: the same clip would be another.
    """
    scaled = np.asarray(waveform) * 32_768.0
    np.clip(np.rint(scaled, out=scaled), -32_768.0, 32_767.0, out=scaled)
    nearest: NDArray[np.int16] = scaled.astype(np.int16)
    return nearest


def write_audio(path: Path, waveform: Waveform, sample_rate: int, comment: str = "") -> None:
    """Write a clip aside, then rename it to its name: a reader never meets half a file.

    Args:
        path: the suffix (.wav, .flac, .ogg) chooses the format; wav and flac are 16 bit.
        waveform: samples in [-1, 1], `(samples,)` or `(channels, samples)`.
        sample_rate: in Hz.
        comment: a text to keep inside the file.

    Raises:
        ValueError: an unknown suffix, samples that are not finite, or a folder that cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in SUBTYPES:
        raise ValueError(f"audio format: expected one of {', '.join(sorted(SUBTYPES))}, got '{kind}'")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{path}: refused to write samples that are not finite")
    with write_aside(path) as aside:
        try:
            channels = 1 if waveform.ndim == 1 else len(waveform)
            subtype, form = SUBTYPES[kind], kind.upper()
            with soundfile.SoundFile(str(aside), "w", sample_rate, channels, subtype, format=form) as file:
                if comment and kind != "wav":
                    file.comment = comment
                file.write(waveform.T if kind == "ogg" else pcm16(waveform.T))
            if comment and kind == "wav":
                append_wav_comment(aside, comment)
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise ValueError(f"{path}: cannot be written ({_reason(error)}); is the disk full?") from error


def flac_bytes(waveform: Waveform, sample_rate: int) -> bytes:
    """A clip as a 16-bit FLAC file in memory, for pages that hold their sounds.

    Args:
        waveform: samples, mono; beyond [-1, 1] they are cut.
        sample_rate: in Hz.
    """
    stream = io.BytesIO()
    soundfile.write(stream, pcm16(waveform), sample_rate, format="FLAC", subtype="PCM_16")
    return stream.getvalue()


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path`; rename it to `path` on success, remove it on any failure.

    Raises:
        ValueError: the folder cannot be made or written, or the disk is full.
    """
    aside: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        aside = Path(name)
        yield aside
        aside.chmod(0o644)
        aside.replace(path)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({_reason(error)})") from error
    finally:
        if aside is not None and aside.exists():
            aside.unlink()


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _header(path: Path) -> Any:  # noqa: ANN401 (soundfile has no types)
    try:
        return soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise ValueError(f"{path}: not a readable sound file ({_reason(error)})") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, soundfile.LibsndfileError):
        return str(error.error_string).rstrip(".").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).splitlines()[0] if str(error) else type(error).__name__
