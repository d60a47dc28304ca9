"""Optimisers and learning rates as data: torch's own classes, named in YAML the same way in every stage.

In optimiser steps k, with p the progress after the warm-up and f the final fraction:

    warm-up:  lr(k) = lr * (k + 1) / warmup_steps
    cosine:   lr(k) = lr * (f + (1 - f) (1 + cos(pi p)) / 2)
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau


@dataclass(frozen=True)
class OptimiserConfig:
    """Which optimiser, and its numbers.

    Args:
        name: adamw or sgd.
        learning_rate: the peak.
        weight_decay: decoupled in adamw; applied to matrices and kernels only, not to biases, gains and norms.
        betas: of adamw.
        momentum: of sgd.
    """

    name: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.9


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate moves, in optimiser steps.

    Args:
        name: constant, cosine (linear warm-up, then cosine), step (times `factor` every `period` steps) or plateau
            (times `factor` after `patience` validations without a better validation metric).
        warmup_steps: linear warm-up, for every name but plateau; at most a tenth of all steps.
        total_steps: where the cosine ends; 0 takes the trainer's max_steps.
        final_fraction: of the peak, at the cosine's end.
        period: of step.
        factor: of step and plateau.
        patience: of plateau, in validations.
    """

    name: Literal["constant", "cosine", "step", "plateau"] = "cosine"
    warmup_steps: int = 100
    total_steps: int = 0
    final_fraction: float = 0.05
    period: int = 1000
    factor: float = 0.5
    patience: int = 5


def build_optimiser(parameters: Iterable[nn.Parameter], config: OptimiserConfig) -> torch.optim.Optimizer:
    """Make the optimiser; biases, gains and norms are not decayed: neither one number each, nor one each output.

    Raises:
        ValueError: an unknown name.
    """
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    groups: list[dict[str, list[Tensor] | float]] = [
        {"params": [p for p in trainable if _is_matrix(p)], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if not _is_matrix(p)], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=config.momentum)
    raise ValueError(f"optimiser.name: expected adamw or sgd, got {config.name!r}")


def _is_matrix(parameter: nn.Parameter) -> bool:
    """Whether each output has several numbers; the gains of weight norm have one, in as many dimensions as a kernel."""
    return parameter.dim() >= 2 and parameter[0].numel() > 1


def build_schedule(
    optimiser: torch.optim.Optimizer, config: ScheduleConfig, max_steps: int
) -> LRScheduler | ReduceLROnPlateau:
    """Make the schedule.

    Args:
        optimiser: whose rates are moved.
        config: the numbers.
        max_steps: of the trainer, taken when `total_steps` is 0.

    Raises:
        ValueError: an unknown name, or a cosine without an end.
    """
    if config.name == "plateau":
        return ReduceLROnPlateau(optimiser, factor=config.factor, patience=config.patience)
    total = config.total_steps or max_steps
    if config.name == "cosine" and total <= 0:
        raise ValueError("schedule: a cosine needs an end: set trainer.max_steps or schedule.total_steps")
    if total > 0:
        config = replace(config, warmup_steps=min(config.warmup_steps, total // 10))
    return LambdaLR(optimiser, lambda step: rate_factor(step, config, total))


def rate_factor(step: int, config: ScheduleConfig, total_steps: int) -> float:
    """The learning rate at a step, as a fraction of the peak.

    Args:
        step: optimiser steps done.
        config: the numbers.
        total_steps: where a cosine ends.

    Raises:
        ValueError: an unknown name.
    """
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    if config.name in ("constant", "plateau"):
        return 1.0
    if config.name == "step":
        return float(config.factor ** ((step - config.warmup_steps) // config.period))
    if config.name == "cosine":
        progress = min(1.0, (step - config.warmup_steps) / max(1, total_steps - config.warmup_steps))
        return config.final_fraction + (1.0 - config.final_fraction) * 0.5 * (1.0 + math.cos(math.pi * progress))
    raise ValueError(f"schedule.name: expected constant, cosine, step or plateau, got {config.name!r}")
