"""A typed function as a command: every parameter an option, errors one line, exit codes as the convention has them.

    0 done    2 bad input (one line on standard error)    130 Ctrl-C

It stands below the stages and the chain because both have commands.
"""

import argparse
import inspect
import re
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from training.help import PlainHelp, group_options, shorten_usage
from training.interrupts import interrupted, noted_interrupts

CONFIG_OPTION = "--config"


def run_command(
    function: Callable[..., Any],
    arguments: Sequence[str] | None = None,
    lists: Sequence[str] = (),
    positionals: Sequence[str] = (),
    program: str | None = None,
    fixed: Mapping[str, Any] | None = None,
    several: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    config: bool = False,
    borrowed: tuple[Callable[..., Any], Sequence[str]] | None = None,
) -> int:
    """Parse the command line, call the function, return the exit code.

    Args:
        function: typed and documented; its parameters become options.
        arguments: the command line; that of the process when left out.
        lists: parameters that are lists and are given by repeating the option (`--prompt a --prompt b`).
        positionals: parameters that are given without an option name, in this order.
        program: name shown in the help.
        fixed: parameters that are no options, and their values.
        several: parameters that are lists and are given behind one option (`--vocoders a b`), or as positionals.
        groups: titles of the help, each with the parameters below it.
        config: options may come from a YAML file too.
        borrowed: another function, and which of its parameters are options here too; they come as keywords.
    """
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=UserWarning)
    fixed = fixed or {}
    parser = make_parser(function, lists, positionals, program, tuple(fixed), several, groups, config, borrowed)
    with noted_interrupts():
        try:
            given = list(sys.argv[1:] if arguments is None else arguments)
            from_file, said = split_config(given) if config else ([], given)
            of_file = lists_of_file(parser, from_file, lists)
            values = parser.instantiate_classes(parser.parse_args([*from_file, *said])).as_dict()
            for name in (name for name in lists if name in of_file and has_option(said, name)):
                # A list of the file is replaced, not added to.
                values[name] = values[name][len(of_file[name]) :]
            if config:
                values.pop(CONFIG_OPTION[2:], None)
            result = function(**values, **fixed)
        except KeyboardInterrupt:
            return _stopped()
        except BrokenPipeError:
            return 0
        except SystemExit as error:
            return int(error.code or 0)
        except Exception as error:
            # A library may turn Ctrl-C into an error of its own.
            if interrupted():
                return _stopped()
            if not isinstance(error, (ValueError, ArgumentError, argparse.ArgumentError)):
                raise
            say(f"error: {one_line(error)}")
            return 2
    return result if isinstance(result, int) else 0


def split_config(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that name YAML files, and the others: what is said on the command line comes last, and wins."""
    named: list[str] = []
    others: list[str] = []
    for place, word in enumerate(words):
        of_file = word == CONFIG_OPTION or (place > 0 and words[place - 1] == CONFIG_OPTION)
        (named if of_file or word.startswith(f"{CONFIG_OPTION}=") else others).append(word)
    return named, others


def lists_of_file(parser: ArgumentParser, words: Sequence[str], lists: Sequence[str]) -> dict[str, list[Any]]:
    """The lists that YAML files name, by the names of their options.

    Raises:
        ValueError: one that is no list there.
    """
    if not words or not lists:
        return {}
    read = parser.parse_args(list(words))
    for name in lists:
        if not isinstance(read[name] or [], list):
            raise ValueError(f"{CONFIG_OPTION}: {name} is a list; write {name}: [{read[name]!r}]")
    return {name: read[name] for name in lists if read[name]}


def has_option(words: Sequence[str], name: str) -> bool:
    """Whether an option is among some words."""
    return any(word == f"--{name}" or word.startswith(f"--{name}=") for word in words)


def _stopped() -> int:
    # A second Ctrl-C while leaving would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    say("stopped")
    return 130


def make_parser(
    function: Callable[..., Any],
    lists: Sequence[str] = (),
    positionals: Sequence[str] = (),
    program: str | None = None,
    skip: Sequence[str] = (),
    several: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    config: bool = False,
    borrowed: tuple[Callable[..., Any], Sequence[str]] | None = None,
) -> ArgumentParser:
    """The parser behind `run_command`."""
    help_texts = argument_help(function)
    summary = (inspect.getdoc(function) or "").split("\n\n")[0]
    parser = ArgumentParser(prog=program, description=summary, exit_on_error=False, formatter_class=PlainHelp)
    for name in positionals:
        annotation = inspect.signature(function).parameters[name].annotation
        many: dict[str, Any] = {"nargs": "+", "type": str} if name in several else {"type": annotation}
        parser.add_argument(name, help=help_texts.get(name), **many)
    for name in lists:
        parser.add_argument(f"--{name}", action="append", default=None, help=help_texts.get(name))
    for name in (name for name in several if name not in positionals):
        own = inspect.signature(function).parameters[name]
        required = {"required": True} if own.default is own.empty else {"default": None}
        parser.add_argument(
            f"--{name}", nargs="+", type=_element(function, name), help=help_texts.get(name), **required
        )
    if config:
        text = "a YAML file with options under their names; what is said on the command line wins"
        parser.add_argument(CONFIG_OPTION, action="config", help=text, metavar="PATH")
        printed = next(action for action in parser._actions if action.dest == "print_config")
        printed.help, printed.metavar = "print the options as YAML, to keep and to give to --config", ""
    parser.add_function_arguments(function, skip={*lists, *several, *positionals, *skip}, as_group=False)
    if borrowed is not None:
        owner, names = borrowed
        others: set[str | int] = {name for name in inspect.signature(owner).parameters if name not in names}
        parser.add_function_arguments(owner, skip=others, as_group=False)
    shorten_usage(parser)
    group_options(parser, groups or {})
    return parser


def _element(function: Callable[..., Any], name: str) -> type:
    """Of what a parameter is a list, None or not."""
    for annotation in (hint := get_type_hints(function)[name], *get_args(hint)):
        if issubclass(get_origin(annotation) or object, Sequence):
            return cast(type, get_args(annotation)[0])
    raise TypeError(f"{name}: expected a list, got {hint}")


# How a parser that knows types names them, and what people call them.
_TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "words"}


def _wrong_type(text: str) -> str | None:
    """`strength: expected a number, got 'abc'`, of what a parser says of a value of another type."""
    found = re.search(r'Parser key "([\w.]+)":', text)
    given = re.search(r"(?:Got value|Given value): (.*)", text)
    kinds = re.findall(r"Expected a (<class '\w+'>|typing\.Literal\[[^\]]*\])", text)
    if not found or not given or not kinds:
        return None
    names = [kind.removeprefix("<class '").removesuffix("'>") for kind in kinds]
    said = [
        _TYPES.get(name) or " or ".join(part.strip(" '") for part in name[len("typing.Literal[") : -1].split(","))
        for name in names
        if name != "NoneType"
    ]
    return f"{found[1]}: expected {' or '.join(said)}, got '{given[1].strip()}'" if said else None


def one_line(error: BaseException) -> str:
    """The message of an error, without line breaks and without the parser's tips."""
    wrong = _wrong_type(str(error))
    if wrong:
        return wrong
    text = re.sub(r'^Parser key "([\w.]+)":', r"\1:", str(error)).split("\ntip:")[0].split("\nTip:")[0]
    return " ".join(part.strip() for part in text.splitlines() if part.strip()) or type(error).__name__


def say(text: str) -> None:
    """Print to standard error: standard output is for results."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def answer(text: str) -> None:
    """Print to standard output: what scripts read."""
    print(text, flush=True)  # noqa: T201


def argument_help(function: Callable[..., Any]) -> dict[str, str]:
    """Texts of the `Args:` section of a Google docstring."""
    lines = (inspect.getdoc(function) or "").split("Args:", 1)[-1].splitlines()
    texts: dict[str, str] = {}
    name = ""
    for line in lines:
        if line.startswith("    ") and not line.startswith("     ") and ":" in line:
            name, text = line.strip().split(":", 1)
            texts[name] = text.strip()
        elif name and line.startswith("     "):
            texts[name] += " " + line.strip()
        elif line.strip() and not line.startswith(" "):
            name = ""
    return texts
