"""How long will training take here? A few real training steps of each stage, timed, then multiplied.

The networks and batch shapes are those of the preset's YAML files; the sound is noise: time does not depend
on it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor, nn

from audio.distances import multi_scale_mel_distance
from audio.latents import LatentSpec
from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.losses import MelVAELoss, frame_weights, vae_loss
from autoencoder.model import MelVAE, MelVAEConfig
from latent_diffusion.conditioning import ConditioningConfig
from latent_diffusion.config import LatentDiffusionConfig
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.network import NetworkConfig
from latent_diffusion.paths import PathConfig
from vocoder.vocos import PriorVocos, VocosConfig

TIMED_STEPS = 3
# Loading, logging, validation and start-up of the child processes, over the bare steps (measured on two cores).
OVERHEAD = 1.35
START_SECONDS = 20.0
BYTES_PER_WEIGHT = 4
# Two checkpoints and one written aside, each with weights, their average and two moments.
COPIES = 3 * 4


@dataclass(frozen=True)
class Estimate:
    """What one stage will cost.

    Args:
        seconds: of training.
        bytes: of its run's folder.
    """

    seconds: float
    bytes: int


def estimate_stages(configs: dict[str, Path]) -> dict[str, Estimate]:
    """Probe all three stages.

    Args:
        configs: stage name to its YAML.
    """
    return {kind: PROBES[kind](read_config(path), path) for kind, path in configs.items()}


def read_config(path: Path) -> dict[str, Any]:
    """A stage's YAML as plain containers.

    Raises:
        ValueError: unreadable.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ValueError(f"cannot read the preset '{path}'") from error
    return dict(values)


def config_mel(values: dict[str, Any], path: Path) -> MelConfig:
    """The mel that a stage's YAML names."""
    return MelConfig.from_yaml(path.parent / values["model"]["mel"])


def probe_autoencoder(values: dict[str, Any], path: Path) -> Estimate:
    """Time the VAE."""
    mel = config_mel(values, path)
    network = MelVAE(mel, MelVAEConfig(**values["model"].get("vae", {})))
    front_end, loss = LogMelSpectrogram(mel), MelVAELoss()
    waveform = noise_batch(values, mel)

    def step() -> Tensor:
        log_mel = front_end(waveform)
        estimate, posterior = network(log_mel)
        frames = torch.full((len(log_mel),), log_mel.shape[-1])
        return vae_loss(estimate, log_mel, posterior, frame_weights(frames, log_mel.shape[-1]), loss)[0]

    return timed(network, step, values)


def probe_vocoder(values: dict[str, Any], path: Path) -> Estimate:
    """Time the vocoder (without its GAN phase)."""
    mel = config_mel(values, path)
    network = PriorVocos(mel, VocosConfig(**values["model"].get("network", {})))
    front_end = LogMelSpectrogram(mel)
    waveform = noise_batch(values, mel)

    def step() -> Tensor:
        estimate = network(front_end(waveform))
        return multi_scale_mel_distance(estimate, waveform[:, : estimate.shape[1]], mel.sample_rate)

    return timed(network, step, values)


def probe_latent_diffusion(values: dict[str, Any], path: Path) -> Estimate:
    """Time the transformer on latents of the stage-1 preset beside its YAML."""
    first = read_config(path.parent / "autoencoder.yaml")
    vae = MelVAEConfig(**first["model"].get("vae", {}))
    ones = (1.0,) * vae.latent_channels
    mel = config_mel(first, path.parent / "autoencoder.yaml")
    spec = LatentSpec(vae.latent_channels, vae.frames_per_latent, ones, ones, mel, "probe", ones)
    config = LatentDiffusionConfig(
        network=NetworkConfig(**values["model"].get("network", {})),
        path=PathConfig(**values["model"].get("path", {})),
        prediction=values["model"].get("prediction", "velocity"),
        conditioning=ConditioningConfig(text_encoder="probe", text_width=384),
        latents=spec,
        max_seconds=float(values["data"]["lengths"]["max_seconds"]),
    )
    network = LatentDiffusion(config)
    network.preconditioner.assume_white()
    batch = int(values["data"]["batch_size"])
    latents = torch.randn(batch, vae.latent_channels, max(8, round(1.5 * spec.latent_rate)))
    condition = network.null_condition(batch)

    def step() -> Tensor:
        predicted: Tensor = network(latents, torch.rand(batch), condition)
        return predicted.square().mean()

    return timed(network, step, values)


def noise_batch(values: dict[str, Any], mel: MelConfig) -> Tensor:
    """A batch of noise of the shape that the YAML asks for."""
    data = values["data"]
    samples = round(float(data["segment_seconds"]) * mel.sample_rate)
    return 0.1 * torch.randn(int(data["batch_size"]), samples)


def timed(network: nn.Module, step: Callable[[], Tensor], values: dict[str, Any]) -> Estimate:
    """Time a few steps with their optimiser, and multiply."""
    optimiser = torch.optim.AdamW(network.parameters())
    network.train()
    started = 0.0
    for number in range(TIMED_STEPS + 1):
        if number == 1:
            started = time.perf_counter()
        optimiser.zero_grad()
        loss = step()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    seconds = (time.perf_counter() - started) / TIMED_STEPS * int(values["trainer"]["max_steps"])
    weights = sum(parameter.numel() for parameter in network.parameters())
    return Estimate(seconds * OVERHEAD + START_SECONDS, weights * BYTES_PER_WEIGHT * COPIES)


PROBES: dict[str, Callable[[dict[str, Any], Path], Estimate]] = {
    "autoencoder": probe_autoencoder,
    "latent_diffusion": probe_latent_diffusion,
    "vocoder": probe_vocoder,
}
