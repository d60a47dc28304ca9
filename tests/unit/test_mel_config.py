"""The contract: every wrong field is refused, every difference is named."""

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from audio.contract import check_same_mel, convert_log_mel
from audio.distances import multi_scale_mel_distance
from audio.inversion import pseudo_inverse_magnitude
from audio.mel import LogMelSpectrogram, MelConfig

CHANGES = {
    "sample_rate": 48000,
    "n_fft": 4096,
    "win_length": 1024,
    "hop_length": 256,
    "n_mels": 80,
    "f_min": 20.0,
    "f_max": 16000.0,
    "mel_scale": "htk",
    "filter_norm": "none",
    "framing": "centred",
    "magnitude_epsilon": 1e-6,
    "log_floor": 1e-4,
}


def test_every_field_has_a_change_to_be_tested() -> None:
    assert set(CHANGES) == {field.name for field in fields(MelConfig)}


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_a_mismatch_names_only_the_field_that_differs(name: str, mel: MelConfig) -> None:
    other = replace(mel, **{name: CHANGES[name]})
    with pytest.raises(ValueError, match=f"{name}: ") as caught:
        check_same_mel(mel, other, "first", "second")
    text = str(caught.value)
    assert str(getattr(mel, name)) in text
    assert str(getattr(other, name)) in text
    assert not any(f"{field}: " in text for field in CHANGES if field != name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sample_rate", 0),
        ("n_fft", -1),
        ("n_mels", 1.5),
        ("f_max", 30000.0),
        ("f_min", -1.0),
        ("mel_scale", "bark"),
        ("filter_norm", "l2"),
        ("framing", "left"),
        ("hop_length", 4096),
        ("log_floor", 0.0),
        ("magnitude_epsilon", -1e-9),
        ("hop_length", 513),
    ],
)
def test_a_wrong_field_is_refused_by_name(name: str, value: object, mel: MelConfig) -> None:
    with pytest.raises(ValueError, match="MelConfig"):
        replace(mel, **{name: value})


def test_plain_containers_and_back(mel: MelConfig) -> None:
    assert MelConfig.from_dict(mel.to_dict()) == mel
    with pytest.raises(ValueError, match="hop"):
        MelConfig.from_dict({**mel.to_dict(), "hop": 1})


def test_a_preset_that_is_none_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "mel.yaml"
    broken.write_text("- 1\n")
    with pytest.raises(ValueError, match="holds no fields"):
        MelConfig.from_yaml(broken)
    with pytest.raises(ValueError, match="cannot read"):
        MelConfig.from_yaml(tmp_path / "missing.yaml")


@pytest.mark.parametrize("samples", [8192, 8191, 8193, 100000])
def test_frames_and_samples_agree_with_the_front_end(samples: int, presets: dict[str, MelConfig]) -> None:
    for config in presets.values():
        frames = LogMelSpectrogram(config)(torch.randn(1, samples)).shape[-1]
        assert frames == config.num_frames(samples)
        assert 0 <= samples - config.num_samples(frames) < config.hop_length


def test_raising_the_floor_is_exact_and_lowering_is_refused(mel: MelConfig) -> None:
    waveform = torch.randn(1, 20000) * torch.linspace(1.0, 0.0, 20000) ** 4
    higher = replace(mel, log_floor=1e-3)
    low, high = LogMelSpectrogram(mel)(waveform), LogMelSpectrogram(higher)(waveform)
    assert torch.equal(convert_log_mel(low, mel, higher), high)
    with pytest.raises(ValueError, match="log_floor"):
        convert_log_mel(high, higher, mel)
    assert torch.equal(convert_log_mel(high, higher, mel, allow_inexact=True), high)
    with pytest.raises(ValueError, match="mel_scale"):
        convert_log_mel(low, mel, replace(mel, mel_scale="htk"))


def test_short_or_misshapen_waveforms_are_refused(mel: MelConfig) -> None:
    front_end = LogMelSpectrogram(mel)
    with pytest.raises(ValueError, match="at least 769 samples"):
        front_end(torch.zeros(1, 768))
    with pytest.raises(ValueError, match=r"\(batch, samples\)"):
        front_end(torch.zeros(8192))


def test_what_inference_computed_first_serves_training_too(mel: MelConfig) -> None:
    other = replace(mel, f_min=33.0)
    with torch.inference_mode():
        LogMelSpectrogram(other)(torch.zeros(1, 8192))
        pseudo_inverse_magnitude(torch.zeros(1, 128, 4), other)
        multi_scale_mel_distance(torch.zeros(1, 8192), torch.zeros(1, 8192), 31999)
    waveform = torch.zeros(1, 8192, requires_grad=True)
    log_mel = LogMelSpectrogram(other)(waveform)
    total = log_mel.sum() + pseudo_inverse_magnitude(log_mel, other).sum()
    (total + multi_scale_mel_distance(waveform, torch.ones(1, 8192), 31999)).backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()
