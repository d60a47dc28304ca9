"""`python -m autoencoder.evaluate`: how far decoded log-mels lie from the real ones, on whole held-out clips."""

import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean, median

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from audio.dataset import AudioFolder, Split
from autoencoder.judging import all_too_short, decoded
from autoencoder.model import MelVAE
from training.command import answer, run_command, say


def evaluate(checkpoint: Path, audio: Path, split: Split = "test", clips: int = 0) -> None:
    """Measure the reconstruction of an autoencoder on clips it was not trained on; of long ones two minutes are read.

    Args:
        checkpoint: of the autoencoder, .ckpt or .safetensors.
        audio: folder of clips.
        split: train, validation or test.
        clips: at most so many, spread evenly over the split; 0 takes all.

    Raises:
        ValueError: a wrong checkpoint, an unusable folder, or a split without clips.
    """
    if clips < 0:
        raise ValueError(f"clips: expected 0 or more, got {clips}")
    network = MelVAE.from_checkpoint(checkpoint)
    chosen = AudioFolder.scan(audio).split(split)
    if not chosen:
        raise ValueError(f"'{audio}' holds no clip of split '{split}'")
    chosen = chosen[:: max(1, -(-len(chosen) // clips))] if clips else chosen
    say(f"latents: {network.config.latent_channels} numbers for {network.config.frames_per_latent} mel frames")
    say(f"reach in mel frames: encoder {network.encoder_reach()}, decoder {network.decoder_reach()} to either side")
    bar = track(chosen, "decoding", console=Console(stderr=True), disable=not sys.stderr.isatty())
    families: dict[str, list[float]] = defaultdict(list)
    for clip, target, estimate, _ in decoded(network, bar):
        families[clip.family or "all"].append(float(np.abs(estimate - target).mean()))
    if not families:
        raise all_too_short(len(chosen), network.mel)
    table = Table("family", "clips", "nats")
    for family, found in sorted(families.items()):
        table.add_row(family, str(len(found)), f"{fmean(found):.3f}")
    Console(stderr=True).print(table)
    values = [error for found in families.values() for error in found]
    answer(
        f"log-mel error inside {len(values)} whole clips of split '{split}': "
        f"mean {fmean(values):.4f}, median {median(values):.4f} nats"
    )


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m autoencoder.evaluate`."""
    return run_command(evaluate, arguments, program="python -m autoencoder.evaluate")


if __name__ == "__main__":
    sys.exit(main())
