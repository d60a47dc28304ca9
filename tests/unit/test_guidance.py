"""Classifier-free guidance: what a guided field is, and when it acts."""

import math

import pytest
import torch

from latent_diffusion.guidance import guided_field
from tests.diffusion_doubles import condition, stage


def noise(rows: int, frames: int) -> torch.Tensor:
    return torch.randn(rows, 6, frames, generator=torch.Generator().manual_seed(7))


def test_guidance_of_one_is_the_field_itself_and_costs_one_forward(mel) -> None:
    model = stage(mel)
    said, null = condition(model, 3), model.null_condition(3)
    counted = []

    def field(latents, time, own):
        counted.append(len(latents))
        return model(latents, time, own)

    time = torch.tensor(0.4)
    with torch.no_grad():
        plain = field(noise(3, 8), time.expand(3), said)
        without = field(noise(3, 8), time.expand(3), null)
        assert torch.equal(guided_field(field, said, null, 1.0)(noise(3, 8), time), plain)
        for scale in (0.0, 0.5, 3.0, 7.5):
            made = guided_field(field, said, null, scale)(noise(3, 8), time)
            assert torch.allclose(made, without + scale * (plain - without), atol=1e-4)
    assert counted == [3, 3, 3, 6, 6, 6, 6]


def test_guidance_acts_within_its_interval_only(mel) -> None:
    model = stage(mel)
    said, null = condition(model, 2), model.null_condition(2)
    field = guided_field(model, said, null, 4.0, (0.25, 0.75))
    everywhere, nowhere = (guided_field(model, said, null, scale) for scale in (4.0, 1.0))
    with torch.no_grad():
        for time, same in ((0.0, nowhere), (0.2, nowhere), (0.25, everywhere), (0.75, everywhere), (0.8, nowhere)):
            made = field(noise(2, 8), torch.tensor(time))
            assert torch.equal(made, same(noise(2, 8), torch.tensor(time)))
        assert not torch.equal(everywhere(noise(2, 8), torch.tensor(0.5)), nowhere(noise(2, 8), torch.tensor(0.5)))
        # The stage hands it on: an interval between two steps is no guidance at all.
        plain, between = (
            model.sample(noise(2, 8), said, scale, "euler", 2, guidance_interval=interval)
            for scale, interval in ((1.0, (0.0, 1.0)), (4.0, (0.1, 0.4)))
        )
    assert torch.equal(plain, between)


@pytest.mark.parametrize("interval", [(0.5, 0.5), (0.8, 0.2), (-0.1, 0.5), (0.0, 1.1), (math.nan, 1.0)])
def test_refused_intervals(mel, interval) -> None:
    model = stage(mel)
    with pytest.raises(ValueError, match="guidance_interval: expected two rising times from 0 to 1"):
        model.sample(noise(1, 8), condition(model, 1), 2.0, guidance_interval=interval)


@pytest.mark.parametrize("scale", [-0.1, math.nan, math.inf])
def test_refused_guidance(mel, scale) -> None:
    model = stage(mel)
    with pytest.raises(ValueError, match="guidance_scale: expected a number of at least 0"):
        model.sample(noise(1, 8), condition(model, 1), scale)
