"""Where a clip comes from, inside its own file: what was asked, of which model, from which sources.

The page that lies beside a clip is also written into the sound file, as its comment (the ICMT chunk of a WAV, the
COMMENT field of FLAC and OGG), so that a clip that was moved can still be made again. A clip depends on the others of
its batch in the last bits of its arithmetic, so the batch is part of the page.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from audio.comments import read_comment
from pipelines.editing import Edit, file_sha256
from pipelines.request import AudioOutput, Job

MARK = "melisma "
# Counts up where the same settings come to give other samples; pages without a number are of the first.
REVISION = 9
# Where the settings of an edit or a style name a file.
SOURCES = ("init_audio", "toward", "path")
# Settings that a page leaves out where they are so.
NEUTRAL: dict[str, Any] = {
    "autoguidance": 1.0,
    "autoguidance_interval": [0.0, 1.0],
    "guidance_rescale": 0.0,
    "guidance_parallel": 1.0,
    "spacing": "even",
    "shift": 1.0,
    "eta": 0.5,
    "tolerance": 1e-3,
    "negative_prompt": None,
    "mix": [],
    "glide": False,
    "glide_at": [],
    "loop": False,
    "morph_clips": 0,
    "loudest": 0.0,
    "loop_start": None,
    "to_seed": None,
    "stereo": 0.0,
    "best_of": 1,
    "variety": 0.0,
    "stream": False,
    "style": None,
    "edit": None,
}
_NUMBER, _NOTHING = (int, float), type(None)
# Settings that every page has, and what they may be.
NEEDED: dict[str, tuple[type, ...]] = {
    "seconds": _NUMBER,
    "guidance_scale": _NUMBER,
    "guidance_interval": (list,),
    "solver": (str,),
    "solver_steps": (int,),
    "label": (str, _NOTHING),
    "precision": (str,),
    "pitch": (*_NUMBER, _NOTHING),
    "loudness": (*_NUMBER, _NOTHING),
    "brightness": (*_NUMBER, _NOTHING),
}


def batch_of(output: AudioOutput, row: int, batch_clips: int) -> dict[str, Any]:
    """The clips that were computed together with one, and its place among them, as plain containers."""
    start = row - row % batch_clips
    return {"row": row - start, "jobs": [job_page(job) for job in output.jobs[start : start + batch_clips]]}


def jobs_from(page: Mapping[str, Any]) -> tuple[list[Job], int]:
    """The jobs of a page's batch, and which of them is the page's own.

    Raises:
        ValueError: a page that holds no batch.
    """
    try:
        batch = page["batch"]
        jobs = [Job(**{**job, "parts": tuple(job["parts"])}) for job in batch["jobs"]]
        row = int(batch["row"])
        if not 0 <= row < len(jobs):
            raise ValueError(f"row {row} of {len(jobs)}")
        if not all(isinstance(job.seconds, int | float) and isinstance(job.index, int) for job in jobs):
            raise ValueError("lengths or numbers of clips that are none")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("its page does not say with which clips it was made") from error
    return jobs, row


def telling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings for a page: without the seed, which has its own line, and without what decides nothing."""
    return {
        key: value
        for key, value in settings.items()
        if key != "seed" and not (key in NEUTRAL and NEUTRAL[key] == value)
    }


def settings_from(page: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a page, whole.

    Raises:
        ValueError: settings that are missing, of another type, or of a version that knew more.
    """
    given = page["settings"]
    by = f"it was made by melisma {page.get('versions', {}).get('melisma', 'of an unknown version')}"
    unknown = sorted(set(given) - {*NEUTRAL, *NEEDED})
    if unknown:
        raise ValueError(f"again: its page has settings that are not known here ({', '.join(unknown)}); {by}")
    wrong = sorted(name for name, kinds in NEEDED.items() if name not in given or not isinstance(given[name], kinds))
    if wrong:
        raise ValueError(f"again: its page lacks sound values of {', '.join(wrong)}; {by}")
    if given.get("edit"):
        Edit.from_dict(given["edit"])
    missing = sorted({"path", "sha256", "strength"} - set(given.get("style") or {"path", "sha256", "strength"}))
    if missing:
        raise ValueError(f"again: its page lacks {', '.join(missing)} of the style; {by}")
    return {**NEUTRAL, **given, "seed": page["seed"]}


def as_comment(page: Mapping[str, Any]) -> str:
    """A page as a file's comment."""
    return MARK + json.dumps(page, ensure_ascii=True, separators=(",", ":"))


def read_page(path: Path) -> dict[str, Any]:
    """The page inside a sound file.

    Raises:
        ValueError: an unreadable file, or one that no clip of ours is.
    """
    comment = read_comment(path)
    try:
        page = json.loads(comment.removeprefix(MARK)) if comment.startswith(MARK) else None
    except json.JSONDecodeError as error:
        raise ValueError(f"'{path}': what it says of its making is damaged") from error
    parts = ("settings", "stages")
    if (
        not isinstance(page, dict)
        or not {"prompt", "seed", *parts} <= page.keys()
        or not all(isinstance(page[name], dict) for name in parts)
        or not all(isinstance(page["settings"].get(name) or {}, dict) for name in ("edit", "style"))
    ):
        raise ValueError(f"'{path}' does not say how it was made: it is no clip of melisma, or was written anew since")
    return page


def sources_of(page: Mapping[str, Any]) -> list[tuple[Path, str, str]]:
    """The sound files that a clip was made of: path, SHA-256, and `unchanged`, `changed` or `missing`."""
    edit, style = page["settings"].get("edit") or {}, page["settings"].get("style") or {}
    named = [
        ("init_audio", edit.get("init_audio"), edit.get("sha256")),
        ("morph", edit.get("toward"), edit.get("toward_sha256")),
        ("style", style.get("path"), style.get("sha256")),
    ]
    found = []
    for option, name, digest in named:
        if name:
            path = Path(name)
            same = path.is_file() and file_sha256(path, option) == digest
            state = "unchanged" if same else "changed" if path.is_file() else "missing"
            found.append((path, str(digest), state))
    return found


def with_moved_sources(page: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A page whose sources are looked for by name and content in a folder, such as that of the clip itself.

    Those that lie unchanged where they were are left there.
    """
    moved = {}
    for path, digest, state in sources_of(page):
        beside = (folder / path.name).resolve()
        if state != "unchanged" and beside.is_file() and file_sha256(beside) == digest:
            moved[str(path)] = str(beside)

    def told(part: dict[str, Any] | None) -> dict[str, Any] | None:
        return part and {key: moved.get(value, value) if key in SOURCES else value for key, value in part.items()}

    settings = page["settings"]
    return {**page, "settings": settings | {key: told(settings[key]) for key in ("edit", "style") if key in settings}}


def check_sources(page: Mapping[str, Any]) -> None:
    """Refuse to go on where a source of a clip is gone or has changed.

    Raises:
        ValueError: names it.
    """
    for path, _, state in sources_of(page):
        if state != "unchanged":
            told = "is missing" if state == "missing" else "has changed since"
            raise ValueError(
                f"again: its source '{path}' {told}; put the file it was made of back there, or beside the clip"
            )


def check_stages(page: Mapping[str, Any], fingerprints: Mapping[str, str]) -> None:
    """Refuse another model than the one that made a clip.

    Raises:
        ValueError: names the stages that differ.
    """
    theirs: Mapping[str, str] = page["stages"]
    other = [name for name, own in fingerprints.items() if theirs.get(name) != own]
    if other:
        told = ", ".join(f"{name} {theirs.get(name)} (here {fingerprints[name]})" for name in other)
        raise ValueError(f"again: it was made by another model: {told}; name that one with --model or --vocoder")


def job_page(job: Job) -> dict[str, Any]:
    """A job as plain containers."""
    page = {**asdict(job), "numbers": dict(job.numbers), "parts": list(job.parts)}
    return {name: value for name, value in page.items() if value or name not in ("step", "struck")}
