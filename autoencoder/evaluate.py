"""`python -m autoencoder.evaluate`: how far decoded log-mels lie from the real ones, on whole held-out clips."""

import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

from audio.dataset import AudioFolder, Clip, Split
from audio.files import read_audio
from audio.mel import LogMelSpectrogram
from autoencoder.losses import log_mel_error
from autoencoder.model import MelVAE
from training.command import answer, run_command, say


def evaluate(checkpoint: Path, audio: Path, split: Split = "test", clips: int = 0) -> None:
    """Measure the reconstruction of an autoencoder on clips it was not trained on.

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
    errors = clip_errors(network, chosen)
    families: dict[str, list[float]] = defaultdict(list)
    for clip, error in errors:
        families[clip.family or "all"].append(error)
    table = Table("family", "clips", "nats")
    for family, values in sorted(families.items()):
        table.add_row(family, str(len(values)), f"{fmean(values):.3f}")
    Console(stderr=True).print(table)
    values = [error for _, error in errors]
    answer(
        f"log-mel error inside {len(values)} whole clips of split '{split}': "
        f"mean {fmean(values):.4f}, median {median(values):.4f} nats"
    )


@torch.inference_mode()
def clip_errors(network: MelVAE, clips: Sequence[Clip]) -> list[tuple[Clip, float]]:
    """Mean absolute log-mel error of each clip, decoded from its posterior mean; too short ones are left out."""
    front_end = LogMelSpectrogram(network.mel)
    errors = []
    for clip in track(clips, "decoding", console=Console(stderr=True), disable=not sys.stderr.isatty()):
        waveform = torch.from_numpy(read_audio(clip.path, network.mel.sample_rate)[0])
        if len(waveform) < network.mel.minimum_samples:
            continue
        log_mel = front_end(waveform[None])
        estimate, _ = network(log_mel)
        errors.append((clip, float(log_mel_error(estimate, log_mel, torch.tensor([log_mel.shape[-1]])))))
    return errors


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m autoencoder.evaluate`."""
    return run_command(evaluate, arguments, program="python -m autoencoder.evaluate")


if __name__ == "__main__":
    sys.exit(main())
