"""A bundle whose model holds a weaker one: written by a command, said on its page, heard in what it makes."""

import json
from pathlib import Path

import torch

from pipelines import TextToAudioPipeline
from pipelines.bundle import main

STEPS = {"seconds": 0.6, "seed": 3, "solver_steps": 8}


def test_a_weaker_model_is_bundled_as_a_guide(stage_files, tmp_path, capsys) -> None:
    files = [f"--{name}" for name in ("autoencoder", "diffusion", "vocoder")]
    kinds = ("autoencoder", "latent_diffusion", "vocoder")
    command = [word for name, kind in zip(files, kinds, strict=True) for word in (name, str(stage_files[kind]))]
    guide = ["--guide", str(stage_files["latent_diffusion"]), "--defaults.autoguidance", "1.5"]
    assert main([*command, *guide, "--out", str(tmp_path / "guided"), "--dtype", "float32"]) == 0
    assert main([*command, "--out", str(tmp_path / "plain"), "--dtype", "float32"]) == 0
    pages = [json.loads((tmp_path / name / "bundle.json").read_text()) for name in ("guided", "plain")]
    assert [page["defaults"]["autoguidance"] for page in pages] == [1.5, 1.0]
    stages = [page["stages"]["latent_diffusion"] for page in pages]
    # What a model was trained on is not what someone wishes.
    assert [page["defaults"]["max_seconds"] for page in pages] == [3.0, 3.0]
    assert stages[0]["parameters"] == 2 * stages[1]["parameters"]
    assert stages[0]["fingerprint"] != stages[1]["fingerprint"]
    guided, plain = (TextToAudioPipeline.from_pretrained(tmp_path / name, device="cpu") for name in ("guided", "plain"))
    made = guided("a bell", **STEPS)
    assert made.settings["autoguidance"] == 1.5
    # A guide that is the model itself leads nowhere.
    assert torch.allclose(made.waveforms, plain("a bell", **STEPS).waveforms, atol=2e-3)
    capsys.readouterr()
    assert main([*command, "--guide", str(stage_files["vocoder"]), "--out", str(tmp_path / "no")]) == 2
    assert "stage 'vocoder', expected 'latent_diffusion'" in capsys.readouterr().err
    for words, said in (
        (["--defaults.autoguidance", "1.5"], "this model holds no weaker one (--guide CHECKPOINT)"),
        (["--defaults.autoguidance", "500"], "autoguidance: expected 0 to 100, got 500"),
        (["--defaults.max_seconds", "9"], "defaults.max_seconds: the model was trained on clips of up to 3 s"),
    ):
        assert main([*command, *words, "--out", str(tmp_path / "no")]) == 2
        assert said in capsys.readouterr().err
    assert main([*command, *guide[:2], "--out", str(tmp_path / "silent")]) == 0
    assert "the guide is not asked where nothing is said" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_the_bundled_model_is_guided_by_a_weaker_one() -> None:
    pipeline = TextToAudioPipeline.from_pretrained(device="cpu")
    assert pipeline.defaults.autoguidance > 1.0
    weaker, own = (
        sum(one.numel() for one in stage.parameters()) for stage in (pipeline.diffusion.guide, pipeline.diffusion)
    )
    assert 4 * weaker < own - weaker
    made, off = pipeline("a bright bell", **STEPS), pipeline("a bright bell", autoguidance=1.0, **STEPS)
    assert made.settings["autoguidance"] == pipeline.defaults.autoguidance
    assert (made.waveforms - off.waveforms).abs().max() > 0.01


def test_the_bundle_stays_small() -> None:
    folder = Path(__file__).resolve().parents[2] / "bundles" / "oneshots"
    page = json.loads((folder / "bundle.json").read_text())
    assert sum(stage["parameters"] for stage in page["stages"].values()) <= 20e6
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) <= 40 * 2**20
