"""`python -m pipelines.gallery`: what every mode makes of one recording, as a strip of spectrograms and as sounds."""

import math
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio.files import read_audio, write_aside, write_audio
from audio.mel import LogMelSpectrogram
from evaluation.pictures import strip_figure
from pipelines.clips import check_writable
from pipelines.editing import Edit
from pipelines.live import live_job, live_output
from pipelines.request import Request
from pipelines.text_to_audio import TextToAudioPipeline
from training.command import answer, run_command, say

PICTURE_DPI = 80
ABOUT_BYTES = 64 * 2**20

# What is asked for to show what numbers do, where the model knows them: pitches are C3 and C5.
NUMBERS = {"pitch": (48.0, 72.0), "loudness": (-30.0, -6.0), "brightness": (400.0, 4000.0), "seconds": (0.3, 2.0)}

SHOWN_LABELS = 5

Sound = tuple[str, Tensor]
"""A title and a clip, `(samples,)`."""


@dataclass(frozen=True)
class Gallery:
    """Makes the sounds of every mode.

    Args:
        pipeline: of the model.
        source: a recording.
        prompt: what it could be called.
        seed: of everything.
        solver_steps: of the solver; the bundle's when None.
    """

    pipeline: TextToAudioPipeline
    source: Path
    prompt: str
    seed: int
    solver_steps: int | None

    def made(self, *prompts: str, **settings: Any) -> Tensor:  # noqa: ANN401
        """Clips of a request, `(clips, samples)`."""
        return self.pipeline(prompts, seed=self.seed, solver_steps=self.solver_steps, **settings).waveforms

    def one(self, *prompts: str, **settings: Any) -> Tensor:  # noqa: ANN401
        """The only clip of a request, `(samples,)`."""
        return self.made(*prompts, **settings)[0]

    def real(self) -> Tensor:
        """The recording itself."""
        return torch.from_numpy(read_audio(self.source, self.pipeline.sample_rate)[0])

    def strength(self) -> Iterator[Sound]:
        """Variations, from the reconstruction to a new sound."""
        yield "the recording", self.real()
        for value in (0.0, 0.3, 0.6, 1.0):
            yield f"--strength {value:g}", self.one(edit=Edit(self.source, value))

    def mask(self) -> Iterator[Sound]:
        """A region made anew."""
        seconds = len(self.real()) / self.pipeline.sample_rate
        start, end = round(0.3 * seconds, 2), round(0.6 * seconds, 2)
        yield "--strength 0", self.one(edit=Edit(self.source, 0.0))
        yield f"--mask {start:g}:{end:g}", self.one("a hand clap", edit=Edit(self.source, mask=((start, end),)))

    def extend(self) -> Iterator[Sound]:
        """More of it, before and after."""
        yield "--strength 0", self.one(edit=Edit(self.source, 0.0))
        yield "--extend_after 0.6", self.one(self.prompt, edit=Edit(self.source, extend_after=0.6))
        yield "--extend_before 0.4", self.one(self.prompt, edit=Edit(self.source, extend_before=0.4))
        with tempfile.TemporaryDirectory() as folder:
            path, whole = Path(folder) / "part.wav", self.real()
            write_audio(path, whole[len(whole) // 4 :].numpy(), self.pipeline.sample_rate)
            yield "a part that breaks in", self.one(edit=Edit(path, 0.0))
            yield "--extend_before 0.4 of it", self.one(self.prompt, edit=Edit(path, extend_before=0.4))

    def prompts(self) -> Iterator[Sound]:
        """Two prompts in one sound, and one that is not wanted."""
        both = ("a soft organ, C4", "a bright brass section, C4")
        for prompt in both:
            yield prompt, self.one(prompt, seconds=1.5)
        yield "--mix 0.5,0.5", self.one(*both, mix=(0.5, 0.5), seconds=1.5)
        yield "--glide true", self.one(*both, glide=True, seconds=1.5)
        if self.pipeline.defaults.guidance_scale != 1.0:
            yield "--negative_prompt bright", self.one(both[1], negative_prompt="bright", seconds=1.5)

    def glide(self) -> Iterator[Sound]:
        """Three prompts that follow each other, evenly and at given seconds."""
        words = ("a soft organ, C4", "a string ensemble, C4", "a bright brass section, C4")
        yield "--glide true --seconds 4", self.one(*words, glide=True, seconds=4.0)
        yield "--glide_at 0,1,2", self.one(*words, glide=True, glide_at=(0.0, 1.0, 2.0), seconds=4.0)

    def numbers(self) -> Iterator[Sound]:
        """The same noise at other notes, levels, brightness and lengths."""
        plain, known = "a marimba", self.pipeline.diffusion.config.conditioning.number_ranges
        for name, values in NUMBERS.items():
            low, high = known.get(name, (math.inf, -math.inf))
            for value in (one for one in values if low <= one <= high):
                yield f"--{name} {value:g}", self.one(plain, **{"seconds": 0.8, name: value})

    def labels(self) -> Iterator[Sound]:
        """The same noise as several of the model's classes, without a prompt."""
        known = self.pipeline.diffusion.config.conditioning.labels
        for label in known[:: max(1, len(known) // SHOWN_LABELS)][:SHOWN_LABELS]:
            yield f"--label {label}", self.one(label=label, seconds=0.8)

    def best_of(self) -> Iterator[Sound]:
        """The best of eight beside the first."""
        for prompt in ("a bright marimba, C5", "a tight acoustic snare"):
            yield prompt, self.one(prompt, seconds=0.8)
            yield "--best_of 8", self.one(prompt, seconds=0.8, best_of=8)

    def variety(self) -> Iterator[Sound]:
        """Three clips of the same words, closer together and farther apart."""
        for value in (0.0, 0.4, 0.8):
            for number, clip in enumerate(self.made("a tight acoustic snare", seconds=0.5, num_clips=3, variety=value)):
                yield f"--variety {value:g}, {number + 1} of 3", clip

    def style(self) -> Iterator[Sound]:
        """A prompt drawn towards the recording."""
        yield "the recording", self.real()
        yield "a snare drum", self.one("a snare drum", seconds=0.8)
        for value in (0.15, 0.4, 0.8):
            yield (
                f"--style_strength {value:g}",
                self.one("a snare drum", seconds=0.8, style=self.source, style_strength=value),
            )

    def loop(self) -> Iterator[Sound]:
        """A loop, played twice, beside a clip played twice."""
        for name, loop in (("no loop, twice", False), ("--loop true, twice", True)):
            once = self.one("a warm synth pad", seconds=1.5, loop=loop)
            yield name, torch.cat([once, once])

    def morph(self) -> Iterator[Sound]:
        """From one prompt to another."""
        clips = self.made("a deep kick", "a bright bell", morph_clips=6, seconds=0.8)
        for number, clip in enumerate(clips):
            yield f"--morph, {number + 1} of {len(clips)}", clip

    def seeds(self) -> Iterator[Sound]:
        """From one noise to another."""
        clips = self.made("a sweep pad", to_seed=self.seed + 1, morph_clips=6, seconds=0.8)
        for number, clip in enumerate(clips):
            yield f"--morph {self.seed} {self.seed + 1}, {number + 1} of {len(clips)}", clip

    def recordings(self) -> Iterator[Sound]:
        """From the recording to another sound file, which is made for it."""
        with tempfile.TemporaryDirectory() as folder:
            other = Path(folder) / "other.wav"
            write_audio(other, self.one("a deep kick", seconds=0.8).numpy(), self.pipeline.sample_rate)
            clips = self.made(edit=Edit(self.source, 0.3, toward=other), morph_clips=6)
            for number, clip in enumerate(clips):
                yield f"--morph A.wav B.wav, {number + 1} of {len(clips)}", clip

    def long(self) -> Iterator[Sound]:
        """Beyond the length of training, at once and live."""
        words = "a string ensemble"
        yield "--seconds 10", self.one(words, seconds=10.0)
        request = Request((words,), 10.0, seed=self.seed, solver_steps=self.solver_steps)
        job, settings = live_job(self.pipeline, request)
        yield "--seconds 10 --stream wav", live_output(self.pipeline, job, settings).waveforms[0]

    def stereo(self) -> Iterator[Sound]:
        """Left, right, and half their sum."""
        both = self.one("a warm synth pad", seconds=1.5, stereo=0.8)
        yield "--stereo 0.8, left", both[0]
        yield "right", both[1]
        yield "both together", both.mean(dim=0)

    def steering(self) -> Iterator[Sound]:
        """The same noise under other guidance and other solvers."""
        for scale in (1.0, 3.0, 8.0):
            yield f"--guidance_scale {scale:g}", self.one("a bright bell, C5", seconds=1.0, guidance_scale=scale)
        solvers = [name for name in ("dpmpp_2m", "stochastic") if name in self.pipeline.diffusion.solver_names()]
        for name in solvers:
            yield f"--solver {name}", self.one("a bright bell, C5", seconds=1.0, solver=name)

    def times(self) -> Iterator[Sound]:
        """The same noise in few steps, which lie elsewhere."""
        ways: Sequence[dict[str, Any]] = ({}, {"spacing": "quadratic"}, {"spacing": "cosine"}, {"shift": 3.0})
        for words in ways:
            name = ", ".join(f"--{key} {value}" for key, value in words.items()) or "--solver_steps 6"
            yield (
                name,
                self.pipeline("a bright bell, C5", seed=self.seed, seconds=1.0, solver_steps=6, **words).waveforms[0],
            )

    def guidance(self) -> Iterator[Sound]:
        """What a large scale overdoes, and three remedies."""
        remedies: Sequence[dict[str, Any]] = (
            {},
            {"guidance_interval": (0.1, 0.6)},
            {"guidance_rescale": 0.7},
            {"guidance_parallel": 0.0},
        )
        for words in remedies:
            name = ", ".join(f"--{key} {value}" for key, value in words.items()) or "--guidance_scale 6"
            name = name.replace("(", "").replace(", 0.6)", ":0.6")
            yield name, self.one("a bright bell, C5", seconds=1.0, guidance_scale=6.0, **words)


MODES: dict[str, Callable[[Gallery], Iterator[Sound]]] = {
    "strength": Gallery.strength,
    "mask": Gallery.mask,
    "extend": Gallery.extend,
    "prompts": Gallery.prompts,
    "glide": Gallery.glide,
    "numbers": Gallery.numbers,
    "labels": Gallery.labels,
    "best_of": Gallery.best_of,
    "variety": Gallery.variety,
    "style": Gallery.style,
    "loop": Gallery.loop,
    "morph": Gallery.morph,
    "seeds": Gallery.seeds,
    "recordings": Gallery.recordings,
    "long": Gallery.long,
    "stereo": Gallery.stereo,
    "steering": Gallery.steering,
    "times": Gallery.times,
    "guidance": Gallery.guidance,
}


def gallery(
    audio: Path,
    out: Path,
    prompt: str = "a sound",
    model: Path | None = None,
    modes: list[str] | None = None,
    sounds: bool = True,
    seed: int = 3,
    solver_steps: int | None = None,
) -> None:
    """Show what every mode makes of one recording: OUT/MODE.png, and the sounds beside it.

    Args:
        audio: a sound file, up to a few seconds long.
        out: folder to write into.
        prompt: what the recording could be called.
        model: folder of a bundle; the bundled model when left out.
        modes: strength, mask, extend, prompts, glide, numbers, labels, best_of, variety, style, loop, morph, seeds,
            recordings, long, stereo, steering, times, guidance; all when left out.
        sounds: write the sounds too.
        seed: of everything.
        solver_steps: of the solver; from the bundle when left out.

    Raises:
        ValueError: an unreadable file, an unknown mode, or a model that cannot do one of them.
    """
    unknown = [name for name in modes or () if name not in MODES]
    if unknown:
        raise ValueError(f"modes: expected some of {', '.join(MODES)}, got {', '.join(unknown)}")
    read_audio(audio)
    shown = Gallery(TextToAudioPipeline.from_pretrained(model), audio, prompt, seed, solver_steps)
    check_writable(out, ABOUT_BYTES)
    for name in modes or MODES:
        say(f"{name}: {(MODES[name].__doc__ or '').strip()}")
        made = list(MODES[name](shown))
        if not made:
            say(f"{name}: this model knows nothing of it")
            continue
        save(made, out / name, shown.pipeline, sounds)
        answer(str(out / f"{name}.png"))


def save(made: list[Sound], base: Path, pipeline: TextToAudioPipeline, sounds: bool) -> None:
    """Write a strip, and the sounds under numbered names."""
    mel = pipeline.autoencoder.mel
    front_end = LogMelSpectrogram(mel)
    with torch.inference_mode():
        panels = [(title, np.asarray(front_end(clip[None])[0].numpy())) for title, clip in made]
    with write_aside(base.with_suffix(".png")) as aside:
        strip_figure([panels], mel, dpi=PICTURE_DPI).savefig(aside, format="png")
    for number, (_, clip) in enumerate(made if sounds else ()):
        write_audio(base.with_name(f"{base.name}_{number}.wav"), clip.numpy(), pipeline.sample_rate)


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.gallery`."""
    return run_command(gallery, arguments, lists=("modes",), program="python -m pipelines.gallery")


if __name__ == "__main__":
    sys.exit(main())
