"""What is kept of given latents, and the numbers of a sampler."""

import math

import pytest
import torch

from latent_diffusion.sampling import SamplerConfig
from latent_diffusion.solvers import SOLVERS
from tests.diffusion_doubles import COSINE, FLOW, condition, sampler, stage

EVERYWHERE = [(FLOW, "velocity", name) for name in SOLVERS["rectified_flow"]] + [
    (COSINE, prediction, name) for prediction in ("noise", "v") for name in SOLVERS["variance_preserving"]
]


def drawn(rows: int, frames: int, seed: int) -> torch.Tensor:
    return torch.randn(rows, 6, frames, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("path", "prediction", "solver"), EVERYWHERE)
def test_kept_frames_come_out_as_they_went_in_and_the_others_do_not(mel, path, prediction, solver) -> None:
    model = stage(mel, path, prediction)
    given = model.spec.unwhiten(drawn(2, 10, 3))
    kept = torch.zeros(2, 10, dtype=torch.bool)
    kept[0, :4], kept[1, 6:] = True, True
    settings = sampler(2.0, solver, 6)
    made = model.sample(drawn(2, 10, 1), condition(model, 2), settings, start=given, kept=kept)
    free = model.sample(drawn(2, 10, 1), condition(model, 2), settings)
    assert torch.allclose(made.transpose(1, 2)[kept], given.transpose(1, 2)[kept], atol=1e-4)
    assert not torch.allclose(made.transpose(1, 2)[~kept], given.transpose(1, 2)[~kept], atol=1e-1)
    # What is made new hears what is kept beside it.
    assert not torch.allclose(made.transpose(1, 2)[~kept], free.transpose(1, 2)[~kept], atol=1e-3)


def test_kept_frames_stay_when_the_others_start_on_the_way(mel) -> None:
    model = stage(mel)
    given = model.spec.unwhiten(drawn(1, 10, 3))
    kept = torch.arange(10)[None] < 5
    made = model.sample(drawn(1, 10, 1), condition(model, 1), sampler(2.0, None, 6), None, None, given, 0.6, kept)
    assert torch.allclose(made[:, :, :5], given[:, :, :5], atol=1e-4)
    assert not torch.allclose(made[:, :, 5:], given[:, :, 5:], atol=1e-1)


@pytest.mark.parametrize(("path", "prediction", "solver"), EVERYWHERE)
def test_frames_let_go_later_stay_nearer_to_what_was_given(mel, path, prediction, solver) -> None:
    model = stage(mel, path, prediction)
    given, settings = model.spec.unwhiten(drawn(1, 10, 3)), sampler(2.0, solver, 10)

    def made(kept: torch.Tensor) -> torch.Tensor:
        return model.sample(drawn(1, 10, 1), condition(model, 1), settings, start=given, kept=kept)

    side = torch.arange(10)[None] < 4
    until = [made(torch.where(side, 1.0, time)) for time in (0.0, 0.35, 0.65, 0.95)]
    assert torch.equal(until[0], made(side))
    away = [float((one - given)[:, :, 4:].abs().mean()) for one in until]
    assert away == sorted(away, reverse=True), away
    assert away[3] < 0.7 * away[0], away
    for one in until:
        assert torch.allclose(one[:, :, :4], given[:, :, :4], atol=1e-4)


def test_refused_shapes_and_numbers(mel) -> None:
    model = stage(mel)
    given = drawn(1, 8, 2)
    with pytest.raises(ValueError, match="kept: expected"):
        model.sample(drawn(1, 8, 1), condition(model, 1), start=given, kept=torch.ones(1, 7, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"kept: expected times of 0 to 1, got 0 to 1\.5"):
        model.sample(drawn(1, 8, 1), condition(model, 1), start=given, kept=torch.linspace(0.0, 1.5, 8)[None])
    with pytest.raises(ValueError, match="start_time and kept need latents to start from"):
        model.sample(drawn(1, 8, 1), condition(model, 1), kept=torch.ones(1, 8, dtype=torch.bool))
    for wrong, words in (
        ({"eta": 1.5}, "eta: expected 0 to 1"),
        ({"tolerance": 1.0}, "tolerance: expected"),
        ({"shift": 0.0}, "shift: expected"),
        ({"shift": math.nan}, "shift: expected"),
        ({"spacing": "odd"}, "spacing: expected one of even, quadratic, cosine"),
        ({"solver_steps": 0}, "solver_steps: expected"),
    ):
        with pytest.raises(ValueError, match=words):
            SamplerConfig(**wrong)
