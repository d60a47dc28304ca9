"""`python -m benchmarks.vocoders --model BUNDLE`: what decoding costs, all vocoders side by side in one run.

In every round each vocoder decodes the same mel once, ours among them; a ratio is the median of the rounds' quotients,
so that a busy machine slows both sides. Networks of others have weights as initialised: speed does not ask what they
are. At the end, in fresh processes, what streaming one minute and ten minutes holds in memory.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from audio.mel import LogMelSpectrogram, MelConfig
from benchmarks.streaming import bursts, cost, peak_memory
from pipelines.bundle import Bundle
from training.command import answer, run_command, say
from vocoder.griffin_lim import GriffinLim
from vocoder.upsampling import UpsamplingConfig, UpsamplingGenerator
from vocoder.vocos import PriorVocos

OURS = "ours"
# The published size of bigvgan_v2_44khz_128band_512x (its config.json), 122 million parameters.
BIGVGAN = {
    "upsample_rates": [8, 4, 2, 2, 2, 2],
    "upsample_kernel_sizes": [16, 8, 4, 4, 4, 4],
    "upsample_initial_channel": 1536,
    "resblock": "1",
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "activation": "snakebeta",
    "snake_logscale": True,
    "use_tanh_at_final": False,
    "use_bias_at_final": False,
}
# As in configs/experiments/vocoder_upsampling.yaml.
UPSAMPLING = UpsamplingConfig(rates=(4, 4, 2, 2, 2, 2, 2), channels=280)
# Streamed in chunks of so many frames, waiting for so many.
CHUNK, BLOCK = 8, 8

Work = Callable[[], Tensor]


def vocos_of_equal_size(ours: PriorVocos) -> nn.Module:
    """Backbone and head of the vocos package, as wide and deep as ours."""
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone

    size, mel = ours.config, ours.mel
    backbone = VocosBackbone(mel.n_mels, size.dim, size.intermediate_dim, size.num_layers)
    return nn.Sequential(backbone, ISTFTHead(size.dim, mel.n_fft, mel.hop_length, padding="same")).eval()


def published_bigvgan(mel: MelConfig) -> nn.Module:
    """The network of the bigvgan package at its published size, ready to decode."""
    from bigvgan.bigvgan import BigVGAN
    from bigvgan.env import AttrDict

    network = BigVGAN(AttrDict({**BIGVGAN, "num_mels": mel.n_mels}), use_cuda_kernel=False).eval()
    network.remove_weight_norm()
    decoder: nn.Module = network
    return decoder


def race(works: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of each in every round, taken in turn; each has run once before."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            if number:
                times[name].append(time.perf_counter() - started)
    return times


def vocoders(model: Path, seconds: float = 2.0, rounds: int = 9, slow_rounds: int = 3, stream: bool = True) -> None:
    """Print a table of what decoding costs.

    Args:
        model: folder of a bundle.
        seconds: of the mel that is decoded.
        rounds: of the fast ones.
        slow_rounds: of BigVGAN at its published size, and of ours beside it.
        stream: also measure streaming, which takes minutes.

    Raises:
        ValueError: a bad bundle, or no rounds.
    """
    if min(rounds, slow_rounds) < 1:
        raise ValueError(f"rounds: expected at least 1, got {rounds} and {slow_rounds}")
    torch.manual_seed(0)
    ours = PriorVocos.from_checkpoint(Bundle.open(model).stage("vocoder"))
    mel = ours.mel
    log_mel = LogMelSpectrogram(mel)(torch.from_numpy(bursts(seconds, mel.sample_rate))[None])
    package, upsampling, baseline = vocos_of_equal_size(ours), UpsamplingGenerator(mel, UPSAMPLING), GriffinLim(mel)
    bigvgan = published_bigvgan(mel)
    upsampling.eval()
    fast: dict[str, Work] = {
        OURS: lambda: ours.decode(log_mel),
        "vocos package, equal size": lambda: package(log_mel),
        "Griffin-Lim, 64 iterations": lambda: baseline.decode(log_mel),
        "upsampling, 4M": lambda: upsampling.decode(log_mel),
    }
    slow: dict[str, Work] = {OURS: fast[OURS], "bigvgan package, published size": lambda: bigvgan(log_mel)}
    networks = dict(zip((*fast, list(slow)[1]), (ours, package, None, upsampling, bigvgan), strict=True))
    answer(f"{torch.get_num_threads()} threads, torch {torch.__version__}, a mel of {seconds:g} s")
    answer("| vocoder | parameters | real-time factor | x the time of ours |")
    answer("|---|---|---|---|")
    with torch.inference_mode():
        for works, count in ((fast, rounds), (slow, slow_rounds)):
            times = race(works, count)
            for name in works if works is fast else list(works)[1:]:
                parameters = sum(one.numel() for one in getattr(networks[name], "parameters", list)())
                ratio = statistics.median(a / b for a, b in zip(times[name], times[OURS], strict=True))
                factor = statistics.median(times[name]) / seconds
                answer(f"| {name} | {parameters / 1e6:.1f}M | {factor:.3f} | {ratio:.2f} |")
        if stream:
            streamed = cost(ours, log_mel, CHUNK, BLOCK)
    if not stream:
        return
    answer(
        f"streamed in chunks of {CHUNK} frames: real-time factor {streamed.real_time_factor:.3f}, first sound after "
        f"{streamed.first_frames} frames and {1e3 * streamed.first_seconds:.0f} ms of computing"
    )
    say("streaming one minute and ten")
    short, long = (peak_memory(model, 60.0 * minutes) for minutes in (1.0, 10.0))
    answer(f"peak memory of a streamed minute {short:.0f} MiB, of ten {long:.0f} MiB, ratio {long / short:.3f}")


if __name__ == "__main__":
    sys.exit(run_command(vocoders, program="python -m benchmarks.vocoders"))
