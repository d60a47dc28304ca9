"""HiFi-GAN in the format of Transformers' `SpeechT5HifiGan`, as AudioLDM and SpeechT5 ship it.

    waveform = tanh(conv(blocks(upsampling((mel - mean) / scale))))

(Kong, Kim, Bae, "HiFi-GAN: Generative Adversarial Networks for Efficient and High Fidelity Speech Synthesis",
NeurIPS 2020, section 2.)

A published model is `config.json` beside `model.safetensors` or `pytorch_model.bin`. The config gives the sample rate,
the bins and, by its upsampling, the hop; transform, band edges, framing and logarithm it leaves unsaid. Two
conventions are known here, told apart by (rate, bins, hop):

- AudioLDM, 16 kHz, 64 bins, hop 160: the natural log of Slaney filters up to 8 kHz on |STFT|, (n_fft - hop) / 2
  reflected samples on each side, as in the data of AudioLDM's training code, which says that this is what its HiFi-GAN
  knows. (Its older inference code reflects n_fft / 2: that mel is this one with `framing: centred`.)
- SpeechT5, 16 kHz, 80 bins from 80 to 7,600 Hz, hop 256: centred frames, and the decimal logarithm, floor 1e-10. The
  wire stays natural; the change of base is made here.

Any other needs `mel`, or takes the one that it is offered if rate, bins and hop are the generator's.
"""

import math
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor, nn

from audio.mel import MelConfig
from training.checkpoint import load_weights, weights_fingerprint
from vocoder.base import check_log_mel
from vocoder.sources import config_value, find_file, missing_package, read_config, read_weights

LogScale = Literal["natural", "log10"]

ARCHITECTURE = "SpeechT5HifiGan"
AUDIOLDM = MelConfig(16000, 1024, 1024, 160, 64, 0.0, 8000.0, "slaney", "slaney", "same", 0.0, 1e-5)
SPEECHT5 = MelConfig(16000, 1024, 1024, 256, 80, 80.0, 7600.0, "slaney", "slaney", "centred", 0.0, 1e-10)
CONVENTIONS: tuple[tuple[MelConfig, LogScale], ...] = ((AUDIOLDM, "natural"), (SPEECHT5, "log10"))


class HiFiGAN(nn.Module):
    """A published HiFi-GAN.

    Args:
        source: a folder with config.json and model.safetensors or pytorch_model.bin, or a hub name such as
            microsoft/speecht5_hifigan.
        mel: what the generator was trained on; `known` is that of AudioLDM or SpeechT5, whichever it is.
        log_scale: logarithm that the generator expects; left out, natural with a named mel, else the convention's.
        offered_mel: stands in for `known` where that is neither of the two; `load_vocoder` fills it in.

    Raises:
        ValueError: transformers is absent, files are missing or of another kind, or the mel is not the generator's.
    """

    def __init__(
        self,
        source: str,
        mel: MelConfig | Literal["known"] = "known",
        log_scale: LogScale | None = None,
        offered_mel: MelConfig | None = None,
    ) -> None:
        super().__init__()
        config_path = find_file(source, "config.json")
        config = read_config(config_path)
        if log_scale not in (None, "natural", "log10"):
            raise ValueError(f"log_scale: expected natural or log10, got {log_scale!r}")
        self.mel, convention = _contract(config, mel, offered_mel, config_path)
        self.log_scale: LogScale = log_scale or convention
        weights_path = find_file(source, "model.safetensors", "pytorch_model.bin")
        self.generator = _build(config, config_path)
        weights = read_weights(weights_path)
        if not config.get("normalize_before", True):
            # Not used then, and not in every such file.
            own = self.generator.state_dict()
            weights = {"mean": own["mean"], "scale": own["scale"], **weights}
        load_weights(self.generator, weights, weights_path)
        self.eval()

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits of weights, mel and logarithm."""
        return weights_fingerprint(self.state_dict(), {"mel": self.mel.to_dict(), "log_scale": self.log_scale})

    @torch.no_grad()
    def decode(self, log_mel: Tensor) -> Tensor:
        """Make sound.

        Args:
            log_mel: `(batch, n_mels, frames)` of contract `mel`, natural log.

        Returns:
            waveform `(batch, mel.num_samples(frames))`, float32: the generator's, less its tail. A centred mel has a
            frame more than its sound has hops, and AudioLDM's first kernel (16 over 5) adds 32 samples.

        Raises:
            ValueError: not a log-mel of this contract.
        """
        check_log_mel(log_mel, self.mel)
        values = log_mel if self.log_scale == "natural" else log_mel / math.log(10.0)
        waveform: Tensor = self.generator(rearrange(values, "batch bins frames -> batch frames bins"))
        return waveform[:, : self.mel.num_samples(log_mel.shape[2])].float()


def _contract(
    config: dict[str, Any], mel: MelConfig | Literal["known"], offered: MelConfig | None, path: Path
) -> tuple[MelConfig, LogScale]:
    """The mel and its logarithm: the one named, else the convention or offer that fits the config's numbers."""
    architectures = config.get("architectures") or [ARCHITECTURE]
    if ARCHITECTURE not in architectures:
        raise ValueError(f"'{path}': architectures: expected {ARCHITECTURE}, got {', '.join(architectures)}")
    numbers = {
        "sample_rate": config_value(config, "sampling_rate", path),
        "n_mels": config_value(config, "model_in_dim", path),
        "hop_length": math.prod(config_value(config, "upsample_rates", path)),
    }
    if isinstance(mel, MelConfig):
        differences = [
            f"{name}: {getattr(mel, name)} != {value}" for name, value in numbers.items() if getattr(mel, name) != value
        ]
        if differences:
            raise ValueError(f"mel: not that of the generator in '{path}': " + "; ".join(differences))
        return mel, "natural"
    offers: tuple[tuple[MelConfig, LogScale], ...] = ((offered, "natural"),) if offered is not None else ()
    for known, log_scale in CONVENTIONS + offers:
        if all(getattr(known, name) == value for name, value in numbers.items()):
            return known, log_scale
    said = ", ".join(f"{name} {value}" for name, value in numbers.items())
    raise ValueError(
        f"'{path}' does not say its mel ({said}), and it is neither AudioLDM's nor SpeechT5's: give the argument mel, "
        "a file like configs/mel/audioldm_16khz.yaml"
    )


def _build(config: dict[str, Any], path: Path) -> nn.Module:
    try:
        from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig
    except ImportError as error:
        raise missing_package("HiFiGAN", "transformers") from error
    try:
        generator: nn.Module = SpeechT5HifiGan(SpeechT5HifiGanConfig.from_dict(config))
    except Exception as error:
        text = " ".join(str(error).split())
        raise ValueError(f"'{path}' is not a config of {ARCHITECTURE} ({text[:200]})") from error
    return generator
