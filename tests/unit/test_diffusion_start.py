"""Sampling that starts on the way: near the end it returns what it was given, and at the beginning it is sampling."""

from dataclasses import replace

import pytest
import torch

from latent_diffusion.model import LatentDiffusion
from latent_diffusion.paths import PathConfig
from latent_diffusion.solvers import solver_times
from tests.diffusion_doubles import sampler


@pytest.fixture(scope="module")
def diffusion(stage_files):
    return LatentDiffusion.from_checkpoint(stage_files["latent_diffusion"])


@pytest.fixture(scope="module")
def given(diffusion):
    generator = torch.Generator().manual_seed(0)
    data, noise = (torch.randn(2, diffusion.spec.channels, 12, generator=generator) for _ in range(2))
    return data, noise, diffusion.null_condition(2)


@pytest.mark.parametrize("solver", ["euler", "midpoint", "heun"])
def test_the_later_the_start_the_nearer_the_result(diffusion, given, solver):
    data, noise, condition = given
    errors = []
    for time in (0.7, 0.9, 0.99, 0.999):
        made = diffusion.sample(noise, condition, sampler(1.0, solver, 4), start=data, start_time=time)
        errors.append(float((made - data).abs().mean()))
    # A flow moves by velocity times the time that is left.
    assert errors[0] > 3.0 * errors[2] > 25.0 * errors[3] > 0.0
    assert errors[3] < 0.01


@pytest.mark.parametrize("solver", ["ddim", "ancestral"])
def test_a_variance_preserving_path_starts_on_the_way_too(diffusion, given, solver):
    data, noise, condition = given
    config = replace(diffusion.config, path=PathConfig("variance_preserving"), prediction="v")
    other = LatentDiffusion(config)
    other.load_state_dict(diffusion.state_dict())
    errors = []
    for time in (0.7, 0.9, 0.999):
        made = other.sample(noise, condition, sampler(1.0, solver, 4), start=data, start_time=time)
        errors.append(float((made - data).abs().mean()))
    assert errors[0] > errors[1] > 5.0 * errors[2] > 0.0


def test_from_time_zero_it_is_plain_sampling(diffusion, given):
    data, noise, condition = given
    plain = diffusion.sample(noise, condition, sampler(solver_steps=3))
    assert torch.equal(diffusion.sample(noise, condition, sampler(solver_steps=3), start=data, start_time=0.0), plain)


def test_the_start_is_the_point_of_the_path(diffusion, given, monkeypatch):
    """With a field that does not move, what comes out is x_t itself."""
    data, noise, condition = given
    monkeypatch.setattr(diffusion, "forward", lambda latents, *_: torch.zeros_like(latents))
    made = diffusion.sample(noise, condition, sampler(solver_steps=2), start=data, start_time=0.8)
    assert torch.allclose(made, 0.8 * data + 0.2 * noise, atol=1e-6)


def test_misuse_is_named(diffusion, given):
    data, noise, condition = given
    with pytest.raises(ValueError, match="start_time and kept need latents to start from"):
        diffusion.sample(noise, condition, start_time=0.7)
    with pytest.raises(ValueError, match=r"start_time: expected 0 .* to less than 1"):
        diffusion.sample(noise, condition, start=data, start_time=1.0)
    with pytest.raises(ValueError, match="start: expected the shape of noise"):
        diffusion.sample(noise, condition, start=data[..., :5], start_time=0.7)


def test_times_rise_evenly_from_the_start():
    assert solver_times(3, 0.7).tolist() == pytest.approx([0.7, 0.8, 0.9, 1.0])
