"""Training of a mel adapter: both mels of the same sound, no labels, minutes on a CPU.

The best checkpoint is written before the first step, with the error of the start, and again by every validation that
is better: steps that do not help leave the start.
"""

from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio.contract import check_same_mel
from audio.files import resample_tensor
from audio.mel import LogMelSpectrogram, MelConfig
from training.checkpoint import load_stage
from training.command import answer, say
from training.data import AudioData
from training.module import StageTraining, keep_start
from training.previews import log_mel_images
from training.schedule import OptimiserConfig, ScheduleConfig
from vocoder.adapter.adapted import LOSS_KEY
from vocoder.adapter.affine import AffineFix
from vocoder.adapter.grids import nearest_bands, same_numbers, target_frames
from vocoder.adapter.least_squares import LeastSquares
from vocoder.adapter.model import KIND, MelAdapter, MelAdapterConfig

# Of the training data, for the filter at the start.
MEASURED_BATCHES = 60
# What stands before and after the name of a baseline among the facts of a record.
ERROR = ("validation/", "_error")


class AdapterData(AudioData):
    """Crops of a folder of audio at the higher of two rates.

    Args:
        folder: read by `AudioFolder`.
        source_rate: of the source's mel, in Hz; linked.
        target_rate: of the target's mel, in Hz; linked.
        segment_seconds: length of a training crop.
        batch_size: crops a batch.
        steps_per_epoch: training batches between two validations.
        validation_seconds: length of the beginning of each validation clip that is judged.
        validation_clips: at most so many, spread evenly over the split.
        gain_db: range of the random gain in training.
        balance: 0 draws all clips alike, 1 all families and sources alike.
        workers: loader processes.
        seed: of the order of batches.
    """

    def __init__(
        self,
        folder: Path,
        source_rate: int,
        target_rate: int,
        segment_seconds: float = 0.75,
        batch_size: int = 16,
        steps_per_epoch: int = 100,
        validation_seconds: float = 2.0,
        validation_clips: int = 100,
        gain_db: tuple[float, float] = (-12.0, 0.0),
        balance: float = 0.5,
        workers: int = 0,
        seed: int = 0,
    ) -> None:
        super().__init__(
            folder,
            max(source_rate, target_rate),
            segment_seconds,
            batch_size,
            steps_per_epoch,
            validation_seconds,
            validation_clips,
            gain_db,
            balance,
            workers,
            seed,
        )


class MelAdapterTraining(StageTraining):
    """Learns to turn log-mels of one contract into those of another.

    Args:
        source: the contract that is read.
        target: the contract that is made.
        network: sizes of the adapter.
        optimiser: of the network.
        schedule: of the learning rate.
        init_from: an adapter to start from.
    """

    kind = KIND
    monitor = LOSS_KEY
    metrics = (LOSS_KEY,)
    model: MelAdapter
    links = (
        ("model.source.sample_rate", "data.source_rate"),
        ("model.target.sample_rate", "data.target_rate"),
    )

    def __init__(
        self,
        source: MelConfig,
        target: MelConfig,
        network: MelAdapterConfig = MelAdapterConfig(),  # noqa: B008 (frozen)
        optimiser: OptimiserConfig = OptimiserConfig(),  # noqa: B008 (frozen)
        schedule: ScheduleConfig = ScheduleConfig(),  # noqa: B008 (frozen)
        init_from: Path | None = None,
    ) -> None:
        super().__init__(optimiser, schedule, init_from)
        self.model = MelAdapter(source, target, network)
        self.front_ends = torch.nn.ModuleList([LogMelSpectrogram(source), LogMelSpectrogram(target)])
        self.rate = max(source.sample_rate, target.sample_rate)
        self.baselines: dict[str, float] = {}
        self.warm_start()

    def warm_start(self) -> None:
        """Load the adapter named by `init_from`: of the same two contracts, or its filter would turn the wrong way.

        Raises:
            ValueError: as for any stage, or an adapter between other contracts (names the fields that differ).
        """
        if self.init_from is not None:
            given = load_stage(self.init_from, KIND)[0].config
            for side, own in (("source", self.model.source), ("target", self.model.target)):
                check_same_mel(own, MelConfig.from_dict(given[side]), f"model.{side}", f"'{self.init_from}'")
        super().warm_start()

    def stage_config(self) -> dict[str, Any]:
        """Both contracts and the sizes."""
        return self.model.to_config()

    def next_command(self, checkpoint: str) -> str:
        """Griffin-Lim of the target's contract behind the adapter."""
        inner = "vocoder.griffin_lim.GriffinLim"
        return (
            "python generate.py --prompt kick --vocoder vocoder.adapter.AdaptedVocoder "
            f"--vocoder.adapter {checkpoint} --vocoder.vocoder {inner}"
        )

    def setup(self, stage: str) -> None:
        """Set the linear filter by least squares over some training batches, as they will be drawn."""
        if stage != "fit" or self.init_from is not None or self.batches_done:
            return
        fit = LeastSquares(self.model)
        loader: Any = self.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        # Fitted to every other batch, judged on those between.
        for first, take in enumerate((fit.add, fit.judge)):
            for batch in islice(loader, first, MEASURED_BATCHES, 2):
                take(*self.mels(_on(batch, self.device)))
        say(f"least squares set the filters of {fit.set_filter()} of {self.model.target.n_mels} bands")

    def on_fit_start(self) -> None:
        """Say what is trained, and measure what it has to beat."""
        self.baselines = self.baselines or measure_baselines(self)
        frames = self.model.receptive_field()
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        milliseconds = 1000.0 * frames / self.model.target.frame_rate
        say(f"{parameters / 1e6:.2f}M parameters, receptive field {frames} target frames ({milliseconds:.0f} ms)")

    def on_train_start(self) -> None:
        """The start is the best until a validation is better."""
        super().on_train_start()
        if not self.batches_done:
            keep_start(self.trainer, self.baselines["start"])

    def on_fit_end(self) -> None:
        """The loss beside that of no training and of a gain and offset per band."""
        found = {"adapter": self.trainer.callback_metrics.get(self.monitor)}
        best = getattr(self.trainer.checkpoint_callback, "best_model_score", None)
        found["best checkpoint"] = best
        numbers = {**self.baselines, **{name: float(value) for name, value in found.items() if value is not None}}
        answer("log-mel error in nats: " + ", ".join(f"{name} {value:.3f}" for name, value in numbers.items()))
        if best is not None and float(best) >= float(torch.tensor(self.baselines["start"])):
            answer("training did not help: the best checkpoint is the start, what least squares and the prior know")

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """One batch of crops."""
        log_mel, target, inside = self.mels(batch)
        estimate = self.model(log_mel)[..., : target.shape[-1]]
        difference = estimate - target
        # Whatever lies below the floor is cut to it, so it is right where the target is at its floor; elsewhere it
        # must still be pulled up, which the gradient of a cut value would not do.
        silent = target <= self.model.target.log_mel_floor
        difference = torch.where(silent, difference.clamp(min=0.0), difference)
        loss = mean_inside(difference, inside).mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """The error inside the clips."""
        log_mel, target, inside = self.mels(batch)
        estimate = self.model.adapt(log_mel)[..., : target.shape[-1]]
        errors = mean_inside(estimate - target, inside)
        self.log(LOSS_KEY, errors.mean(), batch_size=len(errors))
        if batch_idx == 0:
            log_mel_images(self, {"target": target[:3], "adapted": estimate[:3]})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The record also tells what the adapter had to beat."""
        super().on_save_checkpoint(checkpoint)
        training = checkpoint["stage_record"]["training"]
        training |= {f"{ERROR[0]}{name}{ERROR[1]}": value for name, value in self.baselines.items()}
        if not self.batches_done:
            training[LOSS_KEY] = self.baselines["start"]
            # No step has been averaged: Lightning's average is the network from before the filter was set.
            checkpoint["state_dict"] = checkpoint.get("current_model_state", checkpoint["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A run that goes on still has to beat what it had to beat at its start."""
        super().on_load_checkpoint(checkpoint)
        facts = checkpoint["stage_record"]["training"].items()
        found = {name[len(ERROR[0]) : -len(ERROR[1])]: value for name, value in facts if _is_error(name)}
        self.baselines = {name: float(value) for name, value in found.items()}

    def mels(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mels of source and target, as many target frames as both have, and which of them lie inside the clips."""
        source, target = self.model.source, self.model.target
        with torch.no_grad(), torch.autocast(batch["waveform"].device.type, enabled=False):
            log_mel, wanted = (
                front_end(resample_tensor(batch["waveform"], self.rate, config.sample_rate))
                for front_end, config in zip(self.front_ends, (source, target), strict=True)
            )
        wanted = wanted[..., : target_frames(log_mel.shape[-1], source, target)]
        inside = batch["valid_samples"] * target.sample_rate / (self.rate * target.hop_length)
        frames = torch.arange(wanted.shape[-1], device=wanted.device)
        return log_mel, wanted, frames[None] < inside.ceil()[:, None]


def mean_inside(difference: Tensor, inside: Tensor) -> Tensor:
    """Mean absolute value over bands and the frames inside each clip, `(batch,)`."""
    errors = (difference.abs() * inside[:, None]).sum(dim=(1, 2))
    return errors / (inside.sum(dim=1).clamp(min=1) * difference.shape[1])


@torch.no_grad()
def measure_baselines(module: MelAdapterTraining) -> dict[str, float]:
    """Errors on the validation clips, in nats: nothing done, gain and offset per band, the prior, the start.

    Bands of the same number are compared where both contracts have as many, and bands of the nearest middle frequency.
    Gains and offsets are fitted to these very clips, in their favour.
    """
    loader: Any = module.trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
    source, target = module.model.source, module.model.target
    choices = {"": same_numbers(source, target), "nearest_": nearest_bands(source, target)}
    fixes = {name: AffineFix(source, target, bands) for name, bands in choices.items() if bands is not None}
    for batch in loader:
        measured = module.mels(_on(batch, module.device))
        for fix in fixes.values():
            fix.add(*measured)
    totals: dict[str, list[Tensor]] = {}
    for batch in loader:
        log_mel, wanted, inside = module.mels(_on(batch, module.device))
        frames = wanted.shape[-1]
        estimates = {f"{name}raw": fix.raw(log_mel, frames) for name, fix in fixes.items()}
        estimates |= {f"{name}affine": fix(log_mel, frames) for name, fix in fixes.items()}
        estimates["prior"] = module.model.prior(log_mel)[..., :frames]
        estimates["start"] = module.model.adapt(log_mel)[..., :frames]
        for name, estimate in estimates.items():
            totals.setdefault(name, []).append(mean_inside(estimate - wanted, inside).cpu())
    # As a record keeps them, so that a run that goes on compares with the same numbers.
    return {name: round(float(torch.cat(errors).mean()), 6) for name, errors in totals.items()}


def _is_error(name: str) -> bool:
    return name.startswith(ERROR[0]) and name.endswith(ERROR[1]) and name != LOSS_KEY


def _on(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: value.to(device) for name, value in batch.items()}
