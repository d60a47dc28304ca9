"""Every mel preset against an independent computation, on real audio; both STFT paths."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from audio.files import read_audio
from audio.mel import LogMelSpectrogram, MelConfig

PRESETS = ("audioldm_16khz", "bigvgan_24khz", "bigvgan_44khz", "hifigan_22khz", "vocos_24khz")
CLIPS = ("loop_amen.flac", "ambi_choir.flac", "tabla_ke1.flac")
# A pure sub-bass: most mel bins lie 150 dB below the loudest, where float32 itself rounds by 4e-3 nats.
SUB_BASS = "bd_808.flac"


def slaney_hz_to_mel(hertz: np.ndarray) -> np.ndarray:
    """Slaney's auditory toolbox: linear to 1 kHz, then 27 steps per factor 6.4."""
    return np.where(
        hertz < 1000.0, hertz * 3.0 / 200.0, 15.0 + 27.0 * np.log(np.maximum(hertz, 1e-9) / 1000.0) / np.log(6.4)
    )


def slaney_mel_to_hz(mels: np.ndarray) -> np.ndarray:
    return np.where(mels < 15.0, mels * 200.0 / 3.0, 1000.0 * np.exp((mels - 15.0) * np.log(6.4) / 27.0))


def independent_log_mel(waveform: np.ndarray, config: MelConfig) -> np.ndarray:
    """The definition, written out in numpy and float64, frame by frame."""
    signal = np.pad(waveform.astype(np.float64), config.padding, mode="reflect")
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(config.win_length) / config.win_length)
    starts = range(0, len(signal) - config.n_fft + 1, config.hop_length)
    spectrum = np.stack([np.fft.rfft(signal[start : start + config.n_fft] * window) for start in starts], axis=1)
    magnitude = np.sqrt(np.abs(spectrum) ** 2 + config.magnitude_epsilon)
    if config.mel_scale == "slaney":
        low, high = slaney_hz_to_mel(np.array(config.f_min)), slaney_hz_to_mel(np.array(config.f_max))
        edges = slaney_mel_to_hz(np.linspace(low, high, config.n_mels + 2))
    else:
        low, high = (2595.0 * np.log10(1.0 + f / 700.0) for f in (config.f_min, config.f_max))
        edges = 700.0 * (10.0 ** (np.linspace(low, high, config.n_mels + 2) / 2595.0) - 1.0)
    bins = np.linspace(0.0, config.sample_rate / 2, config.n_fft // 2 + 1)
    rising = (bins[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins[None]) / (edges[2:] - edges[1:-1])[:, None]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if config.filter_norm == "slaney":
        filters *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return np.log(np.maximum(filters @ magnitude, config.log_floor))


def real_clip(folder: Path, name: str, config: MelConfig) -> np.ndarray:
    return read_audio(folder / name, config.sample_rate, seconds=1.5)[0]


@pytest.mark.parametrize("backend", ["torch", "nnaudio"])
@pytest.mark.parametrize("name", PRESETS)
def test_preset_equals_its_definition(
    name: str, backend: str, presets: dict[str, MelConfig], sonic_pi_folder: Path
) -> None:
    config = presets[name]
    for clip in (*CLIPS, SUB_BASS):
        waveform = real_clip(sonic_pi_folder, clip, config)
        expected = independent_log_mel(waveform, config)
        got = LogMelSpectrogram(config, backend)(torch.from_numpy(waveform)[None])[0].numpy()
        assert got.shape == expected.shape == (config.n_mels, config.num_frames(len(waveform)))
        difference = np.abs(got - expected)
        assert difference.mean() <= (1e-4 if clip == SUB_BASS else 1e-5)
        assert difference.max() <= (5e-3 if clip == SUB_BASS else 1e-3)


def test_vocos_preset_equals_the_vocos_package(presets: dict[str, MelConfig], sonic_pi_folder: Path) -> None:
    from vocos.feature_extractors import MelSpectrogramFeatures

    config = presets["vocos_24khz"]
    theirs = MelSpectrogramFeatures(sample_rate=24000, n_fft=1024, hop_length=256, n_mels=100, padding="center")
    for clip in CLIPS:
        waveform = torch.from_numpy(real_clip(sonic_pi_folder, clip, config))[None]
        expected: Tensor = theirs(waveform)
        got = LogMelSpectrogram(config)(waveform)
        assert (got - expected).abs().mean() <= 1e-5
        assert (got - expected).abs().max() <= 1e-3


@pytest.mark.parametrize("backend", ["torch", "nnaudio"])
@pytest.mark.parametrize("name", PRESETS)
def test_gradients_are_finite_on_digital_silence(name: str, backend: str, presets: dict[str, MelConfig]) -> None:
    waveform = torch.zeros(1, 8192, requires_grad=True)
    LogMelSpectrogram(presets[name], backend)(waveform).sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()


def test_the_front_end_adds_nothing_to_a_state_dict(mel: MelConfig) -> None:
    front_end = LogMelSpectrogram(mel, "nnaudio")
    front_end(torch.zeros(1, 8192))
    assert dict(front_end.state_dict()) == {}


def test_families_differ_by_nats_on_real_audio(presets: dict[str, MelConfig], sonic_pi_folder: Path) -> None:
    """Why the contract exists: equal numbers on the box, another mel inside."""
    vocos, bigvgan = presets["vocos_24khz"], presets["bigvgan_24khz"]
    waveform = torch.from_numpy(real_clip(sonic_pi_folder, "loop_amen.flac", vocos))[None]
    first, second = LogMelSpectrogram(vocos)(waveform), LogMelSpectrogram(bigvgan)(waveform)
    frames = min(first.shape[-1], second.shape[-1])
    assert (first[..., :frames] - second[..., :frames]).abs().mean() > 1.0
