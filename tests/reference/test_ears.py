"""Our networks and front ends against the packages' own code, on real recordings.

The numbers of `ears_golden.json` were made once by the originals (the file says how), because they need packages that
this project does not install.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from audio.files import read_audio
from evaluation.aisfx import AisfxEmbedder, in_blocks
from evaluation.crepe import CrepeNetwork
from evaluation.hub import ClapEmbedder, Wav2Vec2Embedder
from evaluation.weights import EARS, read_ear

GOLDEN = json.loads((Path(__file__).parent / "ears_golden.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(GOLDEN["aisfx"]))
def test_aisfx_is_the_original(name: str, ears: None, sonic_pi_folder: Path):
    expected = GOLDEN["aisfx"][name]
    ear = AisfxEmbedder()
    waveform, _ = read_audio(sonic_pi_folder / f"{name}.flac", ear.sample_rate)
    picture = ear.picture(waveform)
    assert (len(picture), len(in_blocks(picture))) == (expected["frames"], expected["blocks"])
    vector = ear.embed(waveform)
    assert float(vector.norm()) == pytest.approx(expected["norm"], rel=1e-3)
    theirs = torch.tensor(expected["every_16th"])
    assert float((vector[::16] - theirs).abs().max()) < 1e-3 * float(theirs.abs().max())


@pytest.mark.parametrize("name", sorted(GOLDEN["crepe"]))
def test_crepe_is_the_original(name: str, ears: None, sonic_pi_folder: Path):
    expected = GOLDEN["crepe"][name]
    waveform, _ = read_audio(sonic_pi_folder / f"{name}.flac")
    samples = torch.from_numpy(waveform[:16000])
    frames = torch.nn.functional.pad(samples, (512, 512)).unfold(0, 1024, 2000)
    activations = CrepeNetwork(read_ear(EARS["crepe"]))(frames)
    assert activations.argmax(dim=1).tolist() == expected["bin"]
    assert activations.amax(dim=1).tolist() == pytest.approx(expected["largest"], abs=1e-4)
    assert activations.sum(dim=1).tolist() == pytest.approx(expected["sum"], rel=1e-3)


def test_wav2vec2_is_that_of_transformers(tmp_path: Path):
    transformers = pytest.importorskip("transformers", reason="transformers is optional")
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, conv_dim=(8,) * 7
    )
    model = transformers.Wav2Vec2Model(config).eval()
    model.save_pretrained(tmp_path)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    ear = Wav2Vec2Embedder(str(tmp_path))
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    with torch.inference_mode():
        normed = torch.from_numpy((noise - noise.mean()) / np.sqrt(noise.var() + 1e-7))
        expected = model(normed[None]).last_hidden_state[0].mean(dim=0)
    assert (ear.sample_rate, ear.width) == (16000, 16)
    assert torch.allclose(ear.embed(noise), expected, atol=1e-5)
    assert ear.embed(noise[:1]).shape == (16,)


def test_clap_is_that_of_transformers(tmp_path: Path):
    transformers = pytest.importorskip("transformers", reason="transformers is optional")
    torch.manual_seed(0)
    audio = {
        "window_size": 8, "spec_size": 256, "num_mel_bins": 64, "patch_embeds_hidden_size": 8, "hidden_size": 16,
        "depths": [1, 1], "num_attention_heads": [1, 2], "num_hidden_layers": 2, "enable_fusion": False,
    }  # fmt: skip
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=12)
    transformers.ClapModel(config).eval().save_pretrained(tmp_path)
    transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(tmp_path)
    ear = ClapEmbedder(str(tmp_path))
    noise = np.random.default_rng(0).standard_normal(12 * 48000).astype(np.float32)
    assert (ear.sample_rate, ear.width) == (48000, 12)
    for samples in (1, 48000, len(noise)):
        vector = ear.embed(noise[:samples])
        assert vector.shape == (12,)
        assert float(vector.norm()) == pytest.approx(1.0, abs=1e-4)
        assert torch.equal(vector, ear.embed(noise[:samples]))
