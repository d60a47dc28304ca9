"""Latents on disk: what stage 1 made of a folder, and all that stage 2 needs to know about it.

A latent file is one safetensors file. Its tensors are the posterior means and standard deviations of all clips, laid
end to end along time; its header holds, as JSON, a `LatentSpec` and one row a clip.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from audio.files import write_aside
from audio.mel import MelConfig

LATENTS_FORMAT = 1
HEADER_KEY = "melisma_latents"


@dataclass(frozen=True)
class LatentSpec:
    """What a latent means: which encoder made it, of which mel, and how to whiten it.

    Args:
        channels: numbers per latent frame.
        frames_per_latent: mel frames that one latent frame covers.
        mean: per channel, over all frames of the training clips.
        std: per channel, the same.
        mel: contract of the mel that was encoded.
        encoder_fingerprint: of the encoder's weights; latents of another encoder are stale.
        silence: the latent frame of digital silence, per channel (raw), used to pad clips in time.
        gains: per channel, how far the decoded log-mel moves when it moves by one standard deviation, in nats (root
            mean square); empty where it was not measured.
    """

    channels: int
    frames_per_latent: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mel: MelConfig
    encoder_fingerprint: str
    silence: tuple[float, ...]
    gains: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the statistics: forgotten ones must not pass."""
        for name in ("mean", "std", "silence"):
            values = tuple(float(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)
            if len(values) != self.channels or not torch.tensor(values).isfinite().all():
                raise ValueError(f"LatentSpec.{name}: expected {self.channels} finite numbers, got {values}")
        if min(self.std) <= 0.0:
            raise ValueError("LatentSpec.std: expected positive numbers")
        object.__setattr__(self, "gains", tuple(float(value) for value in self.gains))
        if self.gains and (len(self.gains) != self.channels or not min(self.gains) > 0.0):
            raise ValueError(f"LatentSpec.gains: expected {self.channels} positive numbers or none, got {self.gains}")

    @property
    def latent_rate(self) -> float:
        """Latent frames per second."""
        return self.mel.frame_rate / self.frames_per_latent

    def num_latent_frames(self, seconds: float) -> int:
        """Latent frames that cover `seconds`, rounded up; counted in whole samples, as clips are."""
        samples = round(seconds * self.mel.sample_rate)
        return max(1, -(-samples // (self.mel.hop_length * self.frames_per_latent)))

    def whiten(self, latents: Tensor) -> Tensor:
        """Raw latents `(batch, channels, latent_frames)` to zero mean, unit variance per channel."""
        mean, std = self._statistics(latents)
        return (latents - mean) / std

    def unwhiten(self, latents: Tensor) -> Tensor:
        """The inverse of `whiten`."""
        mean, std = self._statistics(latents)
        return latents * std + mean

    def _statistics(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        if latents.dim() != 3 or latents.shape[1] != self.channels:
            raise ValueError(f"latents: expected (batch, {self.channels}, frames), got {tuple(latents.shape)}")
        mean = torch.tensor(self.mean, device=latents.device, dtype=latents.dtype)
        std = torch.tensor(self.std, device=latents.device, dtype=latents.dtype)
        return mean[:, None], std[:, None]

    def to_dict(self) -> dict[str, Any]:
        """Plain containers."""
        values = asdict(self)
        values |= {name: list(values[name]) for name in ("mean", "std", "silence", "gains")}
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "LatentSpec":
        """The inverse of `to_dict`.

        Raises:
            ValueError: a missing or unknown field.
        """
        try:
            return cls(**{**values, "mel": MelConfig.from_dict(values["mel"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"latent description: missing or unknown field ({error})") from error


@dataclass(frozen=True)
class LatentClip:
    """One encoded clip (or one crop or gain of it).

    Args:
        start: first latent frame inside the file's tensors.
        frames: number of latent frames.
        captions: of the clip.
        numbers: pitch, loudness, brightness, seconds, where known.
        label: fine class.
        family: coarse class.
        source: where the clip came from.
        rendered: made by a synthesiser.
        split: train, validation or test.
        file_name: of the clip, within its folder.
        gain_db: by which its level was changed; its loudness counts this in.
        tilt_db: an octave, by which its spectrum was tilted; its brightness counts this in.
    """

    start: int
    frames: int
    captions: tuple[str, ...]
    numbers: dict[str, float]
    label: str
    family: str
    source: str
    rendered: bool
    split: str
    file_name: str
    gain_db: float = 0.0
    tilt_db: float = 0.0

    def sound_frames(self, latent_rate: float) -> int:
        """Latent frames of the sound itself: behind it lies silence, as far as an encoder still hears the sound."""
        seconds = self.numbers.get("seconds")
        return self.frames if seconds is None else min(self.frames, max(1, math.ceil(seconds * latent_rate)))


@dataclass(frozen=True)
class LatentFile:
    """The whole of a latent file in memory.

    Args:
        spec: how to read the numbers.
        clips: one row each.
        mean: posterior means, `(channels, all_frames)`, float16 or float32.
        std: posterior standard deviations, the same shape.
        lineage: what made it: fingerprints of autoencoder and data, licences.
    """

    spec: LatentSpec
    clips: tuple[LatentClip, ...]
    mean: Tensor
    std: Tensor
    lineage: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write aside, then rename.

        Raises:
            ValueError: the file cannot be written.
        """
        header = {
            "format": LATENTS_FORMAT,
            "spec": self.spec.to_dict(),
            "clips": [asdict(clip) for clip in self.clips],
            "lineage": self.lineage,
        }
        tensors = {"mean": self.mean.contiguous(), "std": self.std.contiguous()}
        with write_aside(path) as aside:
            save_file(tensors, aside, metadata={HEADER_KEY: json.dumps(header)})

    @classmethod
    def load(cls, path: Path) -> "LatentFile":
        """Read a latent file.

        Raises:
            ValueError: missing, truncated or foreign file, or a newer format.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                header = json.loads((file.metadata() or {})[HEADER_KEY])
                mean, std = file.get_tensor("mean"), file.get_tensor("std")
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(f"'{path}' is not a latent file written by autoencoder.encode") from error
        if header["format"] > LATENTS_FORMAT:
            raise ValueError(f"'{path}' has latent format {header['format']}, this version reads {LATENTS_FORMAT}")
        clips = tuple(LatentClip(**{**row, "captions": tuple(row["captions"])}) for row in header["clips"])
        return cls(LatentSpec.from_dict(header["spec"]), clips, mean, std, header["lineage"])
