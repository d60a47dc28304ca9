"""The listening test as a part of the page: players, questions, and a few lines of JavaScript without any network.

Answers stay in the browser's own store while one listens, and are saved as a file by a button.
"""

import base64
import json

from evaluation.page import Page
from pipelines.comparison_listening import ListeningTest

ANSWERS_FORMAT = 1
ANSWERS_KIND = "listening answers"
ANSWERS_NAME = "answers.json"

MARKUP = """
<div id="listening" style="border:1px solid #bbb;padding:1rem;max-width:40rem">
<p><b id="listening-place"></b></p>
<div class="pair" id="listening-players"></div>
<p>Which of them is X?
<label><input type="radio" name="listening-x" value="A"> A</label>
<label><input type="radio" name="listening-x" value="B"> B</label></p>
<p>Which sounds better?
<label><input type="radio" name="listening-preference" value="A"> A</label>
<label><input type="radio" name="listening-preference" value="B"> B</label>
<label><input type="radio" name="listening-preference" value="none"> no preference</label></p>
<p><button type="button" id="listening-back">Back</button>
<button type="button" id="listening-next">Next</button>
<button type="button" id="listening-save">Save answers</button>
<button type="button" id="listening-clear">Forget my answers</button></p>
<p role="status" id="listening-note"></p>
</div>
"""

SCRIPT = """
"use strict";
(function () {
  const test = JSON.parse(document.getElementById("listening-data").textContent);
  const find = (name) => document.getElementById("listening-" + name);
  const store = "melisma-listening-" + test.report;
  const sides = ["A", "B", "X"];
  const questions = ["x", "preference"];
  let answers = {};
  let place = 0;
  try { answers = JSON.parse(localStorage.getItem(store) || "{}"); } catch (error) { answers = {}; }
  const keep = () => { try { localStorage.setItem(store, JSON.stringify(answers)); } catch (error) { return; } };
  const players = sides.map((side) => {
    const figure = document.createElement("figure");
    const sound = document.createElement("audio");
    const caption = document.createElement("figcaption");
    sound.controls = true;
    caption.textContent = side;
    figure.append(sound, caption);
    find("players").append(figure);
    return sound;
  });
  players.forEach((player) => player.addEventListener("play", () => {
    players.filter((other) => other !== player).forEach((other) => other.pause());
  }));
  const options = (question) => Array.from(document.getElementsByName("listening-" + question));
  const show = () => {
    const trial = test.trials[place];
    find("note").textContent = "";
    const given = answers[trial.trial] || {};
    const done = Object.values(answers).filter((answer) => answer.x).length;
    find("place").textContent = "Trial " + (place + 1) + " of " + test.trials.length + ", " + done + " answered";
    sides.forEach((side, index) => { players[index].src = "data:audio/flac;base64," + trial[side]; });
    questions.forEach((question) => {
      options(question).forEach((option) => { option.checked = option.value === given[question]; });
    });
  };
  questions.forEach((question) => options(question).forEach((option) => option.addEventListener("change", () => {
    const number = test.trials[place].trial;
    answers[number] = Object.assign({}, answers[number], { [question]: option.value });
    keep();
  })));
  const go = (far) => { place = Math.min(Math.max(place + far, 0), test.trials.length - 1); show(); };
  find("back").addEventListener("click", () => go(-1));
  find("next").addEventListener("click", () => go(1));
  find("clear").addEventListener("click", () => { answers = {}; keep(); place = 0; show(); });
  find("save").addEventListener("click", () => {
    const rows = test.trials.filter((trial) => answers[trial.trial] && answers[trial.trial].x).map((trial) => ({
      trial: trial.trial, x: answers[trial.trial].x, preference: answers[trial.trial].preference || null
    }));
    const page = { format: test.format, kind: test.kind, report: test.report, answers: rows };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(page, null, 2)], { type: "application/json" }));
    link.download = test.file;
    // Some browsers fetch a link's file only later, and only of a link in the page.
    document.body.append(link);
    link.click();
    setTimeout(() => { URL.revokeObjectURL(link.href); link.remove(); }, 10000);
    const lost = test.trials.map((trial) => trial.trial).filter(
      (number) => answers[number] && answers[number].preference && !answers[number].x
    );
    const many = lost.length === 1 ? "1 preference has" : lost.length + " preferences have";
    find("note").textContent = lost.length ? many + " no X and cannot be saved: trial " + lost.join(", ") : "";
  });
  show();
})();
"""


def add_listening(page: Page, test: ListeningTest) -> None:
    """Add the test; the page does not tell which sound is whose.

    Args:
        page: of the report.
        test: its trials and sounds.
    """
    page.heading("Blind listening test")
    page.text(
        f"{len(test.trials)} trials, of which you may leave out any. A and B are one clip twice, by two vocoders or by "
        "one and the microphone; X is A or B again. Listen with headphones, answer, and save your answers. Then: "
        f"python -m pipelines.score_listening {ANSWERS_NAME} --key listening_key.json "
        "(files of several listeners are pooled)"
    )
    trials = []
    for trial in test.trials:
        coded = {side: base64.b64encode(sound).decode() for side, sound in test.sounds[trial.number].items()}
        trials.append({"trial": trial.number, **coded})
    data = {"format": ANSWERS_FORMAT, "kind": ANSWERS_KIND, "report": test.report, "file": ANSWERS_NAME}
    # Nothing of it can end the element that holds it.
    text = json.dumps(data | {"trials": trials}).replace("<", "\\u003c")
    page.fragment(MARKUP)
    page.fragment(f'<script type="application/json" id="listening-data">{text}</script>')
    page.fragment(f"<script>{SCRIPT}</script>")
    page.text(
        "Which sound is whose stands in listening_key.json alone. Whoever compares the samples of this page can find "
        "out: the test is blind for those who listen, not for those who measure.",
        "faint",
    )
