"""A vocoder in a YAML file, and classes that say their types, their decode or their end in unusual ways."""

import sys
from pathlib import Path

import pytest
import torch
import yaml

from audio.mel import MelConfig
from tests.foreign_vocoders import SPEECHT5, make_hifigan
from training.checkpoint import StageRecord, save_stage
from training.command import run_command
from vocoder import load_vocoder
from vocoder.adapter import MelAdapter
from vocoder.adapter.model import KIND, MelAdapterConfig

GRIFFIN_LIM, HIFIGAN = "vocoder.griffin_lim.GriffinLim", "vocoder.hifigan.HiFiGAN"
ADAPTED = "vocoder.adapter.AdaptedVocoder"
HIFIGAN_MEL = str(Path("configs/mel/hifigan_22khz.yaml").resolve())

MODULE = """
from __future__ import annotations
from typing import TYPE_CHECKING, Literal, Optional
if TYPE_CHECKING:
    from audio.mel import MelConfig
    from nowhere import Nothing

class Late:
    def __init__(
        self, mel: MelConfig, n: int = 3, scale: Optional[Literal["natural", "log10"]] = None, unknown: Nothing = None
    ):
        self.mel, self.n, self.scale, self.unknown = mel, n, scale, unknown
        self.decode = lambda log_mel: log_mel[:, 0]

class Leaves:
    def __init__(self, mel):
        raise SystemExit(7)
    def decode(self, log_mel): ...
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "users_own.py").write_text(MODULE)
    (tmp_path / "users_end.py").write_text("import sys\nsys.exit(7)\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("users_own", None)


def write(folder, **entry):
    (folder / "mine.yaml").write_text(yaml.safe_dump(entry))
    return "mine.yaml"


def test_a_file_names_a_class_and_its_arguments_and_the_command_line_overrides_them(here, mel):
    name = write(here, **{"class": GRIFFIN_LIM, "iterations": 5, "seed": 3})
    vocoder = load_vocoder(name, mel)
    assert (vocoder.mel, vocoder.iterations, vocoder.seed) == (mel, 5, 3)
    vocoder = load_vocoder(name, mel, {"iterations": "9"})
    assert (vocoder.iterations, vocoder.seed) == (9, 3)


def test_a_file_may_name_a_checkpoint_and_its_paths_are_those_of_a_command_line(here, mel, stage_files):
    (here / "v.safetensors").write_bytes(stage_files["vocoder"].read_bytes())
    (here / "deep").mkdir()
    (here / "deep/mine.yml").write_text("class: v.safetensors\n")
    assert load_vocoder("deep/mine.yml", None).record.fingerprint
    with pytest.raises(ValueError, match=r"'deep/mine.yml': .*takes no arguments, got seed"):
        load_vocoder("deep/mine.yml", None, {"seed": 1})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"class: {GRIFFIN_LIM}\niteration: 8\n", "'mine.yaml': .*no argument 'iteration'; it has mel, iterations"),
        (f"class: {GRIFFIN_LIM}\niterations: many\n", "iterations: expected int, got 'many'"),
        (f"class_path: {GRIFFIN_LIM}\n", "'mine.yaml' expects a 'class', an import path or a checkpoint, got class_p"),
        ("class: 3\n", "'mine.yaml' expects a 'class'"),
        ("class: mine.yaml\n", "expected an import path or a checkpoint, got the YAML 'mine.yaml'"),
        ("class: no/such.ckpt\n", "'no/such.ckpt' does not exist"),
        ("- a\n- b\n", "expected a 'class' and its arguments in 'mine.yaml', got list"),
        ("", "in 'mine.yaml', got nothing"),
        ("a: [\n", "cannot read 'mine.yaml'"),
        (None, "cannot read 'mine.yaml' .*No such file"),
    ],
)
def test_files_of_another_form_are_refused_in_one_line(here, mel, text, says):
    if text is not None:
        (here / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=says) as caught:
        load_vocoder("mine.yaml", mel)
    assert "\n" not in str(caught.value)


def test_types_that_are_text_are_understood_one_by_one(here, mel):
    vocoder = load_vocoder("users_own.Late", mel, {"n": "5", "scale": "log10", "unknown": "x"})
    assert (vocoder.mel, vocoder.n, vocoder.scale, vocoder.unknown) == (mel, 5, "log10", "x")
    assert load_vocoder("users_own.Late", mel, {"n": 5}).n == 5
    with pytest.raises(ValueError, match="argument n: expected int, got 'many'"):
        load_vocoder("users_own.Late", mel, {"n": "many"})
    with pytest.raises(ValueError, match=r"scale: expected .*Literal\['natural', 'log10'\].*, got 'db'"):
        load_vocoder("users_own.Late", mel, {"scale": "db"})
    with pytest.raises(ValueError, match=r"log_scale: expected .*'natural', 'log10'.*, got 'db'"):
        load_vocoder(HIFIGAN, mel, {"source": "x", "log_scale": "db"})


def test_a_decode_that_is_set_when_the_vocoder_is_made(here, mel):
    assert load_vocoder("users_own.Late", mel).decode(torch.zeros(1, 2, 3)).shape == (1, 3)


@pytest.mark.parametrize("name", ["users_end.Vocoder", "users_own.Leaves"])
def test_a_module_that_ends_the_process_ends_no_command(here, mel, name, capsys):
    def make(vocoder: str) -> None:
        """Make a vocoder."""
        load_vocoder(vocoder, mel)

    assert run_command(make, ["--vocoder", name]) == 2
    assert "SystemExit: 7" in capsys.readouterr().err


@pytest.fixture
def hifigan(tmp_path):
    """A HiFi-GAN of 22.05 kHz, 80 bins, hop 256: no convention that is known."""
    make_hifigan(tmp_path / "hf_22k", {**SPEECHT5, "sampling_rate": 22050})
    return str(tmp_path / "hf_22k")


@pytest.fixture
def adapter_file(presets, tmp_path):
    adapter = MelAdapter(presets["bigvgan_44khz"], presets["hifigan_22khz"], MelAdapterConfig(16, 1, 3))
    record = StageRecord(KIND, adapter.to_config()).sealed(adapter.state_dict())
    save_stage(tmp_path / "a.safetensors", record, dict(adapter.state_dict()), torch.float32)
    return str(tmp_path / "a.safetensors")


@pytest.mark.parametrize("given", [{"mel": HIFIGAN_MEL}, {}])
def test_hifigan_behind_an_adapter(presets, hifigan, adapter_file, given):
    source = presets["bigvgan_44khz"]
    arguments = {"adapter": adapter_file, "vocoder": HIFIGAN, "source": hifigan, **given}
    vocoder = load_vocoder(ADAPTED, source, arguments)
    assert (vocoder.mel, vocoder.vocoder.mel) == (source, presets["hifigan_22khz"])
    waveform = vocoder.decode(torch.randn(1, source.n_mels, 12, generator=torch.Generator().manual_seed(0)) - 5.0)
    assert waveform.shape == (1, source.num_samples(12))
    assert float(waveform.abs().max()) > 0.0


def test_a_mel_given_through_an_adapter_counts(hifigan, adapter_file, presets):
    arguments = {"adapter": adapter_file, "vocoder": HIFIGAN, "source": hifigan}
    with pytest.raises(ValueError, match=r"mel: not that of the generator.*sample_rate: 44100 != 22050"):
        load_vocoder(ADAPTED, presets["bigvgan_44khz"], {**arguments, "mel": presets["bigvgan_44khz"].to_dict()})


def test_hifigan_takes_the_offered_mel_only_where_it_knows_none_and_the_numbers_fit(hifigan, presets, tmp_path):
    assert load_vocoder(HIFIGAN, presets["hifigan_22khz"], {"source": hifigan}).mel == presets["hifigan_22khz"]
    for offered in (None, presets["bigvgan_44khz"]):
        with pytest.raises(ValueError, match="give the argument mel"):
            load_vocoder(HIFIGAN, offered, {"source": hifigan})
    make_hifigan(tmp_path / "speech", SPEECHT5)
    speech = presets["speecht5_16khz"]
    other = MelConfig.from_dict({**speech.to_dict(), "log_floor": 1e-5})
    vocoder = load_vocoder(HIFIGAN, other, {"source": str(tmp_path / "speech")})
    assert (vocoder.mel, vocoder.log_scale) == (speech, "log10")
