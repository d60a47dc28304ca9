"""The mel contract: one frozen description of a log-mel spectrogram, and the one front end that computes it.

    power      = |STFT(waveform)|^2                                     Hann window, reflect padding
    magnitude  = sqrt(power + epsilon)                                  (BigVGAN family)
               = sqrt(max(power, tiny))                                 (Vocos family, epsilon = 0)
    log_mel    = ln(max(filterbank^T magnitude, log_floor))

Two vocoders that both say "24 kHz, 100 mel, n_fft 1024, hop 256" differ by 4.4 nats on the same signal, because mel
scale, filter norm and framing are left unsaid. Here they are fields, carried by every checkpoint and latent file, and
compared with `==` wherever two stages are joined.
"""

import math
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

MelScale = Literal["htk", "slaney"]
FilterNorm = Literal["none", "slaney"]
Framing = Literal["centred", "same"]
Backend = Literal["auto", "torch", "nnaudio"]

# Far below any log floor, and a finite gradient on digital silence (1 / (2 sqrt(tiny)) fits float32).
TINY_POWER = 1e-24


@dataclass(frozen=True)
class MelConfig:
    """What a log-mel means. Equal configs mean equal mels.

    Args:
        sample_rate: in Hz.
        n_fft: length of the Fourier transform, in samples.
        win_length: length of the Hann window, in samples.
        hop_length: samples between two frames.
        n_mels: number of mel bins.
        f_min: lower edge of the lowest filter, in Hz.
        f_max: upper edge of the highest filter, in Hz.
        mel_scale: formula of the mel scale.
        filter_norm: `slaney` gives every filter the same area, `none` the same height.
        framing: `centred` pads n_fft / 2 on both sides (1 + samples // hop frames); `same` pads (n_fft - hop) / 2
            (samples // hop frames).
        magnitude_epsilon: added to the power before the root; 0 is the Vocos family's clamped root.
        log_floor: smallest mel magnitude before the logarithm.

    Raises:
        ValueError: a field out of its range.
    """

    sample_rate: int
    n_fft: int
    win_length: int
    hop_length: int
    n_mels: int
    f_min: float
    f_max: float
    mel_scale: MelScale
    filter_norm: FilterNorm
    framing: Framing
    magnitude_epsilon: float
    log_floor: float

    def __post_init__(self) -> None:
        """Check every field, so that a wrong YAML is refused by name."""
        for name in ("sample_rate", "n_fft", "win_length", "hop_length", "n_mels"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                raise ValueError(f"MelConfig.{name}: expected a positive whole number, got {value!r}")
        for name in ("f_min", "f_max", "magnitude_epsilon", "log_floor"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name, allowed in (
            ("mel_scale", ("htk", "slaney")),
            ("filter_norm", ("none", "slaney")),
            ("framing", ("centred", "same")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"MelConfig.{name}: expected one of {allowed}, got {getattr(self, name)!r}")
        if not 0.0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(
                f"MelConfig: expected 0 <= f_min < f_max <= {self.sample_rate / 2}, got {self.f_min} and {self.f_max}"
            )
        if self.win_length > self.n_fft or self.hop_length > self.win_length:
            raise ValueError(
                "MelConfig: expected hop_length <= win_length <= n_fft, "
                f"got {self.hop_length}, {self.win_length}, {self.n_fft}"
            )
        if self.framing == "same" and (self.n_fft - self.hop_length) % 2:
            raise ValueError(f"MelConfig: framing 'same' needs an even n_fft - hop_length, got {self.n_fft}")
        if self.log_floor <= 0.0 or self.magnitude_epsilon < 0.0:
            raise ValueError("MelConfig: expected log_floor > 0 and magnitude_epsilon >= 0")

    @property
    def padding(self) -> int:
        """Samples reflected on each side before framing."""
        return self.n_fft // 2 if self.framing == "centred" else (self.n_fft - self.hop_length) // 2

    @property
    def minimum_samples(self) -> int:
        """Fewest samples a waveform may have: reflection needs more samples than it pads."""
        return max(self.padding + 1, self.hop_length)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length

    @property
    def log_mel_floor(self) -> float:
        """The log-mel of digital silence, in nats."""
        return math.log(self.log_floor)

    def num_frames(self, samples: int) -> int:
        """Frames that `samples` samples give."""
        return samples // self.hop_length + (1 if self.framing == "centred" else 0)

    def num_samples(self, frames: int) -> int:
        """Samples that a vocoder makes of `frames` frames."""
        return (frames - (1 if self.framing == "centred" else 0)) * self.hop_length

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, as stored in checkpoints and latent files."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "MelConfig":
        """The inverse of `to_dict`.

        Raises:
            ValueError: an unknown or missing field.
        """
        names = {field.name for field in fields(cls)}
        unknown, missing = sorted(set(values) - names), sorted(names - set(values))
        if unknown or missing:
            raise ValueError(f"mel: unknown fields {unknown or 'none'}, missing fields {missing or 'none'}")
        return cls(**values)

    @classmethod
    def from_yaml(cls, path: Path) -> "MelConfig":
        """Read a preset, such as `configs/mel/bigvgan_44khz.yaml`.

        Raises:
            ValueError: the file is not a mel description.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise ValueError(f"mel: cannot read '{path}' ({error})") from error
        if not isinstance(values, dict):
            raise ValueError(f"mel: '{path}' holds no fields")
        return cls.from_dict(values)


@lru_cache(maxsize=16)
def mel_filterbank(config: MelConfig) -> Tensor:
    """Triangular filters of a contract, `(n_mels, n_fft // 2 + 1)`, float32 (computed by torchaudio)."""
    # Remembered for training too, whoever asks first: an inference tensor could not be.
    with torch.inference_mode(False):
        bank = melscale_fbanks(
            n_freqs=config.n_fft // 2 + 1,
            f_min=config.f_min,
            f_max=config.f_max,
            n_mels=config.n_mels,
            sample_rate=config.sample_rate,
            norm="slaney" if config.filter_norm == "slaney" else None,
            mel_scale=config.mel_scale,
        )
        filters: Tensor = bank.T.contiguous()
    return filters


class LogMelSpectrogram(nn.Module):
    """The front end: waveform in, log-mel out. No learned weights, nothing in the state dict.

    Args:
        config: the contract.
        backend: `torch` is torch.stft (2-6 times faster on a CPU), `nnaudio` is nnAudio's convolutional STFT, `auto`
            takes nnAudio on CUDA and torch elsewhere. Both are proved equal in tests/reference.
    """

    window: Tensor
    filterbank: Tensor

    def __init__(self, config: MelConfig, backend: Backend = "auto") -> None:
        super().__init__()
        if backend not in ("auto", "torch", "nnaudio"):
            raise ValueError(f"backend: expected auto, torch or nnaudio, got {backend!r}")
        self.config = config
        self.backend = backend
        self.register_buffer("window", torch.hann_window(config.win_length), persistent=False)
        self.register_buffer("filterbank", mel_filterbank(config), persistent=False)
        # A list hides the module from nn.Module: 4 MB of constant kernels have no place in a checkpoint.
        self._nnaudio: list[nn.Module] = []

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the log-mel.

        Args:
            waveform: `(batch, samples)` in [-1, 1], float32.

        Returns:
            `(batch, n_mels, frames)`, natural log.

        Raises:
            ValueError: another shape, or fewer samples than the reflection needs.
        """
        config = self.config
        if waveform.dim() != 2:
            raise ValueError(f"waveform: expected (batch, samples), got shape {tuple(waveform.shape)}")
        if waveform.shape[1] < config.minimum_samples:
            raise ValueError(
                f"waveform: expected at least {config.minimum_samples} samples for this mel, got {waveform.shape[1]}"
            )
        padded = nn.functional.pad(waveform.float(), (config.padding, config.padding), mode="reflect")
        power = self._power(padded)
        if config.magnitude_epsilon > 0.0:
            magnitude = torch.sqrt(power + config.magnitude_epsilon)
        else:
            magnitude = torch.sqrt(power.clamp(min=TINY_POWER))
        return torch.log(torch.matmul(self.filterbank, magnitude).clamp(min=config.log_floor))

    def _power(self, padded: Tensor) -> Tensor:
        backend = self.backend
        if backend == "auto":
            backend = "nnaudio" if padded.device.type == "cuda" else "torch"
        if backend == "nnaudio":
            parts = self._nnaudio_stft(padded.device)(padded)
            power: Tensor = parts[..., 0].square() + parts[..., 1].square()
            return power
        config = self.config
        spectrum = torch.stft(
            padded,
            config.n_fft,
            config.hop_length,
            config.win_length,
            self.window,
            center=False,
            return_complex=True,
        )
        return spectrum.real.square() + spectrum.imag.square()

    def _nnaudio_stft(self, device: torch.device) -> nn.Module:
        if not self._nnaudio:
            from nnAudio.features.stft import STFT

            config = self.config
            self._nnaudio.append(
                STFT(
                    n_fft=config.n_fft,
                    win_length=config.win_length,
                    hop_length=config.hop_length,
                    window="hann",
                    freq_scale="no",
                    center=False,
                    sr=config.sample_rate,
                    output_format="Complex",
                    verbose=False,
                )
            )
        self._nnaudio[0].to(device)
        return self._nnaudio[0]
