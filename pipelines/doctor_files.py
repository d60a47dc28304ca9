"""The data doctor's look at single files: every measurement once, remembered by size and date."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio.dataset import MINIMUM_SECONDS, SILENT_BELOW_DB
from audio.files import read_channels, write_aside
from audio.measures import Waveform, loudness_db, peak
from evaluation.duplicates import fingerprint, sample_digest
from evaluation.faults import Cliff, Clipping, find_cliff, find_clipping, find_offset

# A new number forgets what older measurements remembered.
VERSION = 1
LONGEST_SECONDS = 300.0
SPOILING_CLIFF_HZ = 17500.0
SPOILING_CLIFF_OF_NYQUIST = 0.85
LONG_SILENCE_SECONDS = 0.25
CODED_SUFFIXES = frozenset({".mp3", ".ogg", ".opus"})

Finding = tuple[str, str]


@dataclass(frozen=True)
class FileReport:
    """What one file measured.

    Args:
        faults: kind and detail of each fault that spoils training.
        notes: kind and detail of what is worth knowing.
        sample_rate: in Hz; 0 where it cannot be read.
        channels: 1 for mono.
        seconds: length.
        loudness: of the loudest 50 ms, in dBFS.
        bandwidth: highest frequency that holds sound, in Hz, as far as it can be told.
        digest: of the decoded samples; empty for a file that is not compared.
        fingerprint: as `evaluation.duplicates` makes it; empty likewise.
    """

    faults: tuple[Finding, ...]
    notes: tuple[Finding, ...] = ()
    sample_rate: int = 0
    channels: int = 0
    seconds: float = 0.0
    loudness: float = -120.0
    bandwidth: float = 0.0
    digest: str = ""
    fingerprint: tuple[float, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether there is a sound to compare with others."""
        return bool(self.digest)


def examine_file(path: Path) -> FileReport:
    """Measure one file; nothing that it may hold raises.

    Args:
        path: of the file; of long ones the first five minutes are looked at.
    """
    try:
        channels, sample_rate = read_channels(path, LONGEST_SECONDS)
    except ValueError as error:
        return FileReport((("unreadable", str(error).removeprefix(f"{path}: ")),))
    count, length = channels.shape
    seconds = length / sample_rate
    fault = _unusable(channels, seconds)
    if fault is not None:
        return FileReport((fault,), (), sample_rate, count, seconds)
    mono = channels.mean(axis=0, dtype=np.float32)
    centred = mono - np.float32(np.median(mono))
    loudness = loudness_db(centred, sample_rate)
    faults: list[Finding] = []
    offset = max((find_offset(channel, sample_rate) for channel in channels), key=abs)
    if offset:
        faults.append(("dc", f"an offset of {offset:+.3f} at a peak of {peak(mono):.2f}"))
    if loudness <= SILENT_BELOW_DB:
        faults.append(("silent", f"the loudest 50 ms lie at {loudness:.0f} dBFS"))
        return FileReport(tuple(faults), (), sample_rate, count, seconds, loudness)
    clippings = [found for found in map(find_clipping, channels) if found is not None]
    if clippings:
        faults.append(_clipped(max(clippings, key=lambda found: found.share)))
    cliff = find_cliff(centred, sample_rate)
    notes = _notes(centred, sample_rate, cliff)
    if cliff is not None and spoils(cliff, sample_rate):
        faults.append(("band_limited", f"nothing above {cliff.hertz / 1000:.1f} kHz in a {sample_rate} Hz file"))
    return FileReport(
        tuple(faults),
        tuple(notes),
        sample_rate,
        count,
        seconds,
        loudness,
        cliff.hertz if cliff is not None else sample_rate / 2,
        sample_digest(mono, sample_rate),
        tuple(round(float(value), 4) for value in fingerprint(centred, sample_rate)),
    )


def spoils(cliff: Cliff, sample_rate: int) -> bool:
    """Whether a cliff takes away what one hears, or only what an anti-alias filter takes."""
    return cliff.hertz <= min(SPOILING_CLIFF_HZ, SPOILING_CLIFF_OF_NYQUIST * sample_rate / 2)


def _unusable(channels: np.ndarray[Any, np.dtype[np.float32]], seconds: float) -> Finding | None:
    if channels.size == 0:
        return ("empty", "holds no samples")
    bad = int(np.count_nonzero(~np.isfinite(channels)))
    if bad:
        return ("not_finite", f"{bad} samples are not finite numbers")
    if seconds < MINIMUM_SECONDS:
        return ("too_short", f"{seconds * 1000:.1f} ms; {MINIMUM_SECONDS * 1000:.0f} ms are needed")
    return None


def _clipped(found: Clipping) -> Finding:
    return ("clipped", f"{found.runs} flat tops at {found.level:.3f}, {100 * found.share:.2f} % of the samples")


def _notes(waveform: Waveform, sample_rate: int, cliff: Cliff | None) -> list[Finding]:
    notes: list[Finding] = []
    heard = np.flatnonzero(np.abs(waveform) >= 0.001 * peak(waveform))
    lead = float(heard[0]) / sample_rate if heard.size else 0.0
    tail = float(len(waveform) - 1 - heard[-1]) / sample_rate if heard.size else 0.0
    if lead >= LONG_SILENCE_SECONDS:
        notes.append(("leading_silence", f"{lead:.2f} s before the sound"))
    if tail >= 1.0 and tail > 0.5 * len(waveform) / sample_rate:
        notes.append(("long_silence", f"{tail:.2f} s after the sound"))
    if cliff is not None and not spoils(cliff, sample_rate) and cliff.hertz < 0.85 * sample_rate / 2:
        notes.append(("slightly_band_limited", f"little above {cliff.hertz / 1000:.1f} kHz"))
    if peak(waveform) > 1.001:
        notes.append(("above_full_scale", f"a peak of {peak(waveform):.2f}; 16-bit files would clip it"))
    return notes


def examine_files(
    root: Path, paths: list[Path], progress: Callable[[Iterable[Path]], Iterable[Path]] | None = None
) -> dict[str, FileReport]:
    """Every file, by its path relative to the folder; unchanged files are remembered from the last time.

    Args:
        root: the folder.
        paths: files below it.
        progress: wraps the list of files, to draw a bar.
    """
    cache = Path(os.environ.get("MELISMA_CACHE", Path.home() / ".cache" / "melisma"))
    memory = cache / "doctor" / f"{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:24]}.json"
    known = _remembered(memory)
    current: dict[str, Any] = {}
    reports = {}
    for path in progress(paths) if progress else paths:
        name = path.relative_to(root).as_posix()
        key = _key(path, name)
        report = _restored(known.get(key)) or examine_file(path)
        current[key] = asdict(report)
        reports[name] = report
    if current.keys() != known.keys():
        _remember(memory, current)
    return reports


def _key(path: Path, name: str) -> str:
    try:
        status = path.stat()
    except OSError:
        return f"{VERSION}|{name}|gone"
    return f"{VERSION}|{name}|{status.st_size}|{status.st_mtime_ns}"


def _remembered(memory: Path) -> dict[str, Any]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _restored(values: dict[str, Any] | None) -> FileReport | None:
    if values is None:
        return None
    try:
        findings = {name: tuple((kind, detail) for kind, detail in values[name]) for name in ("faults", "notes")}
        return FileReport(**{**values, **findings, "fingerprint": tuple(values["fingerprint"])})
    except (TypeError, ValueError, KeyError):
        return None


def _remember(memory: Path, current: dict[str, Any]) -> None:
    try:
        with write_aside(memory) as aside:
            aside.write_text(json.dumps(current), encoding="utf-8")
    except ValueError:
        # A cache that cannot be written only costs time.
        return
