"""A bundle whose model holds a weaker one: written by a command, said on its page, heard in what it makes."""

import itertools
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors import safe_open

from latent_diffusion.model import LatentDiffusion
from pipelines import TextToAudioPipeline
from pipelines.batch import main as batch
from pipelines.bundle import main
from pipelines.generate import main as generate
from training.checkpoint import StageRecord, save_stage

FILES = ("--autoencoder", "--diffusion", "--vocoder")
STEPS = {"seconds": 0.6, "seed": 3, "solver_steps": 8}


def test_a_weaker_model_is_bundled_as_a_guide(stage_files, tmp_path, capsys) -> None:
    kinds = ("autoencoder", "latent_diffusion", "vocoder")
    command = [word for name, kind in zip(FILES, kinds, strict=True) for word in (name, str(stage_files[kind]))]
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


def test_a_bundle_keeps_the_words_of_its_captions(stage_files, sonic_pi_folder, tmp_path, capsys) -> None:
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number, name in enumerate(("bd_808", "sn_dolf", "perc_bell") * 4):
        shutil.copyfile(sonic_pi_folder / f"{name}.flac", sounds / f"{number}.flac")
    rows = [{"file_name": f"{number}.flac", "text": f"a thud of kind {number}"} for number in range(12)]
    (sounds / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    kinds = ("autoencoder", "latent_diffusion", "vocoder")
    command = [word for name, kind in zip(FILES, kinds, strict=True) for word in (name, str(stage_files[kind]))]
    assert main([*command, "--words", str(sounds), "--out", str(tmp_path / "own")]) == 0
    assert {"thud", "kind"} <= set((tmp_path / "own/words.txt").read_text().split())
    assert main([*command, "--out", str(tmp_path / "none")]) == 0
    assert not (tmp_path / "none/words.txt").exists()
    quick = ["--seconds", "0.3", "--solver_steps", "2", "--plot", "false", "--device", "cpu", "--out", str(tmp_path)]
    for name, prompt, said in (("own", "a lion", True), ("own", "thuds", False), ("none", "a lion", False)):
        capsys.readouterr()
        assert generate(["--model", str(tmp_path / name), "--prompt", prompt, *quick]) == 0
        assert ("no word of 'a lion' was in this model's training" in capsys.readouterr().err) == said
    table = tmp_path / "table.csv"
    table.write_text("prompt\nthud\na lion\n")
    assert batch([str(table), "--model", str(tmp_path / "own"), *quick[:-1], str(tmp_path / "many")]) == 0
    assert "no word of 'a lion' was in" in capsys.readouterr().err
    assert main([*command, "--phrasings", "x.yaml", "--out", str(tmp_path / "no")]) == 2
    assert "--words names the clips of those" in capsys.readouterr().err


def test_a_clip_that_a_weaker_model_guided_is_made_again(stage_files, tmp_path, capsys) -> None:
    stage = LatentDiffusion.from_checkpoint(stage_files["latent_diffusion"])
    smaller = replace(stage.config.network, width=16, depth=1, hidden=24)
    weaker = LatentDiffusion(replace(stage.config, network=smaller))
    weaker.preconditioner.assume_white()
    torch.manual_seed(1)
    for parameter in weaker.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    record = StageRecord("latent_diffusion", weaker.to_config()).sealed(weaker.state_dict())
    save_stage(tmp_path / "weaker.safetensors", record, dict(weaker.state_dict()), torch.float32)
    files = [stage_files[kind] for kind in ("autoencoder", "latent_diffusion", "vocoder")]
    words = [word for name, file in zip(FILES, files, strict=True) for word in (name, str(file))]
    words += ["--guide", str(tmp_path / "weaker.safetensors"), "--defaults.autoguidance", "1.5"]
    assert main([*words, "--out", str(tmp_path / "guided")]) == 0
    command = ["--prompt", "a bell", "--model", str(tmp_path / "guided"), "--solver", "dpmpp_2m", "--plot", "false"]
    command += ["--seconds", "0.4", "--solver_steps", "6", "--seed", "3", "--device", "cpu", "--out", str(tmp_path)]
    made = []
    for further in ([], ["--autoguidance", "1"], ["--autoguidance", "4", "--autoguidance_interval", "0.5:1"]):
        capsys.readouterr()
        assert generate([*command, *further]) == 0
        made.append(Path(capsys.readouterr().out.strip()))
    sounds = [soundfile.read(path)[0] for path in made]
    assert all(np.abs(one - other).max() > 1e-3 for one, other in itertools.combinations(sounds, 2))
    pages = [json.loads(path.with_suffix(".json").read_text())["settings"] for path in made]
    assert pages[0]["autoguidance"] == 1.5
    assert pages[2]["autoguidance_interval"] == [0.5, 1.0]
    for path, sound in zip(made, sounds, strict=True):
        again = ["--again", str(path), "--plot", "false", "--device", "cpu", "--out", str(tmp_path / "again")]
        assert generate(again) == 0
        assert np.array_equal(soundfile.read(capsys.readouterr().out.splitlines()[-1])[0], sound)


def test_the_bundled_model_is_led_away_from_its_weaker_one() -> None:
    pipeline = TextToAudioPipeline.from_pretrained(device="cpu")
    assert pipeline.diffusion.guide is not None
    words = {"seconds": 0.5, "seed": 3, "solver_steps": 8}
    made = pipeline("a tight snare", **words)
    assert made.settings["autoguidance"] == 1.3
    # Not near noise, where it costs notes (ADR 29).
    assert made.settings["autoguidance_interval"] == [0.4, 1.0]
    alone = pipeline("a tight snare", autoguidance=1.0, **words)
    assert (made.waveforms - alone.waveforms).abs().max() > 1e-2
    late = pipeline("a tight snare", autoguidance_interval="0.95:1", **words)
    assert torch.allclose(late.waveforms, alone.waveforms, atol=2e-3)


def test_the_bundle_stays_small() -> None:
    folder = Path(__file__).resolve().parents[2] / "bundles" / "oneshots"
    page = json.loads((folder / "bundle.json").read_text())
    stored = {}
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            stored[path.stem] = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    assert stored == {kind: stage["parameters"] for kind, stage in page["stages"].items()}
    assert 15e6 < sum(stored.values()) <= 20e6
    assert sum(path.stat().st_size for path in folder.glob("*.safetensors")) <= 40 * 2**20
