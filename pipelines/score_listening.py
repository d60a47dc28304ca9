"""`python -m pipelines.score_listening ANSWERS.json ... --key listening_key.json`: what a blind listening test says.

    X found      exact binomial test against 1/2, one-sided: chance finds X every second time, and nobody worse than
                 chance hears a difference
    preference   exact binomial test against 1/2, two-sided, of the trials with a preference

Shares have Clopper-Pearson intervals (1934). The answers of several listeners are pooled. Trials of one listener,
and of one clip, are taken as independent draws, and p-values are not corrected for the number of pairs.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from evaluation.replicated import LEVEL
from pipelines.comparison_listening import KEY_FORMAT, KEY_KIND
from pipelines.comparison_listening_page import ANSWERS_FORMAT, ANSWERS_KIND
from training.command import answer, run_command

SIDES = ("A", "B")
PREFERENCES = ("A", "B", "none", None)


@dataclass(frozen=True)
class Binomial:
    """A binomial test.

    Args:
        hits: times that it went one way.
        trials: of all.
        p_value: exact.
        low: of the share, Clopper-Pearson.
        high: the other end.
    """

    hits: int
    trials: int
    p_value: float
    low: float
    high: float

    @classmethod
    def of(cls, hits: int, trials: int, one_sided: bool) -> "Binomial":
        """Test against 1/2; nothing is known from no trials."""
        if not trials:
            return cls(0, 0, 1.0, 0.0, 1.0)
        p_value = binomtest(hits, trials, 0.5, alternative="greater" if one_sided else "two-sided").pvalue
        # The interval is two-sided in any case.
        ends = binomtest(hits, trials, 0.5).proportion_ci(LEVEL, method="exact")
        return cls(hits, trials, float(p_value), float(ends.low), float(ends.high))

    @property
    def significant(self) -> bool:
        """Whether chance is an unlikely reason."""
        return self.p_value < 1.0 - LEVEL

    def __str__(self) -> str:
        """`9 of 12 (75 % [43 %, 95 %], p = 0.073)`."""
        if not self.trials:
            return "0 of 0"
        share = 100.0 * self.hits / self.trials
        return f"{self.hits} of {self.trials} ({share:.0f} % [{100 * self.low:.0f} %, {100 * self.high:.0f} %], " + (
            f"p = {self.p_value:.2g})"
        )


@dataclass(frozen=True)
class PairScore:
    """What was heard of two contestants.

    Args:
        first: as in the report.
        second: as in the report.
        found: how often X was found.
        preferred: how often the first one was preferred, of the trials with a preference.
    """

    first: str
    second: str
    found: Binomial
    preferred: Binomial

    def sentence(self) -> str:
        """For people."""
        heard = "a difference is heard" if self.found.significant else "cannot tell whether a difference is heard"
        text = f"{self.first} and {self.second}: X was found in {self.found}: {heard}"
        if not self.preferred.trials:
            return f"{text}; no preference was given."
        liked = f"{self.first} was preferred in {self.preferred}"
        if not self.preferred.significant:
            return f"{text}; {liked}: no clear preference."
        winner = self.first if 2 * self.preferred.hits > self.preferred.trials else self.second
        return f"{text}; {liked}: {winner} is preferred."


def score_listening(answers: Sequence[str], key: Path) -> None:
    """Score the answers of a blind listening test, pair by pair.

    Args:
        answers: files that the page saved, one for each listener; pooled.
        key: listening_key.json of the same report.

    Raises:
        ValueError: a file that cannot be read or is malformed, answers of another report, or one file twice.
    """
    known = read_page(key, "key", KEY_KIND, KEY_FORMAT)
    trials = read_key(known, key)
    paths = [Path(name) for name in answers]
    for place, path in enumerate(paths):
        if path.resolve() in [other.resolve() for other in paths[:place]]:
            raise ValueError(f"answers: '{path}' is given twice; give each listener's file once")
    listeners = []
    for path in paths:
        given = read_page(path, "answers", ANSWERS_KIND, ANSWERS_FORMAT)
        if given["report"] != known["report"]:
            raise ValueError(f"answers: '{path}' belongs to report '{given['report']}', the key to '{known['report']}'")
        listeners.append(read_answers(given, path))
    scores = score(listeners, trials)
    table = Table("pair", "trials", "X found", "p", "first preferred", "p", box=SIMPLE)
    for item in scores:
        found, liked = item.found, item.preferred
        table.add_row(
            f"{item.first} / {item.second}",
            str(found.trials),
            str(found.hits),
            f"{found.p_value:.2g}",
            f"{liked.hits} of {liked.trials}",
            f"{liked.p_value:.2g}",
        )
    Console(stderr=True).print(table)
    for item in scores:
        answer(item.sentence())


def score(
    listeners: Sequence[Mapping[int, Mapping[str, Any]]], trials: Mapping[int, Mapping[str, str]]
) -> list[PairScore]:
    """Count what was heard.

    Args:
        listeners: of each, by trial: `x` and `preference`.
        trials: by number: `a`, `b` and `x`.

    Returns:
        one for each pair of which anything was answered.

    Raises:
        ValueError: an answer to a trial that the key does not know.
    """
    counts: dict[frozenset[str], list[int]] = {}
    pairs: dict[frozenset[str], tuple[str, str]] = {}
    given_by_all = [item for answers in listeners for item in sorted(answers.items())]
    for number, given in given_by_all:
        if number not in trials:
            raise ValueError(f"answers: trial {number} is not in the key, which has {len(trials)}")
        trial = trials[number]
        names = frozenset((trial["a"], trial["b"]))
        # The real clip comes first, else the order of the alphabet: A and B were shuffled.
        first, second = sorted(names, key=lambda name: (name != "real", name))
        pairs[names] = (first, second)
        found = counts.setdefault(names, [0, 0, 0, 0])
        found[0] += given["x"] == trial["x"]
        found[1] += 1
        if given["preference"] in SIDES:
            found[2] += trial[given["preference"].lower()] == first
            found[3] += 1
    return [
        PairScore(*pairs[names], Binomial.of(hits, heard, True), Binomial.of(liked, voiced, False))
        for names, (hits, heard, liked, voiced) in counts.items()
    ]


def read_page(path: Path, name: str, kind: str, form: int) -> dict[str, Any]:
    """A JSON file of one of the two kinds.

    Raises:
        ValueError: unreadable, or of another kind or format.
    """
    try:
        page = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(f"{name}: cannot read '{path}' as JSON (nested too deeply)") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: cannot read '{path}' as JSON ({error})") from error
    if not isinstance(page, dict) or page.get("kind") != kind or not isinstance(page.get("report"), str):
        raise ValueError(f"{name}: '{path}' is no file of {kind}")
    if page.get("format") != form:
        raise ValueError(f"{name}: expected format {form} in '{path}', got {page.get('format')!r}")
    return page


def read_answers(page: Mapping[str, Any], path: Path) -> dict[int, dict[str, Any]]:
    """Answers by trial.

    Raises:
        ValueError: none, a malformed one, or two to one trial.
    """
    rows = page.get("answers")
    if not isinstance(rows, list) or not rows:
        raise ValueError(f"answers: '{path}' holds none")
    found: dict[int, dict[str, Any]] = {}
    for place, row in enumerate(rows, 1):
        number = row.get("trial") if isinstance(row, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or row.get("x") not in SIDES:
            raise ValueError(f"answers: answer {place} in '{path}' expects a trial's number and x, A or B, got {row!r}")
        if row.get("preference") not in PREFERENCES:
            raise ValueError(
                f"answers: preference of trial {number} in '{path}': expected A, B, none or null, "
                f"got {row['preference']!r}"
            )
        if number in found:
            raise ValueError(f"answers: trial {number} is answered twice in '{path}'")
        found[number] = {"x": row["x"], "preference": row.get("preference")}
    return found


def read_key(page: Mapping[str, Any], path: Path) -> dict[int, dict[str, str]]:
    """Trials by number.

    Raises:
        ValueError: a malformed key.
    """
    try:
        trials = {int(row["trial"]): {name: str(row[name]) for name in ("a", "b", "x")} for row in page["trials"]}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"key: '{path}' holds malformed trials") from error
    if not trials or any(row["x"] not in SIDES for row in trials.values()):
        raise ValueError(f"key: '{path}' holds malformed trials")
    for number, row in trials.items():
        if row["a"] == row["b"]:
            raise ValueError(f"key: trial {number} in '{path}' expects two sounds, got '{row['a']}' as both a and b")
    return trials


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.score_listening`."""
    return run_command(
        score_listening,
        arguments,
        positionals=("answers",),
        program="python -m pipelines.score_listening",
        several=("answers",),
    )


if __name__ == "__main__":
    sys.exit(main())
