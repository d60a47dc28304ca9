"""Where foreign vocoders come from: a folder with the publisher's own file names, or a name on the Hugging Face hub.

Nothing that is read here is executed: YAML and JSON are plain values, pickles are read weights only.
"""

import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)+")
# What stands in a cloned repository in place of a large file that was not fetched.
LFS_POINTER = b"version https://git-lfs"
# A pickle begins so, of protocol 2 and later; torch writes 2.
PICKLE = re.compile(rb"\x80[\x02-\x05]")
EXTRA = "pip install 'melisma[vocoders]'"


def find_file(source: str, *names: str) -> Path:
    """The first of `names` that a folder or a repository of the hub holds; a hub's file is fetched once and kept.

    Args:
        source: an existing folder, or `owner/name` on the hub, `owner/name/folder` for a folder in it.
        names: file names or patterns such as `g_*`, the most wanted first; patterns are for folders only.

    Raises:
        ValueError: no such folder or repository, none of the files in it, or no way to the hub.
    """
    folder, wanted = Path(source), " or ".join(names)
    if folder.is_dir():
        for name in names:
            found = sorted(path for path in folder.glob(name) if path.is_file())
            if found:
                return found[-1]
        raise ValueError(f"source: the folder '{source}' holds no {wanted}")
    if folder.exists():
        raise ValueError(f"source: expected a folder that holds {wanted}, got the file '{source}'")
    if not HUB_NAME.fullmatch(source):
        raise ValueError(
            f"source: '{source}' is neither an existing folder nor a hub name (owner/name or owner/name/folder)"
        )
    return _fetch(source, [name for name in names if "*" not in name])


def _fetch(source: str, names: list[str]) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    owner, repository, *folders = source.split("/")
    for name in names:
        try:
            return Path(
                hf_hub_download(
                    repo_id=f"{owner}/{repository}", filename=name, subfolder="/".join(folders) if folders else None
                )
            )
        # Being offline is told as a missing entry too, a subclass of it; that one is not for the next name to mend.
        except LocalEntryNotFoundError as error:
            raise ValueError(_unreachable(source, names, "no connection, and not fetched before")) from error
        except EntryNotFoundError:
            continue
        except Exception as error:
            raise ValueError(_unreachable(source, names, _first_line(error))) from error
    raise ValueError(f"source: '{source}' on the hub holds no {' or '.join(names)}")


def _unreachable(source: str, names: list[str], reason: str) -> str:
    return (
        f"source: no folder '{source}' here, and the hub does not give {' or '.join(names)} of it ({reason}); "
        "download the repository's files and name their folder"
    )


def read_config(path: Path) -> dict[str, Any]:
    """Read a JSON or YAML file that holds named values.

    Raises:
        ValueError: unreadable, broken, or no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise ValueError(
            f"'{path}' is not readable {path.suffix.lstrip('.').upper()} ({_first_line(error)})"
        ) from error
    if not isinstance(values, dict):
        raise ValueError(f"'{path}': expected named values, got {type(values).__name__}")
    return values


def config_value(config: dict[str, Any], name: str, path: Path) -> Any:  # noqa: ANN401
    """A value that a published config must have.

    Raises:
        ValueError: it is missing.
    """
    if name not in config:
        raise ValueError(f"'{path}' lacks {name!r}; it has {', '.join(map(str, list(config)[:8])) or 'nothing'}")
    return config[name]


def read_weights(path: Path, key: str | None = None) -> dict[str, Tensor]:
    """Read a state dict, weights only, in float32.

    Args:
        path: safetensors, or a pickle of torch.
        key: under which the pickle holds it; the pickle itself when left out.

    Raises:
        ValueError: truncated, a pickle that wants to run code, or something other than a state dict.
    """
    start = _start(path)
    if start.startswith(LFS_POINTER):
        raise ValueError(f"'{path}' is not a file of weights but git-lfs's note of one: fetch it with git lfs pull")
    try:
        values = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except pickle.UnpicklingError as error:
        if not PICKLE.match(start) and not zipfile.is_zipfile(path):
            raise ValueError(f"'{path}' is not a file of weights") from error
        raise ValueError(f"'{path}' was refused: it holds more than weights (a pickle may run code)") from error
    # Noise ends a reader in any way: nothing to read, no such index, no such key.
    except Exception as error:
        raise ValueError(f"'{path}' is truncated or not a file of weights") from error
    if key is not None:
        if not isinstance(values, dict) or key not in values:
            raise ValueError(f"'{path}' is not a generator's file: expected the key {key!r}, got {_keys(values)}")
        values = values[key]
    if not isinstance(values, dict) or not values or not all(isinstance(value, Tensor) for value in values.values()):
        raise ValueError(f"'{path}' is not a plain state dict: expected named tensors, got {_keys(values)}")
    return {name: value.float() if value.is_floating_point() else value for name, value in values.items()}


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(LFS_POINTER))
    except OSError as error:
        raise ValueError(f"'{path}' cannot be read ({_first_line(error)})") from error


def missing_package(vocoder: str, package: str) -> ValueError:
    """What to say when an optional package is absent."""
    return ValueError(f"{vocoder} needs the package {package}: {EXTRA}")


def _keys(values: Any) -> str:  # noqa: ANN401
    if not isinstance(values, dict):
        return type(values).__name__
    names = [str(name) for name in values]
    return f"{', '.join(names[:4])}{' …' if len(names) > 4 else ''}" if names else "nothing"


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
