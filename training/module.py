"""What every stage's training module shares: its optimiser, its record, its seeds.

The random numbers of a training step (noise, times, dropout) are a function of (seed, batches done) alone, and so are
its data (see `training.data`): resuming equals not having stopped.
"""

import sys
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from training.checkpoint import RECORD_KEY, StageRecord, config_differences, load_stage, load_weights
from training.schedule import OptimiserConfig, ScheduleConfig, build_optimiser, build_schedule


class StageTraining(LightningModule):
    """Base of the three training modules.

    A stage sets `kind`, `monitor` and `model`, and gives `stage_config` and `next_command`.

    Args:
        optimiser: of the network.
        schedule: of its learning rate.
        init_from: a checkpoint or released stage whose weights are the start.
    """

    kind: str
    # Chooses the best checkpoint and stops a run early, unless `early_stopping.monitor` names another of `metrics`.
    monitor: str
    metrics: tuple[str, ...]
    model: nn.Module
    # Named parts of the network (prefixes of its weights) that get a fingerprint of their own.
    parts: tuple[str, ...] = ()
    # Which checkpoint of a run is to be taken: best, or last where the metric does not tell which is best.
    taken: str = "best"
    # Pairs of keys of the YAML, such as ("data.x", "model.x"): the second takes the value of the first.
    links: tuple[tuple[str, str], ...] = ()

    def __init__(self, optimiser: OptimiserConfig, schedule: ScheduleConfig, init_from: Path | None = None) -> None:
        super().__init__()
        self.optimiser_config = optimiser
        self.schedule_config = schedule
        self.init_from = Path(init_from) if init_from else None
        # Fingerprints of named parts that do not learn.
        self.frozen_parts: dict[str, str] = {}
        self.batches_done = 0
        self.seconds_done = 0.0
        self._last_tick: float | None = None

    def stage_config(self) -> dict[str, Any]:
        """Everything needed to build the network again, as plain containers."""
        raise ValueError(f"{type(self).__name__} gives no stage_config")

    def next_command(self, checkpoint: str) -> str:
        """What to run after this stage."""
        raise ValueError(f"{type(self).__name__} gives no next_command")

    def adapt_trainer(self, trainer_config: dict[str, Any]) -> None:
        """Take over keys of the trainer's config that Lightning does not honour for this stage."""

    def warm_start(self) -> None:
        """Load the weights named by `init_from`; called by a stage once its `model` exists.

        Raises:
            ValueError: the file is of another stage, or its network has another shape.
        """
        if self.init_from is not None:
            _, weights = load_stage(self.init_from, self.kind)
            load_weights(self.model, weights, self.init_from)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """One optimiser with one schedule, stepped after every batch (plateau: by `PlateauStep`, after validations)."""
        optimiser = build_optimiser(self.model.parameters(), self.optimiser_config)
        schedule = build_schedule(optimiser, self.schedule_config, self.trainer.max_steps)
        if self.schedule_config.name == "plateau":
            return {
                "optimizer": optimiser,
                "lr_scheduler": {"scheduler": schedule, "monitor": self.monitor, "frequency": sys.maxsize},
            }
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Start the clock."""
        self._last_tick = time.monotonic()

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Make every random number of this step a function of (seed, batches done)."""
        torch.manual_seed(int(self.run_seed) * 1_000_003 + self.batches_done)

    def on_train_batch_end(self, outputs: Any, batch: dict[str, Tensor], batch_idx: int) -> None:  # noqa: ANN401
        """Count batches and seconds."""
        self.batches_done += 1
        now = time.monotonic()
        self.seconds_done += now - (self._last_tick or now)
        self._last_tick = now

    @property
    def run_seed(self) -> int:
        """The data module's seed; 0 without one."""
        return int(getattr(getattr(self.trainer, "datamodule", None), "seed", 0))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the stage record; its fingerprints are filled in when the file is written."""
        data = getattr(self.trainer, "datamodule", None)
        metric = self.trainer.callback_metrics.get(self.monitor)
        checkpoint[RECORD_KEY] = StageRecord(
            kind=self.kind,
            config=self.stage_config(),
            parts={**dict.fromkeys(self.parts, ""), **self.frozen_parts},
            lineage=dict(getattr(data, "lineage", {})),
            licences=list(getattr(data, "licences", [])),
            training={
                "batches": self.batches_done,
                "seconds": round(self.seconds_done, 1),
                "init_from": str(self.init_from) if self.init_from else None,
                self.monitor: float(metric) if metric is not None else None,
            },
        ).to_dict()
        checkpoint["progress"] = {"batches_done": self.batches_done, "seconds_done": self.seconds_done}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the run stopped; a run of another network is refused.

        Raises:
            ValueError: the checkpoint is of another stage, names the config fields that differ, or lacks weights.
        """
        record = checkpoint.get(RECORD_KEY)
        if not isinstance(record, dict) or record.get("kind") != self.kind:
            raise ValueError(f"the checkpoint to resume from is not one of stage '{self.kind}'")
        differences = config_differences(record["config"], self.stage_config())
        if differences:
            raise ValueError("the run to resume has another configuration: " + "; ".join(differences[:5]))
        missing = sorted(set(self.state_dict()) - set(checkpoint["state_dict"]))
        if missing:
            raise ValueError(
                f"the run to resume was made by an older version: it has no {missing[0]} "
                f"({len(missing)} weights missing); start afresh with --resume false"
            )
        self.batches_done = int(checkpoint["progress"]["batches_done"])
        self.seconds_done = float(checkpoint["progress"]["seconds_done"])


def keep_start(trainer: Trainer, error: float) -> None:
    """Write the best checkpoint before the first step, so that only a better validation replaces it.

    Args:
        trainer: that is about to begin.
        error: of the start, as its validations measure it.
    """
    keeper = trainer.checkpoint_callback
    if not isinstance(keeper, ModelCheckpoint):
        return
    path, score = keeper.format_checkpoint_name({}), torch.tensor(error)
    trainer.save_checkpoint(path)
    known = {"best_model_path": path, "best_model_score": score, "best_k_models": {path: score}}
    keeper.load_state_dict(keeper.state_dict() | known | {"kth_best_model_path": path, "kth_value": score})
