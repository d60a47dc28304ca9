"""`python -m autoencoder.report`: the latent card, what an autoencoder's latents are like and where it errs.

What a diffusion model will be asked to learn stands here before it is trained: channels that carry nothing, channels
that say the same, noise, scales far from one; and what no diffusion model can repair, because the decoder loses it.
"""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from audio.dataset import AudioFolder, Split
from autoencoder.card_page import card_page, channel_rows
from autoencoder.judging import Judgement, judge
from autoencoder.latent_card import LatentCard
from autoencoder.model import MelVAE
from evaluation.page import save_json
from training.command import answer, run_command


def report(checkpoint: Path, audio: Path, out: Path, split: Split = "test", clips: int = 0) -> None:
    """Write the latent card of an autoencoder: OUT/report.html and OUT/report.json.

    Args:
        checkpoint: of the autoencoder, .ckpt or .safetensors.
        audio: folder of clips.
        out: folder of the report; it is made where missing.
        split: train, validation or test.
        clips: at most so many, spread evenly over the split; 0 takes all.

    Raises:
        ValueError: a wrong checkpoint, an unusable folder, a split without clips, or a report that cannot be written.
    """
    if clips < 0:
        raise ValueError(f"clips: expected 0 or more, got {clips}")
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: expected a folder, got the file '{out}'")
    network = MelVAE.from_checkpoint(checkpoint)
    folder = AudioFolder.scan(audio)
    judgement = judge(network, folder.spread(split, clips))
    print_tables(judgement)
    page = card_page(network, judgement, f"{audio.resolve().name}, split '{split}'")
    save_json(out / "report.json", facts(network, folder, split) | numbers(judgement))
    page.save(out / "report.html")
    answer(str(out / "report.html"))
    answer(judgement.verdict)


def facts(network: MelVAE, folder: AudioFolder, split: Split) -> dict[str, Any]:
    """What was measured, and on what: reports compare only where these agree."""
    record = network.record
    return {
        "autoencoder": record.fingerprint if record else "",
        "mel": network.mel.to_dict(),
        "data": folder.fingerprint(),
        "split": split,
        "frames_per_latent": network.config.frames_per_latent,
        "latent_rate_hz": network.mel.frame_rate / network.config.frames_per_latent,
        "skipped_files": len(folder.skipped),
    }


def numbers(judgement: Judgement) -> dict[str, Any]:
    """The numbers as plain containers; None is what could not be computed."""
    errors, reach = judgement.errors, judgement.reach
    return {
        "verdict": judgement.verdict,
        "clips": len(judgement.ranked),
        "clips_too_short": judgement.too_short,
        "clips_cut": judgement.cut,
        "latents": latent_numbers(judgement.card),
        "reconstruction": {
            "error_nats": judgement.error,
            "worst_band": errors.worst_band(),
            "error_by_band_nats": errors.by_band(),
            "bias_by_band_nats": errors.bias_by_band(),
            "error_by_family_and_band_nats": errors.by_family(),
            "clips_by_family": {name: errors.families[name].clips for name in errors.by_family()},
        },
        "reach_mel_frames": {
            "encoder": reach.encoder,
            "decoder": reach.decoder,
            "measured_encoder": reach.measured_encoder,
            "measured_decoder": reach.measured_decoder,
        },
    }


def latent_numbers(card: LatentCard) -> dict[str, Any]:
    """A latent card as plain containers."""
    spectrum = card.spectrum
    return {
        "channels": card.channels,
        "frames": card.latent_frames,
        "dead_channels": int(card.dead.sum()) if card.enough else None,
        "active_units": int(card.active.sum()) if card.enough else None,
        "effective_dimensions": card.effective_dimensions,
        "nats_per_dimension": float(card.kl.mean()),
        "mean": _plain(card.mean),
        "std": _plain(card.std),
        "excess_kurtosis": _plain(card.excess_kurtosis),
        "kl_nats": _plain(card.kl),
        "noise_share": _plain(card.noise_share),
        "signal_to_noise_db": _plain(card.signal_to_noise_db),
        "correlation": _plain(card.correlation),
        "spectrum": {
            "frequencies_hz": _plain(spectrum.frequencies),
            "power": _plain(spectrum.power),
            "flatness": _plain(spectrum.flatness),
            "fast_above_hz": spectrum.fast_above_hz,
            "fast_share": _plain(spectrum.fast_share),
            "segments": spectrum.segments,
        }
        if spectrum
        else None,
    }


def print_tables(judgement: Judgement) -> None:
    """The terminal's share: channels and bands, on standard error."""
    console = Console(stderr=True)
    header, rows = channel_rows(judgement.card)
    table = Table(*header, title="latent channels", box=SIMPLE, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    console.print(table)
    bands = Table("mel band", "error (nats)", "bias (nats)", title="reconstruction inside the clips")
    biases = judgement.errors.bias_by_band()
    for name, error in judgement.errors.by_band().items():
        bands.add_row(name, f"{error:.3f}", f"{biases[name]:+.3f}")
    console.print(bands)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _plain(value: object) -> object:
    """Arrays as lists, and None for what is no number: JSON has no NaN."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m autoencoder.report`."""
    return run_command(report, arguments, program="python -m autoencoder.report")


if __name__ == "__main__":
    sys.exit(main())
