"""`python -m pipelines.stream`: a sound file of any length through the model, block by block, in bounded memory.

Sound becomes a log-mel, goes through the autoencoder where asked, and becomes sound again, as it would in a program
that hears it live. What is written is what the chain makes of the whole file; what is printed is what living with it
would cost: how much sound it must hear before it speaks, how long it computes, how much memory it takes.
"""

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio.files import audio_rate
from audio.streaming import read_blocks, write_blocks
from audio.windows import Chain
from autoencoder.model import MelVAE
from pipelines.bundle import Bundle
from pipelines.generate import VOCODER_OPTION, run_with_vocoder
from pipelines.process_memory import peak_mib
from pipelines.streaming import sound_to_sound
from training.command import answer
from vocoder.loading import load_vocoder
from vocoder.streaming import BLOCK_FRAMES


@dataclass
class Timing:
    """What a stream cost.

    Args:
        pushed: samples that went in.
        computing: seconds in the chain.
        first_pushed: samples that had gone in when the first sound came out; 0 before.
        first_push: seconds that the push took that brought it.
    """

    pushed: int = 0
    computing: float = 0.0
    first_pushed: int = 0
    first_push: float = 0.0


def stream(
    model: Path,
    audio: Path,
    out: Path,
    chunk_seconds: float = 0.1,
    through_latents: bool = False,
    vocoder: str | None = None,
    vocoder_arguments: dict[str, Any] | None = None,
    block_frames: int = BLOCK_FRAMES,
) -> None:
    """Send a sound file of any length through mel, vocoder and, where asked, the autoencoder, block by block.

    Args:
        model: folder of a bundle.
        audio: sound file, of any rate and length.
        out: sound file to write (.wav, .flac, .ogg), at the model's rate.
        chunk_seconds: how much is read and pushed at once.
        through_latents: encode and decode through the autoencoder on the way.
        vocoder: a checkpoint or an import path that replaces the bundle's vocoder.
        vocoder_arguments: of a vocoder named by import path; written --vocoder.NAME VALUE.
        block_frames: new mel frames for which a window is computed; 1 speaks earliest and computes most.

    Raises:
        ValueError: a bad bundle or sound file, a vocoder that hears the whole clip, or its arguments without it.
    """
    if not math.isfinite(chunk_seconds) or not 0.0 < chunk_seconds <= 60.0:
        raise ValueError(f"chunk_seconds: expected more than 0 and at most 60, got {chunk_seconds}")
    if vocoder_arguments and vocoder is None:
        raise ValueError(f"{VOCODER_OPTION}{next(iter(vocoder_arguments))}: only goes with --vocoder IMPORT.PATH")
    bundle = Bundle.open(model)
    autoencoder = MelVAE.from_checkpoint(bundle.stage("autoencoder"))
    chosen = load_vocoder(vocoder or str(bundle.stage("vocoder")), autoencoder.mel, vocoder_arguments)
    rate = audio_rate(audio)
    chain = sound_to_sound(autoencoder, chosen, rate, block_frames, through_latents)
    timing, written = Timing(), 0
    with torch.inference_mode(), write_blocks(out, autoencoder.mel.sample_rate) as append:
        for piece in run(chain, audio, chunk_seconds, timing):
            append(piece[0].cpu().numpy())
            written += piece.shape[1]
    for line in report(chain, timing, rate, chunk_seconds):
        answer(line)
    answer(f"{out}: {written / autoencoder.mel.sample_rate:.2f} s")


def run(chain: Chain, audio: Path, chunk_seconds: float, timing: Timing) -> Iterator[Tensor]:
    """Push a file through a chain.

    Args:
        chain: from samples to samples.
        audio: the file.
        chunk_seconds: of a push.
        timing: filled on the way.

    Yields:
        pieces of sound, `(1, samples)`.

    Raises:
        ValueError: an unreadable file, or one too short for the mel.
    """
    for block in read_blocks(audio, chunk_seconds):
        started = time.perf_counter()
        pieces = chain.push(torch.from_numpy(block)[None])
        _count(timing, time.perf_counter() - started, len(block), bool(pieces))
        yield from pieces
    started = time.perf_counter()
    pieces = chain.finish()
    _count(timing, time.perf_counter() - started, 0, bool(pieces))
    yield from pieces


def report(chain: Chain, timing: Timing, rate: int, chunk_seconds: float) -> list[str]:
    """The lines that are printed.

    Args:
        chain: that was run.
        timing: of the run.
        rate: of what went in, in Hz.
        chunk_seconds: of a push.
    """
    seconds = timing.pushed / rate
    waited = timing.first_pushed / rate
    memory = peak_mib()
    return [
        f"first sound: {waited + timing.first_push:.3f} s after the first chunk began, {waited:.3f} s of them hearing, "
        f"{1e3 * timing.first_push:.0f} ms computing (chunks of {chunk_seconds:g} s)",
        f"algorithmic delay: {1e3 * chain.lookahead / rate:.0f} ms (the receptive field ahead of a sample)",
        f"real-time factor: {timing.computing / seconds:.3f} ({timing.computing:.1f} s for {seconds:.1f} s of sound)",
        f"peak memory: {memory:.0f} MiB" if memory is not None else "peak memory: not told by this system",
    ]


def _count(timing: Timing, seconds: float, samples: int, speaks: bool) -> None:
    timing.pushed += samples
    timing.computing += seconds
    if speaks and not timing.first_pushed:
        timing.first_pushed = timing.pushed
        timing.first_push = seconds


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.stream`."""
    return run_with_vocoder(stream, arguments, "python -m pipelines.stream")


if __name__ == "__main__":
    sys.exit(main())
