"""Vocoders by name: files, import paths, and everything that is refused."""

import sys
from pathlib import Path

import pytest
import torch

from audio.mel import MelConfig
from training.checkpoint import StageRecord, save_stage
from vocoder import Vocoder, load_vocoder
from vocoder.griffin_lim import GriffinLim
from vocoder.vocos import PriorVocos, VocosConfig

MEL = MelConfig.from_yaml(Path("configs/mel/bigvgan_44khz.yaml"))

MODULE = """
import torch
from audio.mel import MelConfig

class Silence:
    def __init__(self, mel: MelConfig, level: float = 0.0, *, note: str = ""):
        self.mel, self.level, self.note = mel, level, note
    def decode(self, log_mel):
        return torch.full((log_mel.shape[0], self.mel.num_samples(log_mel.shape[2])), self.level)

class Fixed:
    mel = MelConfig(24000, 1024, 1024, 256, 100, 0.0, 12000.0, "htk", "none", "centred", 0.0, 1e-7)
    def decode(self, log_mel): ...

class NoMel:
    def decode(self, log_mel): ...

class NoDecode:
    mel = Fixed.mel

class Stubborn:
    def __init__(self, mel: MelConfig = Fixed.mel): self.mel = mel
    def decode(self, log_mel): ...

class Unsure:
    def __init__(self, mel: MelConfig | None = None): self.mel = mel
    def decode(self, log_mel): ...

class Plain:
    mel = {"sample_rate": 24000}
    def decode(self, log_mel): ...

class Deaf:
    mel = Fixed.mel
    def decode(self): ...

class Greedy:
    mel = Fixed.mel
    def decode(self, log_mel, speaker): ...

class NeitherMember:
    pass

class Explodes:
    mel = Fixed.mel
    def __init__(self): raise KeyError("boom")
    def decode(self, log_mel): ...

class Needs:
    mel = Fixed.mel
    def __init__(self, weights): ...
    def decode(self, log_mel): ...

not_a_class = 3
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "users_vocoders.py").write_text(MODULE)
    (tmp_path / "broken_module.py").write_text("import no_such_thing")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield "users_vocoders"
    sys.modules.pop("users_vocoders", None)


def released(path, **sizes):
    torch.manual_seed(0)
    model = PriorVocos(MEL, VocosConfig(dim=16, intermediate_dim=32, num_layers=1, **sizes))
    record = StageRecord("vocoder", model.to_config()).sealed(model.state_dict())
    save_stage(path, record, model.state_dict(), torch.float32)
    return model.eval()


def test_griffin_lim_needs_no_argument_and_takes_all():
    plain = load_vocoder("vocoder.griffin_lim.GriffinLim", MEL)
    assert isinstance(plain, Vocoder)
    assert (plain.mel, plain.iterations, plain.momentum, plain.seed) == (MEL, 64, 0.99, 0)
    typed = load_vocoder("vocoder.griffin_lim.GriffinLim", MEL, {"iterations": "8", "momentum": 0.5, "seed": 3})
    assert (typed.iterations, typed.momentum, typed.seed) == (8, 0.5, 3)


@pytest.mark.parametrize("prior", [True, False])
def test_a_released_file_decodes_as_the_network_did(tmp_path, prior):
    model = released(tmp_path / "v.safetensors", prior=prior)
    loaded = load_vocoder(str(tmp_path / "v.safetensors"), None)
    log_mel = torch.randn(2, 128, 12) - 4.0
    assert torch.equal(loaded.decode(log_mel), model.decode(log_mel))
    assert loaded.mel == MEL
    assert loaded.record.fingerprint
    assert loaded.config.prior is prior


def test_a_users_class_in_the_current_directory(user_module):
    vocoder = load_vocoder(f"{user_module}.Silence", MEL, {"level": "0.25", "note": "x"})
    assert vocoder.mel == MEL
    assert vocoder.note == "x"
    assert torch.equal(vocoder.decode(torch.zeros(2, 128, 4)), torch.full((2, 2048), 0.25))
    assert load_vocoder(f"{user_module}.Fixed", MEL).mel.sample_rate == 24000


def test_mel_may_be_named_as_a_file(user_module):
    preset = Path(__file__).parents[2] / "configs/mel/vocos_24khz.yaml"
    assert load_vocoder(f"{user_module}.Silence", MEL, {"mel": str(preset)}).mel.sample_rate == 24000


def test_a_class_with_a_mel_of_its_own_keeps_it_and_one_without_gets_the_models(user_module):
    assert load_vocoder(f"{user_module}.Stubborn", MEL).mel.sample_rate == 24000
    assert load_vocoder(f"{user_module}.Unsure", MEL).mel == MEL
    assert load_vocoder(f"{user_module}.Stubborn", MEL, {"mel": MEL.to_dict()}).mel == MEL


def test_plain_griffin_lim_is_griffin_lim_without_momentum():
    log_mel = torch.randn(1, 128, 12, generator=torch.Generator().manual_seed(0)) - 4.0
    plain = load_vocoder("vocoder.griffin_lim.PlainGriffinLim", MEL, {"iterations": 4, "seed": 2})
    assert torch.equal(plain.decode(log_mel), GriffinLim(MEL, 4, 0.0, 2).decode(log_mel))
    assert not torch.allclose(plain.decode(log_mel), GriffinLim(MEL, 4, 0.99, 2).decode(log_mel), atol=1e-3)


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        (
            "vocoder.griffin_lim.GriffinLim",
            {"iteration": 8},
            "no argument 'iteration'.*mel, iterations, momentum, seed",
        ),
        ("vocoder.griffin_lim.GriffinLim", {"iterations": "many"}, "iterations: expected int, got 'many'"),
        ("vocoder.griffin_lim.GriffinLim", {"iterations": 0}, "at least 1, got 0"),
        ("vocoder.griffin_lim.GriffinLim", {"momentum": 1.0}, "momentum.*got 1.0"),
        ("vocoder.griffin_lim.Griffin", {}, "holds no class Griffin"),
        ("vocoder.nothing.X", {}, "module vocoder.nothing cannot be imported"),
        ("users_vocoders.not_a_class", {}, "holds no class not_a_class"),
        ("users_vocoders.NoMel", {}, "lacks 'mel'"),
        ("users_vocoders.NoDecode", {}, "lacks 'decode'"),
        ("users_vocoders.NeitherMember", {}, "lacks 'decode' of mel and decode"),
        ("users_vocoders.Plain", {}, "lacks 'mel', an audio.mel.MelConfig, got dict"),
        ("users_vocoders.Deaf", {}, "'decode' must take one argument, log_mel"),
        ("users_vocoders.Greedy", {}, "'decode' must take one argument, log_mel"),
        ("users_vocoders.Silence", {"mel": 3}, "argument mel: expected a file like configs/mel/x.yaml, got 3"),
        ("users_vocoders.Silence", {"mel": {"n_fft": 3}}, "mel: unknown fields none, missing fields"),
        ("users_vocoders.Explodes", {}, "cannot be made: KeyError"),
        ("users_vocoders.Needs", {}, "needs the argument 'weights'"),
        ("broken_module.X", {}, "no_such_thing"),
        ("GriffinLim", {}, "an import path like"),
        ("some/where/else", {}, "an import path like"),
        ("", {}, "an import path like"),
        ("missing.ckpt", {}, "'missing.ckpt' does not exist"),
        ("missing.safetensors", {}, "does not exist"),
        ("users_vocoders.py", {}, "truncated or not a checkpoint|refused"),
        ("v.safetensors", {"seed": 1}, "takes no arguments, got seed"),
    ],
)
def test_refused_in_one_line(user_module, tmp_path, name, arguments, says):
    released(tmp_path / "v.safetensors")
    with pytest.raises(ValueError, match=says) as caught:
        load_vocoder(name, MEL, arguments)
    assert "\n" not in str(caught.value)


def test_griffin_lim_without_any_mel_is_refused():
    with pytest.raises(ValueError, match="needs the argument 'mel'"):
        load_vocoder("vocoder.griffin_lim.GriffinLim", None)


def test_another_stage_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_stage(path, StageRecord("autoencoder", {}), {"w": torch.zeros(1)}, torch.float32)
    with pytest.raises(ValueError, match="stage 'autoencoder', expected 'vocoder'"):
        load_vocoder(str(path), MEL)


def test_a_truncated_file_is_refused(tmp_path):
    released(tmp_path / "v.safetensors")
    data = (tmp_path / "v.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="truncated"):
        load_vocoder(str(tmp_path / "cut.safetensors"), MEL)


def test_protocol_is_satisfied_structurally():
    assert isinstance(GriffinLim(MEL), Vocoder)
    assert isinstance(PriorVocos(MEL, VocosConfig(dim=8, intermediate_dim=8, num_layers=1)), Vocoder)
    assert not isinstance(MEL, Vocoder)
