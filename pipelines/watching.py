"""The denoising of a clip, to look at and to hear: what the solver holds at a time, and what the model takes it for.

Above, x_t itself through the decoder: noise that becomes a sound. Below, the model's guess of the data at that time: at
first the average of all sounds that fit the prompt, then this one. The sound file holds the guesses one after another.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio.files import write_audio
from evaluation.pictures import save_small, strip_figure
from pipelines.clips import WATCHED
from pipelines.decoding import decoded_mels
from pipelines.request import AudioOutput, Job
from pipelines.text_to_audio import TextToAudioPipeline

COLUMNS = 6
PAUSE_SECONDS = 0.15


@dataclass
class Watch:
    """What was seen of the first clip of a batch.

    Args:
        job: of that clip.
        settings: of the batch.
        times: 0 noise, 1 data.
        states: x_t, raw latents `(channels, latent_frames)`.
        guesses: of the data, the same shape.
    """

    job: Job
    settings: dict[str, Any]
    times: list[float] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)
    guesses: list[Tensor] = field(default_factory=list)

    def see(self, time: float, state: Tensor, guess: Tensor) -> None:
        """Keep the first row."""
        self.times.append(time)
        self.states.append(state[0].clone())
        self.guesses.append(guess[0].clone())

    def chosen(self) -> list[int]:
        """A few moments, evenly spread from the first to the last."""
        return sorted({round(place) for place in np.linspace(0, len(self.times) - 1, COLUMNS)})


@torch.inference_mode()
def watch_clip(pipeline: TextToAudioPipeline, output: AudioOutput) -> Watch:
    """Make the first clip of an output once more, alone, and look on.

    Args:
        pipeline: that made it.
        output: of it.
    """
    job = output.jobs[output.rows[0]]
    watch = Watch(job, output.settings)
    pipeline.latents([job], output.settings, None, pipeline.canvas(output.settings), watch.see)
    return watch


@torch.inference_mode()
def write_watch(watch: Watch, pipeline: TextToAudioPipeline, base: Path, title: str) -> tuple[Path, Path]:
    """Write `BASE_watch.png` and `BASE_watch.wav`; gives both paths.

    Raises:
        ValueError: nothing was seen, or the folder cannot be written.
    """
    if not watch.times:
        raise ValueError("watch: nothing to see: at strength 0 no solver runs")
    picture, sound = (base.with_name(base.name + ending) for ending in WATCHED)
    chosen = watch.chosen()
    states, guesses = (torch.stack([held[number] for number in chosen]) for held in (watch.states, watch.guesses))
    jobs = [watch.job] * len(chosen)
    around = bool(watch.settings["loop"]) and not watch.job.struck
    rows = [decoded_mels(pipeline.autoencoder, held, around) for held in (states, guesses)]
    names = [f"t = {watch.times[number]:.2f}" for number in chosen]
    panels = [list(zip(names, log_mels.numpy(), strict=True)) for log_mels in rows]
    figure = strip_figure(panels, pipeline.autoencoder.mel, title, ("x_t", "guess of the data"))
    save_small(figure, picture)
    sounds = pipeline.sound(guesses, watch.settings, jobs)
    waveform = torch.nn.functional.pad(sounds, (0, round(PAUSE_SECONDS * pipeline.sample_rate))).flatten()
    waveform *= min(1.0, 0.99 / max(float(waveform.max()), -float(waveform.min()), 1e-9))
    write_audio(sound, waveform.numpy(), pipeline.sample_rate)
    return picture, sound
