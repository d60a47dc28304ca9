"""Fixtures of all tests: real audio, the mel presets, tiny trained stages."""

import os
from pathlib import Path

import pytest
import torch

from audio.mel import MelConfig

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(scope="session")
def sonic_pi_folder() -> Path:
    """A folder of real recordings (CC0, 22 MB), fetched once; skipped where impossible, but never under CI."""
    from pipelines.recipes.packages import fetch_package

    try:
        folder = fetch_package("sonic-pi-samples")
    except ValueError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"real audio is required under CI: {error}")
        pytest.skip(f"no real audio here: {error}")
    samples = next(folder.rglob("bd_808.flac")).parent
    assert len(list(samples.glob("*.flac"))) > 100
    return samples


@pytest.fixture(scope="session")
def presets() -> dict[str, MelConfig]:
    """All mel presets by name."""
    return {path.stem: MelConfig.from_yaml(path) for path in sorted((ROOT / "configs/mel").glob("*.yaml"))}


@pytest.fixture(scope="session")
def mel(presets: dict[str, MelConfig]) -> MelConfig:
    """The mel of the bundled model."""
    return presets["bigvgan_44khz"]
