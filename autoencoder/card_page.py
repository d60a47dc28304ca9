"""The latent card as a page: numbers, pictures, and beside each what it means."""

import math
from collections.abc import Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from autoencoder.card_figures import bands_figure, channels_figure, correlation_figure, spectrum_figure
from autoencoder.judging import LONGEST_SECONDS, Judgement, decoded
from autoencoder.latent_card import FEWEST_CLIPS, FEWEST_SEGMENTS, FRAMES_PER_CHANNEL, SEGMENT, LatentCard
from autoencoder.model import MelVAE
from evaluation.page import Page
from evaluation.pictures import log_mel_figure

FAMILIES_SHOWN = 40

Array = NDArray[np.float64]
Row = list[object]


def card_page(network: MelVAE, judgement: Judgement, audio: str) -> Page:
    """The page.

    Args:
        network: that was judged; it decodes the clips which are shown.
        judgement: of it.
        audio: what it was judged on, in words.
    """
    page = Page("Latent card")
    page.text(f"{judgement.verdict[0].upper()}{judgement.verdict[1:]}.", "lead")
    name = network.record.fingerprint if network.record else "without a record"
    page.text(f"Autoencoder {name}, {len(judgement.ranked)} whole, unpadded clips of {audio}.{left_out(judgement)}")
    page.table(("number", "value", "how to read it"), overview(network, judgement))
    add_channels(page, judgement.card)
    add_spectrum(page, judgement.card)
    add_reconstruction(page, network, judgement)
    page.heading("Receptive field")
    reach = judgement.reach
    rows = [
        ("encoder", reach.encoder, reach.measured_encoder, reach.encoder / network.mel.frame_rate),
        ("decoder", reach.decoder, reach.measured_decoder, reach.decoder / network.mel.frame_rate),
    ]
    page.table(("side", "stated (mel frames)", "by gradients (mel frames)", "seconds"), rows)
    page.text("What one latent frame sees (encoder) or has a say in (decoder), to either side beyond its own frames.")
    return page


def left_out(judgement: Judgement) -> str:
    """A sentence on the clips that were not judged whole, if there are any."""
    text = f" {judgement.too_short} clips shorter than one mel were left out." if judgement.too_short else ""
    return text + (f" Of {judgement.cut} longer clips, the first {LONGEST_SECONDS:g} s." if judgement.cut else "")


def overview(network: MelVAE, judgement: Judgement) -> list[Row]:
    """The numbers of all channels together."""
    card, mel = judgement.card, network.mel
    rate = mel.frame_rate / network.config.frames_per_latent
    total = float(card.std @ card.std)
    noise = float(card.noise_variance.sum())
    strongest = card.strongest_correlation()
    spectrum = card.spectrum
    return [
        ["reconstruction error (nats)", judgement.error, "mean absolute log-mel error; what the decoder loses"],
        ["channels x latent rate", f"{card.channels} x {rate:.1f} Hz", f"of {mel.n_mels} x {mel.frame_rate:.1f} Hz"],
        ["latent frames", card.latent_frames, "that all numbers of the latents stand on"],
        ["dead channels", int(card.dead.sum()) if card.enough else None, "signal below a hundredth of the noise"],
        ["active units", int(card.active.sum()) if card.enough else None, "variance of the posterior mean above 0.01"],
        ["effective dimensions", card.effective_dimensions, "participation ratio of the covariance"],
        ["nats per dimension", float(card.kl.mean()), "KL of the posterior from N(0, 1), mean of the channels"],
        ["share of noise (%)", 100.0 * noise / (noise + total), "of the variance of all channels together"],
        [
            "strongest correlation",
            f"{strongest[2]:+.2f} (channels {strongest[0]}, {strongest[1]})" if strongest else None,
            "between two channels, at the same latent frame",
        ],
        ["spectral flatness", _mean(spectrum.flatness) if spectrum else None, "1 is white noise, 0 a smooth curve"],
        [
            f"share of power above {spectrum.fast_above_hz:.1f} Hz (%)" if spectrum else "share of fast power (%)",
            _finite(np.array([100.0 * spectrum.fast_share]), 0) if spectrum else None,
            "what changes within a stretch; the rest is the clip's own level. White noise: 91",
        ],
    ]


def channel_rows(card: LatentCard) -> tuple[tuple[str, ...], list[Row]]:
    """Names and rows of the table of channels; also for the terminal."""
    header = ("channel", "mean", "std", "kurtosis", "nats", "noise %", "SNR dB", "flatness", "state")
    rows: list[Row] = []
    flatness = card.spectrum.flatness if card.spectrum else None
    for index in range(card.channels):
        state = "dead" if card.dead[index] else "active" if card.active[index] else "small"
        rows.append(
            [
                index,
                float(card.mean[index]),
                float(card.std[index]),
                _finite(card.excess_kurtosis, index),
                float(card.kl[index]),
                float(100.0 * card.noise_share[index]),
                _finite(card.signal_to_noise_db, index),
                _finite(flatness, index),
                state if card.enough else None,
            ]
        )
    return header, rows


def add_channels(page: Page, card: LatentCard) -> None:
    """Channel by channel, and how they hang together."""
    page.heading("Channels")
    if not card.enough:
        page.text(
            f"Not computed: dead and active channels, kurtosis, correlation, effective dimensions. They need "
            f"{FEWEST_CLIPS} clips and {FRAMES_PER_CHANNEL * card.channels} latent frames; there are {card.clips} and "
            f"{card.latent_frames}."
        )
    page.open_row()
    page.figure(channels_figure(card), "Posterior means: level and spread; nats; noise.")
    if card.correlation is not None:
        page.figure(correlation_figure(card.correlation), "0 off the diagonal: no two channels say the same.")
    page.close_row()
    page.table(
        *channel_rows(card),
        caption="Kurtosis is 0 for a Gaussian; nats: KL from N(0, 1); small: variance below 0.01, but clean.",
    )


def add_spectrum(page: Page, card: LatentCard) -> None:
    """How the latents move along time."""
    page.heading("Spectrum over time")
    if card.spectrum is None:
        page.text(f"Not computed: it needs {FEWEST_SEGMENTS} stretches of {SEGMENT} latent frames.")
        return
    page.figure(
        spectrum_figure(card.spectrum),
        f"{card.spectrum.segments} stretches of {SEGMENT} latent frames. A line that falls: smooth latents, easier "
        "to learn. A flat line: each latent frame is news. What lasts a whole stretch stands in the first two points.",
    )


def add_reconstruction(page: Page, network: MelVAE, judgement: Judgement) -> None:
    """Errors by band and family, and the clips that came out best, in the middle and worst."""
    errors = judgement.errors
    page.heading("Reconstruction inside the clips")
    page.figure(
        bands_figure(network.mel, errors.by_bin(), errors.bias_by_bin()),
        "Every clip weighs alike. A blue line below 0: decoded too quiet there.",
    )
    header, rows = band_rows(judgement)
    page.table(header, rows, caption="Mean absolute log-mel error in nats, by mel band.")
    hidden = len(errors.families) - FAMILIES_SHOWN
    if hidden > 0:
        page.text(f"{hidden} smaller families stand in report.json.", "faint")
    last = len(judgement.ranked) - 1
    for index, title in {0: "Best", last // 2: "Median", last: "Worst"}.items():
        error, clip = judgement.ranked[index]
        _, target, estimate, _ = next(decoded(network, [clip]))
        page.open_row()
        page.figure(log_mel_figure(target, network.mel, f"{title}, real: {clip.path.name}"))
        page.figure(log_mel_figure(estimate, network.mel, "decoded"), f"{error:.3f} nats")
        page.close_row()


def band_rows(judgement: Judgement) -> tuple[Sequence[str], list[Row]]:
    """Names and rows of the table of bands: all clips, their bias, then the largest families."""
    errors = judgement.errors
    bands = errors.by_band()
    rows: list[Row] = [
        ["all", len(judgement.ranked), judgement.error, *bands.values()],
        ["all: decoded minus real", None, float(errors.bias_by_bin().mean()), *errors.bias_by_band().values()],
    ]
    for name, values in list(errors.by_family().items())[:FAMILIES_SHOWN]:
        sums = errors.families[name]
        rows.append([name, sums.clips, float(sums.absolute.mean()) / sums.clips, *values.values()])
    return ["family", "clips", "all bands", *bands], rows


def _finite(values: Array | None, index: int) -> float | None:
    if values is None or not math.isfinite(values[index]):
        return None
    return float(values[index])


def _mean(values: Array) -> float | None:
    finite = [float(value) for value in values if math.isfinite(value)]
    return fmean(finite) if finite else None
