"""The words of `generate.py`, the same in Python and in YAML, as a request.

pipe("a bell", init_audio="bell.wav", strength=0.4, pitch="C4", guidance_interval="0.1:0.8")
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from audio.notes import parse_pitch
from pipelines.editing import Edit
from pipelines.morphing import morph_kind
from pipelines.options import DEFAULT_MORPH_CLIPS, EDITS
from pipelines.request import Request

FIELDS = tuple(field.name for field in fields(Request))


def request_of(prompts: Sequence[str], words: Mapping[str, Any]) -> Request:
    """The request that some words make.

    Args:
        prompts: free words, one each.
        words: fields of `Request`, or options of `generate.py` under their own names, as numbers or as text.

    Raises:
        ValueError: a word that there is not, words that contradict each other, or a value that cannot be read.
    """
    said = {name: value for name, value in words.items() if value is not None}
    known = {*FIELDS, *EDITS, "init_audio", "morph"}
    unknown = sorted(set(said) - known | {"prompts"} & set(said))
    if unknown:
        raise ValueError(f"unknown setting ({', '.join(unknown)}); known are {', '.join(sorted(known - {'prompts'}))}")
    ends = morph_ends(prompts, said)
    texts = ends.pop("prompts", tuple(prompts))
    edit = edit_of({**said, **ends})
    if not texts and edit is None and said.get("label"):
        # A label alone is its own prompt.
        texts = (str(said["label"]),)
    for name in (*EDITS, "init_audio", "morph", "toward"):
        said.pop(name, None)
        ends.pop(name, None)
    if edit is not None and "edit" in said:
        raise ValueError("edit and init_audio contradict each other: give one or the other")
    read: dict[str, Callable[[Any], Any]] = {
        "pitch": lambda value: parse_pitch(value) if isinstance(value, str) else value,
        "mix": lambda value: numbers_of("mix", value),
        "glide_at": lambda value: numbers_of("glide_at", value),
        "guidance_interval": lambda value: pair_of("guidance_interval", value),
        "autoguidance_interval": lambda value: pair_of("autoguidance_interval", value),
    }
    values: dict[str, Any] = {
        name: read[name](value) if name in read else value for name, value in {**said, **ends}.items()
    }
    for name in ("num_clips", "best_of", "seed", "solver_steps", "morph_clips"):
        if name in values and values[name] != int(values[name]):
            raise ValueError(f"{name}: expected a whole number, got {values[name]}")
        if name in values and not isinstance(values[name], bool):
            values[name] = int(values[name])
    if edit is not None:
        values["edit"] = edit
    return Request(prompts=texts, **values)


def edit_of(words: Mapping[str, Any]) -> Edit | None:
    """What is done with a sound; None where none is named.

    Raises:
        ValueError: words that need a sound, without one, or that cannot be.
    """
    given = words.get("init_audio")
    if given is None:
        for name in EDITS:
            if words.get(name) not in (None, (), []) and not (name.startswith("extend") and not words[name]):
                raise ValueError(f"{name}: only goes with init_audio, a sound file to start from")
        return None
    mask = words.get("mask") or ()
    regions = (mask,) if isinstance(mask, str) else mask
    toward = words.get("toward")
    strength = words.get("strength")
    return Edit(
        Path(given),
        None if strength is None else float(strength),
        tuple(pair_of("mask", region) for region in regions),
        float(words.get("extend_before") or 0.0),
        float(words.get("extend_after") or 0.0),
        Path(toward) if toward is not None else None,
    )


def morph_ends(prompts: Sequence[str], words: Mapping[str, Any]) -> dict[str, Any]:
    """What the two ends of `morph` are, by the names that a request has for them; nothing where there is no morph.

    Raises:
        ValueError: ends that are not two of a kind, or that another word has said already.
    """
    ends = words.get("morph")
    if ends is None:
        return {}
    kind = morph_kind([str(end) for end in ends])
    first, second = ends
    said = {"prompts": tuple(prompts) or None, "seeds": words.get("seed"), "clips": words.get("init_audio")}
    if said[kind] is not None:
        raise ValueError(f"morph of two {kind} contradicts the option that names one")
    clips = {"morph_clips": words.get("morph_clips", DEFAULT_MORPH_CLIPS)}
    if kind == "seeds":
        return {"seed": int(first), "to_seed": int(second), **clips}
    if kind == "clips":
        return {"init_audio": Path(first), "toward": Path(second), **clips}
    return {"prompts": (str(first), str(second)), **clips}


def numbers_of(name: str, value: str | Sequence[float]) -> tuple[float, ...]:
    """`0.7,0.3`, or numbers as they are.

    Raises:
        ValueError: something else than numbers.
    """
    try:
        return tuple(float(part) for part in (value.split(",") if isinstance(value, str) else value))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected numbers such as 0.7,0.3, got '{value}'") from error


def pair_of(name: str, value: str | Sequence[float]) -> tuple[float, float]:
    """`0.1:0.8`, or two numbers as they are.

    Raises:
        ValueError: not two numbers.
    """
    try:
        first, last = value.split(":") if isinstance(value, str) else value
        return float(first), float(last)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected two times such as 0.1:0.8, got '{value}'") from error
