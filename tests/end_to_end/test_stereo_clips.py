"""Stereo on the bundled model: files of two channels whose sum is the clip without stereo, loops that stay loops."""

import json
from pathlib import Path

import pytest
import soundfile

from pipelines import TextToAudioPipeline
from pipelines.generate import main
from pipelines.guarding import PEAK_LIMIT
from pipelines.looping import seam_score
from pipelines.stereo import band_coherence, mono_of

PROMPTS = ("a deep kick drum", "a warm synth pad", "a bright piano, C4")


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def test_the_sum_is_the_clip_and_the_channels_differ(pipeline) -> None:
    settings = {"seconds": 1.0, "seed": 3, "solver_steps": 8}
    plain, wide = pipeline(PROMPTS, **settings), pipeline(PROMPTS, stereo=0.8, **settings)
    assert wide.waveforms.shape == (3, 2, 44_100)
    kept = 0
    for row, (one, two) in enumerate(zip(plain.waveforms, wide.waveforms, strict=True)):
        middle = mono_of(two)
        level = float(middle.norm() / one.norm())
        assert (middle / level - one).abs().max() < 1e-3
        # The guard lowers both channels together, by as much as the louder one would clip; else the level is kept.
        if wide.guarded[row]:
            assert float(two.abs().max()) == pytest.approx(PEAK_LIMIT, abs=1e-3)
            assert level < 1.0
        else:
            assert level == pytest.approx(1.0, abs=1e-3)
            kept += 1
        assert abs(float(20 * (two[0].norm() / two[1].norm()).log10())) < 0.1
        _, middle, high = band_coherence(two, 44_100)
        assert 0.2 < middle < 0.99
        assert 0.2 < high < 0.9
    assert kept > 0
    # Of the three the kick has a bass.
    assert band_coherence(wide.waveforms[0], 44_100)[0] > 0.98


def test_a_wide_loop_has_no_seam(pipeline) -> None:
    made = pipeline("a string ensemble", loop=True, stereo=1.0, seconds=1.5, seed=1, solver_steps=16)
    for channel in made.waveforms[0]:
        assert seam_score(channel, pipeline.autoencoder.mel, made.closing(0)) <= 1.0


def test_files_have_two_channels_and_say_so(tmp_path, capsys) -> None:
    for kind in ("wav", "flac", "ogg"):
        command = ["--prompt", "a pad", "--seconds", "0.5", "--stereo", "0.5", "--solver_steps", "4", "--seed", "1"]
        assert main([*command, "--format", kind, "--out", str(tmp_path / kind), "--plot", "false"]) == 0
        path = Path(capsys.readouterr().out.strip())
        assert soundfile.info(str(path)).channels == 2
        page = json.loads(path.with_suffix(".json").read_text())
        assert page["settings"]["stereo"] == 0.5
        assert len(page["measured"]["coherence"]) == 3
    assert main(["--prompt", "a pad", "--stereo", "1.5", "--out", str(tmp_path / "no")]) == 2
    assert "stereo: expected 0" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
