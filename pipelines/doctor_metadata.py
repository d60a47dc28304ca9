"""The data doctor's look at what is written about the files: captions, recordings, splits, licences."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio.dataset import METADATA_NAME, SPLITS

JUNK = re.compile(
    r"(new |my )?(audio|untitled|track|sound|sample|file|recording|rec|clip|output|take|unnamed|tmp)?[\s_\-.()#]*\d*",
    re.IGNORECASE,
)
SAME_CAPTION_SHARE = 0.9


@dataclass(frozen=True)
class Row:
    """What is written about one file.

    Args:
        captions: none where none are written.
        recording: what counts as one recording; empty where it is not said.
        split: train, validation or test; empty where it is not said.
        licence: `unknown` where it is not said.
    """

    captions: tuple[str, ...] = ()
    recording: str = ""
    split: str = ""
    licence: str = "unknown"


@dataclass(frozen=True)
class Metadata:
    """All rows of a folder, and what is wrong with them.

    Args:
        rows: by path relative to the folder.
        written: whether the folder has a metadata file.
        broken: a line each that cannot be read.
    """

    rows: dict[str, Row]
    written: bool
    broken: tuple[str, ...] = ()


def read_metadata(root: Path) -> Metadata:
    """The rows of a folder; a broken line is reported, not fatal.

    Args:
        root: the folder, with or without `metadata.jsonl`.
    """
    path = root / METADATA_NAME
    if not path.is_file():
        return Metadata({}, False)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        return Metadata({}, True, (f"cannot be read: {error}",))
    rows: dict[str, Row] = {}
    broken = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            name = Path(str(values["file_name"])).as_posix()
        except (ValueError, KeyError, TypeError):
            broken.append(f"line {number}: not a JSON object with a file_name")
            continue
        if name in rows:
            broken.append(f"line {number}: '{name}' has a row already")
        rows[name] = _row(values)
    return Metadata(rows, True, tuple(broken))


def _row(values: dict[str, Any]) -> Row:
    text = values.get("text", values.get("caption", ""))
    texts = [text] if isinstance(text, str) else list(text) if isinstance(text, list) else []
    split = values.get("split")
    return Row(
        tuple(str(caption) for caption in texts if str(caption).strip()),
        str(values.get("recording") or ""),
        split if split in SPLITS else "",
        str(values.get("licence") or values.get("license") or "unknown"),
    )


def caption_problems(metadata: Metadata, files: Iterable[str]) -> list[tuple[str, str, str]]:
    """What is wrong with captions, as (file, kind, detail); file names stand in where nothing is written.

    Args:
        metadata: of the folder.
        files: its sound files, by path relative to it.
    """
    files = list(files)
    problems = []
    captions: Counter[str] = Counter()
    for name in files:
        row = metadata.rows.get(name)
        if metadata.written and row is None:
            problems.append((name, "no_row", f"no row in {METADATA_NAME}: it will not be trained on"))
            continue
        texts = row.captions if row else (" ".join((*Path(name).parts[:-1], Path(name).stem)),)
        if not texts:
            problems.append((name, "no_caption", "its row has no caption"))
        for text in texts:
            if not text.isprintable():
                problems.append((name, "unprintable_caption", repr(text)[:60]))
            if JUNK.fullmatch(text.strip()):
                problems.append((name, "junk_caption", f"'{text[:60]}' says nothing of the sound"))
        captions[texts[0] if texts else ""] += 1
    present = set(files)
    problems += [(name, "no_file", "a row without a file") for name in metadata.rows if name not in present]
    if len(files) > 10 and captions:
        text, count = captions.most_common(1)[0]
        if text and count >= SAME_CAPTION_SHARE * len(files):
            problems.append((METADATA_NAME, "same_caption", f"{count} of {len(files)} files are called '{text[:60]}'"))
    return problems


def licence_counts(metadata: Metadata, files: Iterable[str]) -> dict[str, int]:
    """How many files each licence covers, the commonest first.

    Args:
        metadata: of the folder.
        files: its sound files.
    """
    counts = Counter(metadata.rows.get(name, Row()).licence for name in files)
    return dict(counts.most_common())
