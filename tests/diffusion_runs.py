"""Small trainings of stage 2 by its own command line."""

import sys
from pathlib import Path

import pytest

from latent_diffusion.loading import LatentData
from latent_diffusion.training import LatentDiffusionTraining
from training.cli import run_stage

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    *("--model.network.width", "16", "--model.network.depth", "2", "--model.network.heads", "2"),
    *("--model.network.hidden", "24", "--model.network.modulation_rank", "4", "--model.schedule.warmup_steps", "2"),
    *("--model.schedule.name", "constant", "--data.batch_size", "4", "--data.steps_per_epoch", "3"),
    *("--data.validation_draws", "4", "--data.lengths.max_seconds", "0.6", "--trainer.accelerator", "cpu"),
]


def fit(
    monkeypatch: pytest.MonkeyPatch, latents: Path, out: Path, *options: str, config: str = "tiny", small: bool = True
) -> int:
    """Run the command; returns its exit code."""
    arguments = ["fit", "-c", str(ROOT / "configs" / config / "latent_diffusion.yaml"), "--data.latents", str(latents)]
    arguments += ["--trainer.default_root_dir", str(out), *(SMALL if small else []), *options]
    monkeypatch.setattr(sys, "argv", ["python -m latent_diffusion", *arguments])
    return run_stage(LatentDiffusionTraining, LatentData, link_sample_rate=False)
