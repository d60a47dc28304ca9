"""The arithmetic of the oracle ladder: a distance for pairs that is right on average, and a sentence that is honest."""

from dataclasses import replace
from math import exp
from pathlib import Path

import pytest
import torch

from audio.dataset import AudioFolder, Clip
from evaluation.intervals import Replicated, Units
from evaluation.kernel import replicated_kernel_distance
from evaluation.medians import median_ratio_interval
from evaluation.paired_kernel import paired_kernel_distance
from pipelines.ladder import spread
from pipelines.ladder_attacks import measure_attacks
from pipelines.ladder_measures import choose_floor
from pipelines.ladder_verdict import judge_losses, losses

WIDTH = 2.0


def cloud(clips: int, dim: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.randn(clips, dim, generator=torch.Generator().manual_seed(seed))


def shifted_distance(shift: float, dim: int = 3) -> float:
    """Of unit Gaussians that lie `shift` apart, in closed form (the kernel convolved with both), times 1,000."""
    spread = WIDTH**2 + 2.0
    return 2000.0 * (WIDTH**2 / spread) ** (dim / 2) * (1.0 - exp(-(shift**2) / (2.0 * spread)))


def test_a_perfect_copy_is_at_zero_where_the_unpaired_estimator_is_far_below():
    real = cloud(100)
    units = torch.arange(100)
    assert paired_kernel_distance(real, real, units, WIDTH).value == pytest.approx(0.0, abs=1e-9)
    assert replicated_kernel_distance(real, real, Units.separate(100, 100), WIDTH).value < -5.0


def test_the_distance_is_its_definition_summed_by_hand():
    real, made = cloud(20), cloud(20, seed=1) + 0.3
    units = torch.arange(20) // 2

    def kernel(first: torch.Tensor, second: torch.Tensor) -> float:
        return exp(-float((first - second).square().sum()) / (2.0 * WIDTH**2))

    terms = [
        kernel(made[i], made[j]) + kernel(real[i], real[j]) - kernel(made[i], real[j]) - kernel(made[j], real[i])
        for i in range(20)
        for j in range(20)
        if units[i] != units[j]
    ]
    found = paired_kernel_distance(made, real, units, WIDTH)
    assert found.value == pytest.approx(1000.0 * sum(terms) / len(terms), rel=1e-5)
    assert found.units == 10
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    assert paired_kernel_distance(made[order], real[order], units[order], WIDTH).value == pytest.approx(found.value)


@pytest.mark.parametrize("dependent", [True, False])
def test_it_is_right_on_average_and_so_is_its_interval(dependent):
    # Copies that are their clips, moved; and clips that know nothing of them, moved.
    truth, trials = shifted_distance(0.8), 120
    values, hits = [], 0
    for trial in range(trials):
        real = cloud(24, seed=trial)
        made = (real if dependent else cloud(24, seed=1000 + trial)) + torch.tensor([0.8, 0.0, 0.0])
        found = paired_kernel_distance(made, real, torch.arange(24), WIDTH)
        ends = found.interval()
        values.append(found.value)
        hits += ends.low <= truth <= ends.high
    spread = torch.tensor(values).std().item()
    assert sum(values) / trials == pytest.approx(truth, abs=3.5 * spread / trials**0.5)
    assert 0.87 <= hits / trials <= 1.0


def test_bad_clouds_are_refused():
    with pytest.raises(ValueError, match="one for each of 20"):
        paired_kernel_distance(cloud(19), cloud(20), torch.arange(20), WIDTH)
    with pytest.raises(ValueError, match="at least 8, got 7"):
        paired_kernel_distance(cloud(20), cloud(20), torch.arange(20) % 7, WIDTH)


def replicated(value: float, error: float, seed: int, units: int = 100) -> Replicated:
    """A statistic with this standard error: what one half has too much, the other has too little."""
    draw = torch.randn(500, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    draw = error * draw / draw.square().mean().sqrt()
    return Replicated(value, torch.stack([value + draw, value - draw], dim=1), units)


def three(vocoder: float, autoencoder: float, diffusion: float, error: float = 1.0) -> dict[str, Replicated]:
    values = {"vocoder": vocoder, "autoencoder": autoencoder, "diffusion": diffusion}
    return {stage: replicated(value, error, seed) for seed, (stage, value) in enumerate(values.items())}


@pytest.mark.parametrize("stage", ["vocoder", "autoencoder", "diffusion"])
def test_the_stage_that_loses_most_is_named_with_what_to_train(stage):
    verdict = judge_losses(
        three(**{name: 20.0 if name == stage else 3.0 for name in ("vocoder", "autoencoder", "diffusion")})
    )
    assert verdict.stage == stage
    assert verdict.sentence.startswith(f"The {stage}")
    assert "loses most: 20 [18, 22]" in verdict.sentence
    assert f"train the {stage}" in verdict.sentence


def test_a_tie_and_chance_and_too_few_cannot_be_told():
    tie = judge_losses(three(vocoder=10.0, autoencoder=1.0, diffusion=10.5))
    assert tie.stage is None
    assert "Cannot tell" in tie.sentence
    assert "the diffusion model 10.5 [" in tie.sentence
    assert "the vocoder 10 [" in tie.sentence
    assert "the autoencoder" not in tie.sentence
    chance = judge_losses(three(vocoder=1.5, autoencoder=-8.0, diffusion=-9.0))
    assert chance.stage is None
    assert "may be chance" in chance.sentence
    few = {stage: replace(value, units=7) for stage, value in three(50.0, 1.0, 1.0).items()}
    assert judge_losses(few).stage is None
    assert "7 independent units, 8 are enough" in judge_losses(few).sentence


def test_losses_are_steps_and_differences_are_paired():
    # All rungs share one large error: the rungs cannot be told from each other alone, their steps can.
    rungs = {
        stage: replicated(value, 30.0, seed=0)
        for stage, value in (("vocoder", 5.0), ("autoencoder", 25.0), ("diffusion", 27.0))
    }
    lost = losses(rungs)
    assert [round(lost[stage].value, 6) for stage in ("vocoder", "autoencoder", "diffusion")] == [5.0, 20.0, 2.0]
    assert lost["vocoder"].standard_error() == pytest.approx(30.0, rel=0.01)
    assert lost["autoencoder"].standard_error() == pytest.approx(0.0, abs=1e-6)


def clip(name: str, family: str, split: str = "train", recording: str = "") -> Clip:
    return Clip(Path(name), (name,), 1.0, -10.0, 1000.0, family=family, recording=recording or name, split=split)


def test_the_floor_has_the_families_of_the_judged_clips_and_none_of_their_recordings():
    train = [clip(f"kick{n}", "kick") for n in range(10)] + [clip(f"bell{n}", "bell") for n in range(10)]
    shared = [clip(f"take{n}", "kick", recording="held out") for n in range(20)]
    judged = [clip("a", "kick", "test", "held out"), clip("b", "kick", "test"), clip("c", "bell", "test")]
    train += shared
    floor = choose_floor(train, judged, seed=0)
    assert sorted(one.family for one in floor) == ["bell", "kick", "kick"]
    assert all(one.split == "train" and one.recording != "held out" for one in floor)
    assert choose_floor(train, judged, seed=0) == floor
    assert any(choose_floor(train, judged, seed=seed) != floor for seed in range(1, 5))
    # A family that training lacks is filled up with others; too small a folder gives what it has.
    assert len(choose_floor(train, [*judged, clip("d", "gong", "test")], seed=0)) == 4
    assert choose_floor(shared, judged, seed=0) == []


def test_clips_are_spread_evenly():
    folder = AudioFolder(Path(), tuple(clip(f"{n:02d}", "kick", "test") for n in range(10)))
    assert [one.path.name for one in folder.spread("test", 5)] == ["00", "02", "04", "06", "08"]
    assert len(folder.spread("test", 0)) == len(folder.spread("test", 99)) == 10
    with pytest.raises(ValueError, match="no clip of split 'validation'"):
        folder.spread("validation", 0)
    assert spread(2) == {0, 1}
    assert len(spread(200)) == 6
    assert max(spread(200)) < 200


def test_attacks_are_those_of_struck_clips_and_count_a_recording_once():
    drums = [clip(f"kick{n}", "kick", "test", recording=f"take{n // 2}") for n in range(40)]
    clips = [*drums, *(clip(f"pad{n}", "pad", "test") for n in range(40))]
    rises = [4.0 + n / 100 for n in range(40)] + [500.0] * 40
    made = {"vocoder": [1.25 * rise for rise in rises], "autoencoder": [1.5 * rise for rise in rises]}
    made["diffusion"] = [2.5 * rise for rise in rises]
    found = measure_attacks(clips, rises, made)
    assert (found.clips, found.recordings) == (40, 20)
    assert found.real.value == pytest.approx(4.195)
    assert found.rungs["autoencoder"].value == pytest.approx(1.5 * 4.195)
    # Twice as long on every clip is twice as long without a doubt: the ratio is paired.
    over = found.over_vocoder
    assert (over.value, over.low, over.high) == pytest.approx((2.0, 2.0, 2.0))
    assert (found.over_real.value, found.to_dict()["generated_over_real"]["value"]) == pytest.approx((2.5, 2.5))
    assert "real 4.2" in found.sentence()
    assert "over real: 2.5" in found.sentence()
    # Silence has no attack, and too few recordings no interval.
    made["diffusion"][:24] = [float("nan")] * 24
    quiet = measure_attacks(clips, rises, made)
    assert (quiet.clips, quiet.recordings) == (16, 8)
    assert measure_attacks(clips[26:], rises[26:], {name: column[26:] for name, column in made.items()}).rungs is None


def test_the_interval_of_a_ratio_of_medians_holds_the_ratio_as_often_as_it_says():
    hits, trials = 0, 200
    for trial in range(trials):
        generator = torch.Generator().manual_seed(trial)
        below = torch.randn(40, generator=generator, dtype=torch.float64).exp()
        above = 1.5 * below * (0.3 * torch.randn(40, generator=generator, dtype=torch.float64)).exp()
        found = median_ratio_interval(above, below, torch.arange(40), seed=trial)
        hits += found.low <= 1.5 <= found.high
    assert 0.9 <= hits / trials <= 1.0
