"""From noise to latents: which solver, at which times, under which guidance, and what is held.

What is held does not move freely: where `kept` is True, the data that the network would guess are the given ones,

    data(x_t) = given,    noise(x_t) = (x_t - alpha given) / sigma      (on a flow: velocity = given - first noise)

and the network sees them noised as they should be at every time. That is a field like any other, so any solver takes
it, and at the end the kept frames are the given ones. (The idea of Lugmayr et al., "RePaint", 2022, equation 8, as a
field and without going back in time.)

Frames may be let go on the way: what is decided by then, near noise, is how loud they are and what kind of sound, and
the rest fits their neighbours. (After Levin, Fried, "Differential Diffusion", 2023: a time for every pixel.)
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from audio.latents import LatentSpec
from latent_diffusion.flow import data_and_noise, target
from latent_diffusion.guidance import GuidanceConfig, Prediction
from latent_diffusion.paths import alpha_sigma
from latent_diffusion.row_noise import row_noise
from latent_diffusion.solvers import (
    DEFAULT_SOLVER_STEPS,
    Denoiser,
    Field,
    OnStep,
    Spacing,
    adaptive,
    ancestral,
    ddim,
    dpmpp_2m,
    euler,
    heun,
    midpoint,
    solver_times,
    stochastic,
)

Seen = Callable[[float, Tensor, Tensor], None]
"""Told a time, noisy latents and a guess of the data."""
VELOCITY_SOLVERS = {"euler": euler, "midpoint": midpoint, "heun": heun}


@dataclass(frozen=True)
class SamplerConfig:
    """How noise becomes data.

    Args:
        solver: one of the stage's `solver_names`; the first when left out.
        solver_steps: of the solver; of `adaptive`, only how many are told.
        spacing: of the times: even, quadratic, cosine.
        shift: above 1, times lie closer together near noise.
        eta: of `stochastic`: 0 is DDIM, 1 is ancestral.
        tolerance: of `adaptive`: the error of a step.
        guidance: how a prompt is pressed.

    Raises:
        ValueError: a number out of its range.
    """

    solver: str | None = None
    solver_steps: int = DEFAULT_SOLVER_STEPS
    spacing: Spacing = "even"
    shift: float = 1.0
    eta: float = 0.5
    tolerance: float = 1e-3
    guidance: GuidanceConfig = GuidanceConfig()  # noqa: RUF009 (frozen)

    def __post_init__(self) -> None:
        """Check the numbers."""
        self.times()
        if not 0.0 <= self.eta <= 1.0:
            raise ValueError(f"eta: expected 0 to 1, got {self.eta}")
        if not 1e-6 <= self.tolerance <= 0.1:
            raise ValueError(f"tolerance: expected 1e-6 to 0.1, got {self.tolerance}")

    def times(self, start_time: float = 0.0) -> Tensor:
        """Of the solver, from `start_time` to 1."""
        return solver_times(self.solver_steps, start_time, self.spacing, self.shift)


@dataclass(frozen=True)
class Held:
    """Frames that do not move freely.

    Args:
        given: whitened latents that they lead to, `(batch, channels, latent_frames)`.
        kept: `(batch, latent_frames)`, until which time they are held: 1 to the end, 0 never.
        noise: that the solver starts from at time 0, the shape of `given`.
        prediction: what fields give.
    """

    given: Tensor
    kept: Tensor
    noise: Tensor
    prediction: Prediction

    def field(self, free: Field) -> Field:
        """A field that is straight where frames are held: for solvers that never leave its line."""

        def held(latents: Tensor, time: Tensor) -> Tensor:
            straight = target(self.given, self.noise, time, self.prediction.path, self.prediction.name)
            return torch.where(self._now(time), straight.to(latents), free(latents, time))

        return held

    def denoiser(self, free: Denoiser) -> Denoiser:
        """Estimates that are the given data where frames are held: for solvers that draw fresh noise."""

        def held(latents: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
            data, noise = free(latents, time)
            alpha, sigma = (value.to(latents) for value in alpha_sigma(self.prediction.path, time))
            own = (latents - alpha * self.given) / sigma
            now = self._now(time)
            return torch.where(now, self.given, data), torch.where(now, own, noise)

        return held

    def released(self, before: Tensor, now: Tensor) -> Tensor:
        """`(batch, 1, latent_frames)`, True where a frame is let go between two times."""
        return self._now(before) & ~self._now(now)

    def _now(self, time: Tensor) -> Tensor:
        """`(batch, 1, latent_frames)`, True where a frame is held at a time."""
        # Solvers ask at time 1 too.
        return ((self.kept >= 1.0) | (self.kept > time.flatten()[0].to(self.kept)))[:, None]


def watched_field(field: Field, prediction: Prediction, seen: Seen) -> Field:
    """A field that tells what it was asked, and what data its answer stands for.

    Args:
        field: any.
        prediction: what it gives.
        seen: told time, noisy latents and the guess of the data, both whitened.
    """

    def watched(latents: Tensor, time: Tensor) -> Tensor:
        made = field(latents, time)
        seen(float(time), latents, data_and_noise(made, latents, time, prediction.path, prediction.name)[0])
        return made

    return watched


def integrate(
    config: SamplerConfig,
    solver: str,
    field: Field,
    noise: Tensor,
    prediction: Prediction,
    start_time: float = 0.0,
    valid_frames: Tensor | None = None,
    on_step: OnStep | None = None,
    held: Held | None = None,
) -> Tensor:
    """Run a solver.

    Args:
        config: times and numbers.
        solver: that fits the path.
        field: the guided one; of a flow, a velocity.
        noise: x at the first time.
        prediction: what the field gives.
        start_time: the first time.
        valid_frames: of each row, `(batch,)`; fresh noise beyond them is 0.
        on_step: told after each step.
        held: frames that are not free.

    Returns:
        x at time 1.
    """
    times, path = config.times(start_time), prediction.path
    if solver in VELOCITY_SOLVERS or solver == "adaptive":
        straight = held.field(field) if held else field
        if solver == "adaptive":
            return adaptive(straight, noise, times, config.tolerance, on_step)
        return VELOCITY_SOLVERS[solver](straight, noise, times, on_step)

    def denoiser(x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        return data_and_noise(field(x, time), x, time, path, prediction.name)

    estimates = held.denoiser(denoiser) if held else denoiser
    if solver == "ddim":
        return ddim(estimates, noise, times, path, on_step)
    if solver == "dpmpp_2m":
        return dpmpp_2m(estimates, noise, times, path, on_step, partial(_jumped, config.guidance, held))
    run = ancestral if solver == "ancestral" else partial(stochastic, eta=config.eta)
    made: Tensor = run(estimates, noise, times, path, row_noise(noise, valid_frames), on_step=on_step)
    return made


def _jumped(guidance: GuidanceConfig, held: Held | None, before: Tensor, now: Tensor) -> Tensor:
    """Where a field is another one than a step before: frames are let go, or guidance begins or ends."""
    other = any(acts(before) != acts(now) for acts in (guidance.acts_at, guidance.leads_at))
    everywhere = torch.tensor(other, device=before.device)
    return everywhere if held is None else everywhere.to(held.kept.device) | held.released(before, now)


def check_shapes(
    spec: LatentSpec, noise: Tensor, rows: int, valid_frames: Tensor | None, start: Tensor | None, kept: Tensor | None
) -> None:
    """Refuse what does not fit together.

    Args:
        spec: of the latents.
        noise: that is started from.
        rows: of the condition.
        valid_frames: of each row, if any.
        start: latents to start from, if any.
        kept: which of them are kept, if any.

    Raises:
        ValueError: names what was expected and what came.
    """
    if noise.dim() != 3 or noise.shape[1] != spec.channels or 0 in noise.shape:
        raise ValueError(f"noise: expected (batch, {spec.channels}, frames), got {tuple(noise.shape)}")
    if rows != len(noise):
        raise ValueError(f"condition: expected {len(noise)} rows as in noise, got {rows}")
    if start is not None and start.shape != noise.shape:
        raise ValueError(f"start: expected the shape of noise {tuple(noise.shape)}, got {tuple(start.shape)}")
    if kept is not None and kept.shape != (len(noise), noise.shape[-1]):
        raise ValueError(f"kept: expected (batch, frames) of noise {tuple(noise.shape)}, got {tuple(kept.shape)}")
    if kept is not None and not 0.0 <= float(kept.min()) <= float(kept.max()) <= 1.0:
        raise ValueError(f"kept: expected times of 0 to 1, got {float(kept.min()):g} to {float(kept.max()):g}")
    if valid_frames is None:
        return
    if valid_frames.shape != (len(noise),) or valid_frames.min() < 1 or valid_frames.max() > noise.shape[-1]:
        raise ValueError(
            f"valid_frames: expected {len(noise)} numbers from 1 to {noise.shape[-1]}, got {valid_frames.tolist()}"
        )
