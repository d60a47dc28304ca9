"""A clip that was moved together with what it was made of is made again."""

import shutil
from pathlib import Path

import numpy as np
import soundfile

from audio.files import read_audio, write_audio
from pipelines.generate import main

QUICK = ["--solver_steps", "4", "--seed", "3", "--plot", "false", "--device", "cpu"]


def test_a_source_that_lies_beside_its_clip_is_found(sonic_pi_folder: Path, tmp_path: Path, capsys) -> None:
    source, out = tmp_path / "source.wav", tmp_path / "out"
    waveform, rate = read_audio(sonic_pi_folder / "bd_haus.flac", None, 0.0, 0.5)
    write_audio(source, waveform, rate)
    options = ["--init_audio", str(source), "--style", str(source)]
    assert main([*QUICK, *options, "--out", str(out)]) == 0
    clip = Path(capsys.readouterr().out.strip())
    moved = shutil.copytree(out, tmp_path / "elsewhere")
    source.rename(moved / source.name)
    again = ["--again", str(moved / clip.name), "--device", "cpu", "--plot", "false", "--out", str(tmp_path / "again")]
    assert main(again) == 0
    assert np.array_equal(soundfile.read(capsys.readouterr().out.strip())[0], soundfile.read(clip)[0])


def test_the_source_beside_a_clip_is_found_where_another_lies_in_its_old_place(
    sonic_pi_folder: Path, small_bundle: Path, tmp_path: Path, capsys
) -> None:
    source, out = tmp_path / "source.wav", tmp_path / "out"
    waveform, rate = read_audio(sonic_pi_folder / "bd_haus.flac", None, 0.0, 0.3)
    write_audio(source, waveform, rate)
    options = ["--init_audio", str(source), "--model", str(small_bundle)]
    assert main([*QUICK, *options, "--out", str(out)]) == 0
    clip = Path(capsys.readouterr().out.strip())
    again = ["--again", str(clip), "--plot", "false", "--out", str(tmp_path / "again")]
    kept = source.read_bytes()
    write_audio(source, waveform[::-1].copy(), rate)
    assert main(again) == 2
    assert "has changed since; put the file it was made of back there, or beside the clip" in capsys.readouterr().err
    # As the error says.
    (out / source.name).write_bytes(kept)
    assert main(again) == 0
    assert np.array_equal(soundfile.read(capsys.readouterr().out.strip())[0], soundfile.read(clip)[0])
