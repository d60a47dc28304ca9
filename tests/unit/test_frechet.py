"""Frechet distance against Gaussians with known moments and scipy's root of a matrix."""

import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from evaluation.frechet import (
    Moments,
    frechet_distance,
    frechet_distance_at_infinity,
    replicated_frechet_distance,
)
from evaluation.intervals import Units


def cloud(clips: int, numbers: int, seed: int) -> Tensor:
    return torch.randn(clips, numbers, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_known_moments() -> None:
    """Covariances that commute: the distance is that of the roots of their eigenvalues, one of which is 0."""
    generator = torch.Generator().manual_seed(4)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator, dtype=torch.float64)).Q
    first, second = (torch.rand(6, generator=generator, dtype=torch.float64) + 0.1 for _ in range(2))
    second[0] = 0.0
    mean = torch.arange(6.0, dtype=torch.float64)
    wanted = float((mean**2).sum() + (first.sqrt() - second.sqrt()).square().sum())
    found = frechet_distance(
        Moments.from_covariance(mean, turn @ first.diag() @ turn.T),
        Moments.from_covariance(torch.zeros_like(mean), turn @ second.diag() @ turn.T),
    )
    assert found == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("clips", [50, 6])
def test_covariances_that_do_not_commute(clips: int) -> None:
    """Against the definition, with scipy's root; also from fewer clips than numbers."""
    clouds = [cloud(clips, 8, seed) @ cloud(8, 8, seed + 10) for seed in (1, 2)]
    first, second = (Moments.of(part) for part in clouds)
    a, b = (part.T.cov().numpy() for part in clouds)
    mean = (clouds[0].mean(dim=0) - clouds[1].mean(dim=0)).square().sum()
    wanted = float(mean) + a.trace() + b.trace() - 2.0 * sqrtm(a @ b).trace().real
    assert frechet_distance(first, second) == pytest.approx(float(wanted), rel=1e-5)
    assert frechet_distance(second, first) == pytest.approx(frechet_distance(first, second), rel=1e-9)


def test_degenerate_clouds() -> None:
    """The same clouds, clouds of constants, constant columns."""
    clips = cloud(30, 40, 1)
    assert frechet_distance(Moments.of(clips), Moments.of(clips)) == pytest.approx(0.0, abs=1e-9)
    points = [Moments.of(torch.full((5, 3), value, dtype=torch.float64)) for value in (0.0, 2.0)]
    assert frechet_distance(*points) == pytest.approx(12.0)
    wide = [torch.cat([part, torch.ones(30, 2, dtype=torch.float64)], dim=1) for part in (clips, cloud(30, 40, 2))]
    plain = frechet_distance(Moments.of(clips), Moments.of(cloud(30, 40, 2)))
    assert frechet_distance(Moments.of(wide[0]), Moments.of(wide[1])) == pytest.approx(plain, rel=1e-9)


def test_distance_at_infinity_takes_the_bias_away() -> None:
    """Alike clouds: the truth is 0."""
    clouds = [(cloud(400, 16, seed), cloud(400, 16, 100 + seed)) for seed in range(12)]
    plain = [frechet_distance(Moments.of(made), Moments.of(reference)) for made, reference in clouds]
    lines = [frechet_distance_at_infinity(made, reference) for made, reference in clouds]
    assert min(plain) > 0.3
    assert abs(sum(lines) / len(lines)) < 0.25 * sum(plain) / len(plain)
    with pytest.raises(ValueError, match="20 clips are too few for 16 numbers a clip; 32 are enough"):
        frechet_distance_at_infinity(cloud(20, 16, 0), cloud(400, 16, 1))


def test_halves() -> None:
    made, reference = cloud(40, 5, 1), cloud(36, 5, 2)
    units = Units(torch.arange(40) // 2, 100 + torch.arange(36) // 2)
    found = replicated_frechet_distance(made, reference, units, seed=3)
    first = units.halves(seed=3)[0]
    for side, kept in enumerate((first, ~first)):
        parts = made[kept[units.made]], reference[kept[units.reference]]
        wanted = frechet_distance(*(Moments.of(part) for part in parts))
        assert float(found.halves[0, side]) == pytest.approx(wanted)
    assert found.value == pytest.approx(frechet_distance(Moments.of(made), Moments.of(reference)))
    interval = found.interval(0.0)
    assert interval.low is not None
    assert interval.high is not None
    assert 0.0 <= interval.low < found.value < interval.high


def test_refused_clouds() -> None:
    with pytest.raises(ValueError, match="at least 8 clips, got 7"):
        replicated_frechet_distance(cloud(7, 4, 0), cloud(9, 4, 1), Units.separate(7, 9))
    one = Units(torch.zeros(9, dtype=torch.long), torch.ones(9, dtype=torch.long))
    assert replicated_frechet_distance(cloud(9, 4, 0), cloud(9, 4, 1), one).interval().low is None
