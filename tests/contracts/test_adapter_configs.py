"""Every adapter's YAML says its command, joins the two mels of its name, and builds."""

import sys
from pathlib import Path

import pytest
import yaml

from audio.mel import MelConfig
from training.cli import StageCLI
from vocoder.adapter.training import AdapterData, MelAdapterTraining

ROOT = Path(__file__).resolve().parents[2]
ADAPTERS = sorted((ROOT / "configs/adapters").glob("*.yaml"))


class BuiltOnly(StageCLI):
    """Builds trainer, model and data, and stops there."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Train nothing."""


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.stem)
def test_adapter_presets_say_their_command_and_build(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name = path.relative_to(ROOT).as_posix()
    text = path.read_text(encoding="utf-8")
    assert f"python -m vocoder.adapter fit -c {name}" in text.split("\nseed_everything")[0]
    assert yaml.safe_load(text)["trainer"]["default_root_dir"] == f"runs/adapters/{path.stem}"
    monkeypatch.chdir(ROOT)
    words = ["fit", "-c", name, "--trainer.default_root_dir", str(tmp_path), "--trainer.accelerator", "cpu"]
    monkeypatch.setattr(sys, "argv", ["python -m vocoder.adapter", *words])
    cli = BuiltOnly(MelAdapterTraining, AdapterData, link_sample_rate=False)
    source, target = (MelConfig.from_yaml(ROOT / f"configs/mel/{mel}.yaml") for mel in path.stem.split("_to_"))
    assert (cli.model.model.source, cli.model.model.target) == (source, target)
    assert cli.datamodule.sample_rate == max(source.sample_rate, target.sample_rate)


def test_there_are_adapter_presets():
    assert "bigvgan_44khz_to_vocos_24khz" in {path.stem for path in ADAPTERS}
