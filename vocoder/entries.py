"""A vocoder in YAML: its class, and beside it the arguments of that class.

    class: vocoder.griffin_lim.GriffinLim
    iterations: 200

`class` is an import path or a checkpoint. A file holds one such entry; the YAML of compare_vocoders gives each a name.
Paths in it are relative to the current directory, as on a command line.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SUFFIXES = (".yaml", ".yml")
CLASS = "class"


def is_entry_name(name: str) -> bool:
    """Whether a vocoder's name means a YAML file."""
    return name.lower().endswith(SUFFIXES)


def read_mapping(path: Path, expected: str) -> dict[Any, Any]:
    """The mapping that a YAML file holds.

    Args:
        path: the file.
        expected: what should stand in it, for the message.

    Raises:
        ValueError: unreadable, empty, or no mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        text = " ".join(str(error).split())
        raise ValueError(f"cannot read '{path}' ({text})") from error
    if not isinstance(values, dict) or not values:
        raise ValueError(f"expected {expected} in '{path}', got {_kind(values)}")
    return values


def split_entry(entry: Any, where: str) -> tuple[str, dict[str, Any]]:  # noqa: ANN401
    """The class (or checkpoint) and the arguments of an entry.

    Args:
        entry: as the YAML has it.
        where: the entry, for the message.

    Raises:
        ValueError: no mapping, without a class, or whose class is another YAML file.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get(CLASS), str):
        got = ", ".join(map(str, entry)) if isinstance(entry, Mapping) else _kind(entry)
        raise ValueError(f"{where} expects a '{CLASS}', an import path or a checkpoint, got {got or 'nothing'}")
    if is_entry_name(entry[CLASS]):
        raise ValueError(f"{where}: {CLASS}: expected an import path or a checkpoint, got the YAML '{entry[CLASS]}'")
    return entry[CLASS], {str(name): value for name, value in entry.items() if name != CLASS}


def read_entry(path: Path) -> tuple[str, dict[str, Any]]:
    """The class (or checkpoint) and the arguments that a YAML file names.

    Raises:
        ValueError: unreadable, no mapping, or one without a class.
    """
    return split_entry(read_mapping(path, f"a '{CLASS}' and its arguments"), f"'{path}'")


def _kind(values: Any) -> str:  # noqa: ANN401
    return "nothing" if not values else type(values).__name__
