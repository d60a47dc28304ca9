"""Averages of trainings: what they hold, what stays exact, and what is no average."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from latent_diffusion.config import LatentDiffusionConfig
from latent_diffusion.guide import GUIDE, with_guide
from latent_diffusion.model import LatentDiffusion
from pipelines.average import average, main
from pipelines.text_to_audio import TextToAudioPipeline
from training.checkpoint import load_stage, read_stage, save_stage

DECODER = "decoder."


def trained_on(path: Path, out: Path, moved: str = "", seed: int = 1) -> Path:
    """A stage whose weights of that name went on from those of another one."""
    record, weights = read_stage(path)
    generator = torch.Generator().manual_seed(seed)
    further = {
        name: value + 0.1 * torch.randn(value.shape, generator=generator) if name.startswith(moved) else value
        for name, value in weights.items()
        if not name.startswith("preconditioner.")
    }
    made = {**weights, **further}
    # As training does: a part that was frozen keeps the fingerprint that it came with.
    sealed = record.sealed(made)
    frozen = {name: own for name, own in record.parts.items() if moved and not moved.startswith(name)}
    save_stage(out, replace(sealed, parts={**sealed.parts, **frozen}), made, torch.float32)
    return out


def deeper_config(config: dict[str, Any]) -> dict[str, Any]:
    """With one block more."""
    return {**config, "network": {**config["network"], "depth": config["network"]["depth"] + 1}}


def error(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def weights_of(path: Path) -> dict[str, Tensor]:
    return read_stage(path)[1]


@pytest.mark.parametrize("kind", ["autoencoder", "latent_diffusion", "vocoder"])
def test_every_stage_is_averaged_and_taken_as_a_checkpoint(tmp_path: Path, stage_files, kind: str) -> None:
    new, old, out = (
        trained_on(stage_files[kind], tmp_path / "new.safetensors"),
        stage_files[kind],
        tmp_path / "x.safetensors",
    )
    average([new, old], out, [0.75, 0.25])
    first, second, made = weights_of(new), weights_of(old), weights_of(out)
    for name, value in made.items():
        if value.is_floating_point():
            assert torch.allclose(value, 0.75 * first[name] + 0.25 * second[name], atol=1e-6), name
    record, weights = load_stage(out, kind)
    assert record.lineage["averaged"] == [
        [read_stage(new)[0].fingerprint, 0.75],
        [read_stage(old)[0].fingerprint, 0.25],
    ]
    assert record.fingerprint == record.sealed(weights).fingerprint
    assert record.fingerprint not in (read_stage(new)[0].fingerprint, read_stage(old)[0].fingerprint)


def test_three_of_them_weigh_alike_where_nothing_is_said(tmp_path: Path, stage_files) -> None:
    paths = [trained_on(stage_files["vocoder"], tmp_path / f"{seed}.safetensors", seed=seed) for seed in range(3)]
    average(paths, tmp_path / "x.safetensors")
    made, parts = weights_of(tmp_path / "x.safetensors"), [weights_of(path) for path in paths]
    name = max(made, key=lambda name: made[name].numel())
    assert torch.allclose(made[name], sum(part[name] for part in parts) / 3.0, atol=1e-6)


def test_a_frozen_encoder_stays_itself_so_that_latents_stay_valid(tmp_path: Path, stage_files) -> None:
    """To the last digit, also where the averaged ones were stored in 16 bits."""
    old = stage_files["autoencoder"]
    record, weights = read_stage(old)
    save_stage(tmp_path / "half.safetensors", record, weights, torch.float16)
    half = tmp_path / "half.safetensors"
    new = trained_on(half, tmp_path / "new.safetensors", DECODER)
    out = tmp_path / "x.safetensors"
    average([new, half], out, [0.3, 0.7])
    made, own = read_stage(out), weights_of(half)
    assert made[0].parts["encoder"] == record.parts["encoder"]
    assert all(torch.equal(value, own[name]) for name, value in made[1].items() if not name.startswith(DECODER))
    assert not all(torch.equal(value, own[name]) for name, value in made[1].items())
    TextToAudioPipeline.from_stages(out, stage_files["latent_diffusion"], str(stage_files["vocoder"]))


def test_a_guiding_model_is_left_out_and_said(tmp_path: Path, stage_files, capsys) -> None:
    plain = stage_files["latent_diffusion"]
    record, weights = with_guide(*read_stage(plain), *read_stage(plain))
    save_stage(tmp_path / "guided.safetensors", record, weights, torch.float32)
    average([tmp_path / "guided.safetensors", plain], tmp_path / "x.safetensors")
    assert "guided.safetensors is left out: give it to python -m pipelines.bundle --guide" in capsys.readouterr().err
    assert "guide" in record.lineage
    assert "guide" not in read_stage(tmp_path / "x.safetensors")[0].lineage
    made, own = weights_of(tmp_path / "x.safetensors"), weights_of(plain)
    assert not any(name.startswith(GUIDE) for name in made)
    assert all(torch.equal(made[name], own[name]) for name in own)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--checkpoints", "A"), "checkpoints: expected two or more, got 1"),
        (("--checkpoints", "A", "A", "--shares", "0.5"), "shares: expected one for each of 2 checkpoints, got 0.5"),
        (("--checkpoints", "A", "A", "--shares", "0.5", "0.6"), "that add up to 1, got 0.5 0.6"),
        (("--checkpoints", "A", "A", "--shares", "1.5", "-0.5"), "from 0 to 1 that add up to 1, got 1.5 -0.5"),
        (("--checkpoints", "A", "V"), "is a checkpoint of stage 'vocoder', the first one of 'autoencoder'"),
        (("--checkpoints", "A", "nowhere.ckpt"), "checkpoint 'nowhere.ckpt' does not exist"),
        (("--checkpoints", "A", "A", "--out", "stage.ckpt"), "a .safetensors file to write, got 'stage.ckpt'"),
    ],
)
def test_refused_in_one_line(tmp_path: Path, monkeypatch, stage_files, capsys, options, message) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"A": str(stage_files["autoencoder"]), "V": str(stage_files["vocoder"])}
    given = [names.get(option, option) for option in options]
    assert main(given if "--out" in given else [*given, "--out", "made/x.safetensors"]) == 2
    assert message in error(capsys)
    assert not list(tmp_path.rglob("*"))


def test_trainings_that_began_apart_are_refused(tmp_path: Path, stage_files, capsys) -> None:
    """Other latents, other directions of them, other sizes: the network of one reads what the other never wrote."""
    path, out = stage_files["latent_diffusion"], str(tmp_path / "x.safetensors")
    record, weights = read_stage(path)
    turned = {**weights, "preconditioner.basis": weights["preconditioner.basis"].flip(0)}
    save_stage(tmp_path / "apart.safetensors", record, turned, torch.float32)
    assert main(["--checkpoints", str(path), str(tmp_path / "apart.safetensors"), "--out", out]) == 2
    assert "began apart from the first checkpoint: start one with --model.init_from the other" in error(capsys)
    latents = {**record.config["latents"], "encoder_fingerprint": "another encoder"}
    save_stage(
        tmp_path / "stale.safetensors",
        replace(record, config={**record.config, "latents": latents}),
        weights,
        torch.float32,
    )
    assert main(["--checkpoints", str(path), str(tmp_path / "stale.safetensors"), "--out", out]) == 2
    assert "differs from the first checkpoint in latents.encoder_fingerprint: no average" in error(capsys)
    deeper = LatentDiffusion(LatentDiffusionConfig.from_dict(deeper_config(record.config)))
    deeper.preconditioner.assume_white()
    save_stage(
        tmp_path / "deeper.safetensors",
        replace(record, config=deeper.to_config()),
        deeper.state_dict(),
        torch.float32,
    )
    assert main(["--checkpoints", str(path), str(tmp_path / "deeper.safetensors"), "--out", out]) == 2
    assert "deeper.safetensors' has another network.blocks.2." in error(capsys)
    assert not Path(out).exists()


def test_settings_that_are_no_weights_are_those_of_the_first(tmp_path: Path, stage_files, capsys) -> None:
    path = stage_files["vocoder"]
    record, weights = read_stage(path)
    corrected = replace(record, config={**record.config, "network": {**record.config["network"], "corrections": 2}})
    save_stage(tmp_path / "corrected.safetensors", corrected, weights, torch.float32)
    average([tmp_path / "corrected.safetensors", path], tmp_path / "x.safetensors", [0.75, 0.25])
    assert f"as in the first checkpoint, and not as in {path}: network.corrections" in capsys.readouterr().err
    assert read_stage(tmp_path / "x.safetensors")[0].config["network"]["corrections"] == 2
