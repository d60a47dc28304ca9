"""What cannot be done is refused in one line, with exit code 2, and nothing is written."""

import numpy as np
import pytest

from audio.files import read_audio, write_audio
from pipelines import TextToAudioPipeline
from pipelines.generate import main

QUICK = ["--solver_steps", "4", "--seed", "3", "--plot", "false", "--device", "cpu"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mask", "0.1:0.2", "--prompt", "x"], "--mask: only goes with --init_audio"),
        (["--strength", "0.5", "--prompt", "x"], "--strength: only goes with --init_audio"),
        (["SOURCE", "--mask", "0.1:99"], "lies beyond the end"),
        (["SOURCE", "--mask", "0.3:0.1"], "mask: expected a start of at least 0 and a later end"),
        (["SOURCE", "--mask", "early"], "mask: expected two times such as 0.1:0.8"),
        (["SOURCE", "--mask", "0.0:0.1", "--mask", "0.05:0.12"], "regions overlap at 0.05 s"),
        (["SOURCE", "--mask", "0.0:0.1", "--extend_after", "1"], "mask and extend_before/extend_after contradict"),
        (["SOURCE", "--strength", "1.5"], "strength: expected 0 to 1"),
        (["SOURCE", "--strength", ".nan"], "strength: expected 0 to 1"),
        (["SOURCE", "--strength", "0.5", "--extend_after", "1"], "strength and extend_before/extend_after contradict"),
        (["SOURCE", "--seconds", "1"], "seconds and init_audio contradict"),
        (["SOURCE", "--extend_after", "600"], "at most 600 s can be worked on"),
        (["--init_audio", "EMPTY"], "holds no samples"),
        (["--init_audio", "SHORT"], "expected at least"),
        (["--init_audio", "LONG"], "at most 600 s can be worked on"),
        (["--init_audio", "/nowhere.wav"], "not a readable sound file"),
        (["--prompt", "x", "--mix", "0.5,0.5"], "a weight for each of 1 prompts"),
        (["--prompt", "x", "--mix", "half"], "mix: expected numbers such as 0.7,0.3"),
        (["--prompt", "x", "--prompt", "y", "--mix", "0,0"], "one of them above"),
        (["--prompt", "x", "--glide", "true"], "glide: expected at least two prompts"),
        (["--prompt", "x", "--prompt", "y", "--mix", "1,1", "--glide", "true"], "mix and glide contradict"),
        (
            ["--prompt", "x", "--prompt", "y", "--glide_at", "0,1"],
            "--glide_at: only goes with --glide true",
        ),
        (["--prompt", "x", "--prompt", "y", "--glide", "true", "--glide_at", "1,0"], "expected rising seconds from 0"),
        (["--prompt", "x", "--shift", "0"], "shift: expected"),
        (["--prompt", "x", "--style_strength", "0.2"], "style_strength: only goes with --style FILE"),
        (["--prompt", "x", "--style", "/nowhere.wav"], "not a readable sound file"),
        (["--prompt", "x", "--style", "SILENT"], "holds no sound"),
        (["SOURCE", "--strength", "0", "--style", "LONG"], "style and strength 0 contradict each other"),
        (["--prompt", "x", "--style", "EMPTY"], "holds no samples"),
        (["--prompt", "x", "--style", "SHORT"], "expected at least"),
        (["--prompt", "x", "--guidance_rescale", "2"], "guidance_rescale: expected 0 to 1"),
        (["SOURCE", "--strength", "0", "--prompt", "x", "--prompt", "y"], "the source's reconstruction, whatever"),
        (["SOURCE", "--strength", "0", "--num_clips", "2"], "the source's reconstruction, whatever"),
        (["SOURCE", "--strength", "0", "--morph", "x", "y"], "the source's reconstruction, whatever"),
        (["--morph", "kick.m4a", "bell.m4a"], "'kick.m4a' is a sound file that is not read here; save it as one of"),
        (["--morph", "SOURCE_PATH", "SOURCE_PATH", "--seconds", "1"], "seconds and morph contradict each other"),
        (["--morph", "SOURCE_PATH", "SOURCE_PATH", "--loop", "true"], "loop and morph contradict each other"),
        (["--prompt", "x", "--seed", "-1"], "seed: expected 0 to"),
    ],
)
def test_bad_input_is_one_line(options, words, sonic_pi_folder, tmp_path, capsys) -> None:
    source = tmp_path / "source.wav"
    write_audio(source, read_audio(sonic_pi_folder / "bd_haus.flac", 44_100)[0], 44_100)
    files = {"EMPTY": (0, 44_100), "SHORT": (20, 44_100), "SILENT": (9_000, 44_100), "LONG": (601 * 8_000, 8_000)}
    for name, (samples, rate) in files.items():
        level = 0.1 if name in ("SHORT", "LONG") else 0.0
        write_audio(tmp_path / f"{name}.wav", np.full(samples, level, dtype=np.float32), rate)
    places = {name: [str(tmp_path / f"{name}.wav")] for name in files}
    places |= {"SOURCE": ["--init_audio", str(source)], "SOURCE_PATH": [str(source)]}
    given = [word for option in options for word in places.get(option, [option])]
    assert main([*QUICK, *given, "--out", str(tmp_path / "out")]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"eta": 0.2}, "eta: only goes with solver stochastic"),
        ({"tolerance": 0.1}, "tolerance: only goes with solver adaptive"),
        ({"guidance_scale": 1.0, "guidance_interval": "0.1:0.8"}, "guidance_interval: only goes with a guidance_scale"),
        ({"guidance_scale": 1.0, "guidance_rescale": 0.5}, "guidance_rescale: only goes with a guidance_scale or an"),
        ({"guidance_scale": 1.0, "negative_prompt": "y"}, "negative_prompt: only goes with a guidance_scale other"),
    ],
)
def test_python_refuses_what_would_be_passed_over_too(settings, words, small_bundle) -> None:
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    with pytest.raises(ValueError, match=words):
        pipeline("x", seconds=0.3, solver_steps=2, **settings)


def test_a_strength_too_small_for_the_solver_is_none(small_bundle, sonic_pi_folder, tmp_path, capsys) -> None:
    source = tmp_path / "source.wav"
    write_audio(source, read_audio(sonic_pi_folder / "bd_haus.flac", 44_100)[0], 44_100)
    made = []
    for strength in ("0", "1e-9"):
        words = ["--model", str(small_bundle), "--init_audio", str(source), "--strength", strength, "--seed", "1"]
        words += ["--solver", "adaptive", "--plot", "false", "--device", "cpu", "--out", str(tmp_path / strength)]
        assert main(words) == 0
        made.append(read_audio(capsys.readouterr().out.strip(), 44_100)[0])
    assert np.array_equal(*made)
