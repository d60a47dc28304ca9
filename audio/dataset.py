"""A folder of sound as clips with captions, numbers and a split.

Two kinds of folder are read: one with a `metadata.jsonl` (a line per clip: `file_name`, `text`, and whatever else is
known of it), and a plain one, whose captions come from folder and file names. Every file is read once to see whether
it can be used; what cannot is reported and skipped, never fatal. The result is remembered by size and date.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from audio.cache import default_cache
from audio.files import list_audio_files, read_audio, write_aside
from audio.measures import SILENCE_DB, brightness_hz, loudness_db

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
METADATA_NAME = "metadata.jsonl"
MINIMUM_SECONDS = 0.03
SILENT_BELOW_DB = -70.0
NUMBERS = ("pitch", "loudness", "brightness", "seconds")


@dataclass(frozen=True)
class Clip:
    """One usable file of a folder.

    Args:
        path: of the file.
        captions: at least one.
        seconds: length.
        loudness: of its loudest 50 ms, in dBFS.
        brightness: spectral centroid, in Hz.
        pitch: MIDI note number, where known.
        label: fine class.
        family: coarse class.
        recording: what counts as one recording; clips of one recording share a split.
        source: where it came from.
        licence: as its source names it.
        rendered: made by a synthesiser, not recorded.
        split: train, validation or test.
    """

    path: Path
    captions: tuple[str, ...]
    seconds: float
    loudness: float
    brightness: float
    pitch: float | None = None
    label: str = ""
    family: str = ""
    recording: str = ""
    source: str = ""
    licence: str = "unknown"
    rendered: bool = False
    split: Split = "train"

    @property
    def numbers(self) -> dict[str, float]:
        """The measured or known numbers that a model may be conditioned on."""
        values = {name: getattr(self, name) for name in NUMBERS}
        return {name: float(value) for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Skipped:
    """A file that cannot be used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class AudioFolder:
    """The usable clips of a folder, and the report of those that are not.

    Args:
        root: the folder.
        clips: in the order of their paths.
        skipped: unreadable, empty, silent, non-finite or too short files.
    """

    root: Path
    clips: tuple[Clip, ...]
    skipped: tuple[Skipped, ...] = field(default=())

    @classmethod
    def scan(cls, root: Path, progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None) -> "AudioFolder":
        """Read a folder.

        Args:
            root: with or without `metadata.jsonl`.
            progress: wraps the list of files, to draw a bar.

        Raises:
            ValueError: no such folder, no sound file in it, none of them usable, or a broken metadata line.
        """
        root = Path(root)
        rows = _metadata_rows(root) if (root / METADATA_NAME).is_file() else _plain_rows(root)
        if not rows:
            raise ValueError(f"'{root}' holds no sound files (wav, flac, ogg, mp3, aiff)")
        memory = _ScanMemory(root)
        clips: list[Clip] = []
        skipped: list[Skipped] = []
        for row in progress(rows) if progress else rows:
            path = root / row["file_name"]
            measured = memory.measure(path)
            if isinstance(measured, str):
                skipped.append(Skipped(path, measured))
            else:
                clips.append(_clip(path, row, measured))
        memory.save()
        if not clips:
            reasons = "; ".join(f"{item.path.name}: {item.reason}" for item in skipped[:3])
            raise ValueError(f"'{root}' holds no usable sound file: {len(skipped)} skipped ({reasons} …)")
        return cls(root, tuple(_with_splits(clips)), tuple(skipped))

    def split(self, name: Split) -> tuple[Clip, ...]:
        """The clips of one split."""
        return tuple(clip for clip in self.clips if clip.split == name)

    def spread(self, name: Split, clips: int) -> tuple[Clip, ...]:
        """All clips of a split (0), or so many of them spread evenly.

        Raises:
            ValueError: the split has none.
        """
        chosen = self.split(name)
        if not chosen:
            counts = ", ".join(f"{len(self.split(other))} {other}" for other in SPLITS)
            raise ValueError(f"split: '{self.root}' holds no clip of split '{name}' ({counts})")
        return evenly(chosen, clips)

    def licences(self) -> list[str]:
        """All licences of the training clips, sorted."""
        return sorted({clip.licence for clip in self.clips if clip.split == "train"})

    def fingerprint(self) -> str:
        """Sixteen hex digits of names, lengths and splits: which data a stage was trained on."""
        text = "\n".join(
            f"{c.path.relative_to(self.root)} {c.seconds:.3f} {c.loudness:.1f} {c.split}" for c in self.clips
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def report(self) -> str:
        """One line: clips, minutes, recordings, skipped files by reason."""
        minutes = sum(clip.seconds for clip in self.clips) / 60
        recordings = len({clip.recording for clip in self.clips})
        counts = ", ".join(f"{len(self.split(name))} {name}" for name in SPLITS)
        text = f"{len(self.clips)} clips ({counts}), {recordings} recordings, {minutes:.1f} minutes"
        if self.skipped:
            reasons = Counter(item.reason for item in self.skipped).most_common(4)
            text += f"; skipped {len(self.skipped)}: " + ", ".join(f"{count} {reason}" for reason, count in reasons)
        return text


def evenly(clips: Sequence[Clip], number: int) -> tuple[Clip, ...]:
    """So many of some clips, spread evenly; all of them for 0, or where there are no more."""
    if number == 0 or number >= len(clips):
        return tuple(clips)
    return tuple(clips[index * len(clips) // number] for index in range(number))


def _metadata_rows(root: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate((root / METADATA_NAME).read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            row["file_name"] = str(row["file_name"])
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{root / METADATA_NAME}, line {number}: not a JSON object with a file_name") from error
        if not (root / row["file_name"]).resolve().is_relative_to(root.resolve()):
            raise ValueError(f"{root / METADATA_NAME}, line {number}: file_name leaves the folder")
        rows.append(row)
    return sorted(rows, key=lambda row: row["file_name"])


def _plain_rows(root: Path) -> list[dict[str, Any]]:
    rows = []
    for path in list_audio_files(root):
        relative = path.relative_to(root)
        words = _words(relative.stem)
        folder = _words(" ".join(relative.parts[:-1]))
        caption = " ".join(part for part in (folder, words) if part) or "sound"
        label = folder or re.sub(r"\s*\d+$", "", words) or words or "sound"
        rows.append({"file_name": str(relative), "text": [caption], "label": label, "family": label})
    return rows


def _words(name: str) -> str:
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return " ".join(re.split(r"[\s_\-.,()\[\]]+", name)).strip().lower()


def _clip(path: Path, row: dict[str, Any], measured: dict[str, float]) -> Clip:
    text = row.get("text", row.get("caption", ""))
    captions = [text] if isinstance(text, str) else list(text)
    captions = [str(caption).strip() for caption in captions if str(caption).strip()]
    label = str(row.get("label") or row.get("class") or "")
    pitch = row.get("pitch")
    split = row.get("split")
    return Clip(
        path=path,
        captions=tuple(captions or [label or _words(path.stem) or "sound"]),
        seconds=measured["seconds"],
        loudness=measured["loudness"],
        brightness=measured["brightness"],
        pitch=float(pitch) if isinstance(pitch, int | float) else None,
        label=label,
        family=str(row.get("family") or label),
        recording=str(row.get("recording") or path.stem),
        source=str(row.get("source") or ""),
        licence=str(row.get("licence") or row.get("license") or "unknown"),
        rendered=bool(row.get("rendered", False)),
        split=split if split in SPLITS else "train",
    )


def _with_splits(clips: list[Clip]) -> list[Clip]:
    """Folders that name no split get one by recording: a tenth to validation, a tenth (from 20 on) to test."""
    if any(clip.split != "train" for clip in clips):
        return clips
    groups = sorted({clip.recording for clip in clips}, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    if len(groups) < 2:
        return clips
    tenth = max(1, round(len(groups) / 10))
    split: dict[str, Split] = dict.fromkeys(groups[:tenth], "validation")
    if len(groups) >= 20:
        split |= dict.fromkeys(groups[tenth : 2 * tenth], "test")
    return [replace(clip, split=split.get(clip.recording, "train")) for clip in clips]


class _ScanMemory:
    """What each file measured last time, by size and date; a lost memory only costs time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        cache = default_cache()
        name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:24]
        self.path = cache / "scans" / f"{name}.json"
        try:
            self.known: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError):
            self.known = {}
        self.changed = False

    def measure(self, path: Path) -> dict[str, float] | str:
        """The numbers of a usable file, or the reason why it is not one."""
        try:
            status = path.stat()
        except OSError:
            return "missing"
        key = f"{path.relative_to(self.root)}|{status.st_size}|{status.st_mtime_ns}"
        if key not in self.known:
            self.known[key] = _measure(path)
            self.changed = True
        result: dict[str, float] | str = self.known[key]
        return result

    def save(self) -> None:
        """Write the memory, where a cache can be written at all."""
        if not self.changed:
            return
        try:
            with write_aside(self.path) as aside:
                aside.write_text(json.dumps(self.known), encoding="utf-8")
        except ValueError:
            return


def _measure(path: Path) -> dict[str, float] | str:
    try:
        waveform, sample_rate = read_audio(path)
    except ValueError as error:
        text = str(error)
        for reason in ("not finite", "no samples"):
            if reason in text:
                return reason
        return "unreadable"
    seconds = len(waveform) / sample_rate
    if seconds < MINIMUM_SECONDS:
        return "too short"
    loudness = loudness_db(waveform, sample_rate)
    if loudness <= max(SILENT_BELOW_DB, SILENCE_DB):
        return "silent"
    return {"seconds": seconds, "loudness": loudness, "brightness": brightness_hz(waveform, sample_rate)}


def clip_summary(clip: Clip) -> dict[str, Any]:
    """A clip as plain containers, for latent files and reports; the path becomes a string."""
    return {**asdict(clip), "path": str(clip.path), "captions": list(clip.captions)}
