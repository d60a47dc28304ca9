"""`python -m STAGE fit -c FILE.yaml`: Lightning's command line with this project's manners.

One YAML holds everything. The run's folder (`trainer.default_root_dir`) receives its full config, TensorBoard logs and
two checkpoints, `best.ckpt` and `last.ckpt`; started again with the same words, a run goes on from `last.ckpt`. Errors
are one line and exit code 2, Ctrl-C is 130.
"""

import contextlib
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import (
    Callback,
    ModelCheckpoint,
    RichProgressBar,
)
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch.optim.lr_scheduler import ReduceLROnPlateau

from audio.files import write_aside
from training.averaging import EMAWeightAveraging
from training.checkpoint import load_checkpoint, seal_checkpoint
from training.command import answer, one_line, say
from training.data import StageData
from training.locks import held_folder
from training.module import StageTraining
from training.resuming import start_left_out
from training.run_report import EarlyStopping, RunReport

LOCK_SECONDS = 60.0
DESCRIPTION = "Train one stage. Everything is set in a YAML file; any key can be given on the command line too."


class SealedCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints aside and renames them, with fingerprints of the weights as stored; reads weights only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:  # noqa: ANN401
        """Seal, write aside, rename."""
        seal_checkpoint(checkpoint)
        with write_aside(Path(path)) as aside:
            super().save_checkpoint(checkpoint, aside, storage_options)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:  # noqa: ANN401
        """Read plain containers and tensors; anything else is refused."""
        return load_checkpoint(Path(path))


def checkpoint_callback(folder: Path, name: str, monitor: str | None) -> ModelCheckpoint:
    """Writes `NAME.ckpt` after a validation: each one, or the best by a metric."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=name,
        monitor=monitor,
        auto_insert_metric_name=False,
        enable_version_counter=False,
        save_on_train_epoch_end=False,
    )


class PlateauStep(Callback):
    """Shows each validation to a plateau schedule, before its checkpoint is written.

    Lightning does it at the end of the epoch, after that checkpoint: a run that goes on from it would have missed one.
    """

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the learning rate of every plateau schedule."""
        if trainer.sanity_checking or not isinstance(pl_module, StageTraining):
            return
        for config in trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, ReduceLROnPlateau):
                config.scheduler.step(float(trainer.callback_metrics[pl_module.monitor]))


class LastValidation(Callback):
    """Validates once more where `trainer.max_steps` falls between two validations: the last batches may be the best.

    Not where `trainer.check_val_every_n_epoch` leaves out validations of whole epochs.
    """

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:  # noqa: ANN401
        """Where a training is told to stop, Lightning validates before it does; where its steps are up it does not."""
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True


class LastBatches(Callback):
    """Writes `last.ckpt` once more where a training ends between two validations, after which it is written otherwise.

    Args:
        keeper: that writes it otherwise.
    """

    def __init__(self, keeper: ModelCheckpoint) -> None:
        self.keeper = keeper
        self.written = 0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the batches that are kept."""
        self.written = trainer.global_step

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A run that goes on begins with what is kept."""
        self.written = trainer.global_step

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the averaged weights take the place of the trained ones: a run may still go on."""
        if trainer.global_step > self.written:
            trainer.save_checkpoint(self.keeper.format_checkpoint_name({}))


class StageCLI(LightningCLI):
    """Lightning's command line with fixed classes, early stopping, averaged weights and resuming built in."""

    def __init__(
        self,
        training_class: type[StageTraining],
        data_class: type[StageData],
        link_sample_rate: bool,
        held: contextlib.ExitStack | None = None,
    ) -> None:
        self.held = held or contextlib.ExitStack()
        self.training_class = training_class
        self.link_sample_rate = link_sample_rate
        super().__init__(
            training_class,
            data_class,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
            trainer_defaults={"max_epochs": -1, "log_every_n_steps": 10, "gradient_clip_val": None},
            parser_kwargs={
                "description": DESCRIPTION,
                "exit_on_error": False,
                **{name: {"exit_on_error": False} for name in self.subcommands()},
            },
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Only what a stage does: train and validate."""
        names = {"model", "dataloaders", "datamodule", "train_dataloaders", "val_dataloaders", "weights_only"}
        return {"fit": names, "validate": names}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Early stopping, averaging and resuming as YAML keys of every stage."""
        monitor = self.training_class.monitor
        parser.add_lightning_class_args(EarlyStopping, "early_stopping")
        parser.set_defaults({"early_stopping.monitor": monitor, "early_stopping.patience": 20})
        # Checked and saved right after a validation: Lightning repeats the end of an epoch, without metrics, when it
        # resumes from a checkpoint that was written there.
        parser.set_defaults({"early_stopping.check_on_train_epoch_end": False})
        parser.add_lightning_class_args(EMAWeightAveraging, "ema")
        # Averaging constant buffers (windows, filterbanks) would only add rounding to them.
        parser.set_defaults({"ema.decay": 0.999, "ema.use_buffers": False})
        parser.add_argument("--resume", type=bool, default=True, help="go on from last.ckpt of the run's folder")
        parser.link_arguments("seed_everything", "data.seed")
        if self.link_sample_rate:
            parser.link_arguments("model.mel.sample_rate", "data.sample_rate")
        for source, target in self.training_class.links:
            parser.link_arguments(source, target)

    def instantiate_classes(self) -> None:
        """A run that goes on has no use for its start, which may be gone by now: it is not read again."""
        with start_left_out(self.config[str(self.subcommand)], self.training_class.kind, self.subcommand) as start:
            super().instantiate_classes()
        self.model.init_from = Path(str(start)) if start else None

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401
        """Add what every run has: log, checkpoints, progress."""
        folder = Path(self._get(self.config_init, "trainer").get("default_root_dir") or f"runs/{self.model.kind}")
        self.choose_monitor(str(self._get(self.config, "early_stopping")["monitor"]))
        if self.model.taken == "last":
            # Its metric does not tell which checkpoint is best, so it does not tell when to stop either.
            self._get(self.config_init, "early_stopping").patience = sys.maxsize
        last = checkpoint_callback(folder, "last", None)
        callbacks: list[Callback] = [
            # Two, for `save_last` writes only beside a new best, and a run on a plateau would go on from its best.
            # The last comes second: it has to know the best.
            checkpoint_callback(folder, "best", self.model.monitor),
            last,
            LastBatches(last),
            LastValidation(),
            RunReport(),
            PlateauStep(),
        ]
        if sys.stderr.isatty():
            callbacks.append(RichProgressBar())
        config = self._get(self.config_init, "trainer")
        self.model.adapt_trainer(config)
        config["callbacks"] = [*(config.get("callbacks") or []), *callbacks]
        return super().instantiate_trainer(
            default_root_dir=str(folder),
            logger=TensorBoardLogger(str(folder), name="", version=""),
            plugins=[SealedCheckpointIO()],
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            **kwargs,
        )

    def choose_monitor(self, name: str) -> None:
        """One metric chooses the best checkpoint, stops early and moves a plateau schedule.

        Raises:
            ValueError: the stage does not log it at validation.
        """
        if name not in self.model.metrics:
            raise ValueError(f"early_stopping.monitor: expected one of {', '.join(self.model.metrics)}, got '{name}'")
        self.model.monitor = name

    def before_fit(self) -> None:
        """Take the run's folder for this process, and resume where it holds a run.

        Raises:
            ValueError: another process trains in this folder.
        """
        folder = Path(self.trainer.default_root_dir)
        # A child whose parent was killed needs a batch or two to notice.
        busy = f"another process trains in '{folder}'; stop it, or choose another folder"
        self.held.enter_context(held_folder(folder, LOCK_SECONDS, busy))
        last = folder / "last.ckpt"
        if self._get(self.config_init, "resume") and last.is_file() and not self._get(self.config, "ckpt_path"):
            say(f"going on from {last}")
            self.config_init[str(self.subcommand)]["ckpt_path"] = str(last)

    def after_fit(self) -> None:
        """Name the checkpoint to take, and the next command."""
        folder = Path(self.trainer.default_root_dir)
        # Without a validation there is no best one.
        taken = self.model.taken if (folder / f"{self.model.taken}.ckpt").is_file() else "last"
        made = folder / f"{taken}.ckpt"
        answer(f"{taken} checkpoint: {made}")
        answer(f"next: {self.model.next_command(str(made))}")


def run_stage(training_class: type[StageTraining], data_class: type[StageData], link_sample_rate: bool) -> int:
    """Run a stage's command line; returns its exit code.

    Args:
        training_class: of the stage.
        data_class: of its batches.
        link_sample_rate: set the data's sample rate from the model's mel.
    """
    _quieten()
    try:
        with contextlib.ExitStack() as held:
            cli = StageCLI(training_class, data_class, link_sample_rate, held)
    except (ValueError, ArgumentError) as error:
        say(f"error: {one_line(error)}")
        return 2
    except KeyboardInterrupt:
        return 130
    except SystemExit as error:
        # Lightning leaves with 1 after Ctrl-C; the convention is 130.
        return 130 if error.code == 1 else int(error.code or 0)
    return 130 if cli.trainer.interrupted else 0


def _quieten() -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    os.environ.setdefault("TENSORBOARD_NO_TF", "1")
    # A run that ended within an epoch goes on with other batches than it would have seen, which harms nothing.
    told = "does not have many workers|is not present in the|LeafSpec|exists and is not empty|before the epoch ended"
    warnings.filterwarnings("ignore", f".*({told}).*")
