"""What listening costs: ears beside real time, statistics beside the matrix product that they are made of."""

from typing import Any

import numpy as np
import pytest
import torch

from evaluation.embedders import load_embedder
from evaluation.intervals import Units
from evaluation.kernel import replicated_kernel_distance
from evaluation.neighbours import NeighbourGraph
from evaluation.pitch import load_pitch_estimator

SECONDS = 1.0
CLIPS, NUMBERS = 1000, 512


def clip(sample_rate: int) -> np.ndarray:
    """A decaying note with some noise."""
    time = np.arange(round(SECONDS * sample_rate)) / sample_rate
    tone = np.sin(2 * np.pi * 220 * time) * np.exp(-3 * time)
    return (0.5 * tone + 0.01 * np.random.default_rng(0).standard_normal(len(time))).astype(np.float32)


@pytest.mark.parametrize("name", ["aisfx", "mel", "pitch"])
def test_ears(bench: Any, name: str) -> None:
    try:
        ear = load_pitch_estimator() if name == "pitch" else load_embedder(name)
    except ValueError as error:
        bench.skip("ears, a clip of one second", name, str(error))
    waveform = clip(44100)
    work = (lambda: ear.midi(waveform, 44100)) if name == "pitch" else (lambda: ear.embed(waveform))
    rounds = bench.measure(work, {}, rounds=10)
    bench.report(
        "ears, a clip of one second", name, rounds.seconds, f"{SECONDS / rounds.seconds:.0f} x the speed of real time"
    )


@pytest.mark.parametrize("name", ["kernel distance", "neighbours"])
def test_statistics(bench: Any, name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    made, reference = torch.randn(2, CLIPS, NUMBERS, generator=draw, dtype=torch.float64)
    units = Units.separate(CLIPS, CLIPS)
    work = {
        "kernel distance": lambda: replicated_kernel_distance(made, reference, units),
        "neighbours": lambda: NeighbourGraph(made, reference).replicated(units),
    }[name]
    rounds = bench.measure(work, {"product": lambda: made @ reference.T}, rounds=3)
    bench.report(
        f"statistics with intervals, {CLIPS} clips of {NUMBERS} numbers",
        name,
        rounds.seconds,
        f"{rounds.cost('product'):.0f} x the time of one product of the two sets",
    )
