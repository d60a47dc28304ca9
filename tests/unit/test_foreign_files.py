"""Published weights: files that hold none, folders within a repository of the hub, tensors of odd shapes."""

import shutil

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError

from tests.foreign_vocoders import AUDIOLDM, make_hifigan, make_wavernn
from vocoder import load_vocoder
from vocoder.sources import read_weights

HIFIGAN, WAVERNN = "vocoder.hifigan.HiFiGAN", "vocoder.wavernn.WaveRNN"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 12\n"


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("suffix", [".bin", ".pt", ".safetensors"])
def test_what_is_no_file_of_weights_is_no_attack(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_text(POINTER)
    with pytest.raises(ValueError, match=r"is not a file of weights but git-lfs's note.*git lfs pull"):
        read_weights(path)
    for seed in range(60):
        noise = np.random.default_rng(seed).bytes(2000)
        path.write_bytes(b"\x80\xc3" + noise if seed < 10 else noise)
        with pytest.raises(ValueError, match="not a file of weights") as caught:
            read_weights(path)
        assert "refused" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone.bin' cannot be read"):
        read_weights(tmp_path / "gone.bin")


def test_a_folder_within_a_repository_of_the_hub(tmp_path, monkeypatch):
    make_hifigan(tmp_path / "vocoder", AUDIOLDM)
    asked = []

    def fetch(repo_id, filename, subfolder):
        asked.append((repo_id, subfolder, filename))
        found = tmp_path / subfolder.split("/")[-1] / filename
        if not found.is_file():
            raise EntryNotFoundError("404")
        return str(found)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fetch)
    monkeypatch.chdir(tmp_path)
    for source, folder in (("cvssp/audioldm/vocoder", "vocoder"), ("cvssp/audioldm/deep/vocoder", "deep/vocoder")):
        asked.clear()
        by_name = load_vocoder(HIFIGAN, None, {"source": source})
        assert asked == [("cvssp/audioldm", folder, name) for name in ("config.json", "model.safetensors")]
        assert by_name.fingerprint == load_vocoder(HIFIGAN, None, {"source": str(tmp_path / "vocoder")}).fingerprint
    with pytest.raises(ValueError, match=r"'cvssp/audioldm/other' on the hub holds no config\.json"):
        load_vocoder(HIFIGAN, None, {"source": "cvssp/audioldm/other"})
    with pytest.raises(ValueError, match="neither an existing folder nor a hub name"):
        load_vocoder(HIFIGAN, None, {"source": "cvssp/audioldm/../x"})


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("upsample.resnet.melresnet_model.0.weight", (16, 80), 3),
        ("upsample.upsample_layers.1.weight", (), 4),
        ("upsample.resnet.melresnet_model.5.weight", (), 3),
        ("fc.weight", (), 2),
        ("fc1.weight", (3,), 2),
        ("fc3.weight", (), 2),
    ],
)
def test_a_wavernn_of_odd_shapes_names_the_tensor(tmp_path, wavernn, name, shape, expected):
    path = shutil.copy(wavernn, tmp_path / "odd.pth")
    weights = torch.load(path, weights_only=True)
    assert name in weights
    torch.save({**weights, name: torch.zeros(shape)}, path)
    says = rf"is not a WaveRNN of torchaudio: weight {name}: expected {expected} dimensions, got shape \("
    with pytest.raises(ValueError, match=says):
        load_vocoder(WAVERNN, None, {"source": str(path)})


def test_a_wavernn_with_a_tensor_of_an_odd_name_is_refused_by_it(tmp_path, wavernn):
    path = shutil.copy(wavernn, tmp_path / "odd.pth")
    extra = {"upsample.upsample_layers.x.weight": torch.zeros(1), "upsample.resnet.melresnet_model.y": torch.zeros(1)}
    torch.save({**torch.load(path, weights_only=True), **extra}, path)
    with pytest.raises(ValueError, match=r"2 unexpected \(upsample.resnet.melresnet_model.y"):
        load_vocoder(WAVERNN, None, {"source": str(path)})


@pytest.fixture(scope="module")
def wavernn(tmp_path_factory):
    path = tmp_path_factory.mktemp("wavernn") / "wavernn.pth"
    make_wavernn(path)
    return path
