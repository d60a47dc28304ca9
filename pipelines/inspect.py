"""`python -m pipelines.inspect FILE`: what a sound file says of its making."""

import json
import sys
from pathlib import Path
from typing import Any

from pipelines.provenance import read_page, settings_from, sources_of
from training.command import answer, run_command

EDITED = ("strength", "mask", "extend_before", "extend_after")
# Of loops, what was measured, and in what unit.
MEASURED = {"seam": "", "attack": " s"}


def inspect(file: Path, as_json: bool = False) -> None:
    """Tell how a clip was made: prompt, seed, settings, sources, model, licences.

    Args:
        file: a clip, .wav, .flac or .ogg.
        as_json: print the whole page as JSON, for scripts.

    Raises:
        ValueError: an unreadable file, or one that does not say how it was made.
    """
    page = read_page(file)
    if as_json:
        answer(json.dumps(page, indent=2, ensure_ascii=False))
        return
    for line in told(page):
        answer(line)
    answer(f"again: python generate.py --again {file}")


def not_left_out(value: Any) -> bool:  # noqa: ANN401 (of a page)
    """Whether a setting says something; a zero does."""
    return value is not None and value is not False and value != []


def told(page: dict[str, Any]) -> list[str]:
    """A page in lines that a person reads."""
    settings = {name: value for name, value in settings_from(page).items() if not_left_out(value)}
    if not settings["loudest"]:
        del settings["loudest"]
    edit, style = settings.pop("edit", None), settings.pop("style", None)
    lines = [f"prompt: {page['prompt'] or '(none)'}", f"seed: {page['seed']}, clip {page.get('clip', 0)}"]
    lines += [f"source: {path} ({state}), SHA-256 {digest}" for path, digest, state in sources_of(page)]
    lines += [
        f"{name}: {edit[name]}"
        for name in EDITED
        if edit and not_left_out(edit[name]) and (edit[name] or name == "strength")
    ]
    lines += [f"style_strength: {style['strength']}"] if style else []
    lines += [f"{name}: {value}" for name, value in settings.items() if name != "seed"]
    lines += [f"{name}: {value}" for name, value in page["stages"].items()]
    lines.append(f"licences: {', '.join(page.get('licences', [])) or 'none told'}")
    lines.append("versions: " + ", ".join(f"{name} {value}" for name, value in page.get("versions", {}).items()))
    lines.append(f"computed on: {page.get('device', 'a device not told')}, threads {page.get('threads', 'not told')}")
    measured = page.get("measured", {})
    lines += [f"{name}: {measured[name]}{unit}" for name, unit in MEASURED.items() if name in measured]
    batch = page.get("batch", {}).get("jobs", [])
    lines.append(f"batch: computed together with {len(batch) - 1} others" if len(batch) > 1 else "batch: alone")
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.inspect`."""
    return run_command(inspect, arguments, positionals=("file",), program="python -m pipelines.inspect")


if __name__ == "__main__":
    sys.exit(main())
