"""What is found in a folder of sound: faults that spoil training, notes that do not, and what to train it with."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from audio.files import list_audio_files, read_audio
from audio.measures import Waveform
from audio.mel import MelConfig
from evaluation.duplicates import FINGERPRINT_SIZE, DuplicatePair, find_duplicates
from pipelines.doctor_files import CODED_SUFFIXES, FileReport, examine_files
from pipelines.doctor_metadata import Metadata, Row, caption_problems, licence_counts, read_metadata
from pipelines.resources import resource

COPY_WORDS = ("copy", "dup")
CLIP_STEP_SECONDS = 0.5
LONGEST_CLIP_SECONDS = 10.0
LOUDNESS_SPREAD_DB = 20.0


@dataclass(frozen=True)
class Fault:
    """One thing found in one file.

    Args:
        file: path relative to the folder.
        kind: such as `clipped`.
        detail: in words, with the numbers.
        spoils: whether it would spoil training; a note otherwise.
        of: for a duplicate, the file it is a copy of.
    """

    file: str
    kind: str
    detail: str
    spoils: bool = True
    of: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain containers; `of` only where there is one."""
        return {key: value for key, value in asdict(self).items() if key != "of" or value}


@dataclass(frozen=True)
class Proposal:
    """What the folder would best be trained with.

    Args:
        mel: name of a preset in configs/mel.
        mel_reason: one sentence.
        seconds: length of clips.
        seconds_reason: one sentence.
    """

    mel: str
    mel_reason: str
    seconds: float
    seconds_reason: str


@dataclass(frozen=True)
class Diagnosis:
    """All that was found in a folder.

    Args:
        folder: that was examined.
        files: what each file measured, by path relative to the folder.
        faults: those that spoil training.
        notes: those that do not.
        licences: number of files by licence.
        proposal: mel preset and clip length; None where no file can be read.
    """

    folder: Path
    files: dict[str, FileReport]
    faults: tuple[Fault, ...]
    notes: tuple[Fault, ...]
    licences: dict[str, int]
    proposal: Proposal | None

    @property
    def spoiled(self) -> bool:
        """Whether any fault would spoil training."""
        return any(fault.spoils for fault in self.faults)

    def counts(self) -> dict[str, int]:
        """Number of faults by kind, the commonest first."""
        return dict(Counter(fault.kind for fault in self.faults).most_common())

    def note_counts(self) -> dict[str, int]:
        """Number of notes by kind, the commonest first."""
        return dict(Counter(note.kind for note in self.notes).most_common())

    def as_dict(self) -> dict[str, Any]:
        """Plain containers, as `doctor.json` holds them."""
        readable = [report for report in self.files.values() if report.sample_rate]
        return {
            "folder": str(self.folder),
            "files": len(self.files),
            "spoiled": self.spoiled,
            "counts": self.counts(),
            "faults": [fault.as_dict() for fault in self.faults],
            "note_counts": self.note_counts(),
            "notes": [note.as_dict() for note in self.notes],
            "sample_rates": _counted(report.sample_rate for report in readable),
            "channels": _counted(report.channels for report in readable),
            "licences": self.licences,
            "proposal": None if self.proposal is None else asdict(self.proposal),
        }


def examine(folder: Path, progress: Callable[[Iterable[Path]], Iterable[Path]] | None = None) -> Diagnosis:
    """Diagnose a folder; nothing in it is fatal, and nothing in it is changed.

    Args:
        folder: with sound files, with or without metadata.jsonl.
        progress: wraps the list of files, to draw a bar.

    Raises:
        ValueError: no such folder, or no sound file in it.
    """
    metadata = read_metadata(folder) if folder.is_dir() else Metadata({}, False)
    paths = _paths(folder, metadata)
    if not paths:
        raise ValueError(f"folder: '{folder}' holds no sound files (wav, flac, ogg, mp3, aiff)")
    files = examine_files(folder, paths, progress)
    faults = [Fault(name, kind, detail) for name, report in files.items() for kind, detail in report.faults]
    faults += duplicate_faults(folder, files, metadata)
    notes = [Fault(name, kind, detail, False) for name, report in files.items() for kind, detail in report.notes]
    notes += [Fault(*problem, False) for problem in caption_problems(metadata, files)]
    notes += folder_notes(files)
    licences = licence_counts(metadata, files)
    if metadata.written and licences.get("unknown"):
        notes.append(Fault("metadata.jsonl", "unknown_licence", f"{licences['unknown']} files name none", False))
    faults += [Fault("metadata.jsonl", "bad_metadata", detail) for detail in metadata.broken]
    faults.sort(key=lambda fault: (fault.file, fault.kind))
    return Diagnosis(folder, files, tuple(faults), tuple(notes), licences, propose(files))


def _paths(folder: Path, metadata: Metadata) -> list[Path]:
    found = set(list_audio_files(folder))
    for name in metadata.rows:
        path = folder / name
        # A row may name a file of any suffix; one outside the folder is not looked at.
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()) and ".." not in Path(name).parts:
            found.add(path)
    return sorted(found)


def duplicate_faults(folder: Path, files: dict[str, FileReport], metadata: Metadata) -> list[Fault]:
    """The copies among the files; of every group of equals the best is the original and is not listed.

    Clips that share a `recording` and a split are known to belong together, such as two velocities of one sample.

    Args:
        folder: that holds the files.
        files: what each measured.
        metadata: recordings and splits.
    """
    names = [name for name, report in files.items() if report.usable]
    if len(names) < 2:
        return []
    prints = np.array([files[name].fingerprint for name in names], dtype=np.float32).reshape(-1, FINGERPRINT_SIZE)
    rows = [metadata.rows.get(name, Row()) for name in names]

    def read(index: int) -> tuple[Waveform, int]:
        waveform, sample_rate = read_audio(folder / names[index], seconds=4.0)
        return waveform - np.float32(np.median(waveform)), sample_rate

    pairs = find_duplicates(
        prints,
        [files[name].digest for name in names],
        [f"{row.recording}|{row.split}" if row.recording else "" for row in rows],
        read,
        [_coded(name) for name in names],
    )
    faults = []
    for members in _groups(len(names), pairs):
        ranked = sorted(members, key=lambda index: _originality(names[index], files[names[index]]))
        original = ranked[0]
        splits = {rows[index].split for index in members}
        for copy in ranked[1:]:
            exact = files[names[copy]].digest == files[names[original]].digest
            detail = f"{'exact' if exact else 'near'} duplicate of {names[original]}"
            if len(splits) > 1:
                detail += f", across splits ({', '.join(sorted(split or 'none' for split in splits))})"
            faults.append(Fault(names[copy], "duplicate", detail, True, names[original]))
    return faults


def _groups(count: int, pairs: Sequence[DuplicatePair]) -> list[list[int]]:
    """Connected sets of at least two."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for pair in pairs:
        parent[root(pair.second)] = root(pair.first)
    sets: dict[int, list[int]] = {}
    for index in range(count):
        sets.setdefault(root(index), []).append(index)
    return [members for members in sets.values() if len(members) > 1]


def _originality(name: str, report: FileReport) -> tuple[bool, bool, bool, int, str]:
    """Sorts the file to keep first: sound, not named a copy, lossless, of high rate, then by path."""
    named = any(word in Path(name).stem.lower() for word in COPY_WORDS)
    return bool(report.faults), named, _coded(name), -report.sample_rate, name


def _coded(name: str) -> bool:
    return Path(name).suffix.lower() in CODED_SUFFIXES


def folder_notes(files: dict[str, FileReport]) -> list[Fault]:
    """Notes on single files against the rest: rate, channels, level.

    Args:
        files: what each measured.
    """
    usable = {name: report for name, report in files.items() if report.usable}
    if not usable:
        return []
    usual = Counter(report.sample_rate for report in usable.values()).most_common(1)[0][0]
    middle = float(np.median([report.loudness for report in usable.values()]))
    notes = []
    for name, report in usable.items():
        if report.sample_rate != usual:
            notes.append(Fault(name, "sample_rate", f"{report.sample_rate} Hz, most have {usual} Hz", False))
        if report.channels > 1:
            notes.append(Fault(name, "stereo", f"{report.channels} channels; they are averaged", False))
        if abs(report.loudness - middle) > LOUDNESS_SPREAD_DB:
            notes.append(Fault(name, "loudness", f"{report.loudness:.0f} dBFS, the middle is {middle:.0f}", False))
    return notes


def propose(files: dict[str, FileReport]) -> Proposal | None:
    """Mel preset and clip length that fit the folder.

    Args:
        files: what each measured.
    """
    usable = [report for report in files.values() if report.usable]
    if not usable:
        return None
    presets = {path.stem: MelConfig.from_yaml(path) for path in sorted(resource("configs/mel").glob("*.yaml"))}
    useful = float(np.percentile([min(report.sample_rate, 2 * report.bandwidth) for report in usable], 25))
    fitting = [name for name, mel in presets.items() if mel.sample_rate <= 1.01 * useful]
    ranked = sorted(fitting or presets, key=lambda name: presets[name].sample_rate, reverse=bool(fitting))
    mel = ranked[0]
    reason = (
        f"three quarters of the files hold sound up to {useful / 2000:.1f} kHz, and {mel} reaches "
        f"{presets[mel].f_max / 1000:.1f} kHz"
    )
    lengths = [report.seconds for report in usable]
    covered = float(np.percentile(lengths, 95))
    seconds = min(
        LONGEST_CLIP_SECONDS, max(CLIP_STEP_SECONDS, CLIP_STEP_SECONDS * np.ceil(covered / CLIP_STEP_SECONDS))
    )
    length_reason = f"95 % of the files last at most {covered:.2f} s"
    if covered > LONGEST_CLIP_SECONDS:
        length_reason += f", longer than the {LONGEST_CLIP_SECONDS:.0f} s that one clip should have: crop them"
    return Proposal(mel, reason, seconds, length_reason)


def _counted(values: Iterable[int]) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}
