"""Help that a newcomer reads: options in groups, a word for what each takes, defaults only where they say something."""

import re
from argparse import SUPPRESS, Action
from collections.abc import Mapping, Sequence

from jsonargparse import ArgumentParser, DefaultHelpFormatter

# Beyond so many options the usage names none of them.
LONGEST_USAGE = 8
METAVARS = {"Path": "PATH", "int": "NUMBER", "float": "NUMBER"}


class PlainHelp(DefaultHelpFormatter):
    """Texts without types; `(required)` and defaults that are something."""

    def _get_help_string(self, action: Action) -> str:
        text = action.help or ""
        if not action.option_strings or "%(default)" in text or action.dest == "help":
            return text
        if action.required:
            return f"{text} (required)"
        if action.default is None or isinstance(action.default, bool) or action.default is SUPPRESS:
            return text
        return text if "when left out" in text else f"{text} (%(default)s when left out)"

    def _get_default_metavar_for_optional(self, action: Action) -> str:
        words = re.findall(r"'([^']+)'", self._get_type_str(action) or "")
        if words and "Literal" in str(self._get_type_str(action)):
            truths = ["true", "false"] if "bool" in str(self._get_type_str(action)) else []
            return "{" + ",".join(truths + words) + "}"
        named = (self._get_type_str(action) or "").replace("<class '", "").split("|")[0].strip(" '>")
        return METAVARS.get(named.rsplit(".", 1)[-1], "TEXT")


def shorten_usage(parser: ArgumentParser) -> None:
    """Let the usage of a command with many options name its positionals alone."""
    options = [action for action in parser._actions if action.option_strings]
    if len(options) > LONGEST_USAGE:
        needed = [f"{action.option_strings[-1]} ..." for action in options if action.required]
        places = [action.dest for action in parser._actions if not action.option_strings]
        parser.usage = " ".join(["%(prog)s", *places, *needed, "[options]"])


def group_options(parser: ArgumentParser, groups: Mapping[str, Sequence[str]]) -> None:
    """Put options under titles, in the order given.

    Args:
        parser: with its options.
        groups: title to names of parameters; what is named nowhere stays where it is.
    """
    own = {action.dest: action for action in parser._actions}
    for title, names in groups.items():
        group = parser.add_argument_group(title)
        for name in names:
            for other in parser._action_groups:
                if own[name] in other._group_actions:
                    other._group_actions.remove(own[name])
            group._group_actions.append(own[name])
