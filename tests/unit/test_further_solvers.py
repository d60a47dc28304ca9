"""Solvers that go by data and noise, on every path, and steps of chosen times, against known answers."""

import pytest
import torch

from latent_diffusion.guidance import Prediction
from latent_diffusion.row_noise import row_noise
from latent_diffusion.sampling import Held, SamplerConfig, integrate
from latent_diffusion.solvers import (
    adaptive,
    ancestral,
    ddim,
    dpmpp_2m,
    euler,
    solver_times,
    stochastic,
)
from tests.diffusion_doubles import COSINE, FLOW, LINEAR, GaussianData, IdealDenoiser

PATHS = pytest.mark.parametrize("path", [FLOW, LINEAR, COSINE], ids=["flow", "linear", "cosine"])


def noise(rows: int = 64, seed: int = 1) -> torch.Tensor:
    return torch.randn(rows, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def error(solver, path, solver_steps: int, spacing: str = "even") -> float:
    data, start = GaussianData(path), noise()
    made = solver(data.denoiser, start, solver_times(solver_steps, 0.0, spacing).double(), path)
    return float((made - data.exact(start)).abs().max())


@PATHS
def test_two_points_are_better_than_one(path) -> None:
    # The same number of forwards. Its last step, to where no noise is left, is DDIM's, so no order is asked.
    for solver_steps in (40, 80):
        assert error(dpmpp_2m, path, solver_steps) < 0.3 * error(ddim, path, solver_steps)


def test_on_a_flow_ddim_is_euler() -> None:
    data, start, times = GaussianData(FLOW), noise(), solver_times(7).double()
    assert torch.allclose(ddim(data.denoiser, start, times, FLOW), euler(data.velocity, start, times), atol=1e-12)


@PATHS
def test_stochastic_lies_between_ddim_and_ancestral(path) -> None:
    data, start, times = GaussianData(path), noise(), solver_times(9).double()
    made = [stochastic(data.denoiser, start, times, path, row_noise(start), eta) for eta in (0.0, 0.5, 1.0)]
    assert torch.allclose(made[0], ddim(data.denoiser, start, times, path), atol=1e-12)
    assert torch.equal(made[2], ancestral(data.denoiser, start, times, path, row_noise(start)))
    assert float((made[1] - made[0]).abs().max()) > 0.05


@PATHS
@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_fresh_noise_leaves_mean_and_variance_alone(path, eta: float) -> None:
    data, generator = GaussianData(path), torch.Generator().manual_seed(3)
    start = torch.randn(20_000, 1, 1, generator=generator, dtype=torch.float64)

    def fresh(index: int) -> torch.Tensor:
        return torch.randn(start.shape, generator=generator, dtype=torch.float64)

    made = stochastic(data.denoiser, start, solver_times(400).double(), path, fresh, eta)
    assert float(made.mean()) == pytest.approx(data.mean, abs=0.015)
    assert float(made.std()) == pytest.approx(data.std, rel=0.03)


def test_adaptive_errs_as_little_as_it_is_told() -> None:
    data, start = GaussianData(FLOW), noise()
    asked: list[float] = []
    told: list[tuple[int, ...]] = []

    def velocity(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        asked.append(float(time))
        return data.velocity(x, time)

    errors, counts = [], []
    for tolerance in (1e-2, 1e-4, 1e-6):
        asked.clear()
        told.clear()
        made = adaptive(velocity, start, solver_times(8).double(), tolerance, lambda *step: told.append(step))
        errors.append(float((made - data.exact(start)).abs().max()))
        counts.append(len(asked))
        assert told == [(done, 8) for done in range(1, 9)]
    assert errors[2] < 1e-4
    assert errors[2] < errors[1] < 0.05
    assert counts[0] <= counts[1] < counts[2]


@pytest.mark.parametrize("first", [0.0, 0.9])
def test_adaptive_asks_for_nothing_beyond_the_end(first: float) -> None:
    asked: list[float] = []

    def velocity(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        asked.append(float(time))
        return GaussianData(FLOW).velocity(x, time)

    for tolerance in (1e-1, 1e-2, 1e-4):
        adaptive(velocity, noise(), solver_times(8, first).double(), tolerance)
    assert min(asked) == pytest.approx(first, abs=1e-6)
    assert max(asked) <= 1.0


def test_nothing_is_extrapolated_from_what_was_held() -> None:
    data, start, prediction = GaussianData(FLOW), noise(4).float(), Prediction(FLOW, "velocity")
    held = Held(torch.full_like(start, -1.0), torch.full((4, 3), 0.5), start, prediction)

    def made(solver: str, solver_steps: int) -> torch.Tensor:
        return integrate(SamplerConfig(solver_steps=solver_steps), solver, data.velocity, start, prediction, held=held)

    exact = made("ddim", 4096)
    errors = {name: float((made(name, 16) - exact).abs().mean()) for name in ("ddim", "dpmpp_2m")}
    assert errors["dpmpp_2m"] < 0.5 * errors["ddim"]


@pytest.mark.parametrize("solver", [dpmpp_2m, ddim])
def test_an_ideal_denoiser_over_sixteen_points_returns_them_on_a_flow(solver) -> None:
    points = torch.randn(16, 4, 6, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    start = torch.randn(40, 4, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    made = solver(IdealDenoiser(FLOW, points).denoiser, start, solver_times(50).double(), FLOW)
    distance = torch.cdist(made.flatten(1), points.flatten(1))
    assert float(distance.min(dim=1).values.max()) < 0.1
    assert len(distance.argmin(dim=1).unique()) >= 8


def test_times_rise_from_start_to_end_however_they_are_spaced() -> None:
    for spacing in ("even", "quadratic", "cosine"):
        for shift in (0.3, 1.0, 4.0):
            for start in (0.0, 0.7):
                times = solver_times(12, start, spacing, shift)
                assert float(times[0]) == pytest.approx(start)
                assert float(times[-1]) == 1.0
                assert bool((times.diff() > 0.0).all())
    even, shifted = solver_times(4), solver_times(4, shift=3.0)
    # Noise levels 1 - t are moved as in the paper: s becomes 3 s / (1 + 2 s).
    level = 1.0 - even
    assert torch.allclose(1.0 - shifted, 3.0 * level / (1.0 + 2.0 * level), atol=1e-6)
    assert torch.allclose(solver_times(4, spacing="quadratic"), even.square(), atol=1e-6)


def test_a_shift_moves_times_alike_wherever_the_way_begins() -> None:
    whole = solver_times(40, shift=3.0)
    # The same levels of noise are closer together near noise, not near the time of the start.
    late = solver_times(10, float(whole[30]), shift=3.0)
    assert torch.allclose(late, whole[30:], atol=1e-5)
    assert torch.allclose(solver_times(4, 0.7, shift=3.0), torch.tensor([0.7, 0.7634, 0.8333, 0.9123, 1.0]), atol=1e-3)
