"""The ear of stage 2's validation: what it hears of latents, and what it does not."""

import pytest
import torch

from latent_diffusion.listening import FEWEST_CLIPS, LatentEar, describe_latents


def latents(clips: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    return torch.randn(clips, 3, 9, generator=torch.Generator().manual_seed(seed)) + shift


def test_vectors_are_the_statistics_of_each_clip_alone() -> None:
    x = latents(4, 1)
    frames = torch.tensor([9, 5, 2, 1])
    found = describe_latents(x, frames)
    for row, count in enumerate(frames.tolist()):
        part = x[row, :, :count]
        step = part.diff(dim=1).abs().mean(dim=1) if count > 1 else torch.zeros(3)
        wanted = torch.cat([part.mean(dim=1), part.std(dim=1, correction=0), step])
        assert torch.allclose(found[row], wanted, atol=1e-5)
    x[1, :, 5:] = 1e6
    assert torch.allclose(describe_latents(x, frames)[1], found[1])


def test_alike_is_near_and_shifted_is_far() -> None:
    ear = LatentEar(60)
    frames = torch.full((60,), 9)
    assert ear.missing == 60
    ear.add(latents(60, 1), latents(60, 2), frames)
    assert ear.missing == 0
    near = ear.distance()
    ear.add(latents(60, 1, shift=1.0), latents(60, 2), frames)
    far = ear.distance()
    assert near is not None
    assert far is not None
    assert abs(near) < 20.0 < 200.0 < far


def test_without_enough_clips_there_is_no_number() -> None:
    ear = LatentEar(40)
    assert ear.distance() is None
    few = FEWEST_CLIPS - 1
    ear.add(latents(few, 1), latents(few, 2), torch.full((few,), 9))
    assert ear.distance() is None
    ear.add(latents(40, 1) * torch.nan, latents(40, 2), torch.full((40,), 9))
    assert ear.distance() is None
    assert LatentEar(0).missing == 0
    with pytest.raises(ValueError, match=r"expected 0 \(off\) or at least 20, got 5"):
        LatentEar(5)
