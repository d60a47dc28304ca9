"""From noise to data in a finite number of steps.

For a flow, the ordinary differential equation dx/dt = velocity(x, t) is integrated from t = 0 to t = 1:

    Euler      x' = x + h v(x, t)                                                   error of order h
    midpoint   x' = x + h v(x + h v(x, t) / 2, t + h / 2)                            h^2
    Heun       x' = x + h (v(x, t) + v(x + h v(x, t), t + h)) / 2                    h^2

For a variance-preserving path, a step goes by estimates of data and noise:

    DDIM        x_s = alpha_s data + sigma_s noise         (Song, Meng, Ermon, 2021, equation 12 with eta = 0)
    ancestral   x_s ~ q(x_s | x_t, data)                   (Ho, Jain, Abbeel, "DDPM", 2020, equations 6 and 7)

All are plain functions of a field or denoiser; a network is one of many things that can stand there.
"""

from collections.abc import Callable

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

SOLVERS: dict[str, tuple[str, ...]] = {
    "rectified_flow": ("euler", "midpoint", "heun"),
    "variance_preserving": ("ddim", "ancestral"),
}
DEFAULT_SOLVER_STEPS = 25


def solver_times(solver_steps: int, start_time: float = 0.0) -> Tensor:
    """Evenly spaced times from `start_time` to 1, `(solver_steps + 1,)`, float32.

    Raises:
        ValueError: fewer than one step, or more than 10000; a start that is not in [0, 1).
    """
    if isinstance(solver_steps, bool) or not isinstance(solver_steps, int) or not 1 <= solver_steps <= 10_000:
        raise ValueError(f"solver_steps: expected a whole number from 1 to 10000, got {solver_steps!r}")
    if not 0.0 <= start_time < 1.0:
        raise ValueError(f"start_time: expected 0 (noise) to less than 1 (data), got {start_time}")
    return torch.linspace(start_time, 1.0, solver_steps + 1)


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
    """Stochastic, one forward a step: each step draws from the posterior, given the estimate of the data.

    Args:
        denoiser: estimates of data and noise.
        noise: x at the first time.
        times: rising, `(solver_steps + 1,)`.
        path: variance-preserving.
        fresh_noise: standard normal noise for each step but the last.
        on_step: told after each step.

    Returns:
        x at the last time.
    """
    alpha, sigma = _coefficients(path, times)
    x = noise
    for index in range(len(times) - 1):
        data, _ = denoiser(x, times[index])
        shrink = alpha[index] / alpha[index + 1]
        added = sigma[index] ** 2 - (shrink * sigma[index + 1]) ** 2
        kept = shrink * (sigma[index + 1] / sigma[index]) ** 2
        x = kept * x + alpha[index + 1] * added / sigma[index] ** 2 * data
        spread = max(0.0, added) ** 0.5 * sigma[index + 1] / sigma[index]
        if spread > 0.0:
            x = x + spread * fresh_noise(index)
        _tell(on_step, index, times)
    return x


def row_noise(noise: Tensor, valid_frames: Tensor | None = None) -> FreshNoise:
    """Fresh noise that depends on each row's own first noise alone: a row is the same alone and in a batch.

    Args:
        noise: the first noise, `(batch, channels, latent_frames)`.
        valid_frames: `(batch,)`; noise beyond it is neither looked at nor drawn.
    """
    channels, frames = noise.shape[1:]
    lengths = [frames] * len(noise) if valid_frames is None else [int(length) for length in valid_frames]
    # The first noise names its row: the bits of some of its numbers are the seed.
    first = noise[:, :, 0].detach().to("cpu", torch.float32).contiguous().view(torch.int32).long()
    seeds = [int((row * torch.arange(1, channels + 1) * 2_654_435_761).sum()) % 2**62 for row in first]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def fresh(index: int) -> Tensor:
        result = torch.zeros(noise.shape)
        for row, (length, generator) in enumerate(zip(lengths, generators, strict=True)):
            result[row, :, :length] = torch.randn(channels, length, generator=generator)
        return result.to(noise)

    return fresh


def _coefficients(path: PathConfig, times: Tensor) -> tuple[list[float], list[float]]:
    alpha, sigma = alpha_sigma(path, times.cpu())
    return alpha.tolist(), sigma.tolist()


def _tell(on_step: OnStep | None, index: int, times: Tensor) -> None:
    if on_step is not None:
        on_step(index + 1, len(times) - 1)
