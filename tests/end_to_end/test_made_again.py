"""`--again` makes the same samples, bit for bit, on the bundled model, whatever the mode, the solver and the format."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.files import read_audio, write_audio
from pipelines.generate import main

QUICK = ["--solver_steps", "3", "--seed", "3", "--plot", "false", "--device", "cpu"]
SHORT = ["--prompt", "a pad", "--seconds", "0.4"]
TWO = ["--prompt", "a kick", "--prompt", "a bell", "--seconds", "0.4"]

MODES = {
    "two prompts": [*TWO, "--num_clips", "2"],
    "mix": [*TWO, "--mix", "0.5,0.5", "--negative_prompt", "hum"],
    "glide": [*TWO, "--glide", "true"],
    "glide at": [*TWO, "--glide", "true", "--glide_at", "0.1,0.3"],
    "best of": [*TWO, "--best_of", "3"],
    "variety": [*SHORT, "--variety", "0.5"],
    "stereo": [*SHORT, "--stereo", "0.5"],
    "style": [*SHORT, "--style", "KICK", "--style_strength", "0.3"],
    "label": [*SHORT, "--label", "snare"],
    "numbers": [*SHORT, "--pitch", "A3", "--loudness", "-20", "--brightness", "900"],
    "given back": ["--init_audio", "KICK", "--strength", "0"],
    "variation": ["--init_audio", "KICK", "--strength", "0.5", "--prompt", "a tom"],
    "one mask": ["--init_audio", "KICK", "--mask", "0.05:0.1", "--prompt", "a snare"],
    "two masks": ["--init_audio", "BELL", "--mask", "0.05:0.1", "--mask", "0.3:0.4", "--strength", "0.8"],
    "after": ["--init_audio", "KICK", "--extend_after", "0.3", "--prompt", "a snare"],
    "before": ["--init_audio", "KICK", "--extend_before", "0.3", "--prompt", "a snare"],
    "both sides": ["--init_audio", "KICK", "--extend_before", "0.2", "--extend_after", "0.2", "--stereo", "0.3"],
    "a stereo loop": ["--prompt", "an organ", "--loop", "true", "--seconds", "0.4", "--stereo", "0.8"],
    "morph of prompts": ["--morph", "a kick", "a bell", "--morph_clips", "3", "--seconds", "0.4"],
    "a looped morph": ["--morph", "an organ", "a pad", "--morph_clips", "3", "--loop", "true", "--seconds", "0.4"],
    "struck loops": [*TWO, "--loop", "struck", "--stereo", "0.5", "--best_of", "2"],
    "a circle": [*SHORT, "--loop", "circle"],
    "a struck morph": ["--morph", "a kick", "an organ", "--morph_clips", "3", "--loop", "true", "--seconds", "0.4"],
    "morph of recordings": ["--morph", "KICK", "BELL", "--morph_clips", "3", "--strength", "0.4"],
    "beyond the window": ["--prompt", "an organ", "--seconds", "4.5"],
    "a long edit": ["--init_audio", "BELL", "--extend_after", "4", "--prompt", "a bell"],
}
SAMPLERS = {
    "midpoint": ["--solver", "midpoint"],
    "heun": ["--solver", "heun"],
    "adaptive": ["--solver", "adaptive", "--tolerance", "0.05"],
    "ddim": ["--solver", "ddim"],
    "ancestral": ["--solver", "ancestral"],
    "stochastic": ["--solver", "stochastic", "--eta", "0.8"],
    "dpmpp_2m": ["--solver", "dpmpp_2m"],
    "times": ["--spacing", "cosine", "--shift", "2"],
    "guidance": ["--guidance_scale", "4", "--guidance_interval", "0.1:0.7", "--guidance_rescale", "0.5"],
    "projected": ["--guidance_scale", "4", "--guidance_parallel", "0"],
    "autoguidance": ["--autoguidance", "2", "--autoguidance_interval", "0.3:0.9"],
    "no guidance": ["--guidance_scale", "1", "--autoguidance", "1"],
}


@pytest.fixture(scope="module")
def places(sonic_pi_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Two real recordings, at two rates."""
    out = tmp_path_factory.mktemp("recordings")
    found = {}
    for name, key, rate in (("bd_haus", "KICK", 44_100), ("perc_bell2", "BELL", 22_050)):
        waveform, _ = read_audio(sonic_pi_folder / f"{name}.flac", rate, 0.0, 0.6)
        write_audio(out / f"{name}.wav", waveform, rate)
        found[key] = str(out / f"{name}.wav")
    return found


def made(options: list[str], capsys: pytest.CaptureFixture[str]) -> list[Path]:
    capsys.readouterr()
    assert main(options) == 0
    return [Path(line) for line in capsys.readouterr().out.splitlines()]


def check_again(path: Path, out: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> Path:
    """Make it again, in the same format: the same samples, and a page that says the same."""
    (other,) = made(
        ["--again", str(path), "--plot", "false", "--device", "cpu", "--format", kind, "--out", str(out)], capsys
    )
    first, second = soundfile.read(path)[0], soundfile.read(other)[0]
    assert np.abs(first).max() > 1e-3
    assert np.array_equal(first, second)
    pages = [json.loads(one.with_suffix(".json").read_text()) for one in (path, other)]
    assert pages[0] == pages[1]
    return other


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg"])
@pytest.mark.parametrize("name", ["two prompts", "both sides"])
def test_a_clip_in_any_format_is_made_again_and_so_is_its_copy(name, kind, places, tmp_path, capsys) -> None:
    mode = [places.get(word, word) for word in MODES[name]]
    paths = made([*QUICK, *mode, "--out", str(tmp_path / "out"), "--format", kind], capsys)
    copy = check_again(paths[-1], tmp_path / "again", kind, capsys)
    check_again(copy, tmp_path / "more", kind, capsys)


@pytest.mark.parametrize("name", [name for name in MODES if name not in ("two prompts", "both sides")])
def test_a_clip_of_any_mode_is_made_again(name, places, tmp_path, capsys) -> None:
    mode = [places.get(word, word) for word in MODES[name]]
    paths = made([*QUICK, *mode, "--out", str(tmp_path / "out")], capsys)
    # Of a morph one that lies on the way.
    check_again(paths[len(paths) // 2], tmp_path / "again", "wav", capsys)


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_a_clip_of_any_sampler_is_made_again(name, tmp_path, capsys) -> None:
    (path,) = made([*QUICK, *SHORT, *SAMPLERS[name], "--out", str(tmp_path / "out")], capsys)
    check_again(path, tmp_path / "again", "wav", capsys)


def test_a_clip_that_was_brought_in_tune_is_made_again(tmp_path, capsys) -> None:
    options = ["--prompt", "a marimba, G#4", "--seconds", "0.8", "--num_clips", "4"]
    paths = made([*QUICK, *options, "--out", str(tmp_path / "out")], capsys)
    pages = [json.loads(path.with_suffix(".json").read_text()) for path in paths]
    tuned = [path for path, page in zip(paths, pages, strict=True) if page["measured"].get("tuned_semitones")]
    assert tuned
    check_again(tuned[0], tmp_path / "again", "wav", capsys)


def test_a_clip_is_made_again_in_another_format(tmp_path, capsys) -> None:
    (path,) = made([*QUICK, *SHORT, "--out", str(tmp_path / "out")], capsys)
    again = ["--again", str(path), "--plot", "false", "--device", "cpu", "--out", str(tmp_path / "again")]
    (lossless,) = made([*again, "--format", "flac"], capsys)
    assert np.array_equal(soundfile.read(path)[0], soundfile.read(lossless)[0])
    # And may be watched, though it was not when it was made.
    files = made([*again, "--watch", "true"], capsys)
    assert [file.suffix for file in files] == [".wav", ".png", ".wav"]
    assert np.array_equal(soundfile.read(path)[0], soundfile.read(files[0])[0])


def test_both_recordings_of_a_morph_are_known_by_their_hash(places, tmp_path, capsys) -> None:
    ends = [tmp_path / "first.wav", tmp_path / "second.wav"]
    for end, key in zip(ends, ("KICK", "BELL"), strict=True):
        end.write_bytes(Path(places[key]).read_bytes())
    options = [*QUICK, "--morph", *map(str, ends), "--morph_clips", "2", "--out", str(tmp_path / "out")]
    path = made(options, capsys)[0]
    edit = json.loads(path.with_suffix(".json").read_text())["settings"]["edit"]
    assert edit["sha256"] != edit["toward_sha256"]
    again = ["--again", str(path), "--out", str(tmp_path / "no"), "--device", "cpu"]
    for end in ends:
        kept = end.read_bytes()
        end.write_bytes(Path(places["KICK" if end is ends[1] else "BELL"]).read_bytes())
        assert main(again) == 2
        assert f"'{end}' has changed since" in capsys.readouterr().err
        end.unlink()
        assert main(again) == 2
        assert f"'{end}' is missing" in capsys.readouterr().err
        end.write_bytes(kept)
    assert not (tmp_path / "no").exists()
    assert main(again) == 0
