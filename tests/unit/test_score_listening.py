"""Scoring a listening test: exact tests, plain sentences, one line for what is wrong."""

import json
from math import comb
from pathlib import Path

import pytest
from scipy.stats import beta

from pipelines.score_listening import Binomial, main, score

REPORT = "0123456789abcdef"


def key(trials: int = 12) -> dict:
    # Whatever is A, X is it in every second trial.
    rows = [
        {
            "trial": number,
            "clip": "kick.flac",
            "a": "real" if number % 3 else "bundle",
            "b": "bundle" if number % 3 else "real",
            "x": "AB"[number % 2],
        }
        for number in range(1, trials + 1)
    ]
    return {"format": 1, "kind": "listening key", "report": REPORT, "source": "real", "trials": rows}


def answers(found: int, trials: int = 12, preference: object = None) -> dict:
    rows = []
    for row in key(trials)["trials"]:
        right = row["x"] if row["trial"] <= found else "BA"["AB".index(row["x"])]
        liked = preference if preference != "real" else ("A" if row["a"] == "real" else "B")
        rows.append({"trial": row["trial"], "x": right, "preference": liked})
    return {"format": 1, "kind": "listening answers", "report": REPORT, "answers": rows}


def run(tmp_path: Path, given: object, known: object) -> int:
    (tmp_path / "answers.json").write_text(given if isinstance(given, str) else json.dumps(given))
    (tmp_path / "key.json").write_text(known if isinstance(known, str) else json.dumps(known))
    return main([str(tmp_path / "answers.json"), "--key", str(tmp_path / "key.json")])


def test_the_tests_are_exact() -> None:
    found = Binomial.of(10, 12, one_sided=True)
    assert found.p_value == pytest.approx(sum(comb(12, k) for k in (10, 11, 12)) / 2**12)
    # Clopper and Pearson: quantiles of beta laws.
    assert found.low == pytest.approx(beta.ppf(0.025, 10, 3))
    assert found.high == pytest.approx(beta.ppf(0.975, 11, 2))
    assert Binomial.of(10, 12, one_sided=False).p_value == pytest.approx(2 * found.p_value)
    assert Binomial.of(0, 12, one_sided=True).p_value == 1.0
    assert Binomial.of(0, 0, one_sided=True).p_value == 1.0


def test_sentences_say_what_was_heard(tmp_path, capsys) -> None:
    assert run(tmp_path, answers(12, preference="real"), key()) == 0
    printed = capsys.readouterr().out
    assert "real and bundle: X was found in 12 of 12 (100 % [74 %, 100 %], p = 0.00024): a difference is" in printed
    assert "real was preferred in 12 of 12" in printed
    assert printed.strip().endswith("real is preferred.")
    assert run(tmp_path, answers(7, preference="none"), key()) == 0
    printed = capsys.readouterr().out
    assert "7 of 12" in printed
    assert "cannot tell whether a difference is heard; no preference was given." in printed
    assert run(tmp_path, answers(2), key()) == 0
    # Finding X too seldom is no hearing, and one-sided.
    assert "cannot tell" in capsys.readouterr().out


def test_always_preferring_one_side_is_no_preference(tmp_path, capsys) -> None:
    assert run(tmp_path, answers(6, preference="A"), key()) == 0
    assert "real was preferred in 8 of 12" in capsys.readouterr().out
    assert "no clear preference" in score([{1: {"x": "B", "preference": "A"}}], {1: key()["trials"][0]})[0].sentence()


def test_pairs_are_counted_apart() -> None:
    trials = {
        1: {"a": "real", "b": "one", "x": "A"},
        2: {"a": "two", "b": "one", "x": "B"},
        3: {"a": "one", "b": "real", "x": "B"},
        4: {"a": "one", "b": "two", "x": "A"},
    }
    given = {number: {"x": "A", "preference": "A"} for number in (1, 2, 3)}
    found = {(item.first, item.second): item for item in score([given], trials)}
    assert set(found) == {("real", "one"), ("one", "two")}
    real = found["real", "one"]
    assert (real.found.hits, real.found.trials, real.preferred.hits, real.preferred.trials) == (1, 2, 1, 2)
    other = found["one", "two"]
    assert (other.found.hits, other.found.trials, other.preferred.hits, other.preferred.trials) == (0, 1, 0, 1)


def changed(page: dict, **values: object) -> dict:
    return page | values


BAD = {
    "answers: cannot read": ("{", key()),
    "is no file of listening answers": (key(), key()),
    "is no file of listening key": (answers(3), answers(3)),
    "belongs to report 'fedc', the key to '0123456789abcdef'": (changed(answers(3), report="fedc"), key()),
    "expected format 1": (changed(answers(3), format=2), key()),
    "holds none": (changed(answers(3), answers=[]), key()),
    "expects a trial's number and x": (changed(answers(3), answers=[{"trial": 1, "x": "C"}]), key()),
    "answer 1 in": (changed(answers(3), answers=["A"]), key()),
    "preference of trial 1": (changed(answers(3), answers=[{"trial": 1, "x": "A", "preference": "X"}]), key()),
    "answered twice": (changed(answers(3), answers=[{"trial": 1, "x": "A"}] * 2), key()),
    "trial 99 is not in the key": (changed(answers(3), answers=[{"trial": 99, "x": "A"}]), key()),
    "holds malformed trials": (answers(3), changed(key(), trials=[{"trial": 1}])),
    "as JSON (nested too deeply)": ("[" * 100_000 + "]" * 100_000, key()),
    "expects two sounds, got 'real' as both a and b": (
        answers(3),
        changed(key(), trials=[{"trial": 7, "a": "real", "b": "real", "x": "A"}]),
    ),
}


@pytest.mark.parametrize("text", BAD)
def test_bad_files_are_one_line(text, tmp_path, capsys) -> None:
    assert run(tmp_path, *BAD[text]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error:")
    assert text in lines[0]


def test_several_listeners_are_pooled(tmp_path, capsys) -> None:
    words = []
    for name, found in (("ann", 12), ("ben", 9)):
        (tmp_path / f"{name}.json").write_text(json.dumps(answers(found, preference="real")))
        words.append(str(tmp_path / f"{name}.json"))
    (tmp_path / "key.json").write_text(json.dumps(key()))
    ending = ["--key", str(tmp_path / "key.json")]
    assert main([*words, *ending]) == 0
    printed = capsys.readouterr().out
    assert "X was found in 21 of 24" in printed
    assert "real was preferred in 24 of 24" in printed
    # One listener twice would count as two.
    assert main([words[0], words[0], *ending]) == 2
    assert "given twice" in capsys.readouterr().err
    (tmp_path / "ben.json").write_text(json.dumps(changed(answers(9), report="fedc")))
    assert main([*words, *ending]) == 2
    assert "ben.json' belongs to report 'fedc'" in capsys.readouterr().err


def test_a_missing_file_is_one_line(tmp_path, capsys) -> None:
    assert main([str(tmp_path / "none.json"), "--key", str(tmp_path / "none.json")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
