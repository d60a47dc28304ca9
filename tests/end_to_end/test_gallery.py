"""Every mode of the bundled model on one real recording, seen and heard."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.files import read_audio, write_audio
from pipelines import gallery_words
from pipelines.gallery import MODES, main
from pipelines.gallery_sampling import SHOWN_SOLVERS


@pytest.fixture
def source(sonic_pi_folder: Path, tmp_path: Path) -> Path:
    path = tmp_path / "bell.wav"
    write_audio(path, read_audio(sonic_pi_folder / "perc_bell.flac", 44_100, seconds=0.5)[0], 44_100)
    return path


def test_modes_become_pictures_and_sounds(source, tmp_path, capsys) -> None:
    out = tmp_path / "gallery"
    modes = ["strength", "mask", "extend", "glide", "numbers", "best_of", "variety", "style", "morph", "stereo"]
    modes += ["labels", "seeds", "recordings", "times", "guidance", "long_edit", "table", "solvers", "eta"]
    modes += ["autoguidance"]
    options = ["--prompt", "a bell", "--solver_steps", "2", *(word for mode in modes for word in ("--modes", mode))]
    assert main(["--audio", str(source), "--out", str(out), *options]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.split()]
    assert [path.name for path in paths] == [f"{mode}.png" for mode in modes]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in paths)
    assert len(list(out.glob("strength_*.wav"))) == 5
    assert soundfile.info(str(out / "extend_1.wav")).duration == pytest.approx(0.5 + 0.6, abs=0.01)
    kept, changed = (soundfile.read(out / f"strength_{number}.wav")[0] for number in (1, 4))
    assert np.abs(kept - changed).max() > 0.01
    faint, loud = (np.abs(soundfile.read(out / f"numbers_{number}.wav")[0]).max() for number in (2, 3))
    assert loud > 3.0 * faint
    assert [soundfile.info(str(out / f"numbers_{number}.wav")).duration for number in (6, 7)] == [0.3, 2.0]
    # One mask, two, and one that starts from what was there more and more.
    masked = [soundfile.read(out / f"mask_{number}.wav")[0] for number in range(5)]
    assert all(np.abs(one - other).max() > 1e-3 for one, other in itertools.combinations(masked, 2))
    assert soundfile.info(str(out / "long_edit_2.wav")).duration == pytest.approx(6.0, abs=0.01)
    seconds = [soundfile.info(str(out / f"table_{number}.wav")).duration for number in range(6)]
    assert seconds == pytest.approx([0.5, 1.0, 0.8, 0.3, 1.5, 1.0], abs=0.01)
    solved = dict(zip(SHOWN_SOLVERS, (soundfile.read(out / f"solvers_{n}.wav")[0] for n in range(8)), strict=True))
    assert np.abs(solved["euler"] - solved.pop("ddim")).max() < 1e-3
    assert all(np.abs(one - other).max() > 1e-3 for one, other in itertools.combinations(solved.values(), 2))
    assert len(list(out.glob("autoguidance_*.wav"))) == len(list(out.glob("eta_*.wav"))) == 4
    left, right, both = (soundfile.read(out / f"stereo_{number}.wav")[0] for number in range(3))
    assert np.abs((left + right) / 2 - both).max() < 1e-3


def test_numbers_that_a_model_does_not_know_are_left_out(source, small_bundle, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(gallery_words, "NUMBERS", {"pitch": (1.0, 60.0), "loudness": (-12.0,), "hardness": (1.0,)})
    options = ["--modes", "numbers", "--modes", "autoguidance", "--solver_steps", "1", "--model", str(small_bundle)]
    assert main(["--audio", str(source), "--out", str(tmp_path / "g"), *options]) == 0
    assert len(list((tmp_path / "g").glob("numbers_*.wav"))) == 2
    monkeypatch.setattr(gallery_words, "NUMBERS", {"hardness": (1.0,)})
    capsys.readouterr()
    assert main(["--audio", str(source), "--out", str(tmp_path / "none"), *options]) == 0
    printed = capsys.readouterr()
    assert all(f"{name}: this model knows nothing of it" in printed.err for name in ("numbers", "autoguidance"))
    assert printed.out == ""


def test_bad_input_is_one_line(source, tmp_path, capsys) -> None:
    assert len(MODES) == 24
    for options, words in (
        (["--audio", str(source), "--modes", "sing"], "modes: expected some of strength"),
        (["--audio", "/nowhere.wav"], "not a readable sound file"),
    ):
        assert main([*options, "--out", str(tmp_path / "no")]) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(errors) == 1
        assert words in errors[0]
        assert not (tmp_path / "no").exists()
