"""Latent files: round trip, whitening, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from audio.latents import LatentClip, LatentFile, LatentSpec
from audio.mel import MelConfig


@pytest.fixture
def spec(mel: MelConfig) -> LatentSpec:
    return LatentSpec(2, 2, (1.0, -1.0), (2.0, 0.5), mel, "abc", (0.0, 3.0))


def test_whitening_is_per_channel_and_inverted(spec: LatentSpec) -> None:
    raw = torch.randn(3, 2, 7)
    white = spec.whiten(raw)
    assert torch.allclose(white[:, 0], (raw[:, 0] - 1.0) / 2.0)
    assert torch.allclose(white[:, 1], (raw[:, 1] + 1.0) / 0.5)
    assert torch.allclose(spec.unwhiten(white), raw, atol=1e-6)
    with pytest.raises(ValueError, match=r"\(batch, 2, frames\)"):
        spec.whiten(torch.zeros(1, 3, 7))


def test_seconds_become_latent_frames_rounded_up(spec: LatentSpec) -> None:
    assert spec.latent_rate == pytest.approx(44100 / 1024)
    assert spec.num_latent_frames(1024 / 44100) == 1
    assert spec.num_latent_frames(1025 / 44100) == 2
    assert spec.num_latent_frames(0.001) == 1
    # Lengths of whole frames, however their quotients are rounded.
    assert all(spec.num_latent_frames(frames * 1024 / 44100) == frames for frames in range(1, 2600))


@pytest.mark.parametrize(
    "broken",
    [
        *({"std": (1.0, 0.0)}, {"mean": (1.0,)}, {"mean": (1.0, float("nan"))}),
        *({"gains": (1.0,)}, {"gains": (1.0, 0.0)}, {"gains": (float("nan"), 1.0)}),
    ],
)
def test_forgotten_statistics_do_not_pass(broken: dict[str, object], spec: LatentSpec) -> None:
    with pytest.raises(ValueError, match="LatentSpec"):
        replace(spec, **broken)


def test_descriptions_from_before_gains_still_load(spec: LatentSpec) -> None:
    values = spec.to_dict()
    assert LatentSpec.from_dict({**values, "gains": [2.0, 0.5]}).gains == (2.0, 0.5)
    del values["gains"]
    assert LatentSpec.from_dict(values) == spec


def test_a_file_comes_back_whole_and_a_broken_one_is_refused(tmp_path: Path, spec: LatentSpec) -> None:
    clip = LatentClip(0, 5, ("a", "b"), {"pitch": 60.0}, "kick", "drum", "s", False, "train", "k.wav")
    mean, std = torch.randn(2, 5).half(), torch.rand(2, 5).half()
    path = tmp_path / "l.safetensors"
    LatentFile(spec, (clip,), mean, std, {"data": "x"}).save(path)
    again = LatentFile.load(path)
    assert again.spec == spec
    assert again.clips == (clip,)
    assert torch.equal(again.mean, mean)
    assert torch.equal(again.std, std)
    whole = path.read_bytes()
    for content in (whole[:100], whole[:-4], b"", b"x" * 500):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"l\.safetensors"):
            LatentFile.load(path)
