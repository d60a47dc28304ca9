"""Training of the mel VAE."""

import math
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from audio.inversion import griffin_lim_from_log_mel
from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.discriminators import MelDiscriminators, MelGanConfig
from autoencoder.losses import MelVAELoss, frame_weights, log_mel_error, vae_loss
from autoencoder.model import MelVAE, MelVAEConfig
from autoencoder.principal import BlockMoments, frame_blocks, start_at_principal_components
from training.checkpoint import RECORD_KEY, load_stage, load_weights
from training.game import weighted_sum
from training.players import PlayersTraining
from training.previews import log_audio, log_mel_images
from training.schedule import OptimiserConfig, ScheduleConfig

# Of the training data, for the principal components at the start: 1,600 crops are 50,000 blocks.
MEASURED_BATCHES = 100
MOST_EQUALISER_DB = 24.0
# Waves over all bins that a random equaliser is made of.
EQUALISER_WAVES = 4
NATS_PER_DB = math.log(10.0) / 20.0


def equalised(log_mel: Tensor, floor: float, most_db: float) -> Tensor:
    """Each row as through a smooth random filter; silence stays silence.

    A few recordings of an instrument have a few spectral envelopes, and a network remembers them.

    Args:
        log_mel: `(batch, n_mels, frames)`.
        floor: of the log-mel: what lies at it stays there.
        most_db: of lift or loss.
    """
    batch, bins = log_mel.shape[:2]
    waves = torch.arange(1, EQUALISER_WAVES + 1) / 2.0
    strength = torch.randn(batch, EQUALISER_WAVES, 1) / waves[:, None]
    phase = 2.0 * math.pi * torch.rand(batch, EQUALISER_WAVES, 1)
    curve = (strength * torch.sin(2.0 * math.pi * waves[:, None] * torch.arange(bins) / bins + phase)).sum(dim=1)
    curve = most_db * NATS_PER_DB * torch.rand(batch, 1) * curve / curve.abs().amax(dim=1, keepdim=True)
    return torch.where(log_mel > floor, (log_mel + curve.to(log_mel)[..., None]).clamp(min=floor), log_mel)


class MelVAETraining(PlayersTraining):
    """Learns to compress log-mels.

    Args:
        mel: contract of the log-mels.
        vae: sizes of the network.
        loss: weights of the terms.
        optimiser: of the network.
        schedule: of the learning rate.
        init_from: a checkpoint or released stage to start from.
        freeze_encoder: train the decoder alone, so that latents stay valid.
        equaliser_db: most by which a smooth random curve over the bins lifts or lowers the mels of training.
        gan: the adversarial phase; off by default. It makes mels that scatter as real ones do, and no nearer to their
            own: take `last.ckpt` of it, for `best.ckpt` is that of the smallest error. No patience ends it.
    """

    kind = "autoencoder"
    monitor = "validation/log_mel_error"
    metrics = ("validation/log_mel_error", "validation/kl")
    parts = ("encoder",)
    model: MelVAE

    def __init__(
        self,
        mel: MelConfig,
        vae: MelVAEConfig = MelVAEConfig(),  # noqa: B008 (frozen)
        loss: MelVAELoss = MelVAELoss(),  # noqa: B008
        optimiser: OptimiserConfig = OptimiserConfig(),  # noqa: B008
        schedule: ScheduleConfig = ScheduleConfig(),  # noqa: B008
        init_from: Path | None = None,
        freeze_encoder: bool = False,
        equaliser_db: float = 0.0,
        gan: MelGanConfig = MelGanConfig(),  # noqa: B008
    ) -> None:
        super().__init__(optimiser, schedule, init_from)
        self.model = MelVAE(mel, vae)
        self.loss = loss
        self.freeze_encoder = freeze_encoder
        if not 0.0 <= equaliser_db <= MOST_EQUALISER_DB:
            raise ValueError(f"model.equaliser_db: expected 0 to {MOST_EQUALISER_DB:g}, got {equaliser_db}")
        self.equaliser_db = equaliser_db
        self.front_end = LogMelSpectrogram(mel)
        self.gan = gan
        self.discriminators = MelDiscriminators(gan) if gan.start_batch else None
        if gan.start_batch:
            if schedule.name == "plateau":
                raise ValueError(
                    "model.schedule.name: plateau goes by the error of log-mels, which rises against discriminators; "
                    "take another"
                )
            self.play_by_hand()
            self.taken = "last"
        self.warm_start()
        self.model.encoder.requires_grad_(not freeze_encoder)
        if freeze_encoder and self.init_from is not None:
            record, _ = load_stage(self.init_from, self.kind)
            self.frozen_parts = {"encoder": record.parts["encoder"]}

    def warm_start(self) -> None:
        """Load the weights named by `init_from`; a lead that they lack begins as the latent of silence."""
        if self.init_from is None:
            return
        _, weights = load_stage(self.init_from, self.kind)
        lead = self.model.lead
        load_weights(self.model, weights if lead is None else {"lead": lead.detach(), **weights}, self.init_from)
        if "lead" not in weights:
            self.begin_lead()

    @torch.no_grad()
    def begin_lead(self) -> None:
        """Make the lead the latent of silence."""
        if self.model.lead is not None:
            self.model.lead.copy_(self.model.silence()[:, None].expand_as(self.model.lead))

    def stage_config(self) -> dict[str, Any]:
        """Mel contract and sizes."""
        return self.model.to_config()

    def next_command(self, checkpoint: str) -> str:
        """Latents for stage 2."""
        folder = getattr(getattr(self.trainer, "datamodule", None), "folder", "FOLDER")
        out = Path(checkpoint).parent / "latents.safetensors"
        return f"python -m autoencoder.encode --checkpoint {checkpoint} --audio {folder} --out {out}"

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A frozen encoder keeps the fingerprint that it had at the start, which the checkpoint tells."""
        super().on_load_checkpoint(checkpoint)
        if self.freeze_encoder:
            self.frozen_parts = {"encoder": checkpoint[RECORD_KEY]["parts"]["encoder"]}

    def on_fit_start(self) -> None:
        """Refuse to freeze an encoder that learnt nothing; a run that goes on has got its own by now.

        Raises:
            ValueError: nothing to start from.
        """
        if self.freeze_encoder and not self.frozen_parts:
            raise ValueError("model.freeze_encoder: needs model.init_from, the checkpoint whose encoder is kept")

    def setup(self, stage: str) -> None:
        """Start the linear path at the principal components of the training clips, and the lead as silence."""
        if stage == "fit" and self.init_from is None and self.batches_done == 0:
            if self.model.config.linear_path:
                self.start_linear_path()
            self.begin_lead()

    @torch.no_grad()
    def start_linear_path(self) -> None:
        """Measure some training batches, as they will be drawn, and set the linear maps."""
        config = self.model.config
        moments = BlockMoments(config.frames_per_latent * self.model.mel.n_mels)
        loader: Any = self.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        for batch in islice(loader, MEASURED_BATCHES):
            log_mel, _, valid_frames = self._mels(batch, led=False)
            moments.add(frame_blocks(self.model, log_mel, valid_frames))
        start_at_principal_components(self.model, moments)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The network's optimiser and, in an adversarial run, the discriminators', each with its schedule."""
        if self.discriminators is None:
            return super().configure_optimizers()
        optimisers = self.players(self.gan.learning_rate_factor)
        return optimisers, self.player_schedules(optimisers, self.gan.start_batch)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor | None:
        """One batch of crops; where there is a lead, every other one with it."""
        log_mel, target, valid_frames = self._mels(batch, led=batch_idx % 2 == 0)
        if self.equaliser_db:
            both = torch.cat([log_mel, target], dim=-1)
            both = equalised(both, self.model.mel.log_mel_floor, self.equaliser_db)
            log_mel, target = torch.split(both, [log_mel.shape[-1], target.shape[-1]], dim=-1)
        posterior = self.model.encode(log_mel)
        estimate = self._decoded(posterior.sample(), log_mel, target)
        weights = frame_weights(valid_frames, target.shape[-1])
        total, terms = vae_loss(estimate, target, posterior, weights, self.loss)
        if self.discriminators is not None:
            last = self.ends_a_step(batch_idx)
            if self.batches_done >= self.gan.start_batch:
                floor = self.model.mel.log_mel_floor
                judged = self.adversarial_terms(self.gan.game, estimate.clamp(min=floor), target, last)
                total, terms = total + weighted_sum(judged, self.loss), terms | judged
            self.learn(0, self.model, total, last)
        self.log("train/loss", total.detach())
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        return total if self.automatic_optimization else None

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """The error inside the clips, of the posterior mean, decoded as clips are."""
        log_mel, target, valid_frames = self._mels(batch, led=True)
        posterior = self.model.encode(log_mel)
        estimate = self._decoded(posterior.mean, log_mel, target)
        errors = log_mel_error(estimate, target, valid_frames)
        self.log("validation/log_mel_error", errors.mean(), batch_size=len(errors))
        self.log("validation/kl", posterior.kl().mean(), batch_size=len(errors))
        if batch_idx == 0:
            log_mel_images(self, {"target": target[:3], "decoded": estimate[:3]})
            frames = int(valid_frames[0])
            if self.model.mel.num_samples(frames) > self.model.mel.minimum_samples:
                preview = griffin_lim_from_log_mel(estimate[:1, :, :frames].float(), self.model.mel, iterations=16)
                log_audio(self, "decoded", preview[0], self.model.mel.sample_rate)

    def _decoded(self, latents: Tensor, log_mel: Tensor, target: Tensor) -> Tensor:
        """With the lead where the target is longer than what was encoded."""
        latents = self.model.led(latents) if target.shape[-1] > log_mel.shape[-1] else latents
        return self.model.decode(latents)[..., : target.shape[-1]]

    def _mels(self, batch: dict[str, Tensor], led: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Log-mels to encode, those to decode (of the same crops after the lead), and frames of the latter in use."""
        ahead, hop = self.model.lead_samples if led else 0, self.model.mel.hop_length
        with torch.autocast(self.device.type, enabled=False):
            log_mel = target = self.front_end(batch["waveform"])
            if ahead:
                target = self.front_end(torch.nn.functional.pad(batch["waveform"], (ahead, 0)))
        return log_mel, target, torch.div(batch["valid_samples"] + ahead + hop - 1, hop, rounding_mode="floor")
