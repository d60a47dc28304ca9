"""What is asked for and what comes back, and the refusal of what cannot be done."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from latent_diffusion.guidance import GuidanceConfig
from latent_diffusion.sampling import SamplerConfig
from latent_diffusion.solvers import Spacing
from pipelines.bundle import Defaults
from pipelines.editing import Edit

SHORTEST_SECONDS = 0.05
LONGEST_SECONDS = 600.0
# Fields of a request that reach the sampler under their own names.
SAMPLER_FIELDS = ("solver", "solver_steps", "spacing", "shift", "eta", "tolerance")


@dataclass(frozen=True)
class Request:
    """What to generate; `None` takes the bundle's default.

    Args:
        prompts: free words, at least one.
        seconds: length of every clip.
        num_clips: clips per prompt.
        seed: clip i draws its noise from (seed, i); random when left out.
        guidance_scale: 1 is no guidance.
        solver: name of a solver that fits the model.
        solver_steps: of the solver.
        pitch: MIDI note number.
        loudness: of the loudest 50 ms, in dBFS.
        brightness: spectral centroid, in Hz.
        label: one of the model's classes.
        guidance_interval: first and last time at which guidance acts, from 0 (noise) to 1 (data).
        guidance_rescale: share of the unguided spread that is restored, 0 to 1.
        guidance_parallel: weight of guidance along the sound itself; 0 is adaptive projected guidance, 1 the plain one.
        negative_prompt: what is not wanted.
        mix: weights of the prompts, which then make one sound together.
        glide: the prompts follow each other within one sound.
        spacing: of the solver's times: even, quadratic, cosine.
        shift: above 1, the solver's times lie closer together near noise.
        eta: of the solver `stochastic`.
        tolerance: of the solver `adaptive`.
        edit: a sound to start from.
    """

    prompts: tuple[str, ...] = ()
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
    guidance_rescale: float = 0.0
    guidance_parallel: float = 1.0
    negative_prompt: str | None = None
    mix: tuple[float, ...] = ()
    glide: bool = False
    spacing: Spacing = "even"
    shift: float = 1.0
    eta: float = 0.5
    tolerance: float = 1e-3
    edit: Edit | None = None


@dataclass(frozen=True)
class Job:
    """One clip to make.

    Args:
        prompt: free words.
        index: the i of (seed, i).
        seconds: length.
        label: one of the model's classes.
        numbers: pitch, loudness, brightness, where they are asked for.
        parts: prompts that make the sound together; the prompt alone where there are none.
    """

    prompt: str
    index: int
    seconds: float
    label: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[str, ...] = ()


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
        jobs: per clip that was computed, what was asked for.
        first_row: which of the jobs the first clip is.
    """

    waveforms: Tensor
    sample_rate: int
    prompts: tuple[str, ...]
    indices: tuple[int, ...]
    seed: int
    settings: dict[str, Any]
    guarded: tuple[bool, ...] = field(default=())
    jobs: tuple[Job, ...] = field(default=())
    first_row: int = 0

    def only(self, row: int) -> "AudioOutput":
        """One clip of it, which still knows the others of its batch."""
        return replace(
            self,
            waveforms=self.waveforms[row : row + 1],
            prompts=self.prompts[row : row + 1],
            indices=self.indices[row : row + 1],
            guarded=self.guarded[row : row + 1],
            first_row=row,
        )


def settle(
    request: Request, defaults: Defaults, solver_names: tuple[str, ...], precision: torch.dtype
) -> dict[str, Any]:
    """Fill in the defaults and refuse what cannot be done.

    Raises:
        ValueError: names the setting, what was expected and what came.
    """
    check_prompts(request)
    if isinstance(request.num_clips, bool) or request.num_clips < 1:
        raise ValueError(f"num_clips: expected at least 1, got {request.num_clips}")
    solver = request.solver or (defaults.solver if defaults.solver in solver_names else solver_names[0])
    if solver not in solver_names:
        raise ValueError(f"solver: expected one of {', '.join(solver_names)}, got '{solver}'")
    seed = secrets.randbelow(2**31) if request.seed is None else request.seed
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed: expected 0 to 2**63 - 1, got {seed}")
    numbers = {"pitch": request.pitch, "loudness": request.loudness, "brightness": request.brightness}
    scale = defaults.guidance_scale if request.guidance_scale is None else float(request.guidance_scale)
    settings = {
        "seconds": settled_seconds(request, defaults),
        "seed": seed,
        "guidance_scale": scale,
        "guidance_interval": list(request.guidance_interval or defaults.guidance_interval),
        "guidance_rescale": float(request.guidance_rescale),
        "guidance_parallel": float(request.guidance_parallel),
        "solver": solver,
        "solver_steps": defaults.solver_steps if request.solver_steps is None else request.solver_steps,
        "spacing": request.spacing,
        "shift": float(request.shift),
        "eta": float(request.eta),
        "tolerance": float(request.tolerance),
        "label": request.label,
        "negative_prompt": request.negative_prompt,
        "mix": [weight / sum(request.mix) for weight in request.mix],
        "glide": request.glide,
        "edit": request.edit.to_dict() if request.edit else None,
        "precision": str(precision).removeprefix("torch."),
        **{name: None if value is None else float(value) for name, value in numbers.items()},
    }
    sampler_of(settings)
    return settings


def sampler_of(settings: Mapping[str, Any]) -> SamplerConfig:
    """The sampler that settled settings ask for.

    Raises:
        ValueError: a number out of its range.
    """
    guidance = GuidanceConfig(
        settings["guidance_scale"],
        tuple(settings["guidance_interval"]),
        settings["guidance_rescale"],
        settings["guidance_parallel"],
    )
    return SamplerConfig(**{name: settings[name] for name in SAMPLER_FIELDS}, guidance=guidance)


def started_sampler(settings: Mapping[str, Any], start_time: float) -> SamplerConfig:
    """The same with so many fewer steps as it starts later: each is as long as in a whole generation."""
    sampler = sampler_of(settings)
    return replace(sampler, solver_steps=max(1, round(sampler.solver_steps * (1.0 - start_time))))


def check_prompts(request: Request) -> None:
    """Refuse prompts that say nothing or do not go together.

    Raises:
        ValueError: says what is wrong.
    """
    said = request.prompts and all(prompt.strip() for prompt in request.prompts)
    # A sound to start from says enough by itself.
    if not said and (request.edit is None or request.prompts):
        raise ValueError("prompt: expected some words, got an empty prompt")
    if request.mix and request.glide:
        raise ValueError("mix and glide contradict each other: prompts sound together, or one after the other")
    if request.glide and len(request.prompts) < 2:
        raise ValueError(f"glide: expected at least two prompts, got {len(request.prompts)}")
    if not request.mix:
        return
    if len(request.mix) != len(request.prompts):
        raise ValueError(f"mix: expected a weight for each of {len(request.prompts)} prompts, got {len(request.mix)}")
    if not all(math.isfinite(weight) and weight >= 0.0 for weight in request.mix) or not sum(request.mix):
        raise ValueError(f"mix: expected weights of at least 0, one of them above, got {list(request.mix)}")


def settled_seconds(request: Request, defaults: Defaults) -> float:
    """The length of the clips: that of the sound to start from, where there is one.

    Raises:
        ValueError: out of range, or contradicting that sound.
    """
    if request.edit is not None:
        if request.seconds is not None:
            raise ValueError("seconds and init_audio contradict each other: the sound brings its length")
        seconds = request.edit.seconds()
        if seconds > defaults.max_seconds:
            raise ValueError(
                f"init_audio: this model makes at most {defaults.max_seconds:g} s at a time, this would be "
                f"{seconds:.2f} s; cut the file or extend it by less"
            )
        return seconds
    seconds = defaults.seconds if request.seconds is None else float(request.seconds)
    if not math.isfinite(seconds) or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"seconds: expected {SHORTEST_SECONDS} to {LONGEST_SECONDS:.0f}, got {seconds}")
    if seconds > defaults.max_seconds:
        raise ValueError(f"seconds: this model makes at most {defaults.max_seconds} s at a time, got {seconds}")
    return seconds


def jobs_of(request: Request, settings: Mapping[str, Any], numbers: Mapping[str, float]) -> list[Job]:
    """The clips that a request asks for: each prompt `num_clips` times, or all prompts together.

    Args:
        request: what is asked for.
        settings: of `settle`.
        numbers: pitch, loudness, brightness, where they are given.
    """
    together = bool(settings["mix"] or settings["glide"])
    joined = (" > " if settings["glide"] else " + ").join(request.prompts)
    texts = (joined,) if together else request.prompts or ("",)
    return [
        Job(text, index, settings["seconds"], settings["label"], numbers, request.prompts if together else ())
        for text in texts
        for index in range(request.num_clips)
    ]
