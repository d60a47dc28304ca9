"""Training of the vocoder: reconstruction first, discriminators later, one path for both (`training.players`)."""

import shlex
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from audio.mel import MelConfig
from training.command import say
from training.game import weighted_sum
from training.schedule import OptimiserConfig, ScheduleConfig
from vocoder.discriminators import Discriminators, GanConfig, check_crops
from vocoder.losses import VocoderLosses, reconstruction_terms
from vocoder.upsampling import UpsamplingConfig, UpsamplingGenerator
from vocoder.validation import JudgedTraining
from vocoder.vocos import PriorVocos, VocosConfig
from vocoder.warm_start import Start, start_from

# A bundle's own vocoder.
BUNDLED = "vocoder.safetensors"


class VocoderTraining(JudgedTraining):
    """Trains a generator; validates on whole clips beside Griffin-Lim.

    Args:
        mel: the contract.
        network: size of a Vocos.
        upsampling: size of an upsampling generator; where it has rates it is trained in the place of Vocos.
        losses: weights of the terms.
        gan: the adversarial phase; off by default.
        optimiser: of the vocoder; the discriminators take a fraction of its learning rate.
        schedule: of the learning rates.
        init_from: where to start: a vocoder checkpoint, whose discriminators come along where it has them, or folder
            or hub name of an official Vocos or BigVGAN.
        train_parts: train these parts of the network alone, such as attack, and leave the others as they are; all when
            left out.
        init_optimisers: take the weights as they were being trained and both optimisers' memory from `init_from`; by
            default the averaged weights and fresh optimisers.
        preview_clips: validation clips whose sound and mels are logged.
        real_mels: how often a crop hears its own mel where exported ones are trained on, so that none is forgotten.

    Raises:
        ValueError: sizes that cannot be, or a share outside [0, 1].
    """

    def __init__(
        self,
        mel: MelConfig,
        network: VocosConfig = VocosConfig(),  # noqa: B008 (frozen)
        upsampling: UpsamplingConfig = UpsamplingConfig(),  # noqa: B008 (frozen)
        losses: VocoderLosses = VocoderLosses(),  # noqa: B008 (frozen)
        gan: GanConfig = GanConfig(),  # noqa: B008 (frozen)
        optimiser: OptimiserConfig = OptimiserConfig(),  # noqa: B008 (frozen)
        schedule: ScheduleConfig = ScheduleConfig(),  # noqa: B008 (frozen)
        init_from: Path | None = None,
        init_optimisers: bool = False,
        train_parts: tuple[str, ...] = (),
        preview_clips: int = 3,
        real_mels: float = 0.0,
    ) -> None:
        super().__init__(mel, optimiser, schedule, init_from, preview_clips)
        if not 0.0 <= real_mels <= 1.0:
            raise ValueError(f"model.real_mels: expected 0 to 1, got {real_mels}")
        self.real_mels = real_mels
        self.play_by_hand()
        self.model = UpsamplingGenerator(mel, upsampling) if upsampling.rates else PriorVocos(mel, network)
        self.losses = losses
        self.gan = gan
        self.discriminators = Discriminators(gan, mel.sample_rate) if gan.start_batch else None
        self.init_optimisers = init_optimisers
        self.start = Start()
        self.warm_start()
        freeze_others(self.model, train_parts)
        self.train_parts = train_parts

    def on_fit_start(self) -> None:
        """Refuse to train a part of a network that learnt nothing; a run that goes on has got its own by now.

        Raises:
            ValueError: nothing to start from.
        """
        if self.train_parts and self.init_from is None and not self.batches_done:
            raise ValueError("model.train_parts: needs model.init_from, the checkpoint whose other parts are kept")

    def stage_config(self) -> dict[str, Any]:
        """Mel and network."""
        return self.model.to_config()

    def next_command(self, checkpoint: str) -> str:
        """Print the yardstick; of a vocoder that has learned a model's mels, what it does with such mels."""
        return _next_command(checkpoint, getattr(self.trainer, "datamodule", None), self.init_from)

    def setup(self, stage: str) -> None:
        """Refuse crops too short for the mel or for the discriminators.

        Raises:
            ValueError: names data.segment_seconds.
        """
        samples = getattr(getattr(self.trainer, "datamodule", None), "segment_samples", None)
        if stage != "fit" or samples is None:
            return
        mel = self.model.mel
        if samples < mel.minimum_samples:
            raise ValueError(
                f"data.segment_seconds: expected at least {mel.minimum_samples / mel.sample_rate:.3f} for this mel "
                f"({mel.minimum_samples} samples), got {samples / mel.sample_rate:.3f}"
            )
        if self.discriminators is not None:
            check_crops(self.gan, samples, mel.sample_rate)

    def warm_start(self) -> None:
        """Take over what `init_from` holds, and say so."""
        if self.init_from is not None:
            optimisers = self.players(self.gan.learning_rate_factor)
            self.start = start_from(
                self.init_from, self.model, self.discriminators, optimisers, self.init_optimisers, self.gan.game
            )
            say(self.start.line(self.init_from))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """A run that goes on must not need the start again."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["progress"] |= {"game": self.gan.game, "warm_discriminators": self.start.discriminators}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Discriminators that had come along play on."""
        super().on_load_checkpoint(checkpoint)
        # Older versions did not store it; discriminators that have learned something play on as well.
        played = any(player["state"] for player in checkpoint.get("optimizer_states", [])[1:])
        self.start.discriminators = bool(checkpoint["progress"].get("warm_discriminators", played))

    @property
    def gan_start(self) -> int:
        """The batch at which the discriminators begin to play; those that have played before begin at once."""
        return 0 if self.start.discriminators else self.gan.start_batch

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The vocoder's optimiser and, in an adversarial run, the discriminators', each with its schedule."""
        optimisers = self.players(self.gan.learning_rate_factor)
        self.start.recall(optimisers)
        return optimisers, self.player_schedules(optimisers, self.gan_start)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """One batch: the discriminators listen first, then the vocoder learns."""
        last = self.ends_a_step(batch_idx)
        with torch.autocast(batch["waveform"].device.type, enabled=False):
            log_mel = self._heard(batch)
        estimate = self.model(log_mel)
        target = batch["waveform"][:, : estimate.shape[1]]
        terms: dict[str, Tensor] = {}
        if self.batches_done >= self.gan_start:
            terms = self.adversarial_terms(self.gan.game, estimate, target, last)
        with torch.autocast(estimate.device.type, enabled=False):
            terms |= reconstruction_terms(estimate.float(), target, self.model.mel.sample_rate, self.losses)
            loss = weighted_sum(terms, self.losses)
        self.learn(0, self.model, loss, last)
        logged = {f"train/{name}": term.detach() for name, term in terms.items()}
        self.log_dict({**logged, "train/loss": loss.detach()}, batch_size=len(target))

    def _heard(self, batch: dict[str, Tensor]) -> Tensor:
        """The mels of a batch: the exported ones where there are any, of some crops the real one."""
        exported = batch.get("log_mel")
        if exported is not None and not self.real_mels:
            return exported
        own: Tensor = self.front_end(batch["waveform"])
        if exported is None:
            return own
        real = torch.rand(len(exported)).to(exported) < self.real_mels
        return torch.where(real[:, None, None], own, exported)


def freeze_others(model: nn.Module, parts: tuple[str, ...]) -> None:
    """Let only the named parts of a network learn; all of it where none is named.

    Raises:
        ValueError: a part that the network does not have.
    """
    known = {name: child for name, child in model.named_children() if any(True for _ in child.parameters())}
    for name in parts:
        if name not in known:
            raise ValueError(f"train_parts: this network has {', '.join(known)}, got {name!r}")
    if parts:
        model.requires_grad_(False)
        for name in parts:
            known[name].requires_grad_(True)


def _next_command(checkpoint: str, data: Any, start: Path | None) -> str:  # noqa: ANN401
    best, audio = shlex.quote(checkpoint), shlex.quote(str(getattr(data, "folder", "FOLDER")))
    if getattr(data, "mels", None) is None:
        return f"python -m vocoder.evaluate --checkpoint {best} --audio {audio}"
    # Which bundle made the mels is known only where the vocoder came out of one.
    bundle = shlex.quote(str(start.parent)) if start and start.name == BUNDLED else "BUNDLE"
    report = shlex.quote(str(Path(checkpoint).parent / "report"))
    return (
        f"python -m pipelines.compare_vocoders --audio {audio} --model {bundle} --sources real decoded "
        f"--vocoders bundle {best} --out {report}"
    )
