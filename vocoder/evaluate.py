"""`python -m vocoder.evaluate --checkpoint C.ckpt --audio FOLDER`: a vocoder beside Griffin-Lim, on the same mels.

Multi-scale mel distance on whole, unpadded, peak-normalised held-out clips (`audio.distances`), and the time each
takes. The two decode each clip in turn, so that a busy machine slows both; speeds are medians of such pairs.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import torch
from rich.progress import track

from audio.dataset import AudioFolder, Clip, Split
from audio.files import read_audio
from audio.mel import LogMelSpectrogram
from training.command import run_command, say
from training.device import Device, choose_device
from vocoder.generator import Generator
from vocoder.generators import load_generator
from vocoder.griffin_lim import BASELINE_ITERATIONS, GriffinLim
from vocoder.judging import clip_and_mel, judge, long_enough


@dataclass(frozen=True)
class Comparison:
    """One clip, decoded by both.

    Args:
        clip: which one.
        seconds: its length.
        distances: of the vocoder and of Griffin-Lim.
        times: that each took, in seconds.
    """

    clip: Clip
    seconds: float
    distances: tuple[float, float]
    times: tuple[float, float]


def evaluate(
    checkpoint: Path,
    audio: Path,
    split: Split = "test",
    clips: int = 200,
    device: Device = "auto",
    threads: int = 0,
) -> int:
    """Print the multi-scale mel distance and the speed of a vocoder beside 64-iteration Griffin-Lim.

    Args:
        checkpoint: a vocoder's .ckpt or .safetensors.
        audio: folder of sound files, with or without metadata.
        split: train, validation or test.
        clips: at most so many, spread evenly over the split; 0 takes all.
        device: auto, cpu, cuda or mps.
        threads: of the CPU; 0 leaves them as they are.
    """
    if clips < 0 or threads < 0:
        raise ValueError(f"clips and threads: expected 0 or more, got {clips} and {threads}")
    if threads:
        torch.set_num_threads(threads)
    place = choose_device(device)
    vocoder = load_generator(checkpoint).to(place)
    folder = AudioFolder.scan(audio)
    chosen = folder.split(split)
    if not chosen:
        raise ValueError(f"'{audio}' holds no clip of split '{split}': {folder.report()}")
    stride = max(1, -(-len(chosen) // clips)) if clips else 1
    comparisons = compare(vocoder, chosen[::stride], place)
    for line in report(vocoder, comparisons, split):
        print(line)  # noqa: T201
    return 0


def compare(vocoder: Generator, clips: Sequence[Clip], device: torch.device) -> list[Comparison]:
    """Judge clips one at a time, both vocoders in turn.

    Args:
        vocoder: on `device`.
        clips: to be read, each whole.
        device: where to decode.

    Raises:
        ValueError: no clip is long enough.
    """
    mel = vocoder.mel
    front_end, baseline = LogMelSpectrogram(mel).to(device), GriffinLim(mel)
    comparisons: list[Comparison] = []
    warm = False
    for clip in _progress(clips):
        waveform, _ = read_audio(clip.path, mel.sample_rate)
        if not long_enough(len(waveform), mel):
            continue
        target, log_mel = clip_and_mel(torch.from_numpy(waveform).to(device), front_end)
        if not warm:
            # The first call pays for buffers and plans that no later one pays for.
            judge(vocoder, log_mel, target)
            judge(baseline, log_mel, target)
            warm = True
        ours, theirs = judge(vocoder, log_mel, target), judge(baseline, log_mel, target)
        seconds = target.shape[1] / mel.sample_rate
        comparisons.append(Comparison(clip, seconds, (ours.distance, theirs.distance), (ours.seconds, theirs.seconds)))
    if not comparisons:
        raise ValueError("no clip is long enough to be judged")
    return comparisons


def report(vocoder: Generator, comparisons: Sequence[Comparison], split: str) -> list[str]:
    """The lines that are printed: distances, ratios, speeds."""
    ours, theirs = ([item.distances[index] for item in comparisons] for index in (0, 1))
    speeds = [[item.seconds / item.times[index] for item in comparisons] for index in (0, 1)]
    name, baseline = "vocoder", f"griffin-lim ({BASELINE_ITERATIONS} iterations)"
    faster = median(item.times[1] / item.times[0] for item in comparisons)
    better = sum(first < second for first, second in zip(ours, theirs, strict=True))
    parameters = sum(parameter.numel() for parameter in vocoder.parameters())
    seconds = sum(item.seconds for item in comparisons)
    return [
        f"{len(comparisons)} whole clips of split '{split}', {seconds:.0f} s; {parameters / 1e6:.1f}M parameters, "
        f"receptive field {vocoder.receptive_field()} frames",
        f"{'multi-scale mel distance':28} {'mean':>8} {'median':>8} {'x real time':>12}",
        f"{name:28} {mean(ours):8.3f} {median(ours):8.3f} {median(speeds[0]):12.1f}",
        f"{baseline:28} {mean(theirs):8.3f} {median(theirs):8.3f} {median(speeds[1]):12.1f}",
        f"ratio of means {mean(ours) / mean(theirs):.3f}, median of ratios "
        f"{median(first / second for first, second in zip(ours, theirs, strict=True)):.3f}, "
        f"better on {better} of {len(comparisons)}; {faster:.1f} times faster (median of pairs)",
    ]


def _progress(clips: Sequence[Clip]) -> Iterable[Clip]:
    if not sys.stderr.isatty():
        say(f"decoding {len(clips)} clips twice")
        return clips
    from rich.console import Console

    return track(clips, description="decoding", console=Console(stderr=True), transient=True)


if __name__ == "__main__":
    sys.exit(run_command(evaluate, program="python -m vocoder.evaluate"))
