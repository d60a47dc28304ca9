"""Small stages, latent files and fields with known answers, shared by the tests of stage 2."""

from pathlib import Path

import torch
from torch import Tensor

from audio.latents import LatentClip, LatentFile, LatentSpec
from audio.mel import MelConfig
from latent_diffusion.conditioning import Condition, ConditioningConfig
from latent_diffusion.config import LatentDiffusionConfig
from latent_diffusion.guidance import GuidanceConfig
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.network import NetworkConfig
from latent_diffusion.paths import PathConfig, alpha_sigma
from latent_diffusion.sampling import SamplerConfig

FLOW = PathConfig("rectified_flow")
LINEAR = PathConfig("variance_preserving", "linear")
COSINE = PathConfig("variance_preserving", "cosine")
TINY = NetworkConfig(width=32, depth=3, heads=2, hidden=48, cross_every=2, modulation_rank=8)
LABELS = ("bell", "kick", "snare drum")
RANGES = {"pitch": (30.0, 90.0), "loudness": (-40.0, 0.0), "brightness": (100.0, 8000.0), "seconds": (0.05, 2.0)}


def spec(mel: MelConfig, channels: int = 6) -> LatentSpec:
    """A latent description with telling statistics: whitening is not the identity."""
    ramp = torch.linspace(-1.0, 1.0, channels)
    return LatentSpec(
        channels=channels,
        frames_per_latent=2,
        mean=tuple(ramp.tolist()),
        std=tuple((1.5 + ramp).tolist()),
        mel=mel,
        encoder_fingerprint="0123456789abcdef",
        silence=tuple((2.0 * ramp).tolist()),
    )


def stage(mel: MelConfig, path: PathConfig = FLOW, prediction: str = "velocity", woken: bool = True) -> LatentDiffusion:
    """A tiny stage; its zero-initialised layers are woken, so that every input matters."""
    torch.manual_seed(0)
    conditioning = ConditioningConfig("minilm", 384, LABELS, RANGES)
    model = LatentDiffusion(LatentDiffusionConfig(TINY, path, prediction, conditioning, spec(mel), 2.0))
    model.preconditioner.assume_white()
    for parameter in model.parameters():
        if woken and parameter.abs().max() == 0.0:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def sampler(
    scale: float = 1.0,
    solver: str | None = None,
    solver_steps: int = 25,
    interval: tuple[float, float] = (0.0, 1.0),
) -> SamplerConfig:
    """A sampler in few words."""
    return SamplerConfig(solver, solver_steps, guidance=GuidanceConfig(scale, interval))


def condition(model: LatentDiffusion, rows: int) -> Condition:
    """A different condition a row, without asking the text encoder."""
    generator = torch.Generator().manual_seed(5)
    width = model.config.network.width
    mask = torch.arange(7)[None] < torch.arange(2, rows + 2)[:, None]
    return Condition(
        torch.randn(rows, 7, width, generator=generator), mask, torch.randn(rows, width, generator=generator)
    )


def latent_file(path: Path, mel: MelConfig, clips: int = 24, channels: int = 4) -> Path:
    """Write a latent file of three classes that sound as different as latents can."""
    rows, means, start = [], [], 0
    for index in range(clips):
        kind = index % 3
        frames = 6 + 5 * kind + index % 4
        time = torch.arange(frames) / frames
        means.append(torch.sin(6.0 * (kind + 1) * time + torch.arange(channels)[:, None]) * (1.0 - time) * 2.0)
        rows.append(
            LatentClip(
                start=start,
                frames=frames,
                captions=(f"a {LABELS[kind]}", f"{LABELS[kind]} sound"),
                numbers={"loudness": -6.0 - index, "brightness": 300.0 * (kind + 1), "seconds": frames / 43.0}
                | ({"pitch": 60.0 + index} if kind == 0 else {}),
                label=LABELS[kind],
                family=LABELS[kind],
                source="synthetic",
                rendered=False,
                split="validation" if index % 6 == 5 else "train",
                file_name=f"{index}.wav",
            )
        )
        start += frames
    mean = torch.cat(means, dim=1)
    description = LatentSpec(
        channels=channels,
        frames_per_latent=2,
        mean=tuple(mean.mean(dim=1).tolist()),
        std=tuple(mean.std(dim=1).tolist()),
        mel=mel,
        encoder_fingerprint="0123456789abcdef",
        silence=(0.25,) * channels,
        gains=(0.5,) * channels,
    )
    lineage = {"autoencoder": "aaaa", "data": "dddd", "licences": ["CC0-1.0"]}
    LatentFile(description, tuple(rows), mean.half(), torch.full_like(mean, 0.1).half(), lineage).save(path)
    return path


class GaussianData:
    """Data drawn from N(mean, std^2), number by number: its exact fields and maps.

    On x_t = alpha data + sigma noise, x_t is N(alpha mean, alpha^2 std^2 + sigma^2), and the exact map from one time to
    another keeps the standardised position.
    """

    def __init__(self, path: PathConfig, mean: float = 1.5, std: float = 0.4) -> None:
        self.path = path
        self.mean = mean
        self.std = std

    def denoiser(self, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = alpha_sigma(self.path, time)
        spread = alpha**2 * self.std**2 + sigma**2
        data = self.mean + alpha * self.std**2 / spread * (x - alpha * self.mean)
        noise = sigma / spread * (x - alpha * self.mean)
        return data, noise

    def velocity(self, x: Tensor, time: Tensor) -> Tensor:
        data, noise = self.denoiser(x, time)
        return data - noise

    def exact(self, noise: Tensor, end: float = 1.0) -> Tensor:
        """Where the point that starts as `noise` at t = 0 is at `end`."""
        alpha, sigma = alpha_sigma(self.path, torch.tensor([0.0, end]))
        spread = (alpha**2 * self.std**2 + sigma**2).sqrt()
        return alpha[1] * self.mean + spread[1] / spread[0] * (noise - alpha[0] * self.mean)


class IdealDenoiser:
    """The best denoiser for data that is one of a few points: their mean, weighted by likelihood."""

    def __init__(self, path: PathConfig, points: Tensor) -> None:
        self.path = path
        self.points = points

    def denoiser(self, x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = alpha_sigma(self.path, time)
        sigma = sigma.clamp(min=1e-3)
        distance = (x.flatten(1)[:, None] - alpha * self.points.flatten(1)[None]).square().sum(dim=2)
        weights = torch.softmax(-0.5 * distance / sigma**2, dim=1)
        data = torch.einsum("rp,pcf->rcf", weights, self.points)
        return data, (x - alpha * data) / sigma

    def velocity(self, x: Tensor, time: Tensor) -> Tensor:
        data, noise = self.denoiser(x, time)
        return data - noise
