"""`python -m pipelines.check_control`: does a model keep what its modes promise?

    strength     clips move further from the source's reconstruction with every step of --strength
    kept         what --mask keeps differs from the reconstruction by less than 0.05 nats, beyond what hears the seam
    extend       where --extend_after goes on from a recording that breaks off, a clip changes no more than around 95 %
                 of its other places
    before       nor where what --extend_before made leads over to a recording that breaks in
    goes_on      what --extend_after makes is as loud as what was there, within 12 dB over 0.3 s, at once and 0.5 s on
    morph        no step of --morph is longer than three times the median step
    loop         the seam of --loop, at the end of the file and wherever its circle closes, is no rougher than the 95th
                 percentile of the clip's own changes from frame to frame
    long         nor are the borders of a long clip's windows, where they lay when it was all but done; one a border
    stream       around where the stretches of --stream meet a clip changes no more than around 95 % of its other places
    loudness     clips are within 1 dB of what --loudness asks for
    brightness   and within half an octave of --brightness, asked for half and for twice what a prompt makes by itself
    pitch        and within 50 cents of the note of --pitch, asked for labels of recordings with notes, and their notes

Sources are real clips, prompts are captions of them. Distances are mean absolute differences of log-mels, in nats.
"""

import itertools
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio.dataset import AudioFolder, Clip, Split, evenly
from audio.files import read_audio, write_audio
from audio.measures import loudness_db
from audio.mel import LogMelSpectrogram
from evaluation.page import save_json
from latent_diffusion.windows import cuts_at
from pipelines.borders import border_scores, cut_scores
from pipelines.canvas import EDGE_FRAMES, seam_reach
from pipelines.clips import check_writable
from pipelines.control_numbers import colours_off, levels_off, notes_off
from pipelines.control_promises import BROKEN, LIMITS, STRENGTHS, Property, decibels, show
from pipelines.editing import Edit
from pipelines.live import live_job, live_output, stretches
from pipelines.looping import seam_score
from pipelines.progress import SILENT_DB, bar
from pipelines.request import Request, jobs_of
from pipelines.text_to_audio import TextToAudioPipeline
from training.command import answer, run_command, say

MASK = (0.45, 0.55)
MORPH_CLIPS, LOOP_SECONDS, LONG_SECONDS, EXTENDED_SECONDS = 9, 2.0, 10.0, 1.0
# Of a source that is gone on from, in its midst: at its end there would be nothing to go on with.
BROKEN_OFF = 0.4
# What is made after it is compared with what was there: so many seconds of it, at these.
LEVEL_SECONDS, LEVEL_AT = 0.3, (0.0, 0.5)
REPORT_BYTES = 2**20
# Windows are cut elsewhere at every time; what the last so many times leave is heard.
LAST_TIMES = 2


def check_control(
    audio: Path,
    out: Path,
    model: Path | None = None,
    clips: int = 20,
    split: Split = "test",
    solver_steps: int | None = None,
    seed: int = 0,
    only: list[str] | None = None,
) -> None:
    """Measure what the modes of generate.py promise, and write OUT/control.json.

    Args:
        audio: folder of real clips with captions, such as data/oneshots.
        out: folder of the report.
        model: folder of a bundle; the bundled model when left out.
        clips: sources and prompts, spread evenly over the split.
        split: train, validation or test.
        solver_steps: of the solver; from the bundle when left out.
        seed: of everything.
        only: a promise to measure, such as stream, instead of all; repeat the option for several.

    Raises:
        ValueError: a bad bundle, fewer than two clips, clips without captions, or a promise that there is not.
    """
    if clips < 2:
        raise ValueError(f"clips: expected at least 2, got {clips}")
    unknown = sorted(set(only or ()) - set(LIMITS))
    if unknown:
        raise ValueError(f"only: expected some of {', '.join(LIMITS)}, got {unknown[0]!r}")
    pipeline = TextToAudioPipeline.from_pretrained(model)
    folder = AudioFolder.scan(audio)
    sources = folder.spread(split, clips)
    prompts = [clip.captions[0] for clip in sources if clip.captions]
    if len(prompts) < 2:
        raise ValueError(f"audio: expected two clips with captions in split '{split}' of '{audio}'")
    time = "" if only else f", about {0.35 * clips:.0f} min on two cores"
    say(f"{len(sources)} sources, {len(prompts)} prompts{time}")
    check_writable(out, REPORT_BYTES)
    check = ControlCheck(pipeline, solver_steps, seed)
    longest = sorted(folder.split(split), key=lambda clip: -min(clip.seconds, pipeline.defaults.max_seconds))[:clips]
    # Of sounds that last: where all is silence, no border can be heard.
    held = [clip.captions[0] for clip in longest if clip.captions] or prompts
    noted = evenly([clip for clip in folder.split(split) if clip.pitch is not None and clip.label], clips)
    measured = measures(check, sources, longest, prompts, held, noted)
    found: list[Property] = []
    page: dict[str, Any] = {"stages": pipeline.fingerprints, "data": folder.fingerprint()}
    for name in (name for name in LIMITS if not only or name in only):
        found.append(Property(name, tuple(measured[name]()), LIMITS[name]))
        page[name] = asdict(found[-1]) | {"within": found[-1].within}
        # After each, for all of them take minutes.
        save_json(out / "control.json", page)
    show(found)
    answer(str(out / "control.json"))


def measures(
    check: "ControlCheck",
    sources: Sequence[Clip],
    longest: Sequence[Clip],
    prompts: Sequence[str],
    held: Sequence[str],
    noted: Sequence[Clip],
) -> dict[str, Callable[[], Iterable[float]]]:
    """What measures each promise: of sources, the longest ones, the captions of both, and clips with a note."""
    rate, ranges = check.mel.sample_rate, check.pipeline.diffusion.config.conditioning.number_ranges

    @cache
    def joins() -> list[tuple[list[float], float]]:
        return list(check.extensions(bar("extend")(longest)))

    return {
        "strength": lambda: check.strengths(bar("strength")(sources)),
        "kept": lambda: check.kept(bar("kept")(longest)),
        "extend": lambda: (score for scores, _ in joins() for score in scores),
        "goes_on": lambda: (level for _, level in joins()),
        "before": lambda: check.beginnings(bar("before")(longest)),
        "morph": lambda: check.morphs(bar("morph")(pairs(prompts))),
        "loop": lambda: check.loops(bar("loop")(prompts)),
        "long": lambda: check.long(bar("long")(held)),
        "stream": lambda: check.streams(bar("stream")(held)),
        "loudness": lambda: levels_off(check.made, rate, ranges, bar("loudness")(prompts)),
        "brightness": lambda: colours_off(check.made, rate, ranges, bar("brightness")(prompts)),
        "pitch": lambda: notes_off(check.made, rate, ranges, bar("pitch")(noted)),
    }


def pairs(prompts: Sequence[str]) -> list[tuple[str, str]]:
    """Each prompt with the next, the last with the first."""
    return list(zip(prompts, [*prompts[1:], prompts[0]], strict=True))


class ControlCheck:
    """Makes clips and measures them.

    Args:
        pipeline: of the model.
        solver_steps: of the solver; the bundle's when None.
        seed: of every clip.
    """

    def __init__(self, pipeline: TextToAudioPipeline, solver_steps: int | None, seed: int) -> None:
        self.pipeline, self.seed, self.solver_steps = pipeline, seed, solver_steps
        self.mel = pipeline.autoencoder.mel
        self.front_end = LogMelSpectrogram(self.mel)

    def made(self, *prompts: str, **settings: Any) -> Tensor:  # noqa: ANN401
        """Waveforms of a request, `(clips, samples)`."""
        return self.pipeline(prompts, seed=self.seed, solver_steps=self.solver_steps, **settings).waveforms

    def log_mel(self, waveform: Tensor) -> Tensor:
        """`(n_mels, frames)` of `(samples,)`."""
        mel: Tensor = self.front_end(waveform[None])[0]
        return mel

    def distance(self, first: Tensor, second: Tensor) -> float:
        """Mean absolute difference of two log-mels, in nats."""
        frames = min(first.shape[-1], second.shape[-1])
        return float((first[:, :frames] - second[:, :frames]).abs().mean())

    def strengths(self, sources: Iterable[Clip]) -> tuple[float, ...]:
        """Median distance from strength 0, at each strength."""
        rows = []
        for clip in sources:
            mels = [self.log_mel(self.made(edit=Edit(clip.path, value))[0]) for value in STRENGTHS]
            rows.append([self.distance(mels[0], one) for one in mels])
        return tuple(float(value) for value in np.median(np.array(rows), axis=0))

    def kept(self, sources: Iterable[Clip]) -> Iterator[float]:
        """Largest distance from the reconstruction beyond reach of a mask; not of what it all reaches or clips."""
        pipeline = self.pipeline
        for clip in sources:
            source = pipeline((), seed=self.seed, solver_steps=self.solver_steps, edit=Edit(clip.path, 0.0))
            whole = self.log_mel(source.waveforms[0])
            frames = whole.shape[-1]
            start, end = (share * frames / self.mel.frame_rate for share in MASK)
            edit = Edit(clip.path, mask=((start, end),))
            seconds = seam_reach(edit, pipeline.autoencoder, pipeline.diffusion, pipeline.vocoder)
            if seconds is None or source.guarded[0]:
                continue
            reach = math.ceil(seconds * self.mel.frame_rate)
            filled = self.log_mel(self.made(edit=edit)[0])
            first, last = int(MASK[0] * frames) - reach, int(MASK[1] * frames) + reach
            sides = [part for part in (slice(0, max(0, first)), slice(last, frames)) if whole[:, part].shape[-1]]
            yield from [max(self.distance(whole[:, part], filled[:, part]) for part in sides)] if sides else []

    def extensions(self, sources: Iterable[Clip]) -> Iterator[tuple[list[float], float]]:
        """Change where a source breaks off and what is made begins; most decibels from what was there."""
        # The last frames of a source are let go: where that begins is a border too.
        edge = EDGE_FRAMES * self.pipeline.diffusion.spec.frames_per_latent
        for clip, whole, path in self.in_parts(sources, 0.0, BROKEN_OFF):
            made = self.made(*clip.captions[:1], edit=Edit(path, extend_after=EXTENDED_SECONDS))[0]
            was, samples = torch.from_numpy(whole), int(BROKEN_OFF * len(whole))
            end, width = self.frame(samples), round(LEVEL_SECONDS * self.mel.sample_rate)
            starts = [samples + round(at * self.mel.sample_rate) for at in LEVEL_AT]
            parts = [slice(start, start + width) for start in starts if start + width <= len(was)]
            apart = max((abs(decibels(made[part]) - decibels(was[part])) for part in parts), default=0.0)
            yield list(border_scores(self.log_mel(made), [end - edge, end])), apart

    def beginnings(self, sources: Iterable[Clip]) -> Iterator[float]:
        """Change where what is made before a source that breaks in leads over to it."""
        # Its first frames are let go too: where that ends is a border.
        edge = EDGE_FRAMES * self.pipeline.diffusion.spec.frames_per_latent
        for clip, _, path in self.in_parts(sources, BROKEN_OFF, 1.0):
            made = self.made(*clip.captions[:1], edit=Edit(path, extend_before=EXTENDED_SECONDS))[0]
            start = self.frame(round(EXTENDED_SECONDS * self.mel.sample_rate))
            yield from border_scores(self.log_mel(made), [start, start + edge])

    def in_parts(self, sources: Iterable[Clip], first: float, last: float) -> Iterator[tuple[Clip, np.ndarray, Path]]:
        """Clips, their samples, and a file that holds them from one share of their length to another."""
        rate = self.mel.sample_rate
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "part.wav"
            for clip in sources:
                whole = read_audio(clip.path, rate, seconds=self.pipeline.defaults.max_seconds)[0]
                write_audio(path, whole[int(first * len(whole)) : int(last * len(whole))], rate)
                yield clip, whole, path

    def frame(self, samples: int) -> int:
        """The mel frame at a sample."""
        return round(samples / self.mel.sample_rate * self.mel.frame_rate)

    def morphs(self, ends: Iterable[tuple[str, str]]) -> Iterator[float]:
        """Longest step over the median step."""
        for first, second in ends:
            mels = [self.log_mel(one) for one in self.made(first, second, morph_clips=MORPH_CLIPS, seconds=1.0)]
            steps = [self.distance(one, other) for one, other in itertools.pairwise(mels)]
            yield max(steps) / max(median(steps), 1e-9)

    def loops(self, prompts: Iterable[str]) -> Iterator[float]:
        """Scores of seams; of a loop that is silence, which has none, the worst there is."""
        for prompt in prompts:
            words: dict[str, Any] = {"seed": self.seed, "solver_steps": self.solver_steps, "seconds": LOOP_SECONDS}
            made = self.pipeline(prompt, loop=True, **words)
            heard = loudness_db(made.waveforms[0].numpy(), self.mel.sample_rate) > SILENT_DB
            yield seam_score(made.waveforms[0], self.mel, made.closing(0)) if heard else BROKEN

    def long(self, prompts: Iterable[str]) -> Iterator[float]:
        """Change at each border of the last windows over that of the clip."""
        pipeline, stage = self.pipeline, self.pipeline.diffusion
        for prompt in prompts:
            request = Request((prompt,), LONG_SECONDS, seed=self.seed, solver_steps=self.solver_steps)
            settings = pipeline.settle(request)
            jobs, times = jobs_of(request, settings), list[float]()
            latents = pipeline.latents(jobs, settings, watch=lambda time, *_, seen=times: seen.append(time))
            frames, unit = latents.shape[-1], stage.spec.frames_per_latent
            cuts = {cut * unit for time in times[-LAST_TIMES:] for cut in cuts_at(frames, stage.window_frames, time)}
            yield from cut_scores(self.log_mel(pipeline.sound(latents, settings, jobs)[0]), sorted(cuts))

    def streams(self, prompts: Iterable[str]) -> Iterator[float]:
        """Change where stretches meet over that of the clip; of one seed the noise at a border would be all alike."""
        spec = self.pipeline.diffusion.spec
        for number, prompt in enumerate(prompts):
            request = Request((prompt,), LONG_SECONDS, seed=self.seed + number, solver_steps=self.solver_steps)
            job, settings = live_job(self.pipeline, request)
            log_mel = self.log_mel(live_output(self.pipeline, job, settings).waveforms[0])
            ends = [end for _, end in stretches(spec.num_latent_frames(LONG_SECONDS), spec.latent_rate)]
            yield from border_scores(log_mel, [end * spec.frames_per_latent for end in ends])


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.check_control`."""
    return run_command(check_control, arguments, program="python -m pipelines.check_control", lists=("only",))


if __name__ == "__main__":
    sys.exit(main())
