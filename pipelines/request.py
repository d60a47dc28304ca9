"""What is asked for and what comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from latent_diffusion.solvers import Spacing
from pipelines.editing import Edit

Loop = bool | Literal["circle", "struck"]
NUMBERS = ("pitch", "loudness", "brightness")
# So many clips are computed at once.
BATCH_CLIPS = 16


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
        autoguidance: away from what a weaker model makes of the same words; from the bundle when None, 1 is off.
        autoguidance_interval: first and last time at which that acts; from the bundle when None.
        guidance_rescale: share of the unguided spread that is restored, 0 to 1.
        guidance_parallel: weight of guidance along the sound itself; 0 is adaptive projected guidance, 1 the plain one.
        negative_prompt: what is not wanted.
        mix: weights of the prompts, which then make one sound together.
        glide: the prompts follow each other within one sound.
        glide_at: the second at which each of them rules alone, rising; evenly over the sound when left out.
        spacing: of the solver's times: even, quadratic, cosine.
        shift: above 1, the solver's times lie closer together near noise.
        eta: of the solver `stochastic`.
        tolerance: of the solver `adaptive`.
        style: a sound file whose timbre the clips are drawn towards.
        style_strength: how far, 0 to 1; 0.15 when left out.
        edit: a sound to start from.
        loop: the end leads into the beginning; the length is rounded to what goes round. True hears which are struck;
            "circle" and "struck" say so of all.
        morph_clips: so many clips that lead from the first of two prompts to the second, from `seed` to `to_seed`, and
            from the sound of an edit to that which it leads toward; 0 is no morph.
        to_seed: of the last clip of a morph.
        stereo: width of two channels, up to 1; 0 is one channel.
        best_of: so many tries for each clip, of which those that fit the prompt best are kept.
        variety: how far clips of the same words may lie apart, 0 to 1; where a sound is worked on 0 when left out.
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
    autoguidance: float | None = None
    autoguidance_interval: tuple[float, float] | None = None
    guidance_rescale: float = 0.0
    guidance_parallel: float = 1.0
    negative_prompt: str | None = None
    mix: tuple[float, ...] = ()
    glide: bool = False
    glide_at: tuple[float, ...] = ()
    spacing: Spacing = "even"
    shift: float = 1.0
    eta: float = 0.5
    tolerance: float = 1e-3
    style: Path | str | None = None
    style_strength: float | None = None
    edit: Edit | None = None
    loop: Loop = False
    morph_clips: int = 0
    to_seed: int | None = None
    stereo: float = 0.0
    best_of: int = 1
    variety: float | None = None


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
        place: of a morph, 0 is its first end, 1 its second.
        step: of a morph, which of its clips, from 1; 0 where there is none.
        struck: of a loop, it begins anew each time round (`pipelines.striking`).
    """

    prompt: str
    index: int
    seconds: float
    label: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    place: float = 0.0
    step: int = 0
    struck: bool = False


@dataclass(frozen=True)
class AudioOutput:
    """Generated clips.

    Args:
        waveforms: `(clips, samples)` in [-1, 1], of stereo `(clips, 2, samples)`; clips of the first prompt come first.
        sample_rate: in Hz.
        prompts: one per clip.
        indices: the i of (seed, i), one per clip.
        seed: that was used.
        settings: everything that decided the sound, as plain containers.
        guarded: per clip, whether its peak was lowered to avoid clipping.
        tuned: per clip, by how many semitones it was moved to be in tune.
        jobs: per clip that was computed, what was asked for.
        rows: per clip, which of the jobs it is.
        origins: per loop, the sample at which it begins: where the circle closes that it was made on, or is struck.
    """

    waveforms: Tensor
    sample_rate: int
    prompts: tuple[str, ...]
    indices: tuple[int, ...]
    seed: int
    settings: dict[str, Any]
    guarded: tuple[bool, ...] = field(default=())
    tuned: tuple[float, ...] = field(default=())
    jobs: tuple[Job, ...] = field(default=())
    rows: tuple[int, ...] = ()
    origins: tuple[int, ...] = ()

    def closing(self, row: int) -> int:
        """The sample at which the circle of a loop closes, beside the file's end; 0 where there is no other place.

        Args:
            row: of the clip.
        """
        return 0 if self.struck(row) else self.origins[row]

    def struck(self, row: int) -> bool:
        """Whether a loop begins anew each time round.

        Args:
            row: of the clip.
        """
        return self.jobs[self.rows[row]].struck


def asked_numbers(settings: Mapping[str, Any]) -> dict[str, float]:
    """Pitch, loudness and brightness of settled settings, where they are asked for."""
    return {name: settings[name] for name in NUMBERS if settings[name] is not None}


def jobs_of(request: Request, settings: Mapping[str, Any]) -> list[Job]:
    """The clips to make: each prompt `num_clips` times `best_of` times, all prompts together, or those of a morph.

    Args:
        request: what is asked for.
        settings: of `settle`.

    Returns:
        of loops that are to be heard none is struck yet; see `pipelines.turns.with_struck`.
    """
    numbers, struck = asked_numbers(settings), settings["loop"] == "struck"
    if request.morph_clips:
        ends = request.prompts if len(request.prompts) == 2 else ()
        text, last = " > ".join(request.prompts), request.morph_clips - 1
        return [
            Job(text, 0, settings["seconds"], settings["label"], numbers, ends, step / last, step + 1, struck)
            for step in range(request.morph_clips)
        ]
    together = bool(settings["mix"] or settings["glide"])
    joined = (" > " if settings["glide"] else " + ").join(request.prompts)
    texts = (joined,) if together else request.prompts or ("",)
    parts = request.prompts if together else ()
    return [
        Job(text, index, settings["seconds"], settings["label"], numbers, parts, struck=struck)
        for text in texts
        for index in range(request.num_clips * request.best_of)
    ]
