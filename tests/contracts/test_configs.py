"""Every YAML says what it means: mel presets load and differ, stage presets build their stage, without training."""

import itertools
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from audio.contract import mel_differences
from audio.latents import LatentClip, LatentFile, LatentSpec
from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.training import MelVAETraining
from latent_diffusion.loading import LatentData
from latent_diffusion.training import LatentDiffusionTraining
from training.cli import StageCLI
from training.data import AudioData
from vocoder.data import VocoderData
from vocoder.training import VocoderTraining

ROOT = Path(__file__).resolve().parents[2]
MELS = sorted((ROOT / "configs/mel").glob("*.yaml"))
STAGES = {
    "autoencoder": (MelVAETraining, AudioData, True),
    "latent_diffusion": (LatentDiffusionTraining, LatentData, False),
    "vocoder": (VocoderTraining, VocoderData, True),
}
NO_STAGES = ("mel", "adapters", "phrasings")
PRESETS = sorted(path for path in (ROOT / "configs").glob("*/*.yaml") if path.parent.name not in NO_STAGES)
# Folders with a whole chain; the others hold experiments on a stage.
CHAINS = sorted({path.parent for path in PRESETS if all((path.parent / f"{name}.yaml").is_file() for name in STAGES)})


class BuiltOnly(StageCLI):
    """Builds trainer, model and data, and stops there."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Train nothing."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def stage_of(path: Path) -> str:
    """`vocoder.yaml` and `vocoder_plain.yaml` are of stage vocoder."""
    return next(name for name in STAGES if path.stem == name or path.stem.startswith(f"{name}_"))


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def latent_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short clips of latents, as stage 1 would have written them."""
    mel = MelConfig.from_yaml(ROOT / "configs/mel/bigvgan_44khz.yaml")
    generator = torch.Generator().manual_seed(0)
    numbers = {"pitch": 60.0, "loudness": -12.0, "brightness": 900.0, "seconds": 0.5}
    clips = tuple(
        LatentClip(start, 20, (f"a {name}",), numbers, name, name, "test", False, split, f"{name}.wav")
        for start, name, split in ((0, "bell", "train"), (20, "kick", "validation"))
    )
    spec = LatentSpec(32, 2, (0.0,) * 32, (1.0,) * 32, mel, "0123456789abcdef", (0.0,) * 32, (1.0,) * 32)
    mean = torch.randn(32, 40, generator=generator)
    path = tmp_path_factory.mktemp("latents") / "latents.safetensors"
    LatentFile(spec, clips, mean, torch.full_like(mean, 0.1), {"licences": ["CC0"]}).save(path)
    return path


@pytest.mark.parametrize("path", MELS, ids=lambda path: path.stem)
def test_mel_presets_load_and_hear(path: Path):
    mel = MelConfig.from_yaml(path)
    assert MelConfig.from_dict(mel.to_dict()) == mel
    log_mel = LogMelSpectrogram(mel)(torch.zeros(1, mel.sample_rate))
    assert log_mel.shape == (1, mel.n_mels, mel.num_frames(mel.sample_rate))
    # Silence lies on the floor, or on what epsilon lifts it to.
    assert float(log_mel.min()) >= mel.log_mel_floor - 1e-4


@pytest.mark.parametrize(
    ("first", "second"), itertools.combinations(MELS, 2), ids=lambda path: getattr(path, "stem", None)
)
def test_mel_presets_differ(first: Path, second: Path):
    differences = mel_differences(MelConfig.from_yaml(first), MelConfig.from_yaml(second))
    assert differences, f"{first.stem} and {second.stem} are one preset under two names"
    assert all(re.fullmatch(r"\w+: \S+ != \S+", text) for text in differences)


@pytest.mark.parametrize("path", PRESETS, ids=relative)
def test_stage_presets_build(path: Path, latent_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    stage = stage_of(path)
    training_class, data_class, link_sample_rate = STAGES[stage]
    command = ["fit", "-c", relative(path), "--trainer.default_root_dir", str(tmp_path), "--trainer.accelerator", "cpu"]
    if stage == "latent_diffusion":
        command += ["--data.latents", str(latent_file)]
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [f"python -m {stage}", *command])
    cli = BuiltOnly(training_class, data_class, link_sample_rate)
    assert cli.model.kind == stage
    assert cli.trainer.max_steps == read(path)["trainer"]["max_steps"]
    assert sum(parameter.numel() for parameter in cli.model.model.parameters()) < 20e6
    if link_sample_rate:
        assert cli.datamodule.sample_rate == cli.model.model.mel.sample_rate == 44100


@pytest.mark.parametrize("path", PRESETS, ids=relative)
def test_stage_presets_say_their_command(path: Path):
    head = path.read_text(encoding="utf-8").split("\nseed_everything")[0]
    assert f"python -m {stage_of(path)} fit -c {relative(path)}" in head
    assert "steps" not in {key for section in read(path).values() if isinstance(section, dict) for key in section}


@pytest.mark.parametrize("folder", CHAINS, ids=lambda folder: folder.name)
def test_the_stages_of_a_preset_belong_together(folder: Path):
    stages = {name: read(folder / f"{name}.yaml") for name in STAGES}
    assert stages["autoencoder"]["model"]["mel"] == stages["vocoder"]["model"]["mel"]
    for name, values in stages.items():
        assert values["trainer"]["default_root_dir"] == f"runs/{folder.name}/{name}"
    latents = Path(stages["latent_diffusion"]["data"]["latents"])
    assert latents.parent == Path(stages["autoencoder"]["trainer"]["default_root_dir"])
