"""What stage 2 chooses by: the kernel distance at its validations, and when it cannot be had."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from latent_diffusion.training import draws_seen
from tests.diffusion_doubles import latent_file
from tests.diffusion_runs import fit


@pytest.fixture
def latents(tmp_path, mel, monkeypatch) -> Path:
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path / "cache"))
    return latent_file(tmp_path / "latents.safetensors", mel)


def test_the_kernel_distance_is_logged_and_may_choose_the_best(latents, tmp_path, monkeypatch, capsys) -> None:
    options = ("--early_stopping.monitor", "validation/kernel_distance", "--model.kernel_clips", "20")
    enough = ("--data.validation_draws", "24", "--trainer.max_steps", "3")
    assert fit(monkeypatch, latents, tmp_path / "run", *options, *enough) == 0
    said = capsys.readouterr().err
    assert "validation/kernel_distance " in said
    record = torch.load(tmp_path / "run" / "best.ckpt", weights_only=True)["stage_record"]
    assert record["training"]["validation/kernel_distance"] is not None
    for few in (
        ("--data.validation_draws", "8"),
        ("--data.validation_draws", "24", "--model.kernel_clips", "0"),
        ("--data.validation_draws", "24", "--data.batch_size", "8", "--trainer.limit_val_batches", "2"),
    ):
        assert fit(monkeypatch, latents, tmp_path / "few", *options, *few, "--trainer.max_steps", "3") == 2
        said = capsys.readouterr().err
        assert "needs kernel_clips and at least 20 validation draws" in said
        # Before anything is learnt that would be lost.
        assert "of training to come" not in said
        assert not list((tmp_path / "few").glob("*.ckpt"))


def test_a_validation_looks_at_so_many_draws() -> None:
    data = SimpleNamespace(validation_count=50, batch_size=8)
    assert [draws_seen(data, limit) for limit in (1.0, 0.5, 3, 100, 0)] == [50, 24, 24, 50, 0]


def test_a_distance_that_is_no_number_ends_a_run_in_words(latents, tmp_path, monkeypatch, capsys) -> None:
    """Before, with a traceback: the metric to choose by was missing."""
    monkeypatch.setattr("latent_diffusion.listening.describe_latents", lambda made, _: made[:, :3, 0] * torch.nan)
    options = ("--early_stopping.monitor", "validation/kernel_distance", "--model.kernel_clips", "20")
    options = (*options, "--data.validation_draws", "24", "--trainer.max_steps", "9")
    assert fit(monkeypatch, latents, tmp_path / "run", *options) == 0
    assert "stopping early: Monitored metric validation/kernel_distance = inf is not finite." in capsys.readouterr().err


def test_without_validation_nothing_is_chosen_and_nothing_refused(latents, tmp_path, monkeypatch, capsys) -> None:
    options = ("--early_stopping.monitor", "validation/kernel_distance", "--trainer.limit_val_batches", "0")
    assert fit(monkeypatch, latents, tmp_path / "run", *options, "--trainer.max_steps", "2") == 0
    assert f"last checkpoint: {tmp_path / 'run' / 'last.ckpt'}" in capsys.readouterr().out
