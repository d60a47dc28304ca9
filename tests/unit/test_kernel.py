"""Kernel distance against its closed form and its definition."""

import math

import pytest
import torch
from torch import Tensor

from evaluation.intervals import Units
from evaluation.kernel import kernel_bandwidth, kernel_distance, replicated_kernel_distance
from pipelines.simulated_clouds import gaussian_kernel_distance


def cloud(clips: int, numbers: int, seed: int) -> Tensor:
    return torch.randn(clips, numbers, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_definition(made: Tensor, reference: Tensor, width: float) -> float:
    first, second, between = (
        torch.exp(-((a[:, None] - b[None]) ** 2).sum(dim=2) / (2.0 * width**2))
        for a, b in ((made, made), (reference, reference), (made, reference))
    )
    off = [(kernel.sum() - kernel.diagonal().sum()) / (len(kernel) * (len(kernel) - 1)) for kernel in (first, second)]
    return 1000.0 * float(off[0] + off[1] - 2.0 * between.mean())


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.5, 1.0), (2.0, 1.5)])
def test_kernel_distance_of_gaussians_is_right_on_average(shift: float, scale: float) -> None:
    """Unbiased at 30 clips: the mean over many draws is the closed form, also where that is 0."""
    numbers, width, repeats = 4, 2.0, 400
    move = torch.tensor([shift, 0.0, 0.0, 0.0], dtype=torch.float64)
    found = torch.tensor(
        [
            kernel_distance(scale * cloud(30, numbers, 2 * n) + move, cloud(30, numbers, 2 * n + 1), width)
            for n in range(repeats)
        ]
    )
    exact = gaussian_kernel_distance(numbers, shift, scale, width)
    assert abs(float(found.mean()) - exact) < 4.0 * float(found.std()) / math.sqrt(repeats)
    assert float(found.std()) > 0.0


def test_closed_form_of_a_shift() -> None:
    """Worked out on its own: two Gaussians of equal width."""
    alike = (1.0 + 2.0 / 4.0) ** (-4 / 2)
    exact = 1000.0 * 2.0 * alike * (1.0 - math.exp(-0.25 / (2.0 * 6.0)))
    assert gaussian_kernel_distance(4, 0.5, 1.0, 2.0) == pytest.approx(exact, rel=1e-12)


def test_kernel_distance_in_blocks_is_that_of_the_definition() -> None:
    made, reference = cloud(700, 3, 1) + 0.3, cloud(600, 3, 2)
    width = kernel_bandwidth(reference)
    assert width == pytest.approx(float(torch.pdist(reference).median()))
    assert kernel_distance(made, reference) == pytest.approx(by_definition(made, reference, width), rel=1e-6)


def test_halves_are_those_of_the_definition() -> None:
    """Also where units have several clips, and are in both clouds."""
    made, reference = cloud(40, 3, 1), cloud(30, 3, 2)
    units = Units(torch.arange(40) // 2, 10 + torch.arange(30) // 2)

    def wanted_of(rows: Tensor, columns: Tensor) -> float:
        return by_pairs(made[rows], reference[columns], units.made[rows], units.reference[columns], 1.5)

    found = replicated_kernel_distance(made, reference, units, 1.5, seed=7)
    everything = torch.ones(40, dtype=torch.bool), torch.ones(30, dtype=torch.bool)
    assert found.value == pytest.approx(wanted_of(*everything), rel=1e-9)
    first = units.halves(500, seed=7)
    assert found.halves.shape == (500, 2)
    for row in (0, 499):
        for side, kept in enumerate((first[row], ~first[row])):
            wanted = wanted_of(kept[units.made], kept[units.reference])
            assert float(found.halves[row, side]) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("paired", [False, True])
def test_alike_clouds_of_recordings_measure_nothing_on_average(paired: bool) -> None:
    """Clips of a recording resemble each other, and each made clip its real one: neither is nearness of the clouds."""
    found, without = [], []
    for draw in range(60):
        generator = torch.Generator().manual_seed(draw)
        recordings = torch.randn(2, 20, 1, 3, generator=generator, dtype=torch.float64) * 0.7**0.5
        recordings[1] = recordings[0] if paired else recordings[1]
        clips = recordings + torch.randn(2, 20, 4, 3, generator=generator, dtype=torch.float64) * 0.3**0.5
        made, reference = clips.flatten(1, 2)
        own = torch.arange(80) // 4
        units = Units(own, own if paired else 20 + own)
        found.append(kernel_distance(made, reference, 2.0, units))
        without.append(kernel_distance(made, reference, 2.0))
    values, plain = torch.tensor(found), torch.tensor(without)
    error = float(values.std()) / len(values) ** 0.5
    assert abs(float(values.mean())) < 3.0 * error
    assert abs(float(plain.mean())) > 3.0 * error


def by_pairs(made: Tensor, reference: Tensor, of_made: Tensor, of_reference: Tensor, width: float) -> float:
    """Means over pairs of different units, one by one."""

    def mean(one: Tensor, other: Tensor, of_one: Tensor, of_other: Tensor) -> float:
        kernel = torch.exp(torch.cdist(one, other).square() / (-2.0 * width**2))
        return float(kernel[of_one[:, None] != of_other].mean())

    own = mean(made, made, of_made, of_made) + mean(reference, reference, of_reference, of_reference)
    return 1000.0 * (own - 2.0 * mean(made, reference, of_made, of_reference))


def test_identical_clouds_measure_less_than_nothing() -> None:
    """The very same clips: their own pairs count across the clouds alone, 2 (mean kernel - 1) / clips."""
    clips = cloud(50, 4, 1)
    width = kernel_bandwidth(clips)
    off = (torch.exp(torch.cdist(clips, clips).square() / (-2.0 * width**2)).sum() - 50) / (50 * 49)
    assert kernel_distance(clips, clips) == pytest.approx(1000.0 * 2.0 * (float(off) - 1.0) / 50, rel=1e-6)


def test_constant_columns_and_a_far_origin_change_nothing() -> None:
    made, reference = cloud(80, 4, 1), cloud(80, 4, 2)
    column = torch.full((80, 3), 7.0, dtype=torch.float64)
    wide = [torch.cat([part, column], dim=1) + 1e4 for part in (made, reference)]
    assert kernel_distance(*wide) == pytest.approx(kernel_distance(made, reference), rel=1e-4)


def test_few_units_have_no_interval() -> None:
    made, reference = cloud(40, 3, 1), cloud(40, 3, 2)
    one = Units(torch.zeros(40, dtype=torch.long), torch.ones(40, dtype=torch.long))
    found = replicated_kernel_distance(made, reference, one).interval()
    assert found.low is None
    assert found.reason == "1 independent units, 8 are enough"


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (torch.zeros(3), r"expected \(clips, 4\)"),
        (torch.zeros(9, 5), r"expected \(clips, 4\), got \(9, 5\)"),
        (torch.full((9, 4), math.nan), "not finite"),
        (torch.zeros(1, 4), "at least 2 clips, got 1"),
    ],
)
def test_refused_clouds(made: Tensor, message: str) -> None:
    reference = cloud(9, 4, 0)
    with pytest.raises(ValueError, match=message):
        kernel_distance(made, reference, 1.0)


def test_alike_clips_have_no_bandwidth() -> None:
    with pytest.raises(ValueError, match="a kernel has no width"):
        kernel_distance(cloud(5, 4, 0), torch.ones(8, 4))
