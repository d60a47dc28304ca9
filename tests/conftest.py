"""Fixtures of all tests: real audio, the mel presets, tiny trained stages."""

import os
from pathlib import Path

import pytest
import torch

from audio.latents import LatentSpec
from audio.mel import MelConfig
from training.checkpoint import KINDS, StageRecord, save_stage

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    # Tiny networks lose more time waiting for a second thread than it saves; the gate runs two processes instead.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sonic_pi_package() -> Path:
    """A package of real recordings (CC0, 22 MB), fetched once; skipped where impossible, but never under CI."""
    from pipelines.recipes import sonic_pi
    from pipelines.recipes.packages import fetch_package

    try:
        return fetch_package(sonic_pi.PACKAGE)
    except ValueError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"real audio is required under CI: {error}")
        pytest.skip(f"no real audio here: {error}")


@pytest.fixture(scope="session")
def sonic_pi_folder(sonic_pi_package: Path) -> Path:
    """The folder of its recordings."""
    samples = next(sonic_pi_package.rglob("bd_808.flac")).parent
    assert len(list(samples.glob("*.flac"))) > 100
    return samples


@pytest.fixture(scope="session")
def ears() -> None:
    """The pretrained ears aiSFX and CREPE, fetched once; skipped where impossible, but never under CI."""
    from evaluation.weights import EARS
    from pipelines.install_ears import install_ear

    try:
        for name in ("aisfx", "crepe"):
            install_ear(EARS[name])
    except ValueError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"the ears are required under CI: {error}")
        pytest.skip(f"no ears here: {error}")


@pytest.fixture(scope="session")
def presets() -> dict[str, MelConfig]:
    """All mel presets by name."""
    return {path.stem: MelConfig.from_yaml(path) for path in sorted((ROOT / "configs/mel").glob("*.yaml"))}


@pytest.fixture(scope="session")
def mel(presets: dict[str, MelConfig]) -> MelConfig:
    """The mel of the bundled model."""
    return presets["bigvgan_44khz"]


@pytest.fixture(scope="session")
def stage_files(tmp_path_factory: pytest.TempPathFactory, mel: MelConfig) -> dict[str, Path]:
    """Three small stages with seeded random weights that belong together, as released files."""
    from autoencoder.model import MelVAE, MelVAEConfig
    from latent_diffusion.conditioning import ConditioningConfig
    from latent_diffusion.config import LatentDiffusionConfig
    from latent_diffusion.model import LatentDiffusion
    from latent_diffusion.network import NetworkConfig
    from latent_diffusion.paths import PathConfig
    from vocoder.vocos import PriorVocos, VocosConfig

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("stages")
    vae = MelVAE(mel, MelVAEConfig(latent_channels=8, width=32, encoder_blocks=(1, 1), decoder_blocks=(1, 1)))
    first = StageRecord("autoencoder", vae.to_config(), parts={"encoder": ""}, licences=["CC0-1.0"])
    first = first.sealed(vae.state_dict())
    spec = LatentSpec(8, 2, (0.0,) * 8, (1.0,) * 8, mel, first.parts["encoder"], (0.0,) * 8)
    ranges = {"pitch": (20.0, 100.0), "loudness": (-40.0, 0.0), "brightness": (50.0, 12000.0), "seconds": (0.1, 3.0)}
    diffusion = LatentDiffusion(
        LatentDiffusionConfig(
            network=NetworkConfig(width=32, depth=2, heads=2, hidden=64, modulation_rank=8),
            path=PathConfig(),
            prediction="velocity",
            conditioning=ConditioningConfig("minilm", 384, ("bell", "kick", "snare"), ranges),
            latents=spec,
            max_seconds=3.0,
        )
    )
    diffusion.preconditioner.assume_white()
    for parameter in diffusion.parameters():
        # A fresh transformer ends in zeros: without this, every prompt would give the same clip.
        torch.nn.init.normal_(parameter, std=0.05)
    second = StageRecord("latent_diffusion", diffusion.to_config()).sealed(diffusion.state_dict())
    vocoder = PriorVocos(mel, VocosConfig(dim=32, intermediate_dim=64, num_layers=2))
    third = StageRecord("vocoder", vocoder.to_config(), licences=["CC-BY-3.0"]).sealed(vocoder.state_dict())
    paths = {kind: folder / f"{kind}.safetensors" for kind in KINDS}
    for kind, record, stage in zip(KINDS, (first, second, third), (vae, diffusion, vocoder), strict=True):
        save_stage(paths[kind], record, dict(stage.state_dict()), torch.float32)
    return paths


@pytest.fixture(scope="session")
def small_bundle(tmp_path_factory: pytest.TempPathFactory, stage_files: dict[str, Path]) -> Path:
    """A bundle of the small stages."""
    from pipelines.bundle import bundle

    out = tmp_path_factory.mktemp("bundles") / "small"
    bundle(stage_files["autoencoder"], stage_files["latent_diffusion"], stage_files["vocoder"], out, dtype="float32")
    return out
