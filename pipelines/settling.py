"""From what is asked for to settings that decide everything: defaults filled in, what cannot be done refused."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from latent_diffusion.guidance import GuidanceConfig
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.sampling import SamplerConfig
from pipelines.bundle import Defaults, check_variety
from pipelines.editing import Edit
from pipelines.ranking import check_best_of
from pipelines.request import Request
from pipelines.stereo import check_width
from pipelines.styling import settled_style

SHORTEST_SECONDS = 0.05
LONGEST_SECONDS = 600.0
LONGEST_LOOP_SECONDS = 60.0
MOST_CLIPS = 10_000
# Settings that reach the sampler under their own names.
SAMPLER_FIELDS = ("solver", "solver_steps", "spacing", "shift", "eta", "tolerance")


def settle(request: Request, defaults: Defaults, diffusion: LatentDiffusion, precision: torch.dtype) -> dict[str, Any]:
    """Fill in the defaults and refuse what cannot be done.

    Args:
        request: what is asked for.
        defaults: of the bundle.
        diffusion: knows which solvers fit it, and whether it holds a weaker model.
        precision: of matrix products.

    Raises:
        ValueError: names the setting, what was expected and what came.
    """
    check_prompts(request)
    if request.edit is not None:
        request = replace(request, edit=request.edit.on_frames(diffusion.spec.latent_rate))
    check_width(request.stereo)
    check_best_of(request)
    check_count(request)
    solver_names = diffusion.solver_names()
    solver = request.solver or (defaults.solver if defaults.solver in solver_names else solver_names[0])
    if solver not in solver_names:
        raise ValueError(f"solver: expected one of {', '.join(solver_names)}, got '{solver}'")
    seed = secrets.randbelow(2**31) if request.seed is None else request.seed
    for name, value in (("seed", seed), ("to_seed", request.to_seed or 0)):
        if not 0 <= value < 2**63:
            raise ValueError(f"{name}: expected 0 to 2**63 - 1, got {value}")
    numbers = {"pitch": request.pitch, "loudness": request.loudness, "brightness": request.brightness}
    settings: dict[str, Any] = {
        "seconds": settled_seconds(request, defaults),
        "seed": seed,
        "guidance_scale": float(defaults.guidance_scale if request.guidance_scale is None else request.guidance_scale),
        "autoguidance": settled_autoguidance(request, defaults, diffusion.guide is not None),
        "autoguidance_interval": list(request.autoguidance_interval or defaults.autoguidance_interval),
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
        "glide_at": [float(at) for at in request.glide_at],
        "loop": request.loop if isinstance(request.loop, str) else bool(request.loop),
        "morph_clips": request.morph_clips,
        "to_seed": request.to_seed,
        "stereo": float(request.stereo),
        "best_of": request.best_of,
        "variety": settled_variety(request, defaults),
        "style": settled_style(request),
        "edit": request.edit.to_dict() if request.edit else None,
        "precision": str(precision).removeprefix("torch."),
        **{name: None if value is None else float(value) for name, value in numbers.items()},
    }
    check_heard(request, settings)
    sampler_of(settings)
    return settings


def check_heard(request: Request, settings: Mapping[str, Any]) -> None:
    """Refuse what would be passed over in silence, and times that nobody would hear.

    Raises:
        ValueError: names the setting and what it needs.
    """
    pressed = settings["guidance_scale"] != 1.0
    needs = (
        ("eta", request.eta != Request.eta, "solver stochastic", settings["solver"] == "stochastic"),
        ("tolerance", request.tolerance != Request.tolerance, "solver adaptive", settings["solver"] == "adaptive"),
        (
            "guidance_rescale",
            request.guidance_rescale != Request.guidance_rescale,
            "a guidance_scale or an autoguidance other than 1",
            pressed or settings["autoguidance"] != 1.0,
        ),
        *(
            (name, getattr(request, name) != getattr(Request, name), "a guidance_scale other than 1", pressed)
            for name in ("negative_prompt", "guidance_interval", "guidance_parallel")
        ),
    )
    for name, given, needed, there in needs:
        if given and not there:
            raise ValueError(f"{name}: only goes with {needed}")
    late = [at for at in settings["glide_at"] if at > settings["seconds"]]
    if late:
        raise ValueError(f"glide_at: {late[0]:g} s lies beyond the end of the clip ({settings['seconds']:g} s)")


def settled_autoguidance(request: Request, defaults: Defaults, guide: bool) -> float:
    """How strongly clips are led away from what a weaker model makes; 1 where there is none.

    Raises:
        ValueError: asked for where there is none, or an interval of none.
    """
    own = defaults.autoguidance if guide else 1.0
    asked = own if request.autoguidance is None else float(request.autoguidance)
    if not guide and asked != 1.0:
        raise ValueError("autoguidance: this model holds no weaker one (python -m pipelines.bundle --guide); 1 is off")
    if asked == 1.0 and request.autoguidance_interval is not None:
        raise ValueError("autoguidance_interval: only goes with an autoguidance other than 1")
    return asked


def settled_variety(request: Request, defaults: Defaults) -> float:
    """How far clips of the same words may lie apart; what joins a recording is not to be another kind of sound.

    Raises:
        ValueError: out of range.
    """
    if request.variety is not None:
        return check_variety(request.variety)
    return 0.0 if request.edit is not None else defaults.variety


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
        settings["autoguidance"],
        tuple(settings["autoguidance_interval"]),
    )
    return SamplerConfig(**{name: settings[name] for name in SAMPLER_FIELDS}, guidance=guidance)


def started_sampler(settings: Mapping[str, Any], start_time: float) -> SamplerConfig:
    """The same with so many fewer steps as it starts later: each is as long as in a whole generation."""
    sampler = sampler_of(settings)
    return replace(sampler, solver_steps=max(1, round(sampler.solver_steps * (1.0 - start_time))))


def steps_run(settings: Mapping[str, Any]) -> int:
    """How many steps the solver takes for a batch: fewer where it starts later, none where it starts at the end."""
    start_time = Edit.from_dict(settings["edit"]).start_time if settings["edit"] else 0.0
    return 0 if start_time >= 1.0 else started_sampler(settings, start_time).solver_steps


def check_prompts(request: Request) -> None:
    """Refuse prompts that say nothing or do not go together.

    Raises:
        ValueError: says what is wrong.
    """
    said = request.prompts and all(prompt.strip() for prompt in request.prompts)
    # A sound to start from says enough by itself.
    if not said and (request.edit is None or request.prompts):
        raise ValueError("prompt: expected some words, got an empty prompt")
    check_morph(request)
    if request.loop not in (False, True, "circle", "struck"):
        raise ValueError(f"loop: expected true, false, circle or struck, got {request.loop!r}")
    if request.loop and request.edit is not None:
        raise ValueError(f"loop and {request.edit.option} contradict each other: a recording does not go round")
    if request.mix and request.glide:
        raise ValueError("mix and glide contradict each other: prompts sound together, or one after the other")
    if request.glide and request.loop:
        raise ValueError(
            "glide and loop contradict each other: the last prompt would jump back to the first at the seam"
        )
    if request.glide and len(request.prompts) < 2:
        raise ValueError(f"glide: expected at least two prompts, got {len(request.prompts)}")
    if request.glide_at:
        check_glide_times(request)
    if not request.mix:
        return
    if len(request.mix) != len(request.prompts):
        raise ValueError(f"mix: expected a weight for each of {len(request.prompts)} prompts, got {len(request.mix)}")
    if not all(math.isfinite(weight) and weight >= 0.0 for weight in request.mix) or not sum(request.mix):
        raise ValueError(f"mix: expected weights of at least 0, one of them above, got {list(request.mix)}")


def check_count(request: Request) -> None:
    """Refuse no clips, more than anyone waits for, and the same one several times.

    Raises:
        ValueError: says how many were asked for.
    """
    if isinstance(request.num_clips, bool) or request.num_clips < 1:
        raise ValueError(f"num_clips: expected at least 1, got {request.num_clips}")
    tries = max(1, len(request.prompts)) * request.num_clips * request.best_of
    if tries > MOST_CLIPS:
        raise ValueError(f"num_clips: expected at most {MOST_CLIPS} clips in all at once, these are {tries}")
    edit = request.edit
    if edit is None or edit.start_time < 1.0:
        return
    # A way between two recordings has many reconstructions, several prompts in one sound have one.
    prompts = 1 if request.mix or request.glide else max(1, len(request.prompts))
    alike = request.morph_clips or prompts * request.num_clips * request.best_of
    if alike > 1 and edit.toward is None:
        raise ValueError(
            "strength: at 0 every clip is the source's reconstruction, whatever the prompt; ask for one clip, or for "
            "more strength"
        )


def check_glide_times(request: Request) -> None:
    """Refuse times that do not belong to prompts that glide.

    Raises:
        ValueError: says what is wrong.
    """
    times = request.glide_at
    if not request.glide or len(times) != len(request.prompts):
        raise ValueError(f"glide_at: expected --glide true and a time for each of {len(request.prompts)} prompts")
    if not all(math.isfinite(at) and at >= 0.0 for at in times) or sorted(set(times)) != list(times):
        raise ValueError(f"glide_at: expected rising seconds from 0, got {', '.join(f'{at:g}' for at in times)}")


def check_morph(request: Request) -> None:
    """Refuse a morph without two ends, and ends without a morph.

    Raises:
        ValueError: says what is wrong.
    """
    toward = request.edit is not None and request.edit.toward is not None
    if not request.morph_clips:
        if toward or request.to_seed is not None:
            raise ValueError("morph: two ends were given, and no number of clips between them (morph_clips)")
        return
    if not 2 <= request.morph_clips <= 1000:
        raise ValueError(f"morph_clips: expected 2 to 1000, got {request.morph_clips}")
    if not (toward or request.to_seed is not None or len(request.prompts) == 2):
        raise ValueError("morph: expected two prompts, two seeds or two sound files")
    if len(request.prompts) > 2 or request.mix or request.glide or request.num_clips != 1:
        raise ValueError("morph takes two prompts at most, and neither mix, glide nor num_clips")


def settled_seconds(request: Request, defaults: Defaults) -> float:
    """The length of the clips: that of the sound to start from, where there is one.

    Raises:
        ValueError: out of range, or contradicting that sound.
    """
    if request.edit is not None:
        if request.seconds is not None:
            raise ValueError(f"seconds and {request.edit.option} contradict each other: a sound brings its length")
        seconds = request.edit.seconds()
        if seconds > LONGEST_SECONDS:
            raise ValueError(
                f"{request.edit.option}: at most {LONGEST_SECONDS:.0f} s can be worked on, this would be {seconds:.2f} "
                "s; cut the file or extend it by less"
            )
        return seconds
    seconds = defaults.seconds if request.seconds is None else float(request.seconds)
    if not math.isfinite(seconds) or not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise ValueError(f"seconds: expected {SHORTEST_SECONDS} to {LONGEST_SECONDS:.0f}, got {seconds}")
    if request.loop and seconds > LONGEST_LOOP_SECONDS:
        raise ValueError(f"seconds: a loop may be {LONGEST_LOOP_SECONDS:.0f} s long at most, got {seconds}")
    return seconds
