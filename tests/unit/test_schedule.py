"""Optimisers and learning rates."""

import itertools
import math

import pytest
import torch

from training.schedule import OptimiserConfig, ScheduleConfig, build_optimiser, build_schedule, rate_factor


def rates(config: ScheduleConfig, total: int) -> list[float]:
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    optimiser = build_optimiser([weight], OptimiserConfig(learning_rate=0.1))
    schedule = build_schedule(optimiser, config, total)
    result = []
    for _ in range(total):
        result.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return result


def test_cosine_rises_linearly_and_falls_to_its_fraction() -> None:
    got = rates(ScheduleConfig("cosine", warmup_steps=10, final_fraction=0.1), 100)
    assert got[:10] == pytest.approx([0.01 * (step + 1) for step in range(10)])
    assert got[10] == pytest.approx(0.1)
    assert got[55] == pytest.approx(0.1 * (0.1 + 0.9 * 0.5), rel=1e-6)
    assert all(later < earlier for earlier, later in itertools.pairwise(got[10:]))
    assert rate_factor(100, ScheduleConfig("cosine", warmup_steps=10, final_fraction=0.1), 100) == pytest.approx(0.1)


def test_constant_and_step() -> None:
    assert rates(ScheduleConfig("constant", warmup_steps=2), 30)[2:] == pytest.approx([0.1] * 28)
    got = rates(ScheduleConfig("step", warmup_steps=0, period=10, factor=0.5), 30)
    assert got == pytest.approx([0.1] * 10 + [0.05] * 10 + [0.025] * 10)


def test_plateau_waits_for_its_patience() -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    optimiser = build_optimiser([weight], OptimiserConfig(learning_rate=0.1))
    schedule = build_schedule(optimiser, ScheduleConfig("plateau", patience=2, factor=0.1), 100)
    seen = []
    for metric in (1.0, 0.9, 0.9, 0.9, 0.9, 0.8):
        schedule.step(metric)
        seen.append(optimiser.param_groups[0]["lr"])
    assert seen == pytest.approx([0.1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_warm_up_is_never_more_than_a_tenth() -> None:
    got = rates(ScheduleConfig("cosine", warmup_steps=1000), 20)
    assert got[2] == pytest.approx(0.1, rel=1e-6)


def test_only_matrices_are_decayed_and_frozen_weights_left_out() -> None:
    matrix, bias, frozen = (torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2), (2,), (3, 3)))
    frozen.requires_grad_(False)
    optimiser = build_optimiser([matrix, bias, frozen], OptimiserConfig(weight_decay=0.5))
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    assert decays == {id(matrix): 0.5, id(bias): 0.0}
    sgd = build_optimiser([matrix], OptimiserConfig(name="sgd", momentum=0.7))
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.param_groups[0]["momentum"] == 0.7


def test_unknown_names_and_endless_cosines_are_refused() -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="adamw or sgd"):
        build_optimiser([weight], OptimiserConfig(name="adam"))  # type: ignore[arg-type]
    optimiser = build_optimiser([weight], OptimiserConfig())
    with pytest.raises(ValueError, match="max_steps"):
        build_schedule(optimiser, ScheduleConfig("cosine"), -1)
    with pytest.raises(ValueError, match="plateau"):
        rate_factor(5, ScheduleConfig("linear", warmup_steps=0), 10)  # type: ignore[arg-type]
    assert math.isclose(rate_factor(0, ScheduleConfig("constant", warmup_steps=4), 0), 0.25)


def test_only_what_has_several_numbers_for_each_output_is_decayed() -> None:
    convolution = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(4, 6, 3))
    norm = torch.nn.LayerNorm(6)
    optimiser = build_optimiser([*convolution.parameters(), *norm.parameters()], OptimiserConfig(weight_decay=0.1))
    decayed = {tuple(p.shape) for group in optimiser.param_groups if group["weight_decay"] for p in group["params"]}
    free = {tuple(p.shape) for group in optimiser.param_groups if not group["weight_decay"] for p in group["params"]}
    assert decayed == {(6, 4, 3)}
    assert free == {(6, 1, 1), (6,)}
