"""`python -m benchmarks.streaming --model BUNDLE`: what streaming costs, over chunk sizes, and that memory stays.

The real-time factor of a vocoder whose mel comes in chunks, beside that of one decode of the whole in the same round;
and the peak memory of `pipelines.stream` on one minute and on ten, each in a process of its own.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from audio.mel import LogMelSpectrogram
from audio.streaming import write_blocks
from pipelines.bundle import Bundle
from training.command import answer, run_command
from vocoder.base import Vocoder
from vocoder.loading import load_vocoder
from vocoder.streaming import StreamingVocoder

# Frames of a chunk, frames of a block.
CASES = ((1, 1), (1, 8), (1, 32), (8, 8), (32, 8), (128, 8), (512, 8))
SECONDS = 6.0
ROUNDS = 3
RATE = 44100


@dataclass(frozen=True)
class Cost:
    """Of one size of chunks.

    Args:
        chunk: frames.
        block: frames that wait for each other.
        real_time_factor: seconds of computing for a second of sound.
        whole: the same of one decode of everything.
        first_seconds: of computing until the first sound.
        first_frames: that had come by then.
        difference: largest, from the whole.
    """

    chunk: int
    block: int
    real_time_factor: float
    whole: float
    first_seconds: float
    first_frames: int
    difference: float


def bursts(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A decaying burst of noise twice a second."""
    time_line = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time_line))
    return (0.3 * noise * np.exp(-(time_line % 0.5) / 0.08)).astype(np.float32)


def cost(vocoder: Vocoder, log_mel: torch.Tensor, chunk: int, block: int) -> Cost:
    """Stream a mel and compare it with its decode as a whole."""
    seconds = vocoder.mel.num_samples(log_mel.shape[2]) / vocoder.mel.sample_rate
    times, wholes, firsts, first_frames = [], [], [], 0
    difference = 0.0
    for _ in range(ROUNDS):
        started = time.perf_counter()
        whole = vocoder.decode(log_mel)
        wholes.append(time.perf_counter() - started)
        stream, pieces, first = StreamingVocoder(vocoder, block), [], 0.0
        started = time.perf_counter()
        for number, piece in enumerate(log_mel.split(chunk, dim=2)):
            pieces.append(stream.push(piece))
            if not first and pieces[-1].shape[1]:
                first, first_frames = time.perf_counter() - started, min(log_mel.shape[2], (number + 1) * chunk)
        pieces.append(stream.finish())
        times.append(time.perf_counter() - started)
        firsts.append(first)
        difference = max(difference, float((torch.cat(pieces, dim=1) - whole).abs().max()))
    middle = [statistics.median(values) for values in (times, wholes, firsts)]
    return Cost(chunk, block, middle[0] / seconds, middle[1] / seconds, middle[2], first_frames, difference)


def peak_memory(model: Path, seconds: float, chunk_seconds: float = 1.0) -> float:
    """MiB that `pipelines.stream` holds at most on a file of this length, in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in.wav"
        with write_blocks(source, RATE) as append:
            for number in range(round(seconds / 10.0)):
                append(bursts(10.0, seed=number))
        words = ["--model", str(model), "--audio", str(source), "--out", str(Path(folder) / "out.wav")]
        child = subprocess.run(
            [sys.executable, "-m", "pipelines.stream", *words, "--chunk_seconds", str(chunk_seconds)],
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.search(r"peak memory: (\d+) MiB", child.stdout)
    if child.returncode or not found:
        raise ValueError(f"pipelines.stream failed: {child.stderr.strip()}")
    return float(found[1])


def streaming(model: Path, minutes: tuple[float, float] = (1.0, 10.0)) -> None:
    """Print what streaming costs.

    Args:
        model: folder of a bundle.
        minutes: of the two files whose peak memory is compared.

    Raises:
        ValueError: a bad bundle.
    """
    vocoder = load_vocoder(str(Bundle.open(model).stage("vocoder")), None)
    log_mel = LogMelSpectrogram(vocoder.mel)(torch.from_numpy(bursts(SECONDS, vocoder.mel.sample_rate))[None])
    delay = StreamingVocoder(vocoder).first_frames / vocoder.mel.frame_rate
    answer(f"{torch.get_num_threads()} threads; the first sample needs {1e3 * delay:.0f} ms of mel")
    answer("chunk  block  real-time factor  of the whole  first sound: frames  computing  largest difference")
    with torch.inference_mode():
        vocoder.decode(log_mel)
        costs: Sequence[Cost] = [cost(vocoder, log_mel, *case) for case in CASES]
    for row in costs:
        answer(
            f"{row.chunk:5} {row.block:6} {row.real_time_factor:17.3f} {row.whole:13.3f} {row.first_frames:20} "
            f"{1e3 * row.first_seconds:7.0f} ms {row.difference:19.1e}"
        )
    short, long = (peak_memory(model, 60.0 * length) for length in minutes)
    answer(
        f"peak memory: {short:.0f} MiB on {minutes[0]:g} minutes, {long:.0f} MiB on {minutes[1]:g}; "
        f"ratio {long / short:.3f}"
    )


if __name__ == "__main__":
    sys.exit(run_command(streaming, program="python -m benchmarks.streaming"))
