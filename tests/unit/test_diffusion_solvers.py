"""Solvers against problems whose answer is known."""

import math

import pytest
import torch

from latent_diffusion.row_noise import row_noise
from latent_diffusion.solvers import ancestral, ddim, euler, heun, midpoint, solver_times
from tests.diffusion_doubles import COSINE, FLOW, LINEAR, GaussianData, IdealDenoiser

FLOW_SOLVERS = {"euler": euler, "midpoint": midpoint, "heun": heun}


def noise(rows: int = 64, seed: int = 1) -> torch.Tensor:
    return torch.randn(rows, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian_error(name: str, solver_steps: int) -> float:
    data = GaussianData(FLOW)
    start = noise()
    made = FLOW_SOLVERS[name](data.velocity, start, solver_times(solver_steps).double())
    return float((made - data.exact(start)).abs().max())


def swing_error(name: str, solver_steps: int) -> float:
    """dx/dt = 3 cos(5 t) x has the solution x(1) = x(0) exp(3 sin(5) / 5)."""
    start = noise()
    made = FLOW_SOLVERS[name](lambda x, t: 3.0 * torch.cos(5.0 * t) * x, start, solver_times(solver_steps).double())
    return float((made - start * math.exp(0.6 * math.sin(5.0))).abs().max())


@pytest.mark.parametrize(("name", "limit"), [("euler", 2e-2), ("midpoint", 1e-5), ("heun", 3e-4)])
def test_lands_on_the_exact_map(name: str, limit: float) -> None:
    assert gaussian_error(name, 200) < limit


@pytest.mark.parametrize("error", [gaussian_error, swing_error])
@pytest.mark.parametrize(("name", "ratio"), [("euler", 2.0), ("midpoint", 4.0), ("heun", 4.0)])
def test_error_falls_with_the_order_of_the_solver(name: str, ratio: float, error) -> None:
    if name == "midpoint" and error is gaussian_error:
        # The variance of x_t is quadratic in t, for which the midpoint's second-order term vanishes identically.
        ratio = 8.0
    for solver_steps in (100, 200):
        assert error(name, solver_steps) / error(name, 2 * solver_steps) == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize("name", FLOW_SOLVERS)
def test_a_straight_flow_needs_one_step(name: str) -> None:
    goal = noise(seed=2)
    start = noise()
    made = FLOW_SOLVERS[name](lambda x, time: goal - start, start, solver_times(1).double())
    assert torch.allclose(made, goal, atol=1e-12)


@pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_ddim_lands_on_the_exact_map(path) -> None:
    data = GaussianData(path)
    start = noise()
    errors = []
    for solver_steps in (200, 400):
        made = ddim(data.denoiser, start, solver_times(solver_steps).double(), path)
        errors.append(float((made - data.exact(start)).abs().max()))
    assert errors[1] < 2e-2
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.15)


@pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_ddim_is_exact_in_any_number_of_steps_for_a_single_point(path) -> None:
    data = GaussianData(path, std=0.0)
    for solver_steps in (1, 7):
        made = ddim(data.denoiser, noise(), solver_times(solver_steps).double(), path)
        assert torch.allclose(made, torch.full_like(made, data.mean), atol=1e-9)


@pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_ancestral_has_the_right_mean_and_variance(path) -> None:
    data = GaussianData(path)
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(20_000, 1, 1, generator=generator, dtype=torch.float64)

    def fresh(index: int) -> torch.Tensor:
        return torch.randn(start.shape, generator=generator, dtype=torch.float64)

    made = ancestral(data.denoiser, start, solver_times(400).double(), path, fresh)
    assert float(made.mean()) == pytest.approx(data.mean, abs=0.015)
    assert float(made.std()) == pytest.approx(data.std, rel=0.03)
    # It must have left the deterministic map: half of what it drew is its own.
    correlation = torch.corrcoef(torch.stack([made.flatten(), start.flatten()]))[0, 1]
    assert float(correlation) < 0.5


@pytest.mark.parametrize("name", ["euler", "midpoint", "heun", "ddim", "ancestral"])
def test_an_ideal_denoiser_over_sixteen_points_returns_them(name: str) -> None:
    points = torch.randn(16, 4, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    start = torch.randn(40, 4, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    times = solver_times(50).double()
    if name in FLOW_SOLVERS:
        made = FLOW_SOLVERS[name](IdealDenoiser(FLOW, points).velocity, start, times)
    elif name == "ddim":
        made = ddim(IdealDenoiser(COSINE, points).denoiser, start, times, COSINE)
    else:
        made = ancestral(IdealDenoiser(COSINE, points).denoiser, start, times, COSINE, row_noise(start))
    distance = torch.cdist(made.flatten(1), points.flatten(1))
    assert float(distance.min(dim=1).values.max()) < 0.1
    assert len(distance.argmin(dim=1).unique()) >= 8


def test_each_step_is_told_once() -> None:
    told: list[tuple[int, int]] = []
    data = GaussianData(FLOW)
    heun(data.velocity, noise(), solver_times(3).double(), lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_fresh_noise_of_a_row_does_not_know_its_neighbours() -> None:
    start = torch.randn(5, 4, 9)
    together = row_noise(start)
    alone = row_noise(start[2:3])
    for index in range(3):
        assert torch.equal(together(index)[2:3], alone(index))
    longer = row_noise(torch.cat([start, torch.zeros(5, 4, 6)], dim=2), torch.full((5,), 9))
    assert torch.equal(longer(0)[:, :, :9], row_noise(start)(0))
    assert not torch.equal(row_noise(start)(0)[0], row_noise(start)(0)[1])
    assert float(torch.stack([together(index) for index in range(200)]).std()) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("solver_steps", [0, -1, 10_001, 2.5, True])
def test_refused_solver_steps(solver_steps) -> None:
    with pytest.raises(ValueError, match="solver_steps: expected a whole number from 1 to 10000"):
        solver_times(solver_steps)
