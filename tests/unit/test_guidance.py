"""Classifier-free guidance: what a guided field is, and when it acts."""

import math

import pytest
import torch

from latent_diffusion.conditioning import Condition
from latent_diffusion.flow import data_and_noise
from latent_diffusion.guidance import GuidanceConfig, Mixture, Prediction, guided_field
from tests.diffusion_doubles import COSINE, FLOW, LINEAR, condition, sampler, stage

VELOCITY = Prediction(FLOW, "velocity")


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
        assert torch.equal(guided_field(field, said, null, GuidanceConfig(), VELOCITY)(noise(3, 8), time), plain)
        for scale in (0.0, 0.5, 3.0, 7.5):
            made = guided_field(field, said, null, GuidanceConfig(scale), VELOCITY)(noise(3, 8), time)
            assert torch.allclose(made, without + scale * (plain - without), atol=1e-4)
    assert counted == [3, 3, 3, 6, 6, 6, 6]


def test_guidance_acts_within_its_interval_only(mel) -> None:
    model = stage(mel)
    said, null = condition(model, 2), model.null_condition(2)
    field = guided_field(model, said, null, GuidanceConfig(4.0, (0.25, 0.75)), VELOCITY)
    everywhere, nowhere = (guided_field(model, said, null, GuidanceConfig(scale), VELOCITY) for scale in (4.0, 1.0))
    with torch.no_grad():
        for time, same in ((0.0, nowhere), (0.2, nowhere), (0.25, everywhere), (0.75, everywhere), (0.8, nowhere)):
            made = field(noise(2, 8), torch.tensor(time))
            assert torch.equal(made, same(noise(2, 8), torch.tensor(time)))
        assert not torch.equal(everywhere(noise(2, 8), torch.tensor(0.5)), nowhere(noise(2, 8), torch.tensor(0.5)))
        # The stage hands it on: an interval between two steps is no guidance at all.
        plain, between = (
            model.sample(noise(2, 8), said, sampler(scale, "euler", 2, interval))
            for scale, interval in ((1.0, (0.0, 1.0)), (4.0, (0.1, 0.4)))
        )
    assert torch.equal(plain, between)


@pytest.mark.parametrize("interval", [(0.5, 0.5), (0.8, 0.2), (-0.1, 0.5), (0.0, 1.1), (math.nan, 1.0)])
def test_refused_intervals(mel, interval) -> None:
    model = stage(mel)
    with pytest.raises(ValueError, match="guidance_interval: expected two rising times from 0 to 1"):
        model.sample(noise(1, 8), condition(model, 1), sampler(2.0, interval=interval))


@pytest.mark.parametrize("scale", [-0.1, math.nan, math.inf])
def test_refused_guidance(mel, scale) -> None:
    model = stage(mel)
    with pytest.raises(ValueError, match="guidance_scale: expected 0 to 100"):
        model.sample(noise(1, 8), condition(model, 1), sampler(scale))


def test_what_is_not_wanted_takes_the_place_of_nothing(mel) -> None:
    model = stage(mel)
    said, unwanted = condition(model, 2), rows_of(condition(model, 4), slice(2, 4))
    settings = sampler(3.0, "euler", 2)
    with torch.no_grad():
        plain = model.sample(noise(2, 8), said, settings)
        away = model.sample(noise(2, 8), said, settings, negative=unwanted)
        same = model.sample(noise(2, 8), said, settings, negative=said)
        unguided = model.sample(noise(2, 8), said, sampler(1.0, "euler", 2))
    assert not torch.allclose(plain, away, atol=1e-3)
    assert torch.allclose(same, unguided, atol=1e-4)


def test_a_mixture_is_the_weighted_sum_of_its_parts(mel) -> None:
    model = stage(mel)
    first, second = condition(model, 2), rows_of(condition(model, 4), slice(2, 4))
    null, time, x = model.null_condition(2), torch.tensor(0.4), noise(2, 8)
    with torch.no_grad():
        one, two, nothing = (model(x, time.expand(2), own) for own in (first, second, null))
        for weights in ((torch.tensor(0.3), torch.tensor(0.7)), (torch.linspace(1, 0, 8), torch.linspace(0, 1, 8))):
            mixture = Mixture((first, second), weights)
            mixed = weights[0] * one + weights[1] * two
            made = guided_field(model, mixture, null, GuidanceConfig(), VELOCITY)(x, time)
            assert torch.allclose(made, mixed, atol=1e-5)
            made = guided_field(model, mixture, null, GuidanceConfig(4.0), VELOCITY)(x, time)
            assert torch.allclose(made, nothing + 4.0 * (mixed - nothing), atol=1e-4)


@pytest.mark.parametrize(("path", "name"), [(FLOW, "velocity"), (COSINE, "noise"), (COSINE, "v"), (LINEAR, "v")])
def test_rescaling_restores_the_spread_of_the_data(mel, path, name) -> None:
    model = stage(mel, path, name)
    said, null, x, time = condition(model, 3), model.null_condition(3), noise(3, 8), torch.tensor(0.6)
    mask = torch.arange(8)[None] < torch.tensor([8, 5, 3])[:, None]
    prediction = Prediction(path, name)

    def spread(guidance: GuidanceConfig) -> torch.Tensor:
        field = guided_field(lambda *given: model(*given), said, null, guidance, prediction, mask)
        data, _ = data_and_noise(field(x, time), x, time, path, name)
        return torch.stack([row[:, own].std(correction=0) for row, own in zip(data, mask, strict=True)])

    with torch.no_grad():
        plain, guided = spread(GuidanceConfig()), spread(GuidanceConfig(6.0))
        assert not torch.allclose(plain, guided, rtol=0.05)
        assert torch.allclose(spread(GuidanceConfig(6.0, rescale=1.0)), plain, rtol=1e-3)
        half = spread(GuidanceConfig(6.0, rescale=0.5))
    assert torch.allclose(half, 0.5 * (plain + guided), rtol=1e-3)


@pytest.mark.parametrize(("path", "name"), [(FLOW, "velocity"), (COSINE, "noise"), (COSINE, "v")])
def test_a_projected_step_has_nothing_along_the_data(mel, path, name) -> None:
    model = stage(mel, path, name)
    said, null, x, time = condition(model, 3), model.null_condition(3), noise(3, 8), torch.tensor(0.5)
    prediction = Prediction(path, name)

    def data(guidance: GuidanceConfig) -> torch.Tensor:
        field = guided_field(lambda *given: model(*given), said, null, guidance, prediction)
        return data_and_noise(field(x, time), x, time, path, name)[0].flatten(1)

    with torch.no_grad():
        plain = data(GuidanceConfig())
        # What guidance adds to the conditioned data, which themselves stay whole (Sadat et al., equation 7).
        projected = data(GuidanceConfig(5.0, parallel=0.0)) - plain
        whole = data(GuidanceConfig(5.0)) - plain
    along = (projected * plain).sum(1) / (projected.norm(dim=1) * plain.norm(dim=1))
    assert along.abs().max() < 1e-3
    # What stands across the data is left as it was.
    across = whole - (whole * plain).sum(1, keepdim=True) / plain.square().sum(1, keepdim=True) * plain
    assert torch.allclose(projected, across, atol=1e-2 * float(whole.abs().max()))


@pytest.mark.parametrize("steps", [10, 20, 50])
def test_both_ends_of_an_interval_are_within_it(mel, steps) -> None:
    model = stage(mel, FLOW, "velocity")
    said, null, x = condition(model, 1), model.null_condition(1), noise(1, 8)
    times = torch.linspace(0.0, 1.0, steps + 1)
    for low in range(1, 9):
        interval = (low / 10, (low + 1) / 10)
        guided = guided_field(model, said, null, GuidanceConfig(5.0, interval), VELOCITY)
        with torch.no_grad():
            for number in (low * steps // 10, (low + 1) * steps // 10):
                time = times[number]
                assert not torch.allclose(guided(x, time), model(x, time.expand(1), said)), (interval, float(time))


@pytest.mark.parametrize(("name", "value"), [("rescale", -0.1), ("rescale", math.nan), ("parallel", 1.5)])
def test_refused_shares(name, value) -> None:
    with pytest.raises(ValueError, match=f"guidance_{name}: expected 0 to 1"):
        GuidanceConfig(3.0, **{name: value})


def rows_of(whole: Condition, part: slice) -> Condition:
    return Condition(whole.tokens[part], whole.mask[part], whole.vector[part])
