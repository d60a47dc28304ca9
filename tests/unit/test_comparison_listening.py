"""The listening test: fair draws, sounds that differ only by their last bit, and a page that keeps the secret."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audio.dataset import Clip
from evaluation.page import Page
from pipelines.comparison_decoding import Kept
from pipelines.comparison_listening import STEP, draw_trials, pairs_to_hear, trial_sounds
from pipelines.comparison_listening_page import SCRIPT, add_listening
from pipelines.score_listening import main

RATE = 44_100


def kept(number: int) -> Kept:
    generator = torch.Generator().manual_seed(number)
    sounds = [0.3 * torch.randn(1, 4000, generator=generator) for _ in range(3)]
    clip = Clip(Path(f"clip_{number}.flac"), ("a",), 0.1, -10.0, 500.0)
    return Kept(clip, sounds[0], {("one", "real"): sounds[1], ("two", "real"): sounds[2]})


KEPT = {number: kept(number) for number in (3, 5, 8, 9)}


def drawn(seed: int = 0, trials: int = 12, kept: dict = KEPT, **facts: object):
    return draw_trials(["one", "two"], "real", kept, trials, seed, facts, RATE)


def test_pairs() -> None:
    assert pairs_to_hear(["a", "b", "c"], "decoded") == [
        ("real", "a"),
        ("real", "b"),
        ("real", "c"),
        ("a", "b"),
        ("a", "c"),
    ]
    # A generated mel has no real clip.
    assert pairs_to_hear(["a", "b", "c"], "generated") == [("a", "b"), ("a", "c")]
    assert pairs_to_hear(["a"], "generated") == []


def test_draws_are_fair_and_seeded() -> None:
    test = drawn(trials=400)
    assert drawn(trials=400) == test
    assert drawn(seed=1, trials=400).trials != test.trials
    assert drawn(seed=1).report != drawn().report
    pairs = Counter(frozenset((trial.a, trial.b)) for trial in test.trials)
    assert set(pairs.values()) == {400}
    # Fair coins: five deviations of 1,200 throws are 87.
    assert abs(sum(trial.x == "A" for trial in test.trials) - 600) < 87
    assert abs(sum(trial.a == "real" for trial in test.trials if "real" in (trial.a, trial.b)) - 400) < 71
    # A pair hears every clip before one comes again, and the pairs are mixed.
    uses = Counter(trial.clip for trial in drawn().trials if {trial.a, trial.b} == {"one", "two"})
    assert uses == {3: 3, 5: 3, 8: 3, 9: 3}
    assert len({frozenset((trial.a, trial.b)) for trial in drawn().trials[:12]}) == 3


def test_a_report_is_known_by_what_is_heard_and_by_the_facts() -> None:
    assert drawn(data="a").report == drawn(data="a").report
    assert drawn(data="a").report != drawn(data="b").report
    # The same names and questions, but one vocoder sounds a little otherwise in one clip.
    made = KEPT[5].made | {("two", "real"): KEPT[5].made["two", "real"] * 0.99}
    other = drawn(kept=KEPT | {5: replace(KEPT[5], made=made)})
    assert other.trials == drawn().trials
    assert other.report != drawn().report


def test_x_is_what_the_key_says_up_to_the_last_bit() -> None:
    for trial in drawn().trials:
        sounds = trial_sounds(trial, KEPT[trial.clip], "real", RATE, 0)
        other = "B" if trial.x == "A" else "A"
        assert 0.0 < np.abs(sounds["X"] - sounds[trial.x]).max() <= 2.1 * STEP
        assert np.abs(sounds["X"] - sounds[other]).max() > 0.1
        assert max(np.abs(sound).max() for sound in sounds.values()) <= 0.9 + 2 * STEP


@pytest.fixture
def page(tmp_path) -> str:
    report = Page("test")
    add_listening(report, drawn())
    report.save(tmp_path / "index.html")
    return (tmp_path / "index.html").read_text()


def embedded(page: str) -> dict:
    return json.loads(re.search(r'id="listening-data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_page_keeps_the_secret(page, tmp_path) -> None:
    data = embedded(page)
    assert len(data["trials"]) == 36
    coded = [trial[side] for trial in data["trials"] for side in "ABX"]
    # No two sounds are the same text, though every third one is a copy.
    assert len(set(coded)) == len(coded)
    bare = page
    for text in coded:
        bare = bare.replace(text, "")
    assert "clip_" not in bare
    assert not re.search(r"\b(one|two|real)\.(flac|wav)\b", bare)
    assert set(data["trials"][0]) == {"trial", "A", "B", "X"}
    # Two sounds of a trial are not told apart by their length either.
    lengths = [len(soundfile.read(io.BytesIO(base64.b64decode(text)))[0]) for text in coded[:9]]
    assert len(set(lengths)) == 1
    drawn().save_key(tmp_path / "key.json")
    key = json.loads((tmp_path / "key.json").read_text())
    assert key["report"] == data["report"]
    assert {row["clip"] for row in key["trials"]} == {f"clip_{number}.flac" for number in KEPT}


def test_nothing_is_fetched(page) -> None:
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|<link|@import|src=\"(?!data:)", page)


# A browser of forty lines: elements that remember listeners, and a store.
BROWSER = """
const elements = {}; const stored = {}; const events = []; let saved = null;
const make = (tag) => ({ tag, listeners: {}, append() {}, pause() {}, checked: false,
  addEventListener(name, act) { this.listeners[name] = act; },
  remove() { events.push("removed"); },
  click() { if (this.tag === "a") events.push("clicked"); if (this.listeners.click) this.listeners.click(); } });
const options = {};
for (const [name, values] of [["listening-x", ["A", "B"]], ["listening-preference", ["A", "B", "none"]]]) {
  options[name] = values.map((value) => Object.assign(make("input"), { value }));
}
globalThis.document = {
  getElementById: (id) => (elements[id] = elements[id] || make(id)),
  getElementsByName: (name) => options[name],
  createElement: make,
  body: { append(link) { events.push("appended"); } },
};
globalThis.localStorage = { getItem: (k) => stored[k] || null, setItem: (k, v) => { stored[k] = v; } };
globalThis.Blob = class { constructor(parts) { saved = parts.join(""); } };
globalThis.URL = { createObjectURL: () => "blob:x", revokeObjectURL() { events.push("revoked"); } };
globalThis.setTimeout = (act) => { later.push(act); }; const later = [];
const choose = (name, value) => {
  const option = options["listening-" + name].find((one) => one.value === value);
  option.checked = true; option.listeners.change();
};
"""
PLAY = """
document.getElementById("listening-data").textContent = JSON.stringify(DATA);
RUN();
const next = document.getElementById("listening-next");
for (const x of PLAN) { if (x) { choose("x", x); choose("preference", "none"); } next.click(); }
// The page is closed and opened again: what was answered is still there.
RUN();
document.getElementById("listening-save").click();
console.log(saved);
"""


HALF = """
document.getElementById("listening-data").textContent = JSON.stringify(DATA);
RUN();
const [next, save] = ["next", "save"].map((name) => document.getElementById("listening-" + name));
const note = () => document.getElementById("listening-note").textContent;
const notes = [];
choose("preference", "A"); save.click(); notes.push(note());
next.click(); notes.push(note());
choose("preference", "none"); save.click(); notes.push(note());
const before = events.slice(-2);
later.forEach((act) => act());
document.getElementById("listening-back").click(); choose("x", "A"); next.click(); choose("x", "B");
save.click(); notes.push(note());
console.log(JSON.stringify({ notes, before, after: events.slice(4, 8), saved: JSON.parse(saved).answers.length }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript here")
def test_preferences_without_x_are_told_and_a_link_lives_until_it_is_fetched(page, tmp_path) -> None:
    program = BROWSER + f"const DATA = {json.dumps(embedded(page))}; const RUN = () => {{ {SCRIPT} }};" + HALF
    (tmp_path / "page.cjs").write_text(program)
    child = subprocess.run(["node", str(tmp_path / "page.cjs")], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    found = json.loads(child.stdout)
    first, second, third, last = found["notes"]
    assert first == "1 preference has no X and cannot be saved: trial 1"
    assert third == "2 preferences have no X and cannot be saved: trial 1, 2"
    assert (second, last, found["saved"]) == ("", "", 2)
    assert found["before"] == ["appended", "clicked"]
    assert found["after"] == ["revoked", "removed"] * 2


@pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript here")
def test_answers_of_the_page_are_scored(page, tmp_path, capsys) -> None:
    test = drawn()
    # All is found, and one trial is left out.
    plan = [None if trial.number == 2 else trial.x for trial in test.trials]
    data = embedded(page)
    program = BROWSER + f"const DATA = {json.dumps(data)}; const PLAN = {json.dumps(plan)};"
    program += f"const RUN = () => {{ {SCRIPT} }};" + PLAY
    (tmp_path / "page.cjs").write_text(program)
    child = subprocess.run(["node", str(tmp_path / "page.cjs")], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    (tmp_path / "answers.json").write_text(child.stdout)
    answers = json.loads(child.stdout)["answers"]
    assert [row["trial"] for row in answers] == [trial.number for trial in test.trials if trial.number != 2]
    test.save_key(tmp_path / "key.json")
    assert main([str(tmp_path / "answers.json"), "--key", str(tmp_path / "key.json")]) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    assert len(printed) == 3
    assert sum("12 of 12" in line for line in printed) == 2
    assert sum("11 of 11" in line for line in printed) == 1
    assert all("a difference is heard; no preference was given." in line for line in printed)
