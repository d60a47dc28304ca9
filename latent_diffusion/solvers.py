"""From noise to data in a finite number of steps.

For a flow, the ordinary differential equation dx/dt = velocity(x, t) is integrated from t = 0 to t = 1:

    Euler      x' = x + h v(x, t)                                                   error of order h
    midpoint   x' = x + h v(x + h v(x, t) / 2, t + h / 2)                            h^2
    Heun       x' = x + h (v(x, t) + v(x + h v(x, t), t + h)) / 2                    h^2

On any path, a step may go by estimates of data and noise:

    DDIM        x_s = alpha_s data + sigma_s noise         (Song, Meng, Ermon, 2021, equation 12 with eta = 0; on a flow
                                                            it is Euler)
    ancestral   x_s ~ q(x_s | x_t, data)                   (Ho, Jain, Abbeel, "DDPM", 2020, equations 6 and 7)
    stochastic  x_s = alpha_s data + sqrt(sigma_s^2 - c^2) noise + c fresh,    c = eta times ancestral's spread
                                                           (Song, Meng, Ermon, 2021, equations 12 and 16)
    dpmpp_2m    DDIM with data extrapolated from this step and the one before, linearly in log(alpha / sigma)
                                                           (Lu et al., "DPM-Solver++", 2022, algorithm 2)

All are plain functions of a field or denoiser; a network is one of many things that can stand there.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from latent_diffusion.paths import PathConfig, alpha_sigma

Field = Callable[[Tensor, Tensor], Tensor]
"""Noisy latents and a time (one number) to a prediction of the latents' shape; a velocity, for a flow."""
Denoiser = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Noisy latents and a time (one number) to estimates of data and noise."""
FreshNoise = Callable[[int], Tensor]
"""Standard normal noise of the latents' shape for the step of that number."""
OnStep = Callable[[int, int], None]
"""Told after each step: how many are done, of how many."""

DENOISING_SOLVERS = ("ddim", "ancestral", "stochastic", "dpmpp_2m")
SOLVERS: dict[str, tuple[str, ...]] = {
    "rectified_flow": ("euler", "midpoint", "heun", "adaptive", *DENOISING_SOLVERS),
    "variance_preserving": DENOISING_SOLVERS,
}
DEFAULT_SOLVER_STEPS = 25
Spacing = Literal["even", "quadratic", "cosine"]
SPACINGS: dict[str, Callable[[Tensor], Tensor]] = {
    "even": lambda u: u,
    "quadratic": lambda u: u.square(),
    "cosine": lambda u: 0.5 - 0.5 * torch.cos(torch.pi * u),
}


def solver_times(solver_steps: int, start_time: float = 0.0, spacing: Spacing = "even", shift: float = 1.0) -> Tensor:
    """Rising times from `start_time` to 1, `(solver_steps + 1,)`, float32.

    Args:
        solver_steps: at least one.
        start_time: the first time.
        spacing: even; quadratic, closer together near the start; cosine, closer together at both ends.
        shift: u becomes u / (u + shift (1 - u)): above 1 closer together near noise (Esser et al., "Scaling Rectified
            Flow Transformers", 2024, equation 23, with t reversed).

    Raises:
        ValueError: fewer than one step, or more than 10000; a start that is not in [0, 1); an unknown spacing; a shift
            that is not positive.
    """
    if isinstance(solver_steps, bool) or not isinstance(solver_steps, int) or not 1 <= solver_steps <= 10_000:
        raise ValueError(f"solver_steps: expected a whole number from 1 to 10000, got {solver_steps!r}")
    if not 0.0 <= start_time < 1.0:
        raise ValueError(f"start_time: expected 0 (noise) to less than 1 (data), got {start_time}")
    if spacing not in SPACINGS:
        raise ValueError(f"spacing: expected one of {', '.join(SPACINGS)}, got {spacing!r}")
    if not 0.01 <= shift <= 100.0:
        raise ValueError(f"shift: expected 0.01 to 100, got {shift}")
    if spacing == "even" and shift == 1.0:
        return torch.linspace(start_time, 1.0, solver_steps + 1)
    # The shift is of time itself, not of what is left of it: the steps go from the time that it makes the first one.
    first = shift * start_time / (1.0 + (shift - 1.0) * start_time)
    u = first + (1.0 - first) * SPACINGS[spacing](torch.linspace(0.0, 1.0, solver_steps + 1))
    times = u / (u + shift * (1.0 - u))
    # Rounding must not leave the last step short of the data.
    times[0], times[-1] = start_time, 1.0
    return times


def euler(velocity: Field, noise: Tensor, times: Tensor, on_step: OnStep | None = None) -> Tensor:
    """First order, one forward a step.

    Args:
        velocity: the field.
        noise: x at the first time.
        times: rising, `(solver_steps + 1,)`.
        on_step: told after each step.

    Returns:
        x at the last time.
    """
    x = noise
    for index in range(len(times) - 1):
        x = x + (times[index + 1] - times[index]) * velocity(x, times[index])
        _tell(on_step, index, times)
    return x


def midpoint(velocity: Field, noise: Tensor, times: Tensor, on_step: OnStep | None = None) -> Tensor:
    """Second order, two forwards a step; never asks for the field at t = 1. Arguments as in `euler`."""
    x = noise
    for index in range(len(times) - 1):
        step = times[index + 1] - times[index]
        halfway = x + 0.5 * step * velocity(x, times[index])
        x = x + step * velocity(halfway, times[index] + 0.5 * step)
        _tell(on_step, index, times)
    return x


def heun(velocity: Field, noise: Tensor, times: Tensor, on_step: OnStep | None = None) -> Tensor:
    """Second order, two forwards a step. Arguments as in `euler`."""
    x = noise
    for index in range(len(times) - 1):
        step = times[index + 1] - times[index]
        here = velocity(x, times[index])
        there = velocity(x + step * here, times[index + 1])
        x = x + 0.5 * step * (here + there)
        _tell(on_step, index, times)
    return x


def ddim(denoiser: Denoiser, noise: Tensor, times: Tensor, path: PathConfig, on_step: OnStep | None = None) -> Tensor:
    """Deterministic, first order, one forward a step.

    Args:
        denoiser: estimates of data and noise.
        noise: x at the first time.
        times: rising, `(solver_steps + 1,)`.
        path: variance-preserving.
        on_step: told after each step.

    Returns:
        x at the last time.
    """
    alpha, sigma = _coefficients(path, times)
    x = noise
    for index in range(len(times) - 1):
        data, own_noise = denoiser(x, times[index])
        x = alpha[index + 1] * data + sigma[index + 1] * own_noise
        _tell(on_step, index, times)
    return x


def ancestral(
    denoiser: Denoiser,
    noise: Tensor,
    times: Tensor,
    path: PathConfig,
    fresh_noise: FreshNoise,
    on_step: OnStep | None = None,
) -> Tensor:
    """Each step draws from the posterior, given the estimate of the data: `stochastic` with eta = 1."""
    return stochastic(denoiser, noise, times, path, fresh_noise, 1.0, on_step)


def stochastic(
    denoiser: Denoiser,
    noise: Tensor,
    times: Tensor,
    path: PathConfig,
    fresh_noise: FreshNoise,
    eta: float,
    on_step: OnStep | None = None,
) -> Tensor:
    """One forward a step, with fresh noise in each.

    Args:
        denoiser: estimates of data and noise.
        noise: x at the first time.
        times: rising, `(solver_steps + 1,)`.
        path: any.
        fresh_noise: standard normal noise for each step but the last.
        eta: 0 is DDIM, 1 is ancestral.
        on_step: told after each step.

    Returns:
        x at the last time.
    """
    alpha, sigma = _coefficients(path, times)
    x = noise
    for index in range(len(times) - 1):
        data, own_noise = denoiser(x, times[index])
        shrink = alpha[index] / alpha[index + 1]
        added = max(0.0, sigma[index] ** 2 - (shrink * sigma[index + 1]) ** 2)
        spread = eta * added**0.5 * sigma[index + 1] / sigma[index]
        kept = max(0.0, sigma[index + 1] ** 2 - spread**2) ** 0.5
        x = alpha[index + 1] * data + kept * own_noise
        if spread > 0.0:
            x = x + spread * fresh_noise(index)
        _tell(on_step, index, times)
    return x


def dpmpp_2m(
    denoiser: Denoiser,
    noise: Tensor,
    times: Tensor,
    path: PathConfig,
    on_step: OnStep | None = None,
    jumped: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Deterministic, second order, one forward a step; its first and last steps are DDIM's.

    Args:
        denoiser: the estimates.
        noise: x at the first time.
        times: rising, `(solver_steps + 1,)`.
        path: of the data.
        on_step: told after each step.
        jumped: where the data estimate is another one at the second time than at the first, as booleans that fit x:
            nothing is extrapolated across such a jump.

    Returns:
        x at the last time.
    """
    alpha, sigma = _coefficients(path, times)
    # Half the log-SNR; infinite at the ends of a flow, where no step is extrapolated.
    place = [math.log(a / s) if a > 0.0 and s > 0.0 else math.inf for a, s in zip(alpha, sigma, strict=True)]
    x, before = noise, None
    for index in range(len(times) - 1):
        data, own_noise = denoiser(x, times[index])
        goal = data
        if before is not None and all(map(math.isfinite, place[index - 1 : index + 2])):
            ratio = (place[index + 1] - place[index]) / (place[index] - place[index - 1])
            goal = data + 0.5 * ratio * (data - before)
            if jumped is not None:
                goal = torch.where(jumped(times[index - 1], times[index]), data, goal)
            # The noise that leads from x to the extrapolated data.
            own_noise = (x - alpha[index] * goal) / sigma[index]
        x = alpha[index + 1] * goal + sigma[index + 1] * own_noise
        before = data
        _tell(on_step, index, times)
    return x


def adaptive(velocity: Field, noise: Tensor, times: Tensor, tolerance: float, on_step: OnStep | None = None) -> Tensor:
    """Steps as long as an error allows: Dormand and Prince's method of order 5 (torchdiffeq's `dopri5`).

    Args:
        velocity: the field.
        noise: x at the first time.
        times: rising; told where to stop by, and how many steps are counted.
        tolerance: of a step, relative and absolute; judged over all numbers of the batch, those of padding too.
        on_step: told as each of the times is passed.

    Returns:
        x at the last time.
    """
    from torchdiffeq import odeint

    passed = 0

    def counted(time: Tensor, x: Tensor) -> Tensor:
        nonlocal passed
        while passed < len(times) - 2 and float(time) >= float(times[passed + 1]):
            _tell(on_step, passed, times)
            passed += 1
        # The trial of the first step may lie beyond the end, where there is no field.
        return velocity(x, time.to(times).clamp(max=float(times[-1])))

    ends = torch.stack([times[0], times[-1]]).to(noise.device)
    # Steps end at the end; by itself it steps beyond and comes back.
    options: dict[str, object] = {"step_t": ends[-1:]}
    if noise.device.type == "mps":
        # Its own default is float64, which Apple's GPUs do not have.
        options["dtype"] = torch.float32
    made: Tensor = odeint(counted, noise, ends, rtol=tolerance, atol=tolerance, method="dopri5", options=options)[-1]
    for index in range(passed, len(times) - 1):
        _tell(on_step, index, times)
    return made


def _coefficients(path: PathConfig, times: Tensor) -> tuple[list[float], list[float]]:
    alpha, sigma = alpha_sigma(path, times.cpu())
    return alpha.tolist(), sigma.tolist()


def _tell(on_step: OnStep | None, index: int, times: Tensor) -> None:
    if on_step is not None:
        on_step(index + 1, len(times) - 1)
