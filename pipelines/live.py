"""A clip as it is made: sound comes out while the rest is still noise, and no sound is kept that is out.

The clip is made in stretches of 1, 2, 4, 8 and then always 16 seconds. Each sees the end of what is settled, which is
held as it is, and some of what lies beyond it, which is not yet settled: a model ends its sounds where its sight ends.
The next stretch begins with it and lets go of it by and by, the later frames sooner, so that what follows the border
was made together with what lies before it.

    | settled        | held | let go | stretch         | not settled |
                     <-------- solved together, window by window --->

Latents go to sound by the streaming decoder. The noise of a latent frame depends on its number alone, so the same seed
gives the same clip. It is another clip than the one that is made at once: there no frame is settled before another.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from audio.comments import wav_header
from audio.files import pcm16
from latent_diffusion.conditioning import Condition
from latent_diffusion.guidance import Mixture
from pipelines.canvas import let_go
from pipelines.checking import check_before
from pipelines.clips import origin
from pipelines.conditions import conditions_of
from pipelines.decoding import decoded_parts
from pipelines.guarding import PEAK_LIMIT
from pipelines.provenance import as_comment, job_page
from pipelines.request import AudioOutput, Job, Request, jobs_of
from pipelines.settling import sampler_of
from pipelines.shaping import FADE_SECONDS, named_generator
from pipelines.text_to_audio import TextToAudioPipeline
from pipelines.tuning import told_vocoder
from pipelines.words import request_of
from training.device import in_precision

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 16.0
HELD_SECONDS, BEYOND_SECONDS = 1.0, 3.0
# Of what was made beyond a border: how much the next stretch begins with, and until when of the solver it holds to it.
LET_GO_SECONDS, LET_GO_FROM = 1.0, 0.9
NOISE_FRAMES = 64
BLOCK_FRAMES = 32
RAMP_SECONDS = 0.05


def check_live(request: Request) -> None:
    """Refuse what needs the whole clip before any of it is settled.

    Raises:
        ValueError: names it.
    """
    for name, given in (
        (request.edit.option if request.edit else "init_audio", request.edit is not None),
        ("loop", request.loop),
        ("morph", bool(request.morph_clips)),
        ("best_of", request.best_of != 1),
        ("num_clips", request.num_clips != 1),
        ("stereo", bool(request.stereo)),
        ("several prompts", len(request.prompts) > 1 and not (request.mix or request.glide)),
    ):
        if given:
            raise ValueError(f"stream and {name} contradict each other: a stream is one clip that goes on")


def live_job(pipeline: TextToAudioPipeline, request: Request) -> tuple[Job, dict[str, Any]]:
    """The one clip of a request, and its settled settings.

    Raises:
        ValueError: a setting out of its range, or one that no stream can have.
    """
    check_live(request)
    if not hasattr(pipeline.vocoder, "receptive_field"):
        raise ValueError("stream: this vocoder hears the whole clip; take one that has receptive_field()")
    settings = {**pipeline.settle(request), "stream": True}
    # Before anything is sent.
    check_before(pipeline, request, settings)
    return jobs_of(request, settings)[0], settings


def stream(pipeline: TextToAudioPipeline, prompts: str | tuple[str, ...], **settings: Any) -> Iterator[Tensor]:  # noqa: ANN401
    """Sound as it is made.

    Args:
        pipeline: makes it.
        prompts: one, or several with `mix` or `glide`.
        settings: the further fields of `Request`, or the options of `generate.py` under their own names.

    Yields:
        pieces `(samples,)` in [-1, 1], which follow each other.

    Raises:
        ValueError: a setting out of its range, or one that no stream can have.
    """
    texts = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    job, settled = live_job(pipeline, request_of(texts, settings))
    return pieces(pipeline, job, settled)


def pieces(pipeline: TextToAudioPipeline, job: Job, settings: dict[str, Any]) -> Iterator[Tensor]:
    """The same of a settled job."""
    rate, vocoder = pipeline.sample_rate, told_vocoder(pipeline.vocoder, [job], settings)
    sound = decoded_parts(latent_stretches(pipeline, job, settings), pipeline.autoencoder, vocoder, BLOCK_FRAMES)
    return Guard(rate, round(job.seconds * rate)).run(piece[0].float().cpu() for piece in sound)


def live_output(pipeline: TextToAudioPipeline, job: Job, settings: dict[str, Any]) -> AudioOutput:
    """A whole stream, gathered: for what needs the file, such as making it again."""
    waveform = torch.cat(list(pieces(pipeline, job, settings)))
    return AudioOutput(
        waveforms=waveform[None],
        sample_rate=pipeline.sample_rate,
        prompts=(job.prompt,),
        indices=(job.index,),
        seed=settings["seed"],
        settings=settings,
        guarded=(False,),
        tuned=(0.0,),
        jobs=(job,),
        rows=(0,),
    )


def stretches(total: int, rate: float) -> Iterator[tuple[int, int]]:
    """First and last latent frame of each stretch.

    Args:
        total: latent frames of the clip.
        rate: of them a second.
    """
    start, seconds = 0, FIRST_SECONDS
    while start < total:
        end = min(total, start + round(seconds * rate))
        # A remainder shorter than a first stretch is not worth a solver's run of its own.
        end = total if total - end < round(FIRST_SECONDS * rate) else end
        yield start, end
        start, seconds = end, min(2.0 * seconds, LONGEST_SECONDS)


def frame_noise(seed: int, index: int, channels: int, start: int, end: int) -> Tensor:
    """Noise of latent frames `start` to `end`, `(channels, frames)`: each block of frames has a seed of its own."""
    blocks = range(start // NOISE_FRAMES, -(-end // NOISE_FRAMES))
    drawn = []
    for block in blocks:
        generator = named_generator(f"{seed}:{index}:{block}")
        drawn.append(torch.randn(channels, NOISE_FRAMES, generator=generator))
    first = start - blocks[0] * NOISE_FRAMES
    return torch.cat(drawn, dim=1)[:, first : first + end - start]


@torch.inference_mode()
def latent_stretches(pipeline: TextToAudioPipeline, job: Job, settings: dict[str, Any]) -> Iterator[Tensor]:
    """Raw latents `(1, channels, latent_frames)` in the order of time, stretch by stretch."""
    diffusion, spec = pipeline.diffusion, pipeline.diffusion.spec
    total = spec.num_latent_frames(job.seconds)
    with in_precision(pipeline.device, pipeline.precision):
        said, negative = conditions_of(diffusion, [job], settings, total)
    sampler, style = sampler_of(settings), pipeline.style(settings)
    settled = torch.zeros(1, spec.channels, 0, device=diffusion.device)
    ahead = settled
    for start, end in stretches(total, spec.latent_rate):
        first = start - settled.shape[-1]
        last = min(total, end + round(BEYOND_SECONDS * spec.latent_rate))
        noise = frame_noise(settings["seed"], job.index, spec.channels, first, last)[None].to(diffusion.device)
        given, kept = _held(settled, ahead[..., : last - start], last - first) if start else (None, None)
        part = _part(said, first, last)
        with in_precision(pipeline.device, pipeline.precision):
            made = diffusion.sample(
                noise, part, sampler, start=given, kept=kept, negative=negative, style=style, after=total - last
            )
        fresh = made[..., start - first : end - first]
        settled = torch.cat([settled, fresh], dim=-1)[..., -round(HELD_SECONDS * spec.latent_rate) :]
        ahead = made[..., end - first :][..., : round(LET_GO_SECONDS * spec.latent_rate)]
        yield fresh


def _held(settled: Tensor, ahead: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """What a stretch begins with, raw latents `(1, channels, frames)`, and until when it is held, `(1, frames)`."""
    given = torch.cat([settled, ahead], dim=-1)
    kept = torch.cat([torch.ones(settled.shape[-1]), let_go(ahead.shape[-1], LET_GO_FROM)]).to(given)
    beyond = frames - given.shape[-1]
    return torch.nn.functional.pad(given, (0, beyond)), torch.nn.functional.pad(kept, (0, beyond))[None]


def _part(said: Condition | Mixture, first: int, last: int) -> Condition | Mixture:
    """The condition of some of the frames: weights that change along time are cut."""
    if not isinstance(said, Mixture):
        return said
    weights = tuple(
        weight[..., first:last] if weight.ndim and weight.shape[-1] > 1 else weight for weight in said.weights
    )
    return replace(said, weights=weights)


class Guard:
    """Keeps a stream below full scale and ends it: its level falls where it must, over 50 ms, and never rises again.

    Args:
        sample_rate: in Hz.
        samples: of the whole stream; what comes beyond is left out.
    """

    def __init__(self, sample_rate: int, samples: int) -> None:
        self.ramp = round(RAMP_SECONDS * sample_rate)
        self.fade = min(samples, round(FADE_SECONDS * sample_rate))
        self.left = samples
        self.gain = 1.0

    def run(self, given: Iterator[Tensor]) -> Iterator[Tensor]:
        """Pieces of sound, guarded: the last of each waits for the next, whose peak it may have to lead to."""
        waiting = torch.zeros(0)
        for piece in given:
            fresh = piece[: self.left]
            self.left -= len(fresh)
            if not len(fresh):
                continue
            peak = float(fresh.abs().max()) * self.gain
            wanted = self.gain * min(1.0, PEAK_LIMIT / max(peak, 1e-9))
            # What waits has the old gain and leads over to the new one.
            waiting = waiting * torch.linspace(1.0, wanted / self.gain, len(waiting))
            self.gain = wanted
            whole = torch.cat([waiting, fresh * self.gain])
            keep = max(0, len(whole) - max(self.ramp, self.fade))
            if keep:
                yield whole[:keep]
            waiting = whole[keep:]
        if len(waiting):
            fade = torch.cos(torch.linspace(0.0, math.pi / 2, min(self.fade, len(waiting)))).square()
            waiting[len(waiting) - len(fade) :] *= fade
            yield waiting


def pcm(piece: Tensor) -> bytes:
    """Samples as 16-bit numbers, little end first, rounded as in our files."""
    return pcm16(piece.numpy()).astype("<i2").tobytes()


def live_page(pipeline: TextToAudioPipeline, job: Job, settings: dict[str, Any]) -> dict[str, Any]:
    """How a stream is made, as a file's comment tells it; nothing of it is measured yet."""
    page = origin(job.prompt, job.index, settings, pipeline)
    return {**page, "batch": {"row": 0, "jobs": [job_page(job)]}}


def send(
    pipeline: TextToAudioPipeline,
    job: Job,
    settings: dict[str, Any],
    kind: str,
    tell: Callable[[float], None] = lambda _: None,
) -> None:
    """Send a clip to standard output as it is made, as 16-bit mono.

    Args:
        pipeline: makes it.
        job: of `live_job`.
        settings: of the same.
        kind: `wav`, with a header that tells how it was made, or `pcm`, samples alone.
        tell: told the seconds that are out.
    """
    out, rate, done = sys.stdout.buffer, pipeline.sample_rate, 0
    try:
        if kind == "wav":
            out.write(wav_header(rate, round(job.seconds * rate), as_comment(live_page(pipeline, job, settings))))
        for piece in pieces(pipeline, job, settings):
            out.write(pcm(piece))
            out.flush()
            done += len(piece)
            tell(done / rate)
    except BrokenPipeError:
        # The listener has gone: that is how streams end.
        sys.stdout = None
