"""Tiny trainings of the vocoder, run by the stage's own command in this process."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from audio.files import write_audio
from audio.mel import MelConfig
from training.checkpoint import load_checkpoint
from training.cli import run_stage
from vocoder.data import VocoderData
from vocoder.training import VocoderTraining

MEL = MelConfig(16000, 256, 256, 64, 40, 0.0, 8000.0, "slaney", "slaney", "same", 1e-9, 1e-5)
NETWORK = {"dim": 16, "intermediate_dim": 32, "num_layers": 1}
UPSAMPLING = {"rates": [8, 4, 2], "channels": 16, "residual_kernels": [3], "dilations": [1, 3]}
GAN = {"start_batch": 3, "periods": [2, 3], "period_channels": [2, 4], "fft_sizes": [64], "resolution_channels": 2}


def write_tones(folder: Path, count: int = 10) -> Path:
    """Noisy decaying tones of a quarter of a second at 16 kHz."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    time = np.arange(4000) / 16000
    for index in range(count):
        tone = np.sin(2 * np.pi * draw.uniform(100, 3000) * time) + 0.1 * draw.standard_normal(4000)
        write_audio(folder / f"clip {index}.wav", (0.4 * tone * np.exp(-8 * time)).astype(np.float32), 16000)
    return folder


def write_config(folder: Path, out: Path, trainer: dict[str, Any], data: dict[str, Any], model: dict[str, Any]) -> Path:
    """The YAML of a run in `out/run`."""
    out.mkdir(parents=True, exist_ok=True)
    config = {
        "seed_everything": 1,
        "trainer": {
            "default_root_dir": str(out / "run"),
            "max_steps": 6,
            "num_sanity_val_steps": 0,
            "accelerator": "cpu",
            "log_every_n_steps": 1,
            **trainer,
        },
        "model": {
            "mel": MEL.to_dict(),
            "network": NETWORK,
            "schedule": {"name": "constant", "warmup_steps": 0},
            "preview_clips": 0,
            **model,
        },
        "data": {"folder": str(folder), "segment_seconds": 0.2, "batch_size": 2, "steps_per_epoch": 2, **data},
        "ema": {"decay": 0.9},
    }
    (out / "c.yaml").write_text(yaml.safe_dump(config))
    return out / "c.yaml"


def run(config: Path, *options: str, data_class: type[VocoderData] = VocoderData) -> int:
    """The exit code of `python -m vocoder fit -c CONFIG`."""
    arguments, sys.argv = sys.argv, ["vocoder", "fit", "-c", str(config), *options]
    try:
        return run_stage(VocoderTraining, data_class, link_sample_rate=True)
    finally:
        sys.argv = arguments


def fit(
    folder: Path,
    out: Path,
    trainer: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    data_class: type[VocoderData] = VocoderData,
    **model: Any,
) -> dict[str, Any]:
    """Train, and return the last checkpoint."""
    assert run(write_config(folder, out, trainer or {}, data or {}, model), data_class=data_class) == 0
    return load_checkpoint(out / "run" / "last.ckpt")
