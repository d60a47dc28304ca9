"""Clips are written as they are made, what is done survives Ctrl-C, and the bar tells how far the work is."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audio.files import read_audio, write_audio
from pipelines import TextToAudioPipeline
from pipelines.generate import main
from pipelines.making import joined, outputs
from pipelines.progress import SolverBar, announce
from pipelines.request import BATCH_CLIPS, Request, jobs_of
from pipelines.words import request_of

ROOT = Path(__file__).resolve().parents[2]
SHORT = {"seconds": 0.3, "solver_steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def pipeline(small_bundle: Path) -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")


@pytest.fixture(scope="module")
def recordings(sonic_pi_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    found = []
    for name in ("bd_haus", "perc_bell"):
        path = tmp_path_factory.mktemp("recordings") / f"{name}.wav"
        write_audio(path, read_audio(sonic_pi_folder / f"{name}.flac", 44_100, seconds=0.3)[0], 44_100)
        found.append(path)
    return found


def prompts_file(folder: Path, count: int) -> Path:
    path = folder / "prompts.txt"
    path.write_text("\n".join(f"sound number {number}" for number in range(count)))
    return path


def test_a_batch_is_delivered_before_the_next_is_begun(pipeline) -> None:
    begun = []
    latents = pipeline.latents

    def counted(jobs, *rest):
        begun.append(len(jobs))
        return latents(jobs, *rest)

    pipeline.latents = counted
    try:
        made = []
        for number, output in enumerate(
            outputs(pipeline, Request(("a bell", "a kick", "a snare"), num_clips=12, **SHORT))
        ):
            assert len(begun) == number + 1
            made.append(output)
    finally:
        del pipeline.latents
    assert begun == [16, 16, 4]
    # Together they are what is made at once, and no clip depends on how the others were delivered.
    whole, once = joined(made), pipeline(("a bell", "a kick", "a snare"), num_clips=12, **SHORT)
    assert torch.equal(whole.waveforms, once.waveforms)
    assert (whole.prompts, whole.indices, whole.rows) == (once.prompts, once.indices, tuple(range(36)))
    (alone,) = pipeline("a snare", num_clips=12, **SHORT).waveforms[11:]
    assert float((whole.waveforms[35] - alone).abs().max()) < 1e-3


def test_the_best_are_chosen_among_all_tries_though_they_are_delivered_early(pipeline) -> None:
    request = Request(("a bell", "a kick", "a snare", "a tom", "a hat"), best_of=8, num_clips=1, **SHORT)
    made = list(outputs(pipeline, request))
    assert [len(output.rows) for output in made] == [2, 2, 1]
    every = pipeline(request.prompts, num_clips=8, **SHORT)
    whole = joined(made)
    assert [row // 8 for row in whole.rows] == list(range(5))
    for clip, row in zip(whole.waveforms, whole.rows, strict=True):
        assert torch.equal(clip, every.waveforms[row])


def test_files_of_a_list_of_prompts_are_those_of_today(pipeline, small_bundle, tmp_path, capsys) -> None:
    options = ["--prompts_file", str(prompts_file(tmp_path, 20)), "--seed", "3", "--seconds", "0.3"]
    options += ["--solver_steps", "2", "--model", str(small_bundle), "--device", "cpu", "--watch", "true"]
    assert main([*options, "--out", str(tmp_path / "out"), "--plot", "false"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    watched = [path for path in paths if "_watch" in path.name]
    sounds = [path for path in paths if path not in watched]
    assert [path.name for path in sounds] == [f"sound-number-{number}_seed3_0.wav" for number in range(20)]
    assert [path.name for path in watched] == ["sound-number-0_seed3_0_watch.png", "sound-number-0_seed3_0_watch.wav"]
    page = json.loads(sounds[17].with_suffix(".json").read_text())
    assert page["batch"]["row"] == 1
    assert [job["prompt"] for job in page["batch"]["jobs"]] == [f"sound number {number}" for number in range(16, 20)]
    again = ["--again", str(sounds[17]), "--plot", "false", "--out", str(tmp_path / "again")]
    assert main(again) == 0
    assert np.array_equal(soundfile.read(capsys.readouterr().out.strip())[0], soundfile.read(sounds[17])[0])


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_what_is_made_survives_ctrl_c_and_is_told(small_bundle, tmp_path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "generate.py", "--model", str(small_bundle), "--out", str(out), "--device", "cpu"]
    options = ["--prompts_file", str(prompts_file(tmp_path, 200)), "--solver_steps", "200", "--seconds", "0.3"]
    child = subprocess.Popen(
        [*command, *options, "--plot", "false"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A gate that runs in the background is deaf to Ctrl-C, and so would its children be.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stdout is not None
    first = [child.stdout.readline().strip() for _ in range(BATCH_CLIPS)]
    assert all(Path(path).exists() for path in first)
    child.send_signal(signal.SIGINT)
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    told = [*first, *output.splitlines()]
    assert BATCH_CLIPS <= len(told) < 200
    assert f"{len(told)} of 200 clips were made, and are in '{out}'" in errors
    assert "Traceback" not in errors
    # Whole clips with their pages, and nothing half-written; the one that was being written may be there untold.
    sounds = sorted(out.glob("*.wav"))
    assert {str(path) for path in sounds} >= set(told)
    assert len(sounds) <= len(told) + 1
    assert all(path.with_suffix(".json").exists() and soundfile.info(path).frames == 13_230 for path in sounds)
    assert not list(out.glob(".*"))


@pytest.mark.parametrize(
    "words",
    [
        {"prompts": ("a bell",), "num_clips": 17},
        {"prompts": ("a bell",), "init_audio": 0, "strength": 0.4, "num_clips": 2},
        {"prompts": ("a bell",), "best_of": 3},
        {"prompts": ("a kick", "an organ"), "num_clips": 9, "loop": True},
        {"prompts": ("a kick", "an organ"), "best_of": 2, "loop": True},
        {"prompts": ("a kick",), "loop": "struck"},
        {"prompts": ("a kick", "an organ"), "morph_clips": 4, "loop": True},
        {"prompts": ("a bell",), "solver": "adaptive", "tolerance": 0.1},
        {"prompts": ("a bell", "a kick"), "morph_clips": 5},
        {"prompts": (), "morph": (0, 1), "morph_clips": 4, "strength": 0.5},
        {"prompts": (), "init_audio": 0, "strength": 0.0},
    ],
    ids=lambda words: "-".join(str(value) for value in words.values()),
)
def test_the_bar_ends_where_the_work_does(words, pipeline, recordings) -> None:
    """Every part of the work takes as many steps as the bar was told."""
    paths = {0: recordings[0], 1: recordings[1]}
    words = {"solver_steps": 10, "seed": 3, **({} if "strength" in words else {"seconds": 0.3}), **words}
    if "init_audio" in words:
        words["init_audio"] = paths[words["init_audio"]]
    if "morph" in words:
        words["morph"] = [str(paths[end]) for end in words["morph"]]
    request = request_of(words.pop("prompts"), words)
    settings = pipeline.settle(request)
    bar = SolverBar(jobs_of(request, settings), settings)
    (task,) = bar.progress.tasks
    first, ends, names = task.total, [], []

    def begin(name: str, steps: int) -> None:
        ends.append((task.completed, task.total))
        bar.begin(name, steps)
        names.append(name)

    for _ in outputs(pipeline, request, bar.step, begin):
        pass
    ends.append((task.completed, task.total))
    assert ends[0] == (0, first)
    assert ("listening for what is struck" in names) == (request.loop is True)
    for completed, total in ends[1:]:
        assert completed == (total or 0)
    assert names[-1] == "generating"
    assert ("placing the steps" in names) == bool(request.morph_clips)


def test_the_steps_that_are_told_are_those_that_are_taken(pipeline, recordings, capsys) -> None:
    for strength, told in ((0.4, "4 of 10 solver steps"), (1.0, "10 solver steps"), (0.0, "0 of 10 solver steps")):
        request = request_of((), {"init_audio": recordings[0], "strength": strength, "solver_steps": 10})
        settings, taken = pipeline.settle(request), []
        announce(pipeline, request, settings, 1)
        assert f", {told}\n" in capsys.readouterr().err
        for _ in outputs(pipeline, request, lambda done, total, taken=taken: taken.append((done, total))):
            pass
        assert len(taken) == int(told.split()[0])


def test_ctrl_c_is_heard_while_a_morph_is_placed_and_the_best_are_judged(pipeline) -> None:
    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    for request in (Request(("a", "b"), morph_clips=3, **SHORT), Request(("a",), best_of=2, **SHORT)):
        parts: list[str] = []
        with pytest.raises(KeyboardInterrupt):
            for _ in outputs(pipeline, request, stop, lambda name, _steps, parts=parts: parts.append(name)):
                pass
        assert parts == (["placing the steps"] if request.morph_clips else ["generating"])


def test_the_steps_of_a_morph_sort_by_name(small_bundle, tmp_path, capsys) -> None:
    options = ["--morph", "a kick", "a bell", "--morph_clips", "11", "--seconds", "0.2", "--solver_steps", "1"]
    options += ["--seed", "3", "--plot", "false", "--model", str(small_bundle), "--device", "cpu"]
    for ending in ("", "_2"):
        assert main([*options, "--out", str(tmp_path / "out")]) == 0
        paths = capsys.readouterr().out.splitlines()
        assert [Path(path).name for path in paths] == [
            f"a-kick-a-bell_seed3_{step:02}{ending}.wav" for step in range(1, 12)
        ]
    sounds = [path for path in sorted(tmp_path.glob("out/*.wav")) if not path.stem.endswith("_2")]
    places = [json.loads(path.with_suffix(".json").read_text())["batch"] for path in sounds]
    on_the_way = [batch["jobs"][batch["row"]]["place"] for batch in places]
    assert on_the_way == sorted(on_the_way)
    # Made again, a step keeps its number.
    assert main(["--again", str(sounds[9]), "--plot", "false", "--out", str(tmp_path / "again")]) == 0
    assert Path(capsys.readouterr().out.strip()).name == sounds[9].name
