"""The vocos package's own models with their published weights (Siuzdak, 2023), mel variants.

    waveform = ISTFTHead(Backbone(log_mel))

A published model is `config.yaml` beside `pytorch_model.bin`. The config names Python classes; only those of the
package that are listed here are ever made, whatever it says. Its feature extractor is the mel contract, and the
filterbank that lies in its weights must agree with it. Models of EnCodec tokens have no mel and are refused.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio.mel import MelConfig, mel_filterbank
from training.checkpoint import load_weights, weights_fingerprint
from vocoder.base import check_log_mel
from vocoder.sources import config_value, find_file, read_config, read_weights

FEATURES = "vocos.feature_extractors.MelSpectrogramFeatures"
BACKBONES = ("vocos.models.VocosBackbone", "vocos.models.VocosResNetBackbone")
HEADS = ("vocos.heads.ISTFTHead",)
# What the package's classes assume where a config is silent.
FEATURE_DEFAULTS = {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"}
HEAD_PADDING = "same"
FRAMINGS = {"center": "centred", "same": "same"}
# vocos.modules.safe_log
LOG_FLOOR = 1e-7
FILTERBANK = "feature_extractor.mel_spec.mel_scale.fb"
# The front end's constants, kept by torchaudio in every state dict.
CONSTANTS = (FILTERBANK, "feature_extractor.mel_spec.spectrogram.window")


class OfficialVocos(nn.Module):
    """A published Vocos.

    Args:
        source: a folder with config.yaml and pytorch_model.bin, or a hub name such as charactr/vocos-mel-24khz.

    Raises:
        ValueError: files that are missing, of another kind, or that contradict each other.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        # vocos pulls encodec and huggingface_hub: not at start-up.
        from vocos import heads, models

        config_path = find_file(source, "config.yaml")
        config = read_config(config_path)
        features = _arguments(config, "feature_extractor", (FEATURES,), config_path)[1]
        self.mel = vocos_mel(features, config_path)
        name, backbone = _arguments(config, "backbone", BACKBONES, config_path)
        if backbone.get("adanorm_num_embeddings") is not None:
            raise ValueError(
                f"'{config_path}': a backbone with adanorm_num_embeddings belongs to EnCodec tokens, not mels"
            )
        head = _arguments(config, "head", HEADS, config_path)[1]
        _check_head(self.mel, backbone, head, config_path)
        try:
            self.backbone: nn.Module = getattr(models, name)(**backbone)
            self.head: nn.Module = heads.ISTFTHead(**head)
        except TypeError as error:
            raise ValueError(f"'{config_path}': {error}") from error
        weights_path = find_file(source, "pytorch_model.bin")
        weights = read_weights(weights_path)
        _check_filterbank(self.mel, weights.get(FILTERBANK), weights_path)
        load_weights(self, {key: value for key, value in weights.items() if key not in CONSTANTS}, weights_path)
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
        waveform: Tensor = self.head(self.backbone(log_mel))
        return waveform.float()


def _arguments(config: dict[str, Any], part: str, known: tuple[str, ...], path: Path) -> tuple[str, dict[str, Any]]:
    """Class name and arguments of a part of the config, if its class is one of the package's that are known."""
    values = config_value(config, part, path)
    class_path = values.get("class_path") if isinstance(values, dict) else None
    if class_path not in known:
        why = "models of EnCodec tokens have no mel" if "Encodec" in str(class_path) else "nothing else is made"
        raise ValueError(f"'{path}': {part}: expected {' or '.join(known)}, got {class_path}; {why}")
    arguments = values.get("init_args") or {}
    if not isinstance(arguments, dict):
        raise ValueError(f"'{path}': {part}.init_args: expected named values, got {type(arguments).__name__}")
    return str(class_path).rpartition(".")[2], dict(arguments)


def vocos_mel(features: dict[str, Any], path: Path) -> MelConfig:
    """The contract that an official feature extractor's arguments describe; `path` is named in errors."""
    unknown = sorted(set(features) - set(FEATURE_DEFAULTS))
    if unknown:
        raise ValueError(f"'{path}': feature_extractor: unknown argument {unknown[0]!r}")
    values = {**FEATURE_DEFAULTS, **features}
    if values["padding"] not in FRAMINGS:
        raise ValueError(f"'{path}': padding: expected center or same, got {values['padding']!r}")
    return MelConfig(
        sample_rate=values["sample_rate"],
        n_fft=values["n_fft"],
        win_length=values["n_fft"],
        hop_length=values["hop_length"],
        n_mels=values["n_mels"],
        f_min=0.0,
        f_max=float(values["sample_rate"] // 2),
        mel_scale="htk",
        filter_norm="none",
        framing="centred" if values["padding"] == "center" else "same",
        magnitude_epsilon=0.0,
        log_floor=LOG_FLOOR,
    )


def _check_head(mel: MelConfig, backbone: dict[str, Any], head: dict[str, Any], path: Path) -> None:
    """Backbone and head must continue the features frame by frame."""
    framing = FRAMINGS.get(head.get("padding", HEAD_PADDING), "unknown")
    for name, found, expected in (
        ("backbone.input_channels", backbone.get("input_channels"), mel.n_mels),
        ("head.dim", head.get("dim"), backbone.get("dim")),
        ("head.hop_length", head.get("hop_length"), mel.hop_length),
        ("head.padding as framing", framing, mel.framing),
    ):
        if found != expected:
            raise ValueError(f"'{path}': {name}: expected {expected} as in the other parts, got {found}")


def _check_filterbank(mel: MelConfig, stored: Tensor | None, path: Path) -> None:
    if stored is None:
        return
    own = mel_filterbank(mel).T
    if stored.shape != own.shape or not torch.allclose(stored, own, atol=1e-4):
        raise ValueError(
            f"'{path}' is of another mel: its filterbank {tuple(stored.shape)} is not that of config.yaml "
            f"{tuple(own.shape)} ({mel.sample_rate} Hz, n_fft {mel.n_fft}, {mel.n_mels} HTK bins)"
        )
