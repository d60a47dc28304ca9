"""The same words on the command line, in Python and in YAML make the same sound; what goes nowhere is refused."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml

from audio.comments import read_comment
from audio.files import read_audio, write_audio
from pipelines import TextToAudioPipeline
from pipelines.generate import main
from pipelines.live import stream
from pipelines.provenance import MARK, as_comment

ROOT = Path(__file__).resolve().parents[2]
QUICK = ["--seed", "3", "--plot", "false", "--device", "cpu"]


@pytest.fixture(scope="module")
def bell(sonic_pi_folder: Path, tmp_path_factory) -> Path:
    """A real bell, 0.7 s and a few samples of it."""
    waveform, rate = read_audio(sonic_pi_folder / "perc_bell.flac", None, 0.0, 0.69998)
    path = tmp_path_factory.mktemp("bell") / "bell.wav"
    write_audio(path, waveform, rate)
    return path


@pytest.fixture(scope="module")
def clip(small_bundle: Path, tmp_path_factory) -> Path:
    """A clip that says how it was made."""
    out = tmp_path_factory.mktemp("clip")
    words = ["--prompt", "x", "--model", str(small_bundle), "--seconds", "0.3", "--solver_steps", "2", *QUICK]
    assert main([*words, "--out", str(out)]) == 0
    return next(out.glob("*.wav"))


@pytest.mark.parametrize(
    "words",
    [
        {"prompt": ["a bell"], "seconds": 0.4, "pitch": "C4", "guidance_interval": "0.1:0.8"},
        {"prompt": ["a cowbell"], "init_audio": "BELL", "mask": ["0.2:0.4"]},
        {"morph": ["a kick", "a bell"], "morph_clips": 3, "seconds": 0.3},
        {"prompt": ["a kick", "a bell"], "mix": "0.7,0.3", "seconds": 0.3, "negative_prompt": "noise"},
    ],
    ids=["ask", "edit", "morph", "mix"],
)
def test_the_same_words_in_python_and_yaml(words, bell, small_bundle, tmp_path, capsys) -> None:
    words = {name: str(bell) if value == "BELL" else value for name, value in words.items()} | {"solver_steps": 2}
    options = []
    for name, value in words.items():
        if name == "morph":
            options += ["--morph", *value]
            continue
        for one in value if isinstance(value, list) else [value]:
            options += [f"--{name}", str(one)]
    model = ["--model", str(small_bundle)]
    assert main([*options, *model, *QUICK, "--out", str(tmp_path / "line")]) == 0
    line = [soundfile.read(path)[0] for path in capsys.readouterr().out.split()]
    (tmp_path / "words.yaml").write_text(yaml.safe_dump({**words, "seed": 3, "plot": False, "device": "cpu"}))
    config = ["--config", str(tmp_path / "words.yaml")]
    # What is printed of it is the same file once more, with all that was left out.
    assert main([*config, "--print_config"]) == 0
    (tmp_path / "words.yaml").write_text(capsys.readouterr().out)
    assert main([*config, *model, "--out", str(tmp_path / "yaml")]) == 0
    written = [soundfile.read(path)[0] for path in capsys.readouterr().out.split()]
    pipe = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    prompts = words.pop("prompt", ())
    made = pipe(tuple(prompts), seed=3, **words).waveforms.numpy()
    assert len(line) == len(written) == len(made)
    for one, other, third in zip(line, written, made, strict=True):
        assert np.array_equal(one, other)
        assert np.abs(one - third).max() < 1e-4


def test_words_that_python_does_not_know(small_bundle) -> None:
    pipe = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    for words, says in (
        ({"lenght": 3.0}, "unknown setting (lenght); known are autoguidance, "),
        ({"strength": 0.4}, "strength: only goes with init_audio"),
        ({"num_clips": 1.5}, "num_clips: expected a whole number, got 1.5"),
        ({"guidance_interval": "0.1"}, "guidance_interval: expected two times such as 0.1:0.8"),
    ):
        with pytest.raises(ValueError, match=re.escape(says)):
            pipe("a bell", **words)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--strength", "0"], "--strength: only goes with --init_audio FILE"),
        (["--morph_clips", "5"], "--morph_clips: only goes with --morph"),
        (["--eta", "0.2"], "--eta: only goes with --solver stochastic"),
        (["--tolerance", "0.1"], "--tolerance: only goes with --solver adaptive"),
        (["--guidance_scale", "1", "--negative_prompt", "y"], "--negative_prompt: only goes with a --guidance_scale"),
        (["--stream", "wav", "--format", "flac"], "--format: only goes with files"),
        (["--stream", "wav"], "--out: only goes with files, and --stream writes none"),
        (["--prompts_file", "sounds.csv"], "'sounds.csv' is a table; python -m pipelines.batch 'sounds.csv' --out"),
        (["--init_audio", "BELL", "--strength", "-0.1"], "strength: expected 0 to 1, got -0.1"),
        (["--prompt", "y", "--glide", "true", "--loop", "true"], "glide and loop contradict each other"),
        (["--prompt", "y", "--glide", "true", "--glide_at", "0,100"], "glide_at: 100 s lies beyond the end"),
        (["--autoguidance", "2"], "autoguidance: this model holds no weaker one (python -m pipelines.bundle --guide)"),
        (["--autoguidance_interval", "0.5:1"], "autoguidance_interval: only goes with an autoguidance other than 1"),
        (["--num_clips", "100000000"], "expected at most 10000 clips in all at once, these are 100000000"),
        (["--init_audio", "BELL", "--strength", "0", "--num_clips", "2"], "at 0 every clip is the source's"),
        (["--init_audio", "BELL", "--strength", "0", "--watch", "true"], "--watch and --strength 0 contradict"),
        (["--init_audio", "BELL", "--strength", "0", "--mask", "0.1:0.2"], "mask and strength 0 contradict"),
        (["--init_audio", "BELL", "--mask", "0.4:0.72"], "lies beyond the end of"),
        (["--strength", "abc"], "error: strength: expected a number, got 'abc'"),
        (["--seed", "1.5"], "error: seed: expected a whole number, got '1.5'"),
        (["--stream", "mp3"], "error: stream: expected wav or pcm, got 'mp3'"),
        (["--label", "nope"], "label: this model does not know 'nope'"),
        (["--loudness", "20"], "loudness: expected"),
        (["--config", "nowhere.yaml"], "error: config: "),
    ],
)
def test_what_would_be_passed_over_is_refused_and_leaves_nothing(options, says, bell, small_bundle, tmp_path, capsys):
    out = tmp_path / "out"
    given = [str(bell) if option == "BELL" else option for option in options]
    assert main(["--prompt", "x", "--model", str(small_bundle), *QUICK, *given, "--out", str(out)]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert not out.exists()


def test_a_mask_to_the_end_as_a_display_shows_it_is_taken(bell, small_bundle, tmp_path) -> None:
    assert soundfile.info(str(bell)).duration < 0.7
    words = ["--prompt", "x", "--init_audio", str(bell), "--mask", "0.4:0.7", "--solver_steps", "2"]
    assert main([*words, "--model", str(small_bundle), *QUICK, "--out", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"newmode": 1}, "settings that are not known here (newmode); it was made by melisma "),
        ({"precision": None}, "lacks sound values of precision"),
        ({"seconds": "a"}, "lacks sound values of seconds"),
    ],
)
def test_a_page_that_cannot_be_trusted_is_one_line(change, says, clip, tmp_path, capsys) -> None:
    page = json.loads(read_comment(clip).removeprefix(MARK))
    page["settings"] |= change
    damaged = tmp_path / "damaged.wav"
    write_audio(damaged, soundfile.read(clip)[0].astype(np.float32), 44_100, as_comment(page))
    assert main(["--again", str(damaged), "--device", "cpu", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.strip()
    assert says in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("threads", ["1", "2"])
def test_again_finds_its_model_and_counts_its_threads(threads, small_bundle, tmp_path) -> None:
    """Made by a bundle and a vocoder of no file, with one or two threads; made again with the other number of them."""
    words = ["--prompt", "x", "--seconds", "2", "--num_clips", "3", "--solver_steps", "4", *QUICK]
    vocoder = ["--vocoder", "vocoder.griffin_lim.GriffinLim", "--vocoder.iterations", "5"]

    def run(count: str, *options: str) -> list[str]:
        environment = {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "PATH": "/usr/bin:/bin"}
        command = [sys.executable, str(ROOT / "generate.py"), *options]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        return done.stdout.split()

    made = run(threads, *words, "--model", str(small_bundle), *vocoder, "--out", str(tmp_path / "made"))
    other = str(3 - int(threads))
    again = run(other, "--again", made[1], "--plot", "false", "--device", "cpu", "--out", str(tmp_path / "again"))
    assert np.array_equal(soundfile.read(made[1])[0], soundfile.read(again[0])[0])
    # What is made again says how it was computed, not how it would be here.
    pages = [json.loads(read_comment(Path(path)).removeprefix(MARK)) for path in (made[1], again[0])]
    assert [page["threads"] for page in pages] == [int(threads)] * 2


def test_a_stream_computes_in_the_precision_that_it_names(small_bundle) -> None:
    half, whole = (
        torch.cat(
            list(
                stream(
                    TextToAudioPipeline.from_pretrained(small_bundle, device="cpu", precision=precision),
                    "x",
                    seconds=0.5,
                    seed=3,
                    solver_steps=2,
                )
            )
        )
        for precision in ("bfloat16", "float32")
    )
    assert float((half - whole).abs().max()) > 1e-6


@pytest.mark.parametrize("options", [["--label", "nope"], ["--loudness", "20"]])
def test_a_refused_stream_sends_nothing(options, small_bundle, capfdbinary) -> None:
    words = ["--prompt", "x", "--model", str(small_bundle), "--stream", "wav", "--device", "cpu"]
    assert main([*words, *options]) == 2
    assert capfdbinary.readouterr().out == b""


def test_the_command_line_wins_over_a_yaml_wherever_it_stands(small_bundle, tmp_path, capsys) -> None:
    words = tmp_path / "words.yaml"
    words.write_text("prompt: [a bell, a gong]\nseed: 3\nseconds: 0.3\n")
    options = ["--model", str(small_bundle), "--out", str(tmp_path / "out"), "--device", "cpu", "--solver_steps", "2"]
    options += ["--plot", "false", "--seed", "5", "--config", str(words)]
    assert main(options) == 0
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == [
        "a-bell_seed5_0.wav",
        "a-gong_seed5_0.wav",
    ]
    words.write_text("prompt: a bell\n")
    assert main([*options, "--prompt", "a kick"]) == 2
    assert "--config: prompt is a list; write prompt: ['a bell']" in capsys.readouterr().err
    words.write_text("prompt: [a bell, a gong]\nseconds: 0.3\n")
    # A list is replaced by the command line's, not added to.
    assert main([*options, "--prompt", "a kick"]) == 0
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == ["a-kick_seed5_0.wav"]
