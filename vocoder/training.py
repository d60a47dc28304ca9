"""Training of the vocoder: reconstruction first, discriminators later, one path for both.

Optimisation is by hand, because two players take turns. The keys of the YAML stay those of every stage: the command
line hands `trainer.gradient_clip_val`, `gradient_clip_algorithm` and `accumulate_grad_batches` over to this module,
and `trainer.max_steps` counts the vocoder's optimiser steps alone (the discriminators' are taken beside the count).
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from audio.mel import LogMelSpectrogram, MelConfig
from training.checkpoint import load_checkpoint
from training.module import StageTraining
from training.previews import log_audio, log_mel_images
from training.schedule import OptimiserConfig, ScheduleConfig, build_optimiser, build_schedule
from vocoder.discriminators import Discriminators, GanConfig
from vocoder.griffin_lim import GriffinLim
from vocoder.judging import clip_and_mel, judge, long_enough
from vocoder.losses import (
    VocoderLosses,
    discriminator_hinge,
    feature_matching,
    generator_hinge,
    reconstruction_terms,
    weighted_sum,
)
from vocoder.vocos import KIND, PriorVocos, VocosConfig

DISCRIMINATOR_PREFIX = "discriminators."


class VocoderTraining(StageTraining):
    """Trains `PriorVocos`; validates on whole clips beside Griffin-Lim.

    Args:
        mel: the contract.
        network: size of the vocoder.
        losses: weights of the terms.
        gan: the adversarial phase; off by default.
        optimiser: of the vocoder; the discriminators take a fraction of its learning rate.
        schedule: of the learning rates.
        init_from: a vocoder checkpoint to start from; its discriminators come along where it has them.
        preview_clips: validation clips whose sound and mels are logged.
    """

    kind = KIND
    monitor = "validation/mel_distance"
    metrics = ("validation/mel_distance", "validation/ratio_to_griffin_lim")
    model: PriorVocos

    def __init__(
        self,
        mel: MelConfig,
        network: VocosConfig = VocosConfig(),  # noqa: B008 (frozen)
        losses: VocoderLosses = VocoderLosses(),  # noqa: B008 (frozen)
        gan: GanConfig = GanConfig(),  # noqa: B008 (frozen)
        optimiser: OptimiserConfig = OptimiserConfig(),  # noqa: B008 (frozen)
        schedule: ScheduleConfig = ScheduleConfig(),  # noqa: B008 (frozen)
        init_from: Path | None = None,
        preview_clips: int = 3,
    ) -> None:
        super().__init__(optimiser, schedule, init_from)
        self.automatic_optimization = False
        self.gradient_clip_val: float | None = None
        self.gradient_clip_algorithm = "norm"
        self.accumulate_grad_batches = 1
        self.model = PriorVocos(mel, network)
        self.losses = losses
        self.gan = gan
        self.discriminators = Discriminators(gan) if gan.start_batch else None
        self.front_end = LogMelSpectrogram(mel)
        self.griffin_lim = GriffinLim(mel)
        self.preview_clips = preview_clips
        self._baseline: dict[tuple[int, int], float] = {}
        self._judged: list[tuple[float, float]] = []
        self.warm_start()

    def adapt_trainer(self, trainer_config: dict[str, Any]) -> None:
        """Take over what Lightning refuses to do under manual optimisation."""
        self.gradient_clip_val = trainer_config.pop("gradient_clip_val", None)
        self.gradient_clip_algorithm = trainer_config.pop("gradient_clip_algorithm", None) or "norm"
        self.accumulate_grad_batches = trainer_config.pop("accumulate_grad_batches", None) or 1
        if str(trainer_config.get("precision")) in ("16", "16-mixed"):
            raise ValueError("trainer.precision: expected 32-true or bf16-mixed for the vocoder, got 16-mixed")

    def stage_config(self) -> dict[str, Any]:
        """Mel and network."""
        return self.model.to_config()

    def next_command(self, checkpoint: str) -> str:
        """Print the yardstick."""
        folder = getattr(getattr(self.trainer, "datamodule", None), "folder", "FOLDER")
        return f"python -m vocoder.evaluate --checkpoint {checkpoint} --audio {folder}"

    def warm_start(self) -> None:
        """Load the vocoder, and its discriminators where both sides have them."""
        super().warm_start()
        if self.init_from is None or self.discriminators is None or self.init_from.suffix == ".safetensors":
            return
        start = len(DISCRIMINATOR_PREFIX)
        state = load_checkpoint(self.init_from)["state_dict"]
        listeners = {key[start:]: value for key, value in state.items() if key.startswith(DISCRIMINATOR_PREFIX)}
        own = self.discriminators.state_dict()
        if {key: value.shape for key, value in listeners.items()} == {key: value.shape for key, value in own.items()}:
            self.discriminators.load_state_dict(listeners)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The vocoder's optimiser and, in an adversarial run, the discriminators', each with its schedule."""
        return _optimisers(self)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One batch: the discriminators listen first, then the vocoder learns."""
        last = (batch_idx + 1) % self.accumulate_grad_batches == 0 or bool(self.trainer.is_last_batch)
        with torch.autocast(batch["waveform"].device.type, enabled=False):
            log_mel = self.front_end(batch["waveform"])
        estimate = self.model(log_mel)
        target = batch["waveform"][:, : estimate.shape[1]]
        terms: dict[str, Tensor] = {}
        if self.discriminators is not None and self.batches_done >= self.gan.start_batch:
            terms = self._adversarial_terms(self.discriminators, estimate, target, last)
        with torch.autocast(estimate.device.type, enabled=False):
            terms |= reconstruction_terms(estimate.float(), target, self.model.mel.sample_rate, self.losses)
            loss = weighted_sum(terms, self.losses)
        self._learn(0, self.model, loss, last)
        logged = {f"train/{name}": term.detach() for name, term in terms.items()}
        self.log_dict({**logged, "train/loss": loss.detach()}, batch_size=len(target))

    def _adversarial_terms(
        self, discriminators: Discriminators, estimate: Tensor, target: Tensor, last: bool
    ) -> dict[str, Tensor]:
        real, fake = discriminators(target), discriminators(estimate.detach())
        loss = discriminator_hinge(real, fake)
        self._learn(1, discriminators, loss, last)
        self.log("train/discriminators", loss.detach(), batch_size=len(target))
        discriminators.requires_grad_(False)
        with torch.no_grad():
            real = discriminators(target)
        fake = discriminators(estimate)
        discriminators.requires_grad_(True)
        return {"adversarial": generator_hinge(fake), "feature_matching": feature_matching(real, fake)}

    def _learn(self, index: int, player: nn.Module, loss: Tensor, last: bool) -> None:
        """Backward; on the last batch of an accumulation also clip, step and move the learning rate."""
        self.manual_backward(loss / self.accumulate_grad_batches)
        if last:
            _step(self, index, player)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self._judged = []

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Judge whole clips one at a time; Griffin-Lim's part is done once a run."""
        for row, (waveform, valid) in enumerate(zip(batch["waveform"], batch["valid_samples"].tolist(), strict=True)):
            if not long_enough(valid, self.model.mel):
                continue
            target, log_mel = clip_and_mel(waveform[:valid], self.front_end)
            decoded = judge(self.model, log_mel, target)
            key = (batch_idx, row)
            sounds = {"vocoder": decoded.waveform}
            if key not in self._baseline and not self.trainer.sanity_checking:
                baseline = judge(self.griffin_lim, log_mel, target)
                self._baseline[key] = baseline.distance
                sounds |= {"griffin_lim": baseline.waveform, "original": target}
            if len(self._judged) < self.preview_clips and not self.trainer.sanity_checking:
                _preview(self, str(len(self._judged)), sounds)
            self._judged.append((decoded.distance, self._baseline.get(key, float("nan"))))

    def on_validation_epoch_end(self) -> None:
        """Mean distances over the clips, and their ratio."""
        if not self._judged:
            raise ValueError("validation: no clip is long enough to be judged (0.1 s)")
        ours, theirs = (sum(values) / len(self._judged) for values in zip(*self._judged, strict=True))
        self.log("validation/mel_distance", ours)
        if not self.trainer.sanity_checking:
            self.log("validation/griffin_lim_distance", theirs)
            self.log("validation/ratio_to_griffin_lim", ours / theirs)


def _optimisers(module: VocoderTraining) -> OptimizerLRScheduler:
    config, schedule, max_steps = module.optimiser_config, module.schedule_config, module.trainer.max_steps
    optimisers = [build_optimiser(module.model.parameters(), config)]
    schedules = [build_schedule(optimisers[0], schedule, max_steps)]
    if module.discriminators is not None:
        slower = replace(config, learning_rate=config.learning_rate * module.gan.learning_rate_factor)
        optimisers.append(build_optimiser(module.discriminators.parameters(), slower))
        # They start later, so their cosine is that much shorter: both end together.
        end = schedule.total_steps or max_steps
        left = max(1, end - module.gan.start_batch // module.accumulate_grad_batches) if end > 0 else end
        schedules.append(build_schedule(optimisers[1], replace(schedule, total_steps=max(0, left)), max_steps))
    return optimisers, schedules


def _step(module: VocoderTraining, index: int, player: nn.Module) -> None:
    """Clip, step and clear one player, and move its learning rate."""
    optimiser = _listed(module.optimizers())[index]
    if module.gradient_clip_val:
        if module.gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(player.parameters(), module.gradient_clip_val)
        else:
            norm = nn.utils.clip_grad_norm_(player.parameters(), module.gradient_clip_val)
            module.log(f"train/gradient_norm_{index}", norm)
    # Only the vocoder's steps go through Lightning's counter: `max_steps` then means the same in every stage.
    if index == 0:
        optimiser.step()
    else:
        optimiser.optimizer.step()
    optimiser.zero_grad()
    schedule = _listed(module.lr_schedulers())[index]
    if not isinstance(schedule, ReduceLROnPlateau):
        schedule.step()


def _preview(module: VocoderTraining, clip: str, sounds: dict[str, Tensor]) -> None:
    """Log the sounds made of one clip, `(1, samples)` each, and what their mels look like."""
    for name, waveform in sounds.items():
        log_audio(module, f"{clip}/{name}", waveform[0], module.model.mel.sample_rate)
        log_mel_images(module, {f"{clip}/{name}": module.front_end(waveform)})


def _listed(value: Any) -> list[Any]:  # noqa: ANN401
    """Lightning gives one thing for one player, a list for two."""
    return list(value) if isinstance(value, list | tuple) else [value]
