"""Tables of prompts, as CSV with a header or JSONL: a clip for each row."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audio.notes import parse_pitch
from pipelines.request import NUMBERS

COLUMNS = ("prompt", "seconds", "label", *NUMBERS)


def read_table(path: Path) -> list[dict[str, Any]]:
    """Rows with a prompt, and numbers or None for the rest.

    Raises:
        ValueError: names the file, the row and what is wrong with it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"table: cannot read '{path}' as UTF-8 text") from error
    rows: list[Mapping[str, Any]]
    if path.suffix.lower() == ".csv":
        try:
            rows = list(csv.DictReader(io.StringIO(text, newline="")))
        except csv.Error as error:
            raise ValueError(f"table: '{path}' is no CSV: {error}") from error
    elif path.suffix.lower() == ".jsonl":
        rows = [_json_row(line, number, path) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    else:
        raise ValueError(f"table: expected a .csv or .jsonl file, got '{path}'")
    if not rows:
        raise ValueError(f"table: '{path}' holds no rows")
    return [_checked(row, number, path) for number, row in enumerate(rows, 1)]


def _json_row(line: str, number: int, path: Path) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"table: line {number} of '{path}' is no JSON") from error
    if not isinstance(row, dict):
        raise ValueError(f"table: line {number} of '{path}' is no JSON object")
    return row


def _checked(row: Mapping[str, Any], number: int, path: Path) -> dict[str, Any]:
    where = f"row {number} of '{path}'"
    if None in row:
        raise ValueError(f'table: {where} has more cells than the header; put words with a comma into quotes: "a, b"')
    unknown = sorted(str(name) for name in row if name not in COLUMNS)
    if unknown:
        raise ValueError(f"table: {where} has {', '.join(unknown)}; expected columns are {', '.join(COLUMNS)}")
    prompt = str(row.get("prompt") or "").strip()
    if not prompt:
        raise ValueError(f"table: {where} has no prompt")
    found: dict[str, Any] = {"prompt": prompt, "label": str(row.get("label") or "").strip() or None}
    for name in ("seconds", *NUMBERS):
        value = row.get(name)
        try:
            given = None if value in (None, "") else parse_pitch(str(value)) if name == "pitch" else float(str(value))
        except ValueError as error:
            raise ValueError(f"table: {where}, {name}: got {value!r}") from error
        found[name] = given
    return found
