"""One training step of each stage, at the sizes and batches of configs/oneshots: how much of the machine it uses.

Counted are the operations of matrix products, convolutions and attention (torch.utils.flop_counter on the forward
pass; the backward pass counts twice that). What is not counted (STFTs, norms, the optimiser, copying) is what lowers
the share. The ceiling is a float32 matrix product of 1024 x 1024, in the same rounds.
"""

from collections.abc import Callable
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from audio.distances import multi_scale_mel_distance
from audio.latents import LatentSpec
from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.losses import MelVAELoss, frame_weights, vae_loss
from autoencoder.model import MelVAE, MelVAEConfig
from benchmarks.conftest import ROOT, Bench
from latent_diffusion.conditioning import ConditioningConfig, ConditionInputs
from latent_diffusion.config import LatentDiffusionConfig
from latent_diffusion.flow import mix, target
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.network import NetworkConfig
from latent_diffusion.paths import PathConfig
from training.game import discriminator_hinge, feature_matching, generator_hinge
from vocoder.discriminators import Discriminators, GanConfig
from vocoder.vocos import PriorVocos, VocosConfig

GROUP = "one training step at the sizes of configs/oneshots"
CEILING = "matmul"
SIDE = 1024
ROUNDS = 5


def config(stage: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / f"configs/oneshots/{stage}.yaml").read_text(encoding="utf-8"))


def crops(values: dict[str, Any], mel: MelConfig) -> Tensor:
    return 0.1 * torch.randn(values["batch_size"], round(values["segment_seconds"] * mel.sample_rate))


def training_step(network: nn.Module, forward: Callable[[], Tensor]) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(network.parameters())
    network.train()

    def step() -> None:
        optimiser.zero_grad()
        forward().backward()
        optimiser.step()

    return step


def report_share(bench: Bench, name: str, network: nn.Module, forward: Callable[[], Tensor]) -> None:
    """Time a step beside the ceiling, and say which share of it the step reaches."""
    with FlopCounterMode(display=False) as counter:
        forward()
    operations = 3 * counter.get_total_flops()
    left, right = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    rounds = bench.measure(training_step(network, forward), {CEILING: lambda: left @ right}, ROUNDS)
    ceiling = rounds.speed(CEILING) * operations / (2 * SIDE**3)
    parameters = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    reached = operations / rounds.seconds / 1e9
    bench.report(
        GROUP,
        f"{name}, {parameters:.1f}M",
        rounds.seconds,
        f"{ceiling:.2f} of the matmul ceiling ({operations / 1e9:.0f} GFLOP, {reached:.0f} GFLOP/s)",
    )


def test_autoencoder(bench: Bench, mel: MelConfig) -> None:
    values = config("autoencoder")
    network = MelVAE(mel, MelVAEConfig(**values["model"]["vae"]))
    front_end, loss = LogMelSpectrogram(mel), MelVAELoss(**values["model"]["loss"])
    waveform = crops(values["data"], mel)

    def forward() -> Tensor:
        log_mel = front_end(waveform)
        estimate, posterior = network(log_mel)
        frames = torch.full((len(log_mel),), log_mel.shape[-1])
        return vae_loss(estimate, log_mel, posterior, frame_weights(frames, log_mel.shape[-1]), loss)[0]

    report_share(bench, "autoencoder", network, forward)


def test_latent_diffusion(bench: Bench, mel: MelConfig) -> None:
    values, vae = config("latent_diffusion"), MelVAEConfig(**config("autoencoder")["model"]["vae"])
    ones = (1.0,) * vae.latent_channels
    path = PathConfig(**values["model"]["path"])
    network = LatentDiffusion(
        LatentDiffusionConfig(
            network=NetworkConfig(**values["model"]["network"]),
            path=path,
            prediction=values["model"]["prediction"],
            conditioning=ConditioningConfig(text_encoder="minilm", text_width=384),
            latents=LatentSpec(vae.latent_channels, vae.frames_per_latent, ones, ones, mel, "benchmark", ones),
            max_seconds=values["data"]["lengths"]["max_seconds"],
        )
    )
    network.preconditioner.assume_white()
    batch = values["data"]["batch_size"]
    data = torch.randn(batch, vae.latent_channels, 64)
    noise, time = torch.randn_like(data), torch.rand(batch)
    words = ConditionInputs(
        text=torch.randn(batch, 8, 384),
        text_mask=torch.ones(batch, 8, dtype=torch.bool),
        labels=torch.full((batch,), -1),
        numbers=torch.full((batch, 4), float("nan")),
    )

    def forward() -> Tensor:
        predicted = network(mix(data, noise, time, path), time, network.conditioner(words))
        return (predicted - target(data, noise, time, path, values["model"]["prediction"])).square().mean()

    report_share(bench, "latent_diffusion, 64 latent frames", network, forward)


def test_vocoder(bench: Bench, mel: MelConfig) -> None:
    values = config("vocoder")
    network = PriorVocos(mel, VocosConfig(**values["model"]["network"]))
    front_end, waveform = LogMelSpectrogram(mel), crops(values["data"], mel)

    def forward() -> Tensor:
        estimate = network(front_end(waveform))
        return multi_scale_mel_distance(estimate, waveform[:, : estimate.shape[1]], mel.sample_rate)

    report_share(bench, "vocoder, reconstruction", network, forward)


def test_vocoder_with_discriminators(bench: Bench, mel: MelConfig) -> None:
    values = config("vocoder")
    network, listeners = PriorVocos(mel, VocosConfig(**values["model"]["network"])), Discriminators(GanConfig(1))
    front_end, waveform = LogMelSpectrogram(mel), crops(values["data"], mel)

    def plain() -> Tensor:
        estimate = network(front_end(waveform))
        return multi_scale_mel_distance(estimate, waveform[:, : estimate.shape[1]], mel.sample_rate)

    def adversarial() -> Tensor:
        estimate = network(front_end(waveform))
        real_clip = waveform[:, : estimate.shape[1]]
        discriminator_hinge(listeners(real_clip), listeners(estimate.detach())).backward()
        real, fake = listeners(real_clip), listeners(estimate)
        distance = multi_scale_mel_distance(estimate, real_clip, mel.sample_rate)
        return distance + generator_hinge(fake) + feature_matching(real, fake)

    peer = training_step(network, plain)
    rounds = bench.measure(training_step(network, adversarial), {"plain": peer}, rounds=2)
    bench.report(
        GROUP,
        "vocoder, with discriminators",
        rounds.seconds,
        f"{rounds.cost('plain'):.2f} x the time of a step of reconstruction",
    )
