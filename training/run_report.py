"""What a training says of itself: how long it will take, what disk it needs, and one line per validation."""

import math
import os
import shutil
import time
from itertools import pairwise
from statistics import median
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Timer
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping

from training.command import say
from training.module import StageTraining

# Set by `pipelines.train`: a killed parent must not leave a training behind.
PARENT_VARIABLE = "MELISMA_PARENT"


class EarlyStopping(LightningEarlyStopping):
    """Lightning's, that says why it ends a run; its patience is the command's, not the one of the run to go on from."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """All but the patience, and why the run was ended before."""
        super().load_state_dict({**state_dict, "patience": self.patience})
        self.stopping_reason_message = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop where it is time to; said unless the steps are up as well."""
        super().on_validation_end(trainer, pl_module)
        reason, ended = self.stopping_reason_message, 0 < trainer.max_steps <= trainer.global_step
        if reason and not ended:
            say(f"stopping early: {reason.removesuffix(' Signaling Trainer to stop.')}")


class RunReport(Callback):
    """Says at the start how long it will take and what disk it needs, and one line per validation."""

    PROBE_BATCHES = 10

    def __init__(self) -> None:
        self.started: float | None = None
        self.first_batch = 0
        self.ended: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.started = time.monotonic()
        self.first_batch = _batches_done(pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """Stop with the process that started this one; after a short probe, estimate time and disk."""
        parent = os.environ.get(PARENT_VARIABLE)
        if parent and parent != str(os.getppid()):
            say("the process that started this training has gone: stopping")
            raise KeyboardInterrupt
        done = _batches_done(pl_module) - self.first_batch
        if done > self.PROBE_BATCHES or self.started is None:
            return
        self.ended.append(time.monotonic())
        if done < self.PROBE_BATCHES:
            return
        # The median batch: the first ones compile the network where that is asked for.
        durations = [end - start for start, end in pairwise([self.started, *self.ended])]
        seconds = _seconds_left(trainer, pl_module, median(durations))
        weights = sum(p.numel() * p.element_size() for p in pl_module.parameters())
        # Two checkpoints, each with weights, averaged weights and two moments per weight; one more is written aside.
        needed = 3 * 4 * weights
        free = shutil.disk_usage(trainer.default_root_dir).free
        coming = f"about {_duration(seconds)} of training to come" if math.isfinite(seconds) else "trains until stopped"
        say(f"{coming}; checkpoints need {_size(needed)}, {_size(free)} are free")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """One line: how far, how good, how long to go."""
        if trainer.sanity_checking or self.started is None or not isinstance(pl_module, StageTraining):
            return
        done = _batches_done(pl_module)
        value = trainer.callback_metrics.get(pl_module.monitor)
        elapsed = time.monotonic() - self.started
        left = _seconds_left(trainer, pl_module, elapsed / max(1, done - self.first_batch))
        shown = f"{float(value):.4f}" if value is not None else "-"
        to_go = f", about {_duration(left)} to go" if math.isfinite(left) else ""
        say(f"step {done}: {pl_module.monitor} {shown}, {_duration(elapsed)} gone{to_go}")


def _batches_done(module: LightningModule) -> int:
    return module.batches_done if isinstance(module, StageTraining) else 0


def _seconds_left(trainer: Trainer, module: LightningModule, seconds_per_batch: float) -> float:
    """Until `trainer.max_steps` or `trainer.max_time` is reached, whichever comes first; infinite without either."""
    left = [timer.time_remaining() for timer in getattr(trainer, "callbacks", []) if isinstance(timer, Timer)]
    if trainer.max_steps > 0:
        per_step = int(getattr(module, "accumulate_grad_batches", trainer.accumulate_grad_batches))
        left.append(max(0, trainer.max_steps * per_step - _batches_done(module)) * seconds_per_batch)
    return max(0.0, min((seconds for seconds in left if seconds is not None), default=math.inf))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _size(number: float) -> str:
    return f"{number / 2**20:.0f} MiB" if number < 2**30 else f"{number / 2**30:.1f} GiB"
