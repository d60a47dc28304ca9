"""The pictures of a latent card."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from audio.mel import MelConfig
from autoencoder.latent_card import LatentCard, LatentSpectrum
from evaluation.pictures import TICKS_HZ, bin_centres

Array = NDArray[np.float64]

DPI = 110
LOWEST_DB = -60.0


def channels_figure(card: LatentCard) -> Figure:
    """Mean and standard deviation, nats and share of noise, channel by channel."""
    figure = _figure(9.0, 6.0)
    levels, nats, noise = figure.subplots(3, 1, sharex=True)
    numbers = np.arange(card.channels)
    levels.errorbar(numbers, card.mean, yerr=card.std, fmt="o", markersize=3, capsize=2, color="tab:blue")
    levels.axhline(0.0, color="grey", linewidth=0.6)
    levels.set_ylabel("mean ± std\n(latent units)")
    nats.bar(numbers, card.kl, color="tab:green")
    nats.axhline(float(card.kl.mean()), color="grey", linestyle="--", linewidth=0.8, label="mean of the channels")
    # Room above the bars: the legend must not stand on one.
    nats.set_ylim(0.0, 1.3 * max(float(card.kl.max()), 1e-3))
    nats.legend(fontsize=8, loc="upper right")
    nats.set_ylabel("KL from N(0, 1)\n(nats)")
    noise.bar(numbers, 100.0 * card.noise_share, color="tab:red")
    noise.set_ylabel("share of variance\nthat is noise (%)")
    noise.set_xlabel("latent channel")
    noise.set_xlim(-0.7, card.channels - 0.3)
    return figure


def correlation_figure(correlation: Array) -> Figure:
    """The matrix of correlations; grey where a channel never moves."""
    figure = _figure(5.2, 4.4)
    axes = figure.add_subplot()
    axes.set_facecolor("lightgrey")
    image = axes.imshow(correlation, vmin=-1.0, vmax=1.0, cmap="RdBu_r", interpolation="nearest")
    axes.set_xlabel("latent channel")
    axes.set_ylabel("latent channel")
    figure.colorbar(image, ax=axes, label="correlation of posterior means")
    return figure


def spectrum_figure(spectrum: LatentSpectrum) -> Figure:
    """Power along latent time: each channel faint, their average bold, white noise dashed."""
    figure = _figure(6.0, 4.0)
    axes = figure.add_subplot()
    moving = spectrum.power[np.isfinite(spectrum.power).all(axis=1)]
    for row in moving:
        axes.plot(spectrum.frequencies, _decibels(row), color="tab:blue", alpha=0.25, linewidth=0.8)
    if len(moving):
        axes.plot(spectrum.frequencies, _decibels(moving.mean(axis=0)), color="black", linewidth=1.8, label="average")
    axes.axhline(0.0, color="grey", linestyle="--", linewidth=0.8, label="white noise")
    axes.set_xlabel("frequency along latent time (Hz)")
    axes.set_ylabel("power over the channel's average (dB)")
    axes.set_xlim(0.0, float(spectrum.frequencies[-1]))
    axes.legend(fontsize=8)
    return figure


def bands_figure(mel: MelConfig, by_bin: Array, bias_by_bin: Array) -> Figure:
    """Error of reconstruction over frequency."""
    figure = _figure(6.0, 4.0)
    axes = figure.add_subplot()
    numbers = np.arange(mel.n_mels)
    axes.plot(numbers, by_bin, color="tab:red", label="mean absolute error")
    axes.plot(numbers, bias_by_bin, color="tab:blue", linewidth=1.0, label="mean of decoded minus real")
    axes.axhline(0.0, color="grey", linewidth=0.6)
    _hertz_axis(axes, mel, TICKS_HZ)
    axes.set_ylabel("log-mel error (nats)")
    axes.legend(fontsize=8)
    return figure


def _hertz_axis(axes: Axes, mel: MelConfig, ticks: Sequence[int]) -> None:
    shown = [tick for tick in ticks if tick < mel.f_max]
    axes.set_xticks(np.interp(shown, bin_centres(mel), np.arange(mel.n_mels)), [str(tick) for tick in shown])
    axes.set_xlim(0.0, mel.n_mels - 1.0)
    axes.set_xlabel("centre of the mel bin (Hz)")


def _decibels(power: Array) -> Array:
    return np.asarray(10.0 * np.log10(np.maximum(power, 10.0 ** (LOWEST_DB / 10.0))))


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure
