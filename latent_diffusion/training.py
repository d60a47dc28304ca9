"""Training of the diffusion transformer, on latents that `python -m autoencoder.encode` wrote."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from audio.latents import LatentFile
from latent_diffusion.condition_dropout import ConditionDropout
from latent_diffusion.conditioning import ConditionInputs
from latent_diffusion.data import (
    stage_config_of,
    training_frames,
)
from latent_diffusion.flow import (
    TimeConfig,
    channel_weights,
    draw_times,
    fixed_times,
    frame_mask,
    loss_weights,
    masked_mean_square,
    mix,
    target,
)
from latent_diffusion.guidance import GuidanceConfig
from latent_diffusion.known import known_frames
from latent_diffusion.listening import FEWEST_CLIPS, LatentEar, check_heard
from latent_diffusion.model import KIND, LatentDiffusion
from latent_diffusion.network import NetworkConfig
from latent_diffusion.paths import PathConfig
from latent_diffusion.sampling import SamplerConfig
from latent_diffusion.text import CaptionTable, text_encoder
from latent_diffusion.warm_start import warm_weights
from training.checkpoint import load_stage, load_weights
from training.module import StageTraining
from training.previews import log_audio
from training.schedule import OptimiserConfig, ScheduleConfig

PREVIEW_CLIPS = 4
PREVIEW_GUIDANCE = 3.0
PREVIEW_STEPS = 20
KERNEL_STEPS = 12
KERNEL_METRIC = "validation/kernel_distance"


def trained_attention(device: torch.device) -> AbstractContextManager[None]:
    """Torch's fused attention is slow backwards on a CPU: plain products take a quarter off a step."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def compile_blocks(model: LatentDiffusion) -> None:
    """Let torch compile the blocks: those alike share it, so it takes one minute where the whole network takes five."""
    for block in model.network.blocks:
        block.compile(dynamic=True)


def check_known(data: object, network_known: bool) -> None:
    """Refuse known frames that the network cannot hear of.

    Raises:
        ValueError: names both settings.
    """
    share = getattr(data, "known", 0.0)
    if share and not network_known:
        raise ValueError(f"data.known {share:g} goes with model.network.known true, got false")


def draws_seen(data: object, limit: float) -> int:
    """How many of a data module's validation draws a validation looks at.

    Args:
        data: with a count and a batch size.
        limit: `trainer.limit_val_batches`, so many batches or such a share of them.
    """
    count, size = (int(getattr(data, name, FEWEST_CLIPS)) for name in ("validation_count", "batch_size"))
    batches = -(-count // size)
    return min(count, size * (min(batches, limit) if isinstance(limit, int) else int(batches * limit)))


def check_fit(module: "LatentDiffusionTraining") -> None:
    """Refuse, before anything is learnt, what does not fit the data.

    Raises:
        ValueError: known frames that the network cannot hear of, or too few draws to choose by.
    """
    data = getattr(module.trainer, "datamodule", None)
    check_known(data, module.model.config.network.known)
    if module.monitor == KERNEL_METRIC and module.trainer.limit_val_batches:
        check_heard(module.ear.clips, draws_seen(data, module.trainer.limit_val_batches))


class LatentDiffusionTraining(StageTraining):
    """Learns a field from noise to latents.

    Args:
        latents: the latent file; linked from the data.
        min_seconds: shortest total length; linked from the data.
        max_seconds: longest total length; linked from the data.
        network: sizes.
        path: between noise and data.
        prediction: velocity (rectified_flow), noise or v (variance_preserving).
        times: which times are trained.
        channel_weighting: an error in a channel weighs its gain (what it is worth in nats of log-mel) to this power;
            0 weighs all alike, 2 as the decoded log-mel would.
        text_encoder: `minilm`, or `huggingface:NAME`.
        condition_dropout: how often parts of a condition are left unsaid.
        kernel_clips: generated at every validation for the kernel distance; 0 turns it off.
        optimiser: of the network.
        schedule: of the learning rate.
        init_from: a checkpoint or released stage to start from; labels are matched by name.
        decoder: raw latents to waveforms, by import path, for audio in the log.
        compile_network: let torch compile the network.
    """

    kind = KIND
    monitor = "validation/velocity_loss"
    metrics = ("validation/velocity_loss", KERNEL_METRIC)
    links = (
        ("data.latents", "model.latents"),
        ("data.lengths.min_seconds", "model.min_seconds"),
        ("data.lengths.max_seconds", "model.max_seconds"),
    )
    model: LatentDiffusion

    def __init__(
        self,
        latents: Path,
        min_seconds: float,
        max_seconds: float,
        network: NetworkConfig = NetworkConfig(),  # noqa: B008 (frozen)
        path: PathConfig = PathConfig(),  # noqa: B008
        prediction: str = "velocity",
        times: TimeConfig = TimeConfig(),  # noqa: B008
        channel_weighting: float = 0.0,
        text_encoder: str = "minilm",
        condition_dropout: ConditionDropout = ConditionDropout(),  # noqa: B008
        kernel_clips: int = 96,
        optimiser: OptimiserConfig = OptimiserConfig(),  # noqa: B008
        schedule: ScheduleConfig = ScheduleConfig(),  # noqa: B008
        init_from: Path | None = None,
        decoder: Callable[[Tensor], Tensor] | None = None,
        compile_network: bool = False,
    ) -> None:
        super().__init__(optimiser, schedule, init_from)
        file = LatentFile.load(latents)
        self.model = LatentDiffusion(
            stage_config_of(file, (min_seconds, max_seconds), network, path, prediction, text_encoder)
        )
        # A warm start brings its own directions: its network knows no others.
        self.model.preconditioner.measure(*training_frames(file))
        self.latents_path = Path(latents)
        self.times = times
        self.channel_weights = channel_weights(file.spec, channel_weighting)
        self.condition_dropout = condition_dropout
        self.decoder = decoder
        self.compile_network = compile_network
        self.table: CaptionTable | None = None
        self.ear = LatentEar(kernel_clips)
        loss_weights(torch.zeros(1), path, prediction, times)
        self.warm_start()

    def stage_config(self) -> dict[str, Any]:
        """Everything that `LatentDiffusion` needs."""
        return self.model.to_config()

    def next_command(self, checkpoint: str) -> str:
        """Clips, once a vocoder is there."""
        autoencoder = self.latents_path.parent / "best.ckpt"
        vocoder = self.latents_path.parent.parent / "vocoder" / "best.ckpt"
        return (
            f"python generate.py --autoencoder {autoencoder} --diffusion {checkpoint} --vocoder {vocoder} "
            '--prompt "a short bright bell"'
        )

    def warm_start(self) -> None:
        """Load the weights named by `init_from`; labels that both know are matched by name, others start anew."""
        if self.init_from is None:
            return
        record, weights = load_stage(self.init_from, self.kind)
        load_weights(self.model, warm_weights(self.model, record, weights), self.init_from)

    def setup(self, stage: str) -> None:
        """Compute the features of all captions once."""
        if stage == "fit":
            check_fit(self)
        if self.table is None:
            encoder = text_encoder(self.model.config.conditioning.text_encoder)
            self.table = CaptionTable.cached(self.trainer.datamodule.captions, encoder)  # type: ignore[attr-defined]
            if self.compile_network:
                compile_blocks(self.model)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """One batch at random times."""
        latents = batch["latents"]
        config = self.model.config
        time = draw_times(len(latents), config.path, self.times).to(latents)
        noise = torch.randn(latents.shape).to(latents)
        inputs = self.condition_dropout.apply(self._inputs(batch), batch["own_level"], batch["own_colour"])
        with trained_attention(self.device):
            errors = self._errors(batch, noise, time, inputs)
        loss = (errors * loss_weights(time, config.path, config.prediction, self.times)).mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """The error at fixed noise and times, with all conditions said."""
        time = fixed_times(batch["index"], self.model.config.path, self.times).to(batch["latents"])
        errors = self._errors(batch, batch["noise"], time, self._inputs(batch))
        self.log("validation/velocity_loss", errors.mean(), batch_size=len(errors))
        if self.trainer.sanity_checking:
            return
        if self.ear.missing > 0:
            few = {name: value[: self.ear.missing] for name, value in batch.items()}
            self.ear.add(self._sample(few, KERNEL_STEPS), few["latents"], few["valid_frames"])
        if batch_idx == 0:
            self._log_previews(batch)

    def on_validation_epoch_end(self) -> None:
        """The kernel distance between generated and real latents of the same captions."""
        decides = self.monitor == KERNEL_METRIC and not self.trainer.sanity_checking
        distance = self.ear.distance(needed=decides)
        if distance is not None:
            self.log(KERNEL_METRIC, distance)

    def _inputs(self, batch: dict[str, Tensor]) -> ConditionInputs:
        if self.table is None:
            raise ValueError("captions have no features yet: setup was not called")
        text, mask = self.table.look_up(batch["caption"].cpu())
        device = batch["latents"].device
        return ConditionInputs(text.to(device), mask.to(device), batch["label"], batch["numbers"], batch["after"])

    def _errors(self, batch: dict[str, Tensor], noise: Tensor, time: Tensor, inputs: ConditionInputs) -> Tensor:
        """Mean squared error of each row's prediction, `(batch,)`."""
        latents, frames, config = batch["latents"], batch["valid_frames"], self.model.config
        noisy = mix(latents, noise, time, config.path)
        mask = frame_mask(frames, latents.shape[-1])
        kept = batch["kept"]
        known = known_frames(latents, kept) if config.network.known else None
        predicted = self.model(noisy, time, self.model.conditioner(inputs), mask, known)
        wanted = target(latents, noise, time, config.path, config.prediction)
        # What is known is not asked for. The mean is over all frames, so each that is asked for weighs alike.
        error = (predicted.float() - wanted) * ~kept[:, None]
        return masked_mean_square(error, frames, self.channel_weights)

    def _sample(self, batch: dict[str, Tensor], solver_steps: int) -> Tensor:
        """Whitened latents for the captions, lengths and noise of a validation batch."""
        condition = self.model.conditioner(self._inputs(batch))
        sampler = SamplerConfig(solver_steps=solver_steps, guidance=GuidanceConfig(PREVIEW_GUIDANCE))
        negative = self.model.null_condition(len(condition)).followed_by(batch["after"])  # only words differ
        made = self.model.sample(batch["noise"], condition, sampler, batch["valid_frames"], negative=negative)
        return self.model.spec.whiten(made)

    def _log_previews(self, batch: dict[str, Tensor]) -> None:
        writer = getattr(self.logger, "experiment", None)
        if writer is None:
            return
        few = {name: value[-PREVIEW_CLIPS:] for name, value in batch.items()}
        whitened = self._sample(few, PREVIEW_STEPS)
        for name, latents in (("real", few["latents"]), ("made", whitened)):
            image = torch.cat(list(latents.float().cpu()), dim=1).clamp(-3.0, 3.0) / 6.0 + 0.5
            writer.add_image(f"latents/{name}", image[None], self.global_step)
        if self.decoder is not None:
            for row, waveform in enumerate(self.decoder(self.model.spec.unwhiten(whitened))):
                log_audio(self, f"made_{row}", waveform, self.model.spec.mel.sample_rate)
