"""How fast a mel becomes sound: ours, 64-iteration Griffin-Lim, and the vocos package's own network of equal size."""

import torch
import yaml
from torch import Tensor, nn
from vocos.heads import ISTFTHead
from vocos.models import VocosBackbone

from audio.mel import LogMelSpectrogram, MelConfig
from benchmarks.conftest import ROOT, Bench
from vocoder.griffin_lim import GriffinLim
from vocoder.vocos import PriorVocos, VocosConfig

SECONDS = 2.0
GROUP = f"vocoder, a mel of {SECONDS:.0f} s at 44.1 kHz, weights as initialised"


def decaying_noise(mel: MelConfig) -> Tensor:
    """A log-mel `(1, n_mels, frames)` that is loud at first and silent at the end."""
    samples = round(SECONDS * mel.sample_rate)
    envelope = torch.exp(-torch.arange(samples) / (0.2 * mel.sample_rate))
    return LogMelSpectrogram(mel)((0.5 * torch.randn(samples) * envelope)[None])


def test_vocoder(bench: Bench, mel: MelConfig) -> None:
    values = yaml.safe_load((ROOT / "configs/oneshots/vocoder.yaml").read_text(encoding="utf-8"))
    size = VocosConfig(**values["model"]["network"])
    ours, baseline = PriorVocos(mel, size).eval(), GriffinLim(mel)
    package = nn.Sequential(
        VocosBackbone(mel.n_mels, size.dim, size.intermediate_dim, size.num_layers),
        ISTFTHead(size.dim, mel.n_fft, mel.hop_length, padding="same"),
    ).eval()
    log_mel = decaying_noise(mel)
    with torch.inference_mode():
        rounds = bench.measure(
            lambda: ours.decode(log_mel),
            {"griffin-lim": lambda: baseline.decode(log_mel), "vocos": lambda: package(log_mel)},
            rounds=9,
        )
    parameters = sum(parameter.numel() for parameter in ours.parameters()) / 1e6
    bench.report(
        GROUP,
        f"PriorVocos, {parameters:.1f}M",
        rounds.seconds,
        f"{SECONDS / rounds.seconds:.0f} x real time",
        f"{rounds.speed('griffin-lim'):.1f} x the speed of Griffin-Lim",
        f"{rounds.speed('vocos'):.2f} x the speed of the package's own network",
    )
