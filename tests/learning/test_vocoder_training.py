"""The vocoder learns; what the YAML asks of clipping, accumulation and schedules is done; resuming changes nothing."""

import sys

import numpy as np
import pytest
import torch
import yaml

from audio.distances import multi_scale_mel_distance, normalise_peak
from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram, MelConfig
from training.checkpoint import load_checkpoint, load_stage
from training.cli import run_stage
from vocoder.data import VocoderData
from vocoder.discriminators import GanConfig
from vocoder.training import VocoderTraining
from vocoder.vocos import PriorVocos, VocosConfig

MEL = MelConfig(16000, 256, 256, 64, 40, 0.0, 8000.0, "slaney", "slaney", "same", 1e-9, 1e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten noisy decaying tones."""
    path = tmp_path_factory.mktemp("clips")
    draw = np.random.default_rng(0)
    time = np.arange(4000) / 16000
    for index in range(10):
        tone = np.sin(2 * np.pi * draw.uniform(100, 3000) * time) + 0.1 * draw.standard_normal(4000)
        write_audio(path / f"clip {index}.wav", (0.4 * tone * np.exp(-8 * time)).astype(np.float32), 16000)
    return path


def fit(folder, out, *options, **model):
    """Run the stage's command in this process; returns its last checkpoint."""
    out.mkdir(parents=True, exist_ok=True)
    config = {
        "seed_everything": 1,
        "trainer": {
            "default_root_dir": str(out / "run"),
            "max_steps": 6,
            "num_sanity_val_steps": 0,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
        },
        "model": {
            "mel": MEL.to_dict(),
            "network": {"dim": 16, "intermediate_dim": 32, "num_layers": 1},
            "schedule": {"name": "cosine", "warmup_steps": 2, "total_steps": 8},
            "preview_clips": 0,
            **model,
        },
        "data": {"folder": str(folder), "segment_seconds": 0.2, "batch_size": 2, "steps_per_epoch": 2},
        "ema": {"decay": 0.9},
    }
    (out / "c.yaml").write_text(yaml.safe_dump(config))
    arguments, sys.argv = sys.argv, ["vocoder", "fit", "-c", str(out / "c.yaml"), *options]
    try:
        assert run_stage(VocoderTraining, VocoderData, link_sample_rate=True) == 0
    finally:
        sys.argv = arguments
    return load_checkpoint(out / "run" / "last.ckpt")


GAN = {"start_batch": 3, "periods": [2, 3], "period_channels": [2, 4], "fft_sizes": [64], "resolution_channels": 2}


@pytest.fixture(scope="module")
def gan_run(folder, tmp_path_factory):
    """Six batches, the last three with discriminators: the run's folder."""
    out = tmp_path_factory.mktemp("gan")
    fit(folder, out, gan=GAN)
    return out / "run"


def same(first, second):
    """Two nested containers are equal bit for bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


@pytest.mark.parametrize("model", [{}, {"gan": GAN}])
def test_resuming_equals_not_having_stopped(folder, tmp_path, model):
    whole = fit(folder, tmp_path / "whole", **model)
    fit(folder, tmp_path / "parts", "--trainer.max_steps", "4", **model)
    parts = fit(folder, tmp_path / "parts", **model)
    assert parts["progress"]["batches_done"] == 6
    for key in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers"):
        assert same(whole[key], parts[key]), key
    assert len(whole["optimizer_states"]) == (2 if model else 1)
    assert whole["stage_record"]["fingerprint"] == parts["stage_record"]["fingerprint"]


@pytest.mark.parametrize("model", [{}, {"gan": GAN}])
@pytest.mark.parametrize("options", [(), ("--trainer.limit_val_batches", "0")])
def test_the_last_batches_are_kept(folder, tmp_path, model, options):
    # Two batches are an epoch, with a validation at its end, if at all.
    kept = fit(folder, tmp_path, "--trainer.max_steps", "5", *options, **model)
    assert kept["progress"]["batches_done"] == 5


def test_the_released_part_is_the_vocoder_alone(gan_run):
    record, weights = load_stage(gan_run / "best.ckpt", "vocoder")
    assert not any("discriminator" in key for key in weights)
    assert record.training["batches"] <= 6
    assert PriorVocos.from_checkpoint(gan_run / "best.ckpt").mel == MEL


def test_max_steps_counts_the_vocoder_and_discriminators_wait_for_their_batch(gan_run):
    done = load_checkpoint(gan_run / "last.ckpt")
    assert done["global_step"] == done["progress"]["batches_done"] == 6
    counts = [next(iter(state["state"].values()))["step"].item() for state in done["optimizer_states"]]
    assert counts == [6, 3]


def test_both_players_learn(gan_run):
    """Every kernel of both has had a gradient (a score's bias gets +1 from one side and -1 from the other)."""
    for state in load_checkpoint(gan_run / "last.ckpt")["optimizer_states"]:
        kernels = [moments["exp_avg"] for moments in state["state"].values() if moments["exp_avg"].dim() > 1]
        assert kernels
        assert all(float(moment.abs().max()) > 0.0 for moment in kernels)


def test_fine_tuning_takes_the_discriminators_along(gan_run):
    network = VocosConfig(dim=16, intermediate_dim=32, num_layers=1)
    gan = GanConfig(**{key: tuple(value) if isinstance(value, list) else value for key, value in GAN.items()})
    module = VocoderTraining(MEL, network, gan=gan, init_from=gan_run / "last.ckpt")
    state, own = load_checkpoint(gan_run / "last.ckpt")["state_dict"], module.state_dict()
    assert any(key.startswith("discriminators.") for key in state)
    assert all(torch.equal(own[key], value) for key, value in state.items())


def test_accumulation_takes_fewer_steps_and_both_players_obey(folder, tmp_path):
    options = ("--trainer.accumulate_grad_batches", "2", "--trainer.max_steps", "3")
    done = fit(folder, tmp_path, *options, gan={**GAN, "start_batch": 2})
    assert done["progress"]["batches_done"] == 6
    counts = [next(iter(state["state"].values()))["step"].item() for state in done["optimizer_states"]]
    assert counts == [3, 2]


def test_accumulating_two_batches_is_one_batch_of_both(folder, tmp_path):
    """Plain SGD without norms over the batch: the mean of two gradients is the gradient of the mean."""
    model = {"optimiser": {"name": "sgd", "learning_rate": 0.01}, "schedule": {"name": "constant", "warmup_steps": 0}}
    large = fit(
        folder,
        tmp_path / "a",
        "--data.batch_size",
        "4",
        "--data.steps_per_epoch",
        "1",
        "--trainer.max_steps",
        "1",
        **model,
    )
    small = fit(folder, tmp_path / "b", "--trainer.accumulate_grad_batches", "2", "--trainer.max_steps", "1", **model)
    for name, value in large["current_model_state"].items():
        assert torch.allclose(value, small["current_model_state"][name], atol=1e-6), name


@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_of_both_players_are_clipped_as_asked(folder, tmp_path, monkeypatch, algorithm):
    seen = {0: [], 1: []}
    plain_step = torch.optim.SGD.step

    def spy(self, closure=None):
        gradients = torch.cat([p.grad.flatten() for group in self.param_groups for p in group["params"]])
        seen[self.param_groups[0]["player"]].append((float(gradients.norm()), float(gradients.abs().max())))
        return plain_step(self, closure)

    plain_configure = VocoderTraining.configure_optimizers

    def marked(self):
        optimisers, schedules = plain_configure(self)
        for index, optimiser in enumerate(optimisers):
            for group in optimiser.param_groups:
                group["player"] = index
        return optimisers, schedules

    monkeypatch.setattr(VocoderTraining, "configure_optimizers", marked)
    monkeypatch.setattr(torch.optim.SGD, "step", spy)
    options = ("--trainer.gradient_clip_val", "1e-5", "--trainer.gradient_clip_algorithm", algorithm)
    fit(folder, tmp_path, *options, gan=GAN, optimiser={"name": "sgd", "learning_rate": 1e-3})
    assert [len(rows) for rows in seen.values()] == [6, 3]
    for rows in seen.values():
        for norm, largest in rows:
            assert (norm if algorithm == "norm" else largest) == pytest.approx(1e-5, rel=1e-2)


def test_schedules_move_as_in_every_stage(folder, tmp_path):
    cosine = fit(folder, tmp_path / "cosine", gan=GAN)
    assert [schedule["last_epoch"] for schedule in cosine["lr_schedulers"]] == [6, 3]
    model = {"schedule": {"name": "step", "warmup_steps": 0, "period": 2, "factor": 0.1}}
    stepped = fit(folder, tmp_path / "step", **model)
    assert stepped["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(1e-6)
    # A rate of zero learns nothing, so no validation is better than the first: the plateau is certain.
    model = {
        "schedule": {"name": "plateau", "patience": 0, "factor": 0.5},
        "optimiser": {"name": "sgd", "learning_rate": 1e-12},
    }
    plateau = fit(folder, tmp_path / "plateau", **model)
    assert plateau["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.25e-12)


def test_validation_says_how_griffin_lim_does(folder, tmp_path, monkeypatch):
    rows = []
    plain = VocoderTraining.on_validation_epoch_end

    def spy(self):
        plain(self)
        rows.append({key: float(value) for key, value in self.trainer.callback_metrics.items()})

    monkeypatch.setattr(VocoderTraining, "on_validation_epoch_end", spy)
    fit(folder, tmp_path)
    assert len(rows) == 3
    assert len({row["validation/griffin_lim_distance"] for row in rows}) == 1
    for row in rows:
        ratio = row["validation/mel_distance"] / row["validation/griffin_lim_distance"]
        assert row["validation/ratio_to_griffin_lim"] == pytest.approx(ratio, rel=1e-4)


def test_sixteen_bit_floats_are_refused(folder, tmp_path, capsys):
    with pytest.raises(AssertionError):
        fit(folder, tmp_path, "--trainer.precision", "16-mixed")
    assert "bf16-mixed for the vocoder, got 16-mixed" in capsys.readouterr().err


def test_it_overfits_a_real_clip(sonic_pi_folder, mel):
    """Half a second of a drum; the loss falls to less than half of the prior's within 40 steps."""
    torch.manual_seed(0)
    waveform, _ = read_audio(sonic_pi_folder / "bd_808.flac", mel.sample_rate, seconds=0.4)
    clip = normalise_peak(torch.from_numpy(waveform)[None])
    log_mel = LogMelSpectrogram(mel)(clip)
    clip = clip[:, : mel.num_samples(log_mel.shape[2])]
    model = PriorVocos(mel, VocosConfig(dim=48, intermediate_dim=96, num_layers=2))
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    losses = []
    for _ in range(60):
        loss = multi_scale_mel_distance(model(log_mel), clip, mel.sample_rate)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]
