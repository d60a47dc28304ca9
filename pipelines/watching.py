"""The denoising of a clip, to look at and to hear: what the solver holds at a time, and what the model takes it for.

Above, x_t itself through the decoder: noise that becomes a sound. Below, the model's guess of the data at that time: at
first the average of all sounds that fit the prompt, then this one. The sound file holds the guesses one after another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from audio.files import write_aside, write_audio
from evaluation.pictures import LOUDEST_SHOWN
from pipelines.request import AudioOutput
from pipelines.text_to_audio import TextToAudioPipeline

COLUMNS = 6
PAUSE_SECONDS = 0.15


@dataclass
class Watch:
    """What was seen of the first clip of a batch.

    Args:
        times: 0 noise, 1 data.
        states: x_t, raw latents `(channels, latent_frames)`.
        guesses: of the data, the same shape.
    """

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
    watch = Watch()
    job = output.jobs[output.rows[0]]
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
    picture, sound = (base.with_name(f"{base.name}_watch{suffix}") for suffix in (".png", ".wav"))
    chosen = watch.chosen()
    rows = [_decoded(pipeline, [held[number] for number in chosen]) for held in (watch.states, watch.guesses)]
    figure = _strip(rows, [watch.times[number] for number in chosen], pipeline, title)
    with write_aside(picture) as aside:
        figure.savefig(aside, format="png")
    pause = torch.zeros(round(PAUSE_SECONDS * pipeline.sample_rate))
    guesses = pipeline.vocode(rows[1]).float().cpu()
    waveform = torch.cat([part for guess in guesses for part in (guess, pause)])
    peak = float(waveform.abs().max())
    write_audio(sound, (waveform * min(1.0, 0.99 / max(peak, 1e-9))).numpy(), pipeline.sample_rate)
    return picture, sound


def _decoded(pipeline: TextToAudioPipeline, latents: Sequence[Tensor]) -> Tensor:
    return pipeline.autoencoder.decode(torch.stack(list(latents))).float()


def _strip(rows: Sequence[Tensor], times: Sequence[float], pipeline: TextToAudioPipeline, title: str) -> Figure:
    mel = pipeline.autoencoder.mel
    figure = Figure(figsize=(1.7 * len(times), 4.2), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(2, len(times), squeeze=False)
    for line, (log_mels, name) in enumerate(zip(rows, ("x_t", "guess of the data"), strict=True)):
        for column, (log_mel, time) in enumerate(zip(log_mels, times, strict=True)):
            axes = grid[line][column]
            seconds = log_mel.shape[-1] / mel.frame_rate
            axes.imshow(
                log_mel.cpu().numpy(),
                origin="lower",
                aspect="auto",
                cmap="magma",
                vmin=mel.log_mel_floor,
                vmax=LOUDEST_SHOWN,
                extent=(0.0, seconds, 0.0, float(mel.n_mels)),
                interpolation="nearest",
            )
            axes.set_yticks([])
            axes.set_xticks([0.0, round(seconds, 2)])
            if not line:
                axes.set_title(f"t = {time:.2f}", fontsize=9)
        grid[line][0].set_ylabel(f"{name}, mel bins", fontsize=8)
    figure.suptitle(title[:70], fontsize=9)
    return figure
