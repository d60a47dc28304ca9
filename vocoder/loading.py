"""A vocoder by name: one of our own checkpoints, the import path of any class with `mel` and `decode`, or a YAML.

There is no registry. `runs/x/best.ckpt` and `x.safetensors` are checkpoints; `vocoder.griffin_lim.GriffinLim` and
`mymodule.MyVocoder` are classes, `mymodule` being found in the current directory too. What a class wants to know it
says in its signature: an argument `mel` that is left out receives the contract of the bundle, unless it has a default
of its own; so does `offered_mel`, of a class that would rather know its mel itself. The others are checked against
their types. `x.yaml` holds a class and its arguments (`vocoder.entries`).

Published vocoders are classes too: `vocoder.official_vocos.OfficialVocos`, `vocoder.bigvgan.BigVGAN`,
`vocoder.hifigan.HiFiGAN`, `vocoder.wavernn.WaveRNN`, each with the argument `source`.
"""

import importlib
import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

from audio.mel import MelConfig
from vocoder.base import MEMBERS, Vocoder
from vocoder.entries import is_entry_name, read_entry

CHECKPOINT_SUFFIXES = (".ckpt", ".safetensors")
# Arguments of a class that receive the bundle's contract when left out.
MEL_ARGUMENTS = ("mel", "offered_mel")
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
        name: a checkpoint, an import path such as `vocoder.griffin_lim.GriffinLim`, or a YAML of one of them.
        mel: given to a class whose `mel` argument is left out.
        arguments: of the class, by name; they override those of a YAML.

    Raises:
        ValueError: no such file or class, arguments it does not know or of a wrong type, or a missing member.
    """
    arguments = dict(arguments or {})
    if is_entry_name(name):
        return _load_entry(name, mel, arguments)
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
    except (Exception, SystemExit) as error:
        raise ValueError(f"vocoder '{name}' cannot be made: {_first_line(error)}") from error
    return _check_members(name, vocoder)


def _load_entry(name: str, mel: MelConfig | None, arguments: dict[str, Any]) -> Vocoder:
    try:
        target, written = read_entry(Path(name))
    except ValueError as error:
        raise ValueError(f"vocoder: {error}") from error
    try:
        return load_vocoder(target, mel, written | arguments)
    except ValueError as error:
        raise ValueError(f"'{name}': {error}") from error


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
    except (Exception, SystemExit) as error:
        raise ValueError(f"vocoder '{name}': module {module_name} cannot be imported ({_first_line(error)})") from error
    found = getattr(module, class_name, None)
    if not inspect.isclass(found):
        raise ValueError(f"vocoder '{name}': module {module_name} holds no class {class_name}")
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
    mels = [key for key in MEL_ARGUMENTS if key in known]
    # A class that takes any argument gets its mel as it was written: whom it passes it on to knows what it means.
    values = {
        key: _checked(name, key, _annotation(vocoder_class, parameters.get(key)), value)
        for key, value in arguments.items()
        if key not in mels
    }
    for key in mels:
        given_mel = _given_mel(name, parameters[key], arguments, mel)
        values |= {key: given_mel} if given_mel is not None else {}
    required = [key for key in known if parameters[key].default is inspect.Parameter.empty and key not in values]
    if required:
        raise ValueError(f"vocoder '{name}' needs the argument {required[0]!r}")
    return values


def _given_mel(name: str, parameter: inspect.Parameter, arguments: dict[str, Any], mel: MelConfig | None) -> Any:  # noqa: ANN401
    """The value of an argument that is a mel: as given, or the bundle's where the class has none of its own."""
    key = parameter.name
    if key not in arguments:
        return mel if parameter.default in (inspect.Parameter.empty, None) else None
    given = arguments[key]
    if isinstance(given, MelConfig) or given == parameter.default:
        return given
    if isinstance(given, dict):
        return MelConfig.from_dict(given)
    if not isinstance(given, str | Path):
        raise ValueError(f"vocoder '{name}': argument {key}: expected a file like configs/mel/x.yaml, got {given!r}")
    return MelConfig.from_yaml(Path(given))


def _annotation(vocoder_class: type[Any], parameter: inspect.Parameter | None) -> Any:  # noqa: ANN401
    """The type of a parameter, also where annotations are text; Any where nothing says it.

    One at a time, because a name that only type checkers import makes no other one unknown.
    """
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    names = getattr(inspect.unwrap(vocoder_class.__init__), "__globals__", {})
    holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return get_type_hints(holder, names)[parameter.name]
    # An annotation is any expression, and fails in any way.
    except Exception:
        return Any


def _checked(name: str, key: str, annotation: Any, value: Any) -> Any:  # noqa: ANN401
    """The value as the argument's type has it; text, as typed on a command line, is understood."""
    if annotation is Any:
        return value
    # Slow to import, and needed by few: most vocoders are named without arguments.
    from jsonargparse import ArgumentError, ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    try:
        parser.add_argument(f"--{key}", type=annotation)
        return parser.parse_object({key: value})[key]
    except (ArgumentError, ValueError, TypeError) as error:
        kind = annotation.__name__ if inspect.isclass(annotation) else str(annotation).replace("typing.", "")
        raise ValueError(f"vocoder '{name}': argument {key}: expected {kind}, got {value!r}") from error


def _check_members(name: str, vocoder: Any) -> Vocoder:  # noqa: ANN401
    # Of what was made, not of its class: `decode` may be set when it is made.
    if not callable(getattr(vocoder, "decode", None)):
        raise ValueError(f"vocoder '{name}' is no vocoder: it lacks 'decode' of {' and '.join(MEMBERS)}")
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
