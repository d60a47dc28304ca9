"""A vocoder by name: one of our own checkpoints, or the import path of any class with `mel` and `decode`.

There is no registry. `runs/x/best.ckpt` and `x.safetensors` are checkpoints; `vocoder.griffin_lim.GriffinLim` and
`mymodule.MyVocoder` are classes, `mymodule` being found in the current directory too. What a class wants to know it
says in its signature: an argument `mel` that is left out receives the contract of the bundle, unless it has a default
of its own; the others are checked against their types.

Published vocoders are classes too: `vocoder.official_vocos.OfficialVocos`, `vocoder.bigvgan.BigVGAN`,
`vocoder.hifigan.HiFiGAN`, `vocoder.wavernn.WaveRNN`, each with the argument `source`.
"""

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from audio.mel import MelConfig
from vocoder.base import MEMBERS, Vocoder

CHECKPOINT_SUFFIXES = (".ckpt", ".safetensors")
PUBLISHED = (
    "for published weights name their class, such as --vocoder vocoder.bigvgan.BigVGAN --vocoder.source FOLDER "
    "(docs/how-to/swap-a-vocoder.md has all)"
)


def is_checkpoint_name(name: str) -> bool:
    """Whether a vocoder's name means a file (it exists, or ends like one) and not an import path."""
    return name.endswith(CHECKPOINT_SUFFIXES) or Path(name).is_file()


def load_vocoder(name: str, mel: MelConfig | None, arguments: dict[str, Any] | None = None) -> Vocoder:
    """Make the vocoder that a name means. Whether its mel fits is for the caller to check (`check_same_mel`).

    Args:
        name: a checkpoint, or an import path such as `vocoder.griffin_lim.GriffinLim`.
        mel: given to a class whose `mel` argument is left out.
        arguments: of the class, by name.

    Raises:
        ValueError: no such checkpoint or class, arguments it does not know or of a wrong type, or a missing member.
    """
    arguments = dict(arguments or {})
    if is_checkpoint_name(name):
        if arguments:
            raise ValueError(f"vocoder '{name}' is a checkpoint and takes no arguments, got {', '.join(arguments)}")
        return _load_checkpoint(Path(name))
    if name and Path(name).is_dir():
        raise ValueError(f"vocoder '{name}' is a folder: expected a checkpoint or an import path; {PUBLISHED}")
    vocoder_class = _import_class(name)
    values = _check_arguments(name, vocoder_class, mel, arguments)
    try:
        vocoder = vocoder_class(**values)
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"vocoder '{name}' cannot be made: {_first_line(error)}") from error
    return _check_members(name, vocoder)


def _load_checkpoint(path: Path) -> Vocoder:
    from vocoder.generators import load_generator

    try:
        return load_generator(path)
    except ValueError as error:
        foreign = "this project" in str(error)
        raise ValueError(f"{error}; {PUBLISHED}" if foreign else str(error)) from error


def _import_class(name: str) -> type[Any]:
    module_name, _, class_name = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")) or not module_name:
        raise ValueError(
            f"vocoder '{name}': expected an existing checkpoint (.ckpt, .safetensors) or an import path like "
            "vocoder.griffin_lim.GriffinLim"
        )
    # Behind everything else, so that a file of the user's never hides a module of the project.
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise ValueError(f"vocoder '{name}': module {module_name} cannot be imported ({_first_line(error)})") from error
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        raise ValueError(f"vocoder '{name}': module {module_name} holds no class {class_name}")
    if not callable(getattr(found, "decode", None)):
        raise ValueError(f"vocoder '{name}' is no vocoder: it lacks 'decode' of {' and '.join(MEMBERS)}")
    return found


def _check_arguments(
    name: str, vocoder_class: type[Any], mel: MelConfig | None, arguments: dict[str, Any]
) -> dict[str, Any]:
    parameters = inspect.signature(vocoder_class).parameters
    known = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    unknown = [key for key in arguments if key not in known]
    if unknown and not takes_any:
        raise ValueError(f"vocoder '{name}' has no argument {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    values = {key: _checked(name, key, parameters.get(key), value) for key, value in arguments.items() if key != "mel"}
    if "mel" in known:
        given_mel = _given_mel(name, parameters["mel"], arguments, mel)
        values |= {"mel": given_mel} if given_mel is not None else {}
    required = [key for key in known if parameters[key].default is inspect.Parameter.empty and key not in values]
    if required:
        raise ValueError(f"vocoder '{name}' needs the argument {required[0]!r}")
    return values


def _given_mel(name: str, parameter: inspect.Parameter, arguments: dict[str, Any], mel: MelConfig | None) -> Any:  # noqa: ANN401
    """The value of an argument `mel`: as given, or the bundle's where the class has none of its own."""
    if "mel" not in arguments:
        return mel if parameter.default in (inspect.Parameter.empty, None) else None
    given = arguments["mel"]
    if isinstance(given, MelConfig) or given == parameter.default:
        return given
    if isinstance(given, dict):
        return MelConfig.from_dict(given)
    if not isinstance(given, str | Path):
        raise ValueError(f"vocoder '{name}': argument mel: expected a file like configs/mel/x.yaml, got {given!r}")
    return MelConfig.from_yaml(Path(given))


def _checked(name: str, key: str, parameter: inspect.Parameter | None, value: Any) -> Any:  # noqa: ANN401
    """The value as the parameter's type has it; text, as typed on a command line, is understood."""
    if parameter is None or parameter.annotation in (inspect.Parameter.empty, Any):
        return value
    # Slow to import, and needed by few: most vocoders are named without arguments.
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    try:
        parser.add_argument(f"--{key}", type=parameter.annotation)
        return parser.parse_object({key: value})[key]
    except (ArgumentError, ValueError, TypeError) as error:
        kind = getattr(parameter.annotation, "__name__", str(parameter.annotation))
        raise ValueError(f"vocoder '{name}': argument {key}: expected {kind}, got {value!r}") from error


def _check_members(name: str, vocoder: Any) -> Vocoder:  # noqa: ANN401
    mel = getattr(vocoder, "mel", None)
    if not isinstance(mel, MelConfig):
        got = "" if mel is None else f", got {type(mel).__name__}"
        raise ValueError(f"vocoder '{name}' is no vocoder: it lacks 'mel', an audio.mel.MelConfig{got}")
    try:
        inspect.signature(vocoder.decode).bind(None)
    except TypeError as error:
        raise ValueError(f"vocoder '{name}' is no vocoder: its 'decode' must take one argument, log_mel") from error
    except ValueError:
        # A compiled function may hide its signature.
        pass
    checked: Vocoder = vocoder
    return checked


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
