"""NVIDIA's BigVGAN, first and second version, by the bigvgan package.

    waveform = tanh or clamp(conv(AMP blocks(upsampling(log_mel))))

(Lee et al., "BigVGAN: A Universal Neural Vocoder with Large-Scale Training", ICLR 2023, section 2.)

A published model is `config.json` beside `bigvgan_generator.pt` (or a training checkpoint `g_*`), which holds the
weights under `generator`. The config of the second version says `use_tanh_at_final: false` and
`use_bias_at_final: false`; that of the first says nothing, which means true. The mel contract is that of the package's
`meldataset`: Slaney filters, (n_fft - hop) / 2 reflected samples, sqrt(power + 1e-9), floor 1e-5.
"""

import contextlib
import io
import math
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio.mel import MelConfig
from training.checkpoint import load_weights, weights_fingerprint
from vocoder.base import check_log_mel
from vocoder.sources import config_value, find_file, missing_package, read_config, read_weights

MAGNITUDE_EPSILON = 1e-9
LOG_FLOOR = 1e-5
NORMALISED = (".weight_g", ".weight_v")


class BigVGAN(nn.Module):
    """A published BigVGAN. Runs in plain torch on any device; the package's CUDA kernels are not used.

    Args:
        source: a folder with config.json and bigvgan_generator.pt, or a hub name such as
            nvidia/bigvgan_v2_44khz_128band_512x.

    Raises:
        ValueError: the package is absent, or files are missing, of another kind, or contradict each other.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        config_path = find_file(source, "config.json")
        config = read_config(config_path)
        self.mel = bigvgan_mel(config, config_path)
        weights_path = find_file(source, "bigvgan_generator.pt", "g_*")
        self.generator = _build(config, config_path)
        weights = read_weights(weights_path, key="generator")
        # Published weights come with their norms, or with them already folded in; both end without.
        if any(name.endswith(NORMALISED) for name in weights):
            load_weights(self.generator, weights, weights_path)
            _fold_norms(self.generator)
        else:
            _fold_norms(self.generator)
            load_weights(self.generator, weights, weights_path)
        self.eval()

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits of weights and mel."""
        return weights_fingerprint(self.state_dict(), {"mel": self.mel.to_dict()})

    @torch.no_grad()
    def decode(self, log_mel: Tensor) -> Tensor:
        """Make sound.

        Args:
            log_mel: `(batch, n_mels, frames)` of contract `mel`, natural log.

        Returns:
            waveform `(batch, mel.num_samples(frames))`, float32.

        Raises:
            ValueError: not a log-mel of this contract.
        """
        check_log_mel(log_mel, self.mel)
        waveform: Tensor = self.generator(log_mel)
        # An upsampling kernel that is odd against its rate adds a tail; published sizes have none.
        return waveform[:, 0, : self.mel.num_samples(log_mel.shape[2])].float()


def bigvgan_mel(config: dict[str, Any], path: Path) -> MelConfig:
    """The contract that an official config.json describes; `path` is named in errors."""

    def value(name: str) -> Any:  # noqa: ANN401
        return config_value(config, name, path)

    rates = value("upsample_rates")
    if math.prod(rates) != value("hop_size"):
        raise ValueError(f"'{path}': upsample_rates {rates} make {math.prod(rates)}, hop_size is {value('hop_size')}")
    f_max = config.get("fmax")
    try:
        return MelConfig(
            sample_rate=value("sampling_rate"),
            n_fft=value("n_fft"),
            win_length=value("win_size"),
            hop_length=value("hop_size"),
            n_mels=value("num_mels"),
            f_min=config.get("fmin") or 0.0,
            f_max=value("sampling_rate") / 2 if f_max is None else f_max,
            mel_scale="slaney",
            filter_norm="slaney",
            framing="same",
            magnitude_epsilon=MAGNITUDE_EPSILON,
            log_floor=LOG_FLOOR,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{path}': {error}") from error


def _build(config: dict[str, Any], path: Path) -> nn.Module:
    try:
        from bigvgan.bigvgan import BigVGAN as Generator
        from bigvgan.env import AttrDict
    except ImportError as error:
        raise missing_package("BigVGAN", "bigvgan") from error
    try:
        with warnings.catch_warnings():
            # torch tells everyone that the package's weight norm has a newer form.
            warnings.simplefilter("ignore")
            # A copy without the kernels' switch: they are compiled on the spot, and only for CUDA.
            generator: nn.Module = Generator(AttrDict({**config, "use_cuda_kernel": False}), use_cuda_kernel=False)
    except (AttributeError, KeyError, TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(f"'{path}' is not a config of BigVGAN ({error})") from error
    return generator


def _fold_norms(generator: Any) -> None:  # noqa: ANN401
    with contextlib.redirect_stdout(io.StringIO()):  # the package prints; standard output is for results
        generator.remove_weight_norm()
