"""The gallery's modes that make sounds from words, numbers and labels."""

import math
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import torch

from audio.files import read_audio
from pipelines.batch import Plan, jobs_from_rows, made
from pipelines.gallery_maker import Gallery, Sound
from pipelines.live import live_job, live_output
from pipelines.request import Request
from pipelines.table import read_table

# What is asked for to show what numbers do, where the model knows them: pitches are C3 and C5.
NUMBERS = {"pitch": (48.0, 72.0), "loudness": (-30.0, -6.0), "brightness": (400.0, 4000.0), "seconds": (0.3, 2.0)}
SHOWN_LABELS = 5

# The table of docs/how-to/make-thousands.md.
TABLE = """prompt,seconds,pitch,loudness,brightness,label
a deep punchy kick drum,0.5,,-9,,
"a marimba, soft",1.0,C4,,1500,
a tight snare,,,,,snare
a closed hi-hat,0.3,,-20,,
a string ensemble,1.5,G3,,,
a bright bell,1.0,C5,,,
"""


def prompts(shown: Gallery) -> Iterator[Sound]:
    """Two prompts in one sound, and one that is not wanted."""
    both = ("a soft organ, C4", "a bright brass section, C4")
    for prompt in both:
        yield prompt, shown.one(prompt, seconds=1.5)
    yield "--mix 0.5,0.5", shown.one(*both, mix=(0.5, 0.5), seconds=1.5)
    yield "--glide true", shown.one(*both, glide=True, seconds=1.5)
    if shown.pipeline.defaults.guidance_scale != 1.0:
        yield "--negative_prompt bright", shown.one(both[1], negative_prompt="bright", seconds=1.5)


def glide(shown: Gallery) -> Iterator[Sound]:
    """Three prompts that follow each other, evenly and at given seconds."""
    words = ("a soft organ, C4", "a string ensemble, C4", "a bright brass section, C4")
    yield "--glide true --seconds 4", shown.one(*words, glide=True, seconds=4.0)
    yield "--glide_at 0,1,2", shown.one(*words, glide=True, glide_at=(0.0, 1.0, 2.0), seconds=4.0)


def numbers(shown: Gallery) -> Iterator[Sound]:
    """The same noise at other notes, levels, brightness and lengths."""
    plain, known = "a marimba", shown.pipeline.diffusion.config.conditioning.number_ranges
    for name, values in NUMBERS.items():
        low, high = known.get(name, (math.inf, -math.inf))
        for value in (one for one in values if low <= one <= high):
            yield f"--{name} {value:g}", shown.one(plain, **{"seconds": 0.8, name: value})


def labels(shown: Gallery) -> Iterator[Sound]:
    """The same noise as several of the model's classes, without a prompt."""
    known = shown.pipeline.diffusion.config.conditioning.labels
    for label in known[:: max(1, len(known) // SHOWN_LABELS)][:SHOWN_LABELS]:
        yield f"--label {label}", shown.one(label=label, seconds=0.8)


def best_of(shown: Gallery) -> Iterator[Sound]:
    """The best of eight beside the first."""
    for prompt in ("a bright marimba, C5", "a tight acoustic snare"):
        yield prompt, shown.one(prompt, seconds=0.8)
        yield "--best_of 8", shown.one(prompt, seconds=0.8, best_of=8)


def variety(shown: Gallery) -> Iterator[Sound]:
    """Three clips of the same words, closer together and farther apart."""
    for value in (0.0, 0.4, 0.8):
        for number, clip in enumerate(shown.made("a tight acoustic snare", seconds=0.5, num_clips=3, variety=value)):
            yield f"--variety {value:g}, {number + 1} of 3", clip


def loop(shown: Gallery) -> Iterator[Sound]:
    """A loop, played twice, beside a clip played twice; and one of what is struck."""
    for name, prompt, loop in (
        ("pad, no loop, twice", "a warm synth pad", False),
        ("pad, --loop, twice", "a warm synth pad", True),
        ("marimba, --loop, twice", "a marimba", True),
    ):
        once = shown.one(prompt, seconds=1.5, loop=loop)
        yield name, torch.cat([once, once])


def morph(shown: Gallery) -> Iterator[Sound]:
    """From one prompt to another."""
    clips = shown.made("a deep kick", "a bright bell", morph_clips=6, seconds=0.8)
    for number, clip in enumerate(clips):
        yield f"--morph, {number + 1} of {len(clips)}", clip


def seeds(shown: Gallery) -> Iterator[Sound]:
    """From one noise to another."""
    clips = shown.made("a sweep pad", to_seed=shown.seed + 1, morph_clips=6, seconds=0.8)
    for number, clip in enumerate(clips):
        yield f"--morph {shown.seed} {shown.seed + 1}, {number + 1} of {len(clips)}", clip


def long(shown: Gallery) -> Iterator[Sound]:
    """Beyond the length of training, at once and live."""
    words = "a string ensemble"
    yield "--seconds 10", shown.one(words, seconds=10.0)
    request = Request((words,), 10.0, seed=shown.seed, solver_steps=shown.solver_steps)
    job, settings = live_job(shown.pipeline, request)
    yield "--seconds 10 --stream wav", live_output(shown.pipeline, job, settings).waveforms[0]


def stereo(shown: Gallery) -> Iterator[Sound]:
    """Left, right, and half their sum."""
    both = shown.one("a warm synth pad", seconds=1.5, stereo=0.8)
    yield "--stereo 0.8, left", both[0]
    yield "right", both[1]
    yield "both together", both.mean(dim=0)


def table(shown: Gallery) -> Iterator[Sound]:
    """The clips of a small table, by the command that makes thousands; nothing where the model lacks a column."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sounds.csv"
        path.write_text(TABLE, encoding="utf-8")
        request = Request(("a table",), 0.8, seed=shown.seed, solver_steps=shown.solver_steps)
        try:
            jobs = tuple(jobs_from_rows(read_table(path), request, shown.pipeline))
        except ValueError:
            return
        plan = Plan(jobs, shown.pipeline.settle(request), Path(folder), "wav")
        deque(made(plan, plan.missing(), shown.pipeline, plot=False), maxlen=0)
        for job in jobs:
            yield job.prompt, torch.from_numpy(read_audio(plan.audio(job), shown.pipeline.sample_rate)[0])
