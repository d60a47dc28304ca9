"""What is asked for and what comes back, and the refusal of what cannot be done."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from latent_diffusion.guidance import check_interval
from pipelines.bundle import Defaults

SHORTEST_SECONDS = 0.05
LONGEST_SECONDS = 600.0


@dataclass(frozen=True)
class Request:
    """What to generate; `None` takes the bundle's default.

    Args:
        prompts: free words, at least one.
        seconds: length of every clip.
        num_clips: clips per prompt.
        seed: clip i draws its noise from (seed, i); random when left out.
        guidance_scale: 1 is no guidance.
        guidance_interval: first and last time at which guidance acts, from 0 (noise) to 1 (data).
        solver: name of a solver that fits the model.
        solver_steps: of the solver.
        pitch: MIDI note number.
        loudness: of the loudest 50 ms, in dBFS.
        brightness: spectral centroid, in Hz.
        label: one of the model's classes.
    """

    prompts: tuple[str, ...]
    seconds: float | None = None
    num_clips: int = 1
    seed: int | None = None
    guidance_scale: float | None = None
    solver: str | None = None
    solver_steps: int | None = None
    pitch: float | None = None
    loudness: float | None = None
    brightness: float | None = None
    label: str | None = None
    guidance_interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Job:
    """One clip to make.

    Args:
        prompt: free words.
        index: the i of (seed, i).
        seconds: length.
        label: one of the model's classes.
        numbers: pitch, loudness, brightness, where they are asked for.
    """

    prompt: str
    index: int
    seconds: float
    label: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class AudioOutput:
    """Generated clips.

    Args:
        waveforms: `(clips, samples)` in [-1, 1]; all clips of the first prompt come first.
        sample_rate: in Hz.
        prompts: one per clip.
        indices: the i of (seed, i), one per clip.
        seed: that was used.
        settings: everything that decided the sound, as plain containers.
        guarded: per clip, whether its peak was lowered to avoid clipping.
    """

    waveforms: Tensor
    sample_rate: int
    prompts: tuple[str, ...]
    indices: tuple[int, ...]
    seed: int
    settings: dict[str, Any]
    guarded: tuple[bool, ...] = field(default=())


def settle(
    request: Request, defaults: Defaults, solver_names: tuple[str, ...], precision: torch.dtype
) -> dict[str, Any]:
    """Fill in the defaults and refuse what cannot be done.

    Raises:
        ValueError: names the setting, what was expected and what came.
    """
    if not request.prompts or any(not prompt.strip() for prompt in request.prompts):
        raise ValueError("prompt: expected some words, got an empty prompt")
    if isinstance(request.num_clips, bool) or request.num_clips < 1:
        raise ValueError(f"num_clips: expected at least 1, got {request.num_clips}")
    seconds = defaults.seconds if request.seconds is None else float(request.seconds)
    if not math.isfinite(seconds) or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"seconds: expected {SHORTEST_SECONDS} to {LONGEST_SECONDS:.0f}, got {seconds}")
    if seconds > defaults.max_seconds:
        raise ValueError(f"seconds: this model makes at most {defaults.max_seconds} s at a time, got {seconds}")
    guidance_scale = defaults.guidance_scale if request.guidance_scale is None else float(request.guidance_scale)
    if not math.isfinite(guidance_scale) or not 0.0 <= guidance_scale <= 100.0:
        raise ValueError(f"guidance_scale: expected 0 to 100, got {guidance_scale}")
    interval = check_interval(request.guidance_interval or defaults.guidance_interval)
    solver = request.solver or (defaults.solver if defaults.solver in solver_names else solver_names[0])
    if solver not in solver_names:
        raise ValueError(f"solver: expected one of {', '.join(solver_names)}, got '{solver}'")
    solver_steps = defaults.solver_steps if request.solver_steps is None else request.solver_steps
    if not 1 <= solver_steps <= 10000:
        raise ValueError(f"solver_steps: expected 1 to 10000, got {solver_steps}")
    seed = secrets.randbelow(2**31) if request.seed is None else request.seed
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed: expected 0 to 2**63 - 1, got {seed}")
    numbers = {"pitch": request.pitch, "loudness": request.loudness, "brightness": request.brightness}
    return {
        "seconds": seconds,
        "seed": seed,
        "guidance_scale": guidance_scale,
        "guidance_interval": list(interval),
        "solver": solver,
        "solver_steps": solver_steps,
        "label": request.label,
        "precision": str(precision).removeprefix("torch."),
        **{name: None if value is None else float(value) for name, value in numbers.items()},
    }
