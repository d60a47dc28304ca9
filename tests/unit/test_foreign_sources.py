"""Published vocoders that cannot be had or are something else: one line each, and nothing that came along is run."""

import copy
import json
import shutil
import sys
from dataclasses import replace

import huggingface_hub
import pytest
import torch
import yaml
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from tests.foreign_vocoders import (
    AUDIOLDM,
    BIGVGAN_V1,
    SPEECHT5,
    VOCOS,
    make_bigvgan,
    make_hifigan,
    make_vocos,
    make_wavernn,
)
from vocoder import Vocoder, load_vocoder

VOCOS_CLASS, BIGVGAN_CLASS = "vocoder.official_vocos.OfficialVocos", "vocoder.bigvgan.BigVGAN"
HIFIGAN_CLASS, WAVERNN_CLASS = "vocoder.hifigan.HiFiGAN", "vocoder.wavernn.WaveRNN"
IN_YAML = {VOCOS_CLASS: "vocos", BIGVGAN_CLASS: "bigvgan", HIFIGAN_CLASS: "hifigan", WAVERNN_CLASS: "wavernn.pth"}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    make_vocos(folder / "vocos")
    make_bigvgan(folder / "bigvgan", BIGVGAN_V1)
    make_hifigan(folder / "hifigan", AUDIOLDM)
    make_wavernn(folder / "wavernn.pth")
    return folder


@pytest.fixture
def folder(published, tmp_path):
    return shutil.copytree(published, tmp_path / "published")


def refused(name, source, says, **arguments):
    with pytest.raises(ValueError, match=says) as caught:
        load_vocoder(name, None, {"source": str(source), **arguments})
    assert "\n" not in str(caught.value)


def change_vocos(folder, part, **changes):
    config = copy.deepcopy(VOCOS)
    config[part].update({key: value for key, value in changes.items() if key == "class_path"})
    config[part]["init_args"].update({key: value for key, value in changes.items() if key != "class_path"})
    (folder / "vocos/config.yaml").write_text(yaml.safe_dump(config))


def change_json(path, drop=(), **changes):
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if key not in drop}))


def change_weights(path, change, key=None):
    values = torch.load(path, weights_only=True)
    change(values[key] if key else values)
    torch.save(values, path)


class Bomb:
    """A pickle that would write a file when read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize(
    ("part", "changes", "says"),
    [
        ("feature_extractor", {"class_path": "vocos.feature_extractors.EncodecFeatures"}, "EnCodec tokens have no mel"),
        ("feature_extractor", {"class_path": "os.system"}, "got os.system; nothing else is made"),
        ("backbone", {"class_path": "subprocess.Popen"}, "backbone: expected .*VocosBackbone.* got subprocess.Popen"),
        ("head", {"class_path": "vocos.heads.IMDCTCosHead"}, "head: expected vocos.heads.ISTFTHead, got"),
        ("backbone", {"adanorm_num_embeddings": 4}, "belongs to EnCodec tokens"),
        ("backbone", {"depth": 4}, "unexpected keyword argument 'depth'"),
        ("backbone", {"input_channels": 80}, "backbone.input_channels: expected 100 .* got 80"),
        ("head", {"hop_length": 128}, "head.hop_length: expected 256 .* got 128"),
        ("head", {"padding": "same"}, "head.padding as framing: expected centred .* got same"),
        ("feature_extractor", {"sample_rate": 16000}, "is of another mel: its filterbank"),
        ("feature_extractor", {"power": 2}, "unknown argument 'power'"),
        ("feature_extractor", {"padding": "left"}, "padding: expected center or same, got 'left'"),
    ],
)
def test_vocos_configs(folder, part, changes, says):
    change_vocos(folder, part, **changes)
    refused(VOCOS_CLASS, folder / "vocos", says)


@pytest.mark.parametrize(
    ("drop", "changes", "says"),
    [
        (("num_mels",), {}, "lacks 'num_mels'; it has resblock"),
        ((), {"hop_size": 128}, r"upsample_rates \[4, 4, 2, 2, 2, 2\] make 256, hop_size is 128"),
        ((), {"fmax": 13000}, "f_min < f_max <= 12000.0"),
        ((), {"activation": "relu"}, "is not a config of BigVGAN"),
        (("snake_logscale",), {}, "is not a config of BigVGAN"),
    ],
)
def test_bigvgan_configs(folder, drop, changes, says):
    change_json(folder / "bigvgan/config.json", drop, **changes)
    refused(BIGVGAN_CLASS, folder / "bigvgan", says)


@pytest.mark.parametrize(
    ("drop", "changes", "says"),
    [
        ((), {"architectures": ["Wav2Vec2Model"]}, "expected SpeechT5HifiGan, got Wav2Vec2Model"),
        (("model_in_dim",), {}, "lacks 'model_in_dim'"),
        ((), {"sampling_rate": 22050}, "sample_rate 22050, n_mels 64, hop_length 160.*give the argument mel"),
    ],
)
def test_hifigan_configs(folder, drop, changes, says):
    change_json(folder / "hifigan/config.json", drop, **changes)
    refused(HIFIGAN_CLASS, folder / "hifigan", says)


def test_hifigan_takes_a_mel_by_name_if_it_is_the_generators(folder, presets, tmp_path):
    mel = replace(presets["audioldm_16khz"], framing="centred", f_min=20.0)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mel.to_dict()))
    named = {"source": str(folder / "hifigan"), "mel": str(tmp_path / "mine.yaml")}
    log_mel = torch.randn(1, 64, 6) - 4.0
    vocoder = load_vocoder(HIFIGAN_CLASS, presets["bigvgan_44khz"], dict(named))
    assert vocoder.mel == mel
    assert vocoder.decode(log_mel).shape == (1, 5 * 160)
    decimal = load_vocoder(HIFIGAN_CLASS, None, {**named, "log_scale": "log10"})
    assert torch.allclose(decimal.decode(log_mel), vocoder.decode(log_mel / torch.log(torch.tensor(10.0))), atol=1e-6)
    says = r"mel: not that of the generator.*sample_rate: 44100 != 16000; n_mels: 128 != 64; hop_length: 512 != 160"
    refused(HIFIGAN_CLASS, folder / "hifigan", says, mel="configs/mel/bigvgan_44khz.yaml")
    refused(HIFIGAN_CLASS, folder / "hifigan", "log_scale: expected .*got 'ln'", log_scale="ln")


def test_a_generator_without_mean_and_scale_needs_them_only_where_they_are_used(folder, tmp_path):
    plain = make_hifigan(tmp_path / "plain", AUDIOLDM, safe=False)
    weights = tmp_path / "plain/pytorch_model.bin"
    change_weights(weights, lambda values: [values.pop(name) for name in ("mean", "scale")])
    log_mel = torch.randn(1, 64, 6) - 4.0
    found = load_vocoder(HIFIGAN_CLASS, None, {"source": str(tmp_path / "plain")}).decode(log_mel)
    with torch.no_grad():
        assert torch.allclose(found, plain(log_mel.transpose(1, 2))[:, :960], atol=1e-5)
    make_hifigan(tmp_path / "speech", SPEECHT5, safe=False)
    weights = tmp_path / "speech/pytorch_model.bin"
    change_weights(weights, lambda values: values.pop("scale"))
    refused(HIFIGAN_CLASS, tmp_path / "speech", r"1 weights missing \(scale\)")


def test_a_missing_and_an_unexpected_key_are_named(folder):
    change_weights(folder / "vocos/pytorch_model.bin", lambda values: values.pop("head.out.bias"))
    refused(VOCOS_CLASS, folder / "vocos", r"1 weights missing \(head.out.bias\), 0 unexpected")
    change_weights(
        folder / "bigvgan/bigvgan_generator.pt", lambda values: values.update(extra=torch.ones(1)), "generator"
    )
    refused(BIGVGAN_CLASS, folder / "bigvgan", r"0 weights missing \(none\), 1 unexpected \(extra\)")
    change_weights(folder / "wavernn.pth", lambda values: values.pop("fc2.bias"))
    refused(WAVERNN_CLASS, folder / "wavernn.pth", r"weights missing \(fc2.bias\)")
    change_weights(folder / "wavernn.pth", lambda values: values.pop("fc1.weight"))
    refused(WAVERNN_CLASS, folder / "wavernn.pth", "is not a WaveRNN of torchaudio: weight fc1.weight is missing")


def test_a_discriminators_file_is_refused(folder):
    torch.save({"mpd": {}, "mrd": {}, "optim_g": {}, "optim_d": {}}, folder / "bigvgan/bigvgan_generator.pt")
    refused(BIGVGAN_CLASS, folder / "bigvgan", "expected the key 'generator', got mpd, mrd, optim_g, optim_d")
    torch.save({"epoch": 3, "state_dict": {}}, folder / "vocos/pytorch_model.bin")
    refused(VOCOS_CLASS, folder / "vocos", "not a plain state dict: expected named tensors, got epoch, state_dict")


def test_one_of_our_checkpoints_is_not_a_published_vocoder(folder, stage_files):
    refused(VOCOS_CLASS, stage_files["autoencoder"], "expected a folder that holds config.yaml, got the file")
    shutil.copy(stage_files["autoencoder"], folder / "hifigan/model.safetensors")
    refused(HIFIGAN_CLASS, folder / "hifigan", r"weights missing \(conv_post.bias, .* unexpected \(decoder")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        (VOCOS_CLASS, "vocos/pytorch_model.bin"),
        (BIGVGAN_CLASS, "bigvgan/bigvgan_generator.pt"),
        (HIFIGAN_CLASS, "hifigan/pytorch_model.bin"),
        (WAVERNN_CLASS, "wavernn.pth"),
    ],
)
def test_a_pickle_that_wants_to_run_code_is_refused_and_a_cut_file_too(folder, name, file):
    path = folder / file
    (folder / "hifigan/model.safetensors").unlink()
    source = path if name == WAVERNN_CLASS else path.parent
    torch.save({"generator": Bomb(folder / "fired")}, path)
    refused(name, source, "was refused: it holds more than weights")
    assert not (folder / "fired").exists()
    torch.save({"generator": {"w": torch.ones(1000)}}, path)
    path.write_bytes(path.read_bytes()[:700])
    refused(name, source, "truncated or not a file of weights")


def test_folders_that_hold_something_else(folder, tmp_path):
    refused(VOCOS_CLASS, folder / "bigvgan", "holds no config.yaml")
    refused(BIGVGAN_CLASS, folder / "hifigan", "lacks .hop_size.")
    refused(BIGVGAN_CLASS, folder / "vocos", "holds no config.json")
    (folder / "bigvgan/bigvgan_generator.pt").unlink()
    refused(BIGVGAN_CLASS, folder / "bigvgan", r"holds no bigvgan_generator.pt or g_\*")
    (folder / "bigvgan/config.json").write_text("{,")
    refused(BIGVGAN_CLASS, folder / "bigvgan", "is not readable JSON")
    (folder / "vocos/config.yaml").write_text("- a\n- b\n")
    refused(VOCOS_CLASS, folder / "vocos", "expected named values, got list")
    refused(VOCOS_CLASS, tmp_path / "nowhere", "neither an existing folder nor a hub name")
    refused(WAVERNN_CLASS, folder, "expected a file with a state dict or one of TACOTRON2_WAVERNN_CHAR_LJSPEECH")


def test_the_hub(folder, monkeypatch):
    def fetch(repo_id, filename, subfolder):
        assert subfolder is None
        if repo_id == "someone/vocos":
            return str(folder / "vocos" / filename)
        if repo_id == "someone/pickled" and not filename.endswith(".safetensors"):
            return str(folder / "hifigan" / filename)
        if repo_id in ("someone/pickled", "someone/empty"):
            raise EntryNotFoundError("404")
        raise LocalEntryNotFoundError("no such file in the cache,\nand no connection")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    log_mel = torch.randn(1, 100, 5) - 4.0
    by_folder = load_vocoder(VOCOS_CLASS, None, {"source": str(folder / "vocos")})
    by_name = load_vocoder(VOCOS_CLASS, None, {"source": "someone/vocos"})
    assert torch.equal(by_name.decode(log_mel), by_folder.decode(log_mel))
    original = make_hifigan(folder / "hifigan", AUDIOLDM, safe=False)
    assert (
        load_vocoder(HIFIGAN_CLASS, None, {"source": "someone/pickled"}).generator.num_kernels == original.num_kernels
    )
    refused(VOCOS_CLASS, "someone/empty", "'someone/empty' on the hub holds no config.yaml")
    refused(VOCOS_CLASS, "someone/else", r"the hub does not give config.yaml of it \(no connection.*download the repo")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda **_: (_ for _ in ()).throw(OSError("gate\nway")))
    refused(VOCOS_CLASS, "someone/else", r"\(gate\)")


@pytest.mark.parametrize(
    ("name", "package", "source"), [(BIGVGAN_CLASS, "bigvgan", "bigvgan"), (HIFIGAN_CLASS, "transformers", "hifigan")]
)
def test_an_absent_package_is_named_with_its_extra(folder, monkeypatch, name, package, source):
    for module in [module for module in sys.modules if module.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    refused(name, folder / source, rf"needs the package {package}: pip install 'melisma\[vocoders\]'")


def test_wavernn_by_the_name_of_a_bundle(folder, monkeypatch, presets):
    import torchaudio.pipelines
    from torchaudio.pipelines._tts.impl import _WaveRNNVocoder

    bundle = type(torchaudio.pipelines.TACOTRON2_WAVERNN_CHAR_LJSPEECH)
    asked = {}

    def give(self, *, dl_kwargs):
        asked.update(dl_kwargs)
        return _WaveRNNVocoder(make_wavernn(folder / "again.pth"))

    monkeypatch.setattr(bundle, "get_vocoder", give)
    by_name = load_vocoder(WAVERNN_CLASS, presets["bigvgan_44khz"], {"source": "TACOTRON2_WAVERNN_CHAR_LJSPEECH"})
    by_file = load_vocoder(WAVERNN_CLASS, None, {"source": str(folder / "wavernn.pth")})
    assert asked["weights_only"] is True
    assert by_name.mel == presets["wavernn_22khz"]
    for name, value in by_file.state_dict().items():
        assert torch.equal(by_name.state_dict()[name], value)
    refused(WAVERNN_CLASS, folder / "wavernn.pth", "hop_length: 256 != 275", mel="configs/mel/hifigan_22khz.yaml")
    monkeypatch.setattr(bundle, "get_vocoder", lambda *_, **__: (_ for _ in ()).throw(OSError("offline")))
    refused(WAVERNN_CLASS, "TACOTRON2_WAVERNN_CHAR_LJSPEECH", r"cannot be fetched \(OSError\)")


@pytest.mark.parametrize("name", IN_YAML)
def test_from_yaml_as_a_class_path(folder, tmp_path, name):
    from jsonargparse import ArgumentParser

    arguments = {"source": str(folder / IN_YAML[name])}
    (tmp_path / "v.yaml").write_text(yaml.safe_dump({"vocoder": {"class_path": name, "init_args": arguments}}))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_subclass_arguments(Vocoder, "vocoder")
    vocoder = parser.instantiate_classes(parser.parse_args(["--config", str(tmp_path / "v.yaml")])).vocoder
    assert isinstance(vocoder, Vocoder)
    assert vocoder.mel == load_vocoder(name, None, dict(arguments)).mel


def test_published_files_named_as_a_checkpoint_get_a_hint(folder):
    for name in (folder / "vocos", folder / "hifigan/model.safetensors", folder / "wavernn.pth"):
        with pytest.raises(ValueError, match="for published weights name their class"):
            load_vocoder(str(name), None)
