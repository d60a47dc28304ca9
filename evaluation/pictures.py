"""Pictures of sound, as matplotlib figures that no window shows."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray
from PIL import Image

from audio.files import write_aside
from audio.measures import Waveform
from audio.mel import LogMelSpectrogram, MelConfig, mel_filterbank
from audio.streaming import streaming_front_end
from audio.windows import in_turn

LOUDEST_SHOWN = 2.0
TICKS_HZ = (100, 500, 1000, 2000, 5000, 10000, 20000)
LONGEST_TITLE = 70
# Longer clips are looked at piece by piece, so that memory does not grow with them.
WHOLE_SECONDS = 60.0
PIECE_FRAMES = 1024
# No picture has more dots in a row: frames of longer clips are averaged, before matplotlib copies them.
MOST_COLUMNS = 2048
FEW_COLOURS = 64


def spectrogram_figure(
    waveform: Waveform, mel: MelConfig, title: str = "", size: tuple[float, float] = (6.0, 3.2), scale: bool = True
) -> Figure:
    """The log-mel of a clip, with seconds and Hz on its axes.

    Args:
        waveform: samples, mono, at the rate of `mel`.
        mel: contract of the picture.
        title: shown above it.
        size: width and height in inches, at 110 dots an inch.
        scale: draw the scale of colours too.
    """
    padded = np.pad(waveform, (0, max(0, mel.minimum_samples - len(waveform))))
    with torch.inference_mode():
        signal = torch.from_numpy(padded)[None]
        if padded.size <= WHOLE_SECONDS * mel.sample_rate:
            log_mel = LogMelSpectrogram(mel, "torch")(signal)[0].numpy()
        else:
            front_end = streaming_front_end(mel, PIECE_FRAMES)
            step = mel.hop_length * PIECE_FRAMES
            log_mel = torch.cat([*in_turn(front_end, torch.split(signal, step, dim=1))], dim=-1)[0].numpy()
    return log_mel_figure(log_mel, mel, title, size, scale)


def log_mel_figure(
    log_mel: NDArray[np.float32],
    mel: MelConfig,
    title: str = "",
    size: tuple[float, float] = (6.0, 3.2),
    scale: bool = True,
) -> Figure:
    """The same for a log-mel `(n_mels, frames)`."""
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = _draw(axes, log_mel, mel)
    ticks = [tick for tick in TICKS_HZ if tick < mel.f_max]
    axes.set_yticks([_mel_bin(tick, mel) for tick in ticks], [str(tick) for tick in ticks])
    axes.set_xlabel("seconds")
    axes.set_ylabel("Hz")
    axes.set_title(title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…", fontsize=9)
    if scale:
        figure.colorbar(image, ax=axes, label="log-mel (nats)")
    return figure


Panel = tuple[str, NDArray[np.float32]]
"""A title and a log-mel `(n_mels, frames)`."""


def strip_figure(
    rows: Sequence[Sequence[Panel]], mel: MelConfig, title: str = "", names: Sequence[str] = (), dpi: int = 110
) -> Figure:
    """Rows of small log-mels side by side, all in the same colours.

    Args:
        rows: of equally many panels.
        mel: contract of the log-mels.
        title: above all of them.
        names: of the rows, at their left.
        dpi: dots an inch; a panel is 1.7 inches wide.
    """
    columns = len(rows[0])
    figure = Figure(figsize=(1.7 * columns, 0.2 + 2.0 * len(rows)), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, panels in enumerate(rows):
        for axes, (name, log_mel) in zip(grid[line], panels, strict=True):
            seconds = log_mel.shape[-1] / mel.frame_rate
            _draw(axes, log_mel, mel)
            axes.set_yticks([])
            axes.set_xticks([0.0, round(seconds, 2)])
            if not line:
                axes.set_title(name, fontsize=8)
        grid[line][0].set_ylabel(f"{names[line]}, mel bins" if names else "mel bins", fontsize=8)
    figure.suptitle(title[:LONGEST_TITLE], fontsize=9)
    return figure


def save_small(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG of few colours, a third of the size; the scale of a spectrogram looks no different.

    Raises:
        ValueError: the file cannot be written.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    with write_aside(path) as aside:
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
        few = Image.fromarray(pixels).quantize(FEW_COLOURS)
        few.save(aside, format="PNG", optimize=True)


def _draw(axes: Axes, log_mel: NDArray[np.float32], mel: MelConfig) -> AxesImage:
    """A log-mel, in the same colours everywhere."""
    frames = log_mel.shape[1]
    together = max(1, -(-frames // MOST_COLUMNS))
    starts = np.arange(0, frames, together)
    sums = np.add.reduceat(log_mel, starts, axis=1) if together > 1 else log_mel
    return axes.imshow(
        sums / np.diff(starts, append=frames) if together > 1 else sums,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=mel.log_mel_floor,
        vmax=LOUDEST_SHOWN,
        extent=(0.0, frames / mel.frame_rate, 0.0, float(mel.n_mels)),
        interpolation="nearest",
    )


def bin_centres(mel: MelConfig) -> NDArray[np.float64]:
    """Centre frequency of every mel bin, in Hz."""
    bank = mel_filterbank(mel).numpy().astype(np.float64)
    bins = np.arange(bank.shape[1]) * mel.sample_rate / mel.n_fft
    return np.asarray((bank * bins).sum(axis=1) / np.maximum(bank.sum(axis=1), 1e-12))


@lru_cache(maxsize=64)
def _mel_bin(frequency: float, mel: MelConfig) -> float:
    """Where a frequency lies on the axis of bins: at the filters' centres, interpolated."""
    return float(np.interp(frequency, bin_centres(mel), np.arange(mel.n_mels) + 0.5))
