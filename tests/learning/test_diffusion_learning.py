"""Stage 2 learns, resumes, starts warm, and refuses what it cannot train on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from audio.latents import LatentFile
from latent_diffusion.conditioning import ConditionInputs
from latent_diffusion.flow import TimeConfig, draw_times, mix, target
from latent_diffusion.lengths import LengthConfig
from latent_diffusion.loading import LatentData
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.training import LatentDiffusionTraining
from tests.diffusion_doubles import COSINE, FLOW, LABELS, LINEAR, TINY, latent_file, sampler, stage
from tests.diffusion_runs import fit
from training.checkpoint import load_checkpoint, load_stage

OVERFIT_STEPS = 220
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def latents(tmp_path, mel, monkeypatch) -> Path:
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path / "cache"))
    return latent_file(tmp_path / "latents.safetensors", mel)


@pytest.mark.parametrize(("path", "prediction"), [(FLOW, "velocity"), (LINEAR, "noise"), (COSINE, "v")])
def test_overfits_one_batch(mel, path, prediction) -> None:
    """After a short training each label gives its own clip, from every noise, with every solver."""
    model = stage(mel, path, prediction, woken=False).train()
    torch.manual_seed(1)
    data, labels = torch.randn(2, 6, 4), torch.arange(32) % 2
    inputs = replace(ConditionInputs.nothing(32, 384), labels=labels)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1.0, betas=(0.9, 0.98))
    for step in range(OVERFIT_STEPS):
        optimiser.param_groups[0]["lr"] = 8e-3 * (1.0 - step / OVERFIT_STEPS)
        time, noise = draw_times(32, path, TimeConfig()), torch.randn(32, 6, 4)
        predicted = model(mix(data[labels], noise, time, path), time, model.conditioner(inputs))
        loss = (predicted - target(data[labels], noise, time, path, prediction)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name
    model.eval()
    wanted = torch.arange(24) % 2
    condition = model.conditioner(replace(ConditionInputs.nothing(24, 384), labels=wanted))
    start = torch.randn(24, 6, 4)
    for solver in model.solver_names():
        made = model.spec.whiten(model.sample(start, condition, sampler(1.0, solver, 20)))
        error = (made - data[wanted]).square().mean(dim=(1, 2)).sqrt()
        # The two clips are 1.2 apart.
        assert float(error.max()) < 0.12, (solver, error)


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_resumed_equals_uninterrupted(latents, tmp_path, monkeypatch, schedule) -> None:
    # A rate of nearly zero learns nothing, so a plateau is certain at the second validation.
    rate = {"constant": "2e-3", "plateau": "1e-12"}[schedule]
    options = ("--model.schedule.name", schedule, "--model.schedule.patience", "0")
    options += ("--model.optimiser.learning_rate", rate)
    assert fit(monkeypatch, latents, tmp_path / "whole", "--trainer.max_steps", "6", *options) == 0
    assert fit(monkeypatch, latents, tmp_path / "parts", "--trainer.max_steps", "3", *options) == 0
    halfway = load_stage(tmp_path / "parts" / "last.ckpt", "latent_diffusion")
    assert fit(monkeypatch, latents, tmp_path / "parts", "--trainer.max_steps", "6", *options) == 0
    whole, parts = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "parts"))
    assert whole["progress"]["batches_done"] == parts["progress"]["batches_done"] == 6
    assert whole["state_dict"].keys() == parts["state_dict"].keys()
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name
    rates, again = (one["optimizer_states"][0]["param_groups"][0]["lr"] for one in (whole, parts))
    assert rates == again == pytest.approx(float(rate) * (0.5 if schedule == "plateau" else 1.0))
    assert whole["lr_schedulers"] == parts["lr_schedulers"]
    for key, state in whole["optimizer_states"][0]["state"].items():
        assert torch.equal(state["exp_avg_sq"], parts["optimizer_states"][0]["state"][key]["exp_avg_sq"])
    first, second = (load_stage(tmp_path / name / "last.ckpt", "latent_diffusion")[0] for name in ("whole", "parts"))
    assert first.fingerprint == second.fingerprint != halfway[0].fingerprint
    assert first.training["validation/velocity_loss"] == second.training["validation/velocity_loss"]


def test_what_comes_after_the_last_validation_is_kept_and_gone_on_from(latents, tmp_path, monkeypatch) -> None:
    # Epochs of three batches, each with a validation at its end.
    options = ("--model.optimiser.learning_rate", "2e-3")
    assert fit(monkeypatch, latents, tmp_path, "--trainer.max_steps", "5", *options) == 0
    ended = load_checkpoint(tmp_path / "last.ckpt")
    assert ended["progress"]["batches_done"] == ended["global_step"] == 5
    # What is trained on is not the average.
    assert not all(torch.equal(value, ended["current_model_state"][key]) for key, value in ended["state_dict"].items())
    assert fit(monkeypatch, latents, tmp_path, "--trainer.max_steps", "9", *options) == 0
    after = load_checkpoint(tmp_path / "last.ckpt")
    assert after["progress"]["batches_done"] == 9
    moments = [next(iter(one["optimizer_states"][0]["state"].values()))["step"] for one in (ended, after)]
    assert moments == [5, 9]


def test_record_tells_lineage_and_loads(latents, tmp_path, monkeypatch, capsys) -> None:
    options = ("--model.path.name", "variance_preserving", "--model.path.schedule", "linear", "--model.prediction", "v")
    assert fit(monkeypatch, latents, tmp_path / "run", "--trainer.max_steps", "3", *options) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"best checkpoint: {tmp_path / 'run' / 'best.ckpt'}"
    assert told[1].startswith("next: python generate.py --autoencoder")
    model = LatentDiffusion.from_checkpoint(tmp_path / "run" / "best.ckpt")
    assert model.record is not None
    assert model.record.lineage == {"autoencoder": "aaaa", "data": "dddd", "encoder": "0123456789abcdef"}
    assert model.record.licences == ["CC0-1.0"]
    assert model.config.path == LINEAR
    assert model.solver_names() == ("ddim", "ancestral", "stochastic", "dpmpp_2m")
    assert model.config.conditioning.labels == LABELS
    assert model.spec == LatentFile.load(latents).spec
    assert not any("bert" in name or "words" in name for name in model.state_dict())
    condition = model.encode_conditions(["a bell"], ["bell"], [{"seconds": 0.3}])
    assert model.sample(torch.randn(1, 4, 12), condition, sampler(2.0, "ddim", 2)).isfinite().all()


def test_warm_start_matches_labels_by_name(latents, tmp_path, monkeypatch, mel) -> None:
    assert fit(monkeypatch, latents, tmp_path / "first", "--trainer.max_steps", "3") == 0
    best = tmp_path / "first" / "best.ckpt"
    old = LatentDiffusion.from_checkpoint(best)
    file = LatentFile.load(latents)
    renamed = tmp_path / "other.safetensors"
    mixing = torch.tensor([1.0, -0.5, 2.0, 0.1])[:, None]
    clips = tuple(replace(clip, label={"bell": "woodblock"}.get(clip.label, clip.label)) for clip in file.clips)
    LatentFile(file.spec, clips, (file.mean * mixing).half(), file.std, file.lineage).save(renamed)
    own = LatentDiffusionTraining(renamed, 0.05, 0.6, network=old.config.network).model.preconditioner
    assert not torch.allclose(own.variance, old.preconditioner.variance, rtol=0.1)
    module = LatentDiffusionTraining(renamed, 0.05, 0.6, network=old.config.network, init_from=best)
    new = module.model
    assert new.config.conditioning.labels == ("kick", "snare drum", "woodblock")
    for label in ("kick", "snare drum"):
        rows = [stage.conditioner.labels.weight[stage.config.conditioning.labels.index(label)] for stage in (old, new)]
        assert torch.equal(rows[0], rows[1])
    assert torch.equal(old.network.output.weight, new.network.output.weight)
    for name in ("basis", "variance"):
        assert torch.equal(getattr(old.preconditioner, name), getattr(new.preconditioner, name))
    assert torch.equal(old.conditioner.text_tokens.weight, new.conditioner.text_tokens.weight)
    other = replace(old.config.network, width=24)
    with pytest.raises(ValueError, match="has shape"):
        LatentDiffusionTraining(renamed, 0.05, 0.6, network=other, init_from=best)


def test_a_deeper_network_begins_where_the_shallower_one_ended(latents, tmp_path, monkeypatch) -> None:
    assert fit(monkeypatch, latents, tmp_path / "first", "--trainer.max_steps", "3") == 0
    best = tmp_path / "first" / "best.ckpt"
    old = LatentDiffusion.from_checkpoint(best)
    deeper = replace(old.config.network, depth=old.config.network.depth + 3)
    new = LatentDiffusionTraining(latents, 0.05, 0.6, network=deeper, init_from=best).model.eval()
    assert len(new.network.blocks) == len(old.network.blocks) + 3
    noise, time = torch.randn(2, 4, 12), torch.tensor([0.2, 0.8])
    condition = old.encode_conditions(["a bell", "a kick"], ["bell", None], [{"seconds": 0.3}, {}])
    assert torch.equal(old(noise, time, condition), new(noise, time, condition))
    assert float(old(noise, time, condition).abs().max()) > 0.0


def test_clips_at_a_changed_level_come_as_often_as_asked(latents, tmp_path) -> None:
    file = LatentFile.load(latents)
    clips = tuple(replace(clip, gain_db=-6.0 * (number % 2)) for number, clip in enumerate(file.clips))
    changed = tmp_path / "changed.safetensors"
    LatentFile(file.spec, clips, file.mean, file.std, file.lineage).save(changed)

    def share(often: float) -> float:
        data = LatentData(changed, batch_size=50, steps_per_epoch=40, balance=0.0, changed_levels=often)
        return 1.0 - float(torch.cat([batch["own_level"] for batch in data.train_dataloader()]).double().mean())

    kept = [clip for clip in clips if clip.split == "train"]
    ratio = sum(clip.gain_db != 0.0 for clip in kept) / sum(clip.gain_db == 0.0 for clip in kept)
    assert share(0.0) == 0.0
    assert share(0.5) == pytest.approx(0.5 * ratio / (0.5 * ratio + 1.0), abs=0.04)
    with pytest.raises(ValueError, match=r"data.changed_levels: expected 0 to 1, got 2"):
        LatentData(changed, changed_levels=2.0)


def test_tilted_clips_come_as_often_as_asked(latents, tmp_path) -> None:
    file = LatentFile.load(latents)
    clips = tuple(replace(clip, tilt_db=3.0 * (number % 2)) for number, clip in enumerate(file.clips))
    changed = tmp_path / "tilted.safetensors"
    LatentFile(file.spec, clips, file.mean, file.std, file.lineage).save(changed)
    data = LatentData(changed, batch_size=50, steps_per_epoch=10, balance=0.0, tilted=0.0)
    assert all(bool(batch["own_colour"].all()) for batch in data.train_dataloader())
    often = LatentData(changed, batch_size=50, steps_per_epoch=10, balance=0.0)
    assert not all(bool(batch["own_colour"].all()) for batch in often.train_dataloader())
    with pytest.raises(ValueError, match=r"data.tilted: expected 0 to 1, got -1"):
        LatentData(changed, tilted=-1.0)


def test_training_starts_with_the_directions_of_its_latents(latents) -> None:
    """In its basis, whole clips as training draws them have no covariance, and the variances that it says."""
    new = LatentDiffusionTraining(latents, 0.05, 0.6, network=TINY).model.preconditioner
    data = LatentData(
        latents, LengthConfig(0.05, 0.6, own=1.0, cut=0.0), batch_size=64, steps_per_epoch=40, balance=0.0
    )
    batches = list(data.train_dataloader())
    frames = torch.cat(
        [row[:, : int(count)] for b in batches for row, count in zip(b["latents"], b["valid_frames"], strict=True)],
        dim=1,
    )
    rotated = new.rotate(frames[None])[0]
    assert torch.allclose(new.rotate_back(rotated[None])[0], frames, atol=1e-4)
    covariance = rotated @ rotated.T / rotated.shape[1]
    assert torch.allclose(covariance.diagonal(), new.variance, rtol=0.1)
    assert float((covariance - covariance.diagonal().diag()).abs().max()) < 0.1
    assert float(new.variance.max() / new.variance.min()) > 2.0


def test_a_run_of_an_older_version_is_refused_in_one_line(latents, tmp_path, monkeypatch, capsys) -> None:
    assert fit(monkeypatch, latents, tmp_path / "run", "--trainer.max_steps", "3") == 0
    last = tmp_path / "run" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    for part in ("state_dict", "current_model_state"):
        checkpoint[part] = {name: value for name, value in checkpoint[part].items() if "preconditioner" not in name}
    torch.save(checkpoint, last)
    capsys.readouterr()
    assert fit(monkeypatch, latents, tmp_path / "run", "--trainer.max_steps", "6") == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert told.startswith(
        "error: the run to resume was made by an older version: it has no model.preconditioner.basis"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model.prediction", "noise"), "prediction: path 'rectified_flow' takes velocity, got 'noise'"),
        (("--model.path.name", "diffusion"), "model.path.name"),
        (("--model.times.weighting", "min_snr"), "min_snr fits path 'variance_preserving' only"),
        (("--model.network.heads", "3"), "network.width: expected a multiple of 2 x 3 heads, got 16"),
        (("--model.text_encoder", "clap"), "expected 'minilm' or 'huggingface:NAME', got 'clap'"),
        (("--model.condition_dropout.text", "2"), "condition_dropout.text: expected 0 to 1, got 2"),
        (("--data.validation_draws", "0"), "data.validation_draws: expected at least 1, got 0"),
        (("--data.lengths.min_seconds", "3"), "data.lengths: expected 0 < min_seconds < max_seconds"),
        (("--data.latents", "nowhere.safetensors"), "'nowhere.safetensors' is not a latent file"),
        (("--model.init_from", "nowhere.ckpt"), "checkpoint 'nowhere.ckpt' does not exist"),
        (("--model.network.widht", "3"), "widht"),
        (("--model.kernel_clips", "3"), "kernel_clips: expected 0 (off) or at least 20, got 3"),
        (
            ("--early_stopping.monitor", "validation/taste"),
            "expected one of validation/velocity_loss, validation/kernel_distance, got 'validation/taste'",
        ),
    ],
)
def test_refused_in_one_line(latents, tmp_path, monkeypatch, capsys, options, message) -> None:
    assert fit(monkeypatch, latents, tmp_path / "run", *options) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(told) == 1
    assert told[0].startswith("error: ")
    assert message in told[0]


@pytest.mark.parametrize(("config", "low", "high"), [("oneshots", 7.0, 8.0), ("tiny", 1.0, 2.0)])
def test_shipped_configs_have_their_size(latents, tmp_path, monkeypatch, config, low, high) -> None:
    options = ("--trainer.fast_dev_run", "true", "--data.batch_size", "2", "--data.validation_draws", "2")
    # One batch of two clips has no kernel distance, by which the larger one chooses.
    options = (*options, "--early_stopping.monitor", "validation/velocity_loss")
    monkeypatch.setattr("training.cli.StageCLI.after_fit", lambda self: built.append(self.model))
    built: list[LatentDiffusionTraining] = []
    assert fit(monkeypatch, latents, tmp_path / "run", *options, config=config, small=False) == 0
    millions = sum(parameter.numel() for parameter in built[0].model.parameters()) / 1e6
    assert low < millions < high
