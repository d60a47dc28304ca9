"""Published vocoders against the packages they come from: same weights, same mel, same waveform."""

import math

import pytest
import torch

from audio.files import read_audio
from audio.mel import LogMelSpectrogram, MelConfig
from tests.foreign_vocoders import (
    AUDIOLDM,
    BIGVGAN_V1,
    BIGVGAN_V2,
    SPEECHT5,
    VOCOS,
    make_bigvgan,
    make_hifigan,
    make_vocos,
    make_wavernn,
)
from vocoder import load_vocoder

CLIPS = ("loop_amen.flac", "ambi_choir.flac")
MODEL_MEL = MelConfig(44100, 2048, 2048, 512, 128, 0.0, 22050.0, "slaney", "slaney", "same", 1e-9, 1e-5)


def real_audio(folder, mel, seconds=0.6):
    clips = [torch.from_numpy(read_audio(folder / name, mel.sample_rate, seconds=seconds)[0]) for name in CLIPS]
    return torch.stack([clip[: mel.hop_length * 30] for clip in clips])


def load(name, source, **arguments):
    # The model's own mel must not get in the way of a class that knows its own.
    return load_vocoder(name, MODEL_MEL, {"source": str(source), **arguments})


def same_mel(found, expected):
    assert found.shape == expected.shape
    assert (found - expected).abs().mean() <= 1e-5
    assert (found - expected).abs().max() <= 1e-3


def same_sound(found, expected):
    assert found.shape == expected.shape
    assert expected.std() > 1e-3
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("padding", ["center", "same"])
def test_vocos(padding, tmp_path, sonic_pi_folder, presets):
    config = {part: {**values, "init_args": dict(values["init_args"])} for part, values in VOCOS.items()}
    for part in ("feature_extractor", "head"):
        config[part]["init_args"]["padding"] = padding
    original = make_vocos(tmp_path / "vocos", config)
    vocoder = load("vocoder.official_vocos.OfficialVocos", tmp_path / "vocos")
    assert (vocoder.mel == presets["vocos_24khz"]) == (padding == "center")
    waveform = real_audio(sonic_pi_folder, vocoder.mel)
    log_mel = LogMelSpectrogram(vocoder.mel)(waveform)
    expected = original.feature_extractor(waveform)
    same_mel(log_mel, expected)
    found = vocoder.decode(log_mel)
    same_sound(found, original.decode(expected))
    assert found.shape[1] == vocoder.mel.num_samples(log_mel.shape[2])


def test_vocos_with_the_other_backbone(tmp_path):
    backbone = {"class_path": "vocos.models.VocosResNetBackbone"}
    backbone["init_args"] = {"input_channels": 100, "dim": 48, "num_blocks": 2}
    original = make_vocos(tmp_path / "vocos", {**VOCOS, "backbone": backbone})
    vocoder = load("vocoder.official_vocos.OfficialVocos", tmp_path / "vocos")
    log_mel = torch.randn(2, 100, 9) - 4.0
    same_sound(vocoder.decode(log_mel), original.decode(log_mel))


@pytest.mark.parametrize(
    ("config", "preset", "folded"),
    [
        (BIGVGAN_V1, "bigvgan_24khz", False),
        (BIGVGAN_V2, "bigvgan_44khz", False),
        (BIGVGAN_V2, "bigvgan_44khz", True),
        ({**BIGVGAN_V1, "activation": "snake", "resblock": "2", "fmin": 30, "fmax": 8000}, "", False),
    ],
    ids=["v1", "v2", "v2-folded", "v1-snake"],
)
def test_bigvgan(config, preset, folded, tmp_path, sonic_pi_folder, presets, capsys):
    from bigvgan.env import AttrDict
    from bigvgan.meldataset import get_mel_spectrogram

    original = make_bigvgan(tmp_path / "bigvgan", config, folded)
    capsys.readouterr()
    vocoder = load("vocoder.bigvgan.BigVGAN", tmp_path / "bigvgan")
    assert capsys.readouterr().out == ""
    assert not preset or vocoder.mel == presets[preset]
    assert not any(name.endswith(("weight_g", "weight_v")) for name in vocoder.state_dict())
    waveform = real_audio(sonic_pi_folder, vocoder.mel)
    log_mel = LogMelSpectrogram(vocoder.mel)(waveform)
    expected = get_mel_spectrogram(waveform, AttrDict(config))
    same_mel(log_mel, expected)
    with torch.no_grad():
        same_sound(vocoder.decode(log_mel), original(expected)[:, 0])


def test_bigvgan_takes_a_training_checkpoint_of_the_first_version(tmp_path):
    original = make_bigvgan(tmp_path / "v1", BIGVGAN_V1)
    (tmp_path / "v1/bigvgan_generator.pt").rename(tmp_path / "v1/g_05000000")
    log_mel = torch.randn(1, 100, 5) - 4.0
    with torch.no_grad():
        same_sound(load("vocoder.bigvgan.BigVGAN", tmp_path / "v1").decode(log_mel), original(log_mel)[:, 0])


def audioldm_mel(waveform):
    """AudioLDM's own: librosa's filters on |STFT| of (n_fft - hop) / 2 reflected samples, floor 1e-5."""
    from librosa.filters import mel

    filters = torch.from_numpy(mel(sr=16000, n_fft=1024, n_mels=64, fmin=0, fmax=8000))
    padded = torch.nn.functional.pad(waveform, (432, 432), mode="reflect")
    spectrum = torch.stft(padded, 1024, 160, 1024, torch.hann_window(1024), center=False, return_complex=True)
    return torch.log((filters @ spectrum.abs()).clamp(min=1e-5))


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "pickle"])
def test_audioldm_hifigan(safe, tmp_path, sonic_pi_folder, presets):
    original = make_hifigan(tmp_path / "hifigan", AUDIOLDM, safe)
    vocoder = load("vocoder.hifigan.HiFiGAN", tmp_path / "hifigan")
    assert vocoder.mel == presets["audioldm_16khz"]
    waveform = real_audio(sonic_pi_folder, vocoder.mel)
    log_mel = LogMelSpectrogram(vocoder.mel)(waveform)
    expected = audioldm_mel(waveform)
    same_mel(log_mel, expected)
    with torch.no_grad():
        original_sound = original(expected.transpose(1, 2))
    # Its first kernel, 16 over a rate of 5, adds half a sample on either side, 32 samples after all rates.
    assert original_sound.shape[1] == 160 * expected.shape[2] + 32
    same_sound(vocoder.decode(log_mel), original_sound[:, : 160 * expected.shape[2]])


def test_speecht5_hifigan_expects_decimal_logarithms(tmp_path, sonic_pi_folder, presets):
    from transformers import SpeechT5FeatureExtractor

    original = make_hifigan(tmp_path / "hifigan", SPEECHT5)
    vocoder = load("vocoder.hifigan.HiFiGAN", tmp_path / "hifigan")
    assert vocoder.mel == presets["speecht5_16khz"]
    waveform = real_audio(sonic_pi_folder, vocoder.mel)
    log_mel = LogMelSpectrogram(vocoder.mel)(waveform)
    extract = SpeechT5FeatureExtractor()
    expected = torch.stack(
        [extract(audio_target=w.numpy(), sampling_rate=16000, return_tensors="pt").input_values[0] for w in waveform]
    )
    same_mel(log_mel / math.log(10.0), expected.transpose(1, 2))
    with torch.no_grad():
        original_sound = original(expected)
    same_sound(vocoder.decode(log_mel), original_sound[:, : vocoder.mel.num_samples(log_mel.shape[2])])


def test_wavernn_mel_is_that_of_its_training_script(sonic_pi_folder, presets):
    from torchaudio.transforms import MelSpectrogram

    from vocoder.wavernn import MEL

    assert presets["wavernn_22khz"] == MEL
    waveform = real_audio(sonic_pi_folder, MEL)
    theirs = MelSpectrogram(
        22050, 2048, 1100, 275, 40.0, 11025.0, n_mels=80, power=1, norm="slaney", mel_scale="slaney"
    )
    same_mel(LogMelSpectrogram(MEL)(waveform), torch.log(theirs(waveform).clamp(min=1e-5)))


def test_wavernn(tmp_path, sonic_pi_folder):
    from torchaudio.pipelines._tts.impl import _WaveRNNVocoder

    original = _WaveRNNVocoder(make_wavernn(tmp_path / "wavernn.pth"))
    vocoder = load("vocoder.wavernn.WaveRNN", tmp_path / "wavernn.pth", seed=7)
    log_mel = LogMelSpectrogram(vocoder.mel)(real_audio(sonic_pi_folder, vocoder.mel))[:, :, 2:4]
    before = torch.random.get_rng_state()
    found = vocoder.decode(log_mel)
    assert torch.equal(torch.random.get_rng_state(), before)
    for row, clip in zip(found, log_mel, strict=True):
        torch.manual_seed(7)
        with torch.no_grad():
            expected, _ = original(clip[None])
        same_sound(row[None], expected[:, :275])
    other = load("vocoder.wavernn.WaveRNN", tmp_path / "wavernn.pth", seed=8).decode(log_mel[:1])
    assert not torch.allclose(other, found[:1], atol=0.01)
