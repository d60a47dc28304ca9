"""Starting from a sound instead of from nothing: variation, filling in, going on.

All three are one thing: latents of a source on a canvas, a mask of the frames that are kept, and the time at which the
solver starts. At strength 0 the start is the end: the source's reconstruction comes back. At strength 1 it is noise.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from audio.files import audio_rate, audio_seconds, read_audio
from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.model import MelVAE
from latent_diffusion.model import LatentDiffusion
from training.command import say

DEFAULT_STRENGTH = 0.6
ROUNDED_SECONDS = 0.005
EDGE_FRAMES = 4
Regions = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Edit:
    """What to do with a sound.

    Args:
        init_audio: the sound file.
        strength: 0 gives back the source's reconstruction, 1 a new sound; 0.6 when left out, 1 inside a mask.
        mask: regions in seconds that are made anew; all else is kept.
        extend_before: seconds to make before it.
        extend_after: seconds to make after it.
        toward: another sound file, which the last clip of a morph starts from.

    Raises:
        ValueError: numbers out of range, overlapping regions, or settings that contradict each other.
    """

    init_audio: Path
    strength: float | None = None
    mask: Regions = ()
    extend_before: float = 0.0
    extend_after: float = 0.0
    toward: Path | None = None

    def __post_init__(self) -> None:
        """Check the numbers and that they go together."""
        if self.strength is not None and not 0.0 <= self.strength <= 1.0:
            raise ValueError(f"strength: expected 0 to 1, got {self.strength}")
        for name in ("extend_before", "extend_after"):
            if not 0.0 <= getattr(self, name) <= 600.0:
                raise ValueError(f"{name}: expected 0 to 600 seconds, got {getattr(self, name)}")
        if self.mask and self.extends:
            raise ValueError("mask and extend_before/extend_after contradict each other: give one or the other")
        if self.extends and self.strength is not None:
            raise ValueError("strength and extend_before/extend_after contradict each other: what is added is all new")
        if self.toward is not None and (self.mask or self.extends):
            raise ValueError("morph contradicts mask and extend_before/extend_after: give one or the other")
        if self.mask and self.strength == 0.0:
            raise ValueError("mask and strength 0 contradict each other: nothing would be made anew")
        for start, end in self.mask:
            if not 0.0 <= start < end:
                raise ValueError(f"mask: expected a start of at least 0 and a later end, got {start:g}:{end:g}")
        for (_, end), (start, _) in zip(sorted(self.mask), sorted(self.mask)[1:], strict=False):
            if start < end:
                raise ValueError(f"mask: regions overlap at {start:g} s; join them to one")

    @property
    def extends(self) -> bool:
        """Whether something is made before or after the source."""
        return bool(self.extend_before or self.extend_after)

    @property
    def option(self) -> str:
        """The option that names its files."""
        return "init_audio" if self.toward is None else "morph"

    @property
    def start_time(self) -> float:
        """Where the solver starts: 0 is noise, 1 the source itself."""
        whole = 1.0 if self.mask or self.extends else DEFAULT_STRENGTH
        return 1.0 - (whole if self.strength is None else self.strength)

    def seconds(self) -> float:
        """Length of what comes out.

        Raises:
            ValueError: an unreadable file, or regions beyond its end.
        """
        own = known_seconds(self.init_audio, self.option)
        for start, end in self.mask:
            # A length that was read off a display is rounded; frames are wider than this.
            if end > own + ROUNDED_SECONDS or start >= own:
                whole = math.floor(own * 1000.0) / 1000.0
                raise ValueError(
                    f"mask: {start:g}:{end:g} lies beyond the end of '{self.init_audio}', which is at {whole:.3f} s"
                )
        longest = own if self.toward is None else max(own, known_seconds(self.toward, self.option))
        return self.extend_before + longest + self.extend_after

    def to_dict(self) -> dict[str, Any]:
        """Plain containers, with the hash of the file."""
        return {
            "init_audio": str(self.init_audio.resolve()),
            "sha256": file_sha256(self.init_audio),
            "strength": self.strength,
            "mask": [list(region) for region in self.mask],
            "extend_before": self.extend_before,
            "extend_after": self.extend_after,
            "toward": str(self.toward.resolve()) if self.toward else None,
            "toward_sha256": file_sha256(self.toward) if self.toward else None,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Edit":
        """What `to_dict` wrote; the hash is for the caller to check."""
        return cls(
            Path(values["init_audio"]),
            values["strength"],
            tuple((float(start), float(end)) for start, end in values["mask"]),
            values["extend_before"],
            values["extend_after"],
            Path(values["toward"]) if values.get("toward") else None,
        )


@dataclass(frozen=True)
class Canvas:
    """Latents to start from.

    Args:
        latents: raw, `(1, channels, latent_frames)`; silence where there is no source.
        toward: the same of the sound that a morph leads to, if any.
        kept: `(1, latent_frames)`, True where they come out as they went in.
        start_time: where the solver starts.
    """

    latents: Tensor
    toward: Tensor | None
    kept: Tensor
    start_time: float

    def rows(self, places: Sequence[float]) -> tuple[Tensor, Tensor | None, float]:
        """Latents of clips that lie so far on the way of a morph, which frames are kept (None where none are), when."""
        kept = self.kept.expand(len(places), -1) if bool(self.kept.any()) else None
        latents = self.latents.repeat(len(places), 1, 1)
        if self.toward is not None:
            latents = torch.lerp(latents, self.toward, torch.tensor(places).to(latents)[:, None, None])
        return latents, kept, self.start_time


def check_source(edit: Edit, mel: MelConfig) -> None:
    """Refuse sounds too short for the mel.

    Raises:
        ValueError: names the file, its length and what is needed.
    """
    for path in (edit.init_audio, edit.toward):
        if path is not None:
            check_samples(path, round(known_seconds(path, edit.option) * mel.sample_rate), mel, edit.option)


def check_samples(path: Path, samples: int, mel: MelConfig, option: str) -> None:
    """Refuse fewer samples than a mel needs.

    Raises:
        ValueError: names the file, its length and what is needed.
    """
    if samples < mel.minimum_samples:
        raise ValueError(
            f"{option}: '{path}' holds {samples / mel.sample_rate:.4f} s, "
            f"expected at least {mel.minimum_samples / mel.sample_rate:.4f}"
        )


def known_seconds(path: Path, option: str = "init_audio") -> float:
    """Length of a sound file, which an option names.

    Raises:
        ValueError: unreadable, or without samples.
    """
    seconds = audio_seconds(path)
    if not seconds:
        raise ValueError(f"{option}: '{path}' holds no samples")
    return seconds


def file_sha256(path: Path, option: str = "init_audio") -> str:
    """Of the bytes of a file, which an option names.

    Raises:
        ValueError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ValueError(f"{option}: cannot read '{path}' ({(error.strerror or str(error)).lower()})") from error


@torch.inference_mode()
def open_canvas(settings: Mapping[str, Any], autoencoder: MelVAE, diffusion: LatentDiffusion) -> Canvas | None:
    """Encode the source of settled settings and lay it where it belongs; None where there is none.

    Args:
        settings: of `pipelines.settling.settle`.
        autoencoder: encodes.
        diffusion: says how many latent frames a length has.

    Raises:
        ValueError: an unreadable file, or one too short for the mel.
    """
    if settings["edit"] is None:
        return None
    edit, spec = Edit.from_dict(settings["edit"]), diffusion.spec
    frames = spec.num_latent_frames(settings["seconds"])
    offset = min(round(edit.extend_before * spec.latent_rate), frames - 1)

    def laid(path: Path) -> tuple[Tensor, int]:
        source = encoded(path, autoencoder, edit.option, goes_on=edit.extend_after > 0.0)
        length = min(source.shape[-1], frames - offset)
        latents = torch.tensor(spec.silence, device=source.device)[None, :, None].repeat(1, 1, frames)
        latents[..., offset : offset + length] = source[..., :length]
        return latents, length

    latents, length = laid(edit.init_audio)
    toward = laid(edit.toward)[0] if edit.toward else None
    kept = torch.zeros(1, frames, dtype=torch.bool, device=latents.device)
    if edit.extends:
        # Where a source breaks off, its last frames know no better than the mirror image behind it: they are made anew.
        edge = EDGE_FRAMES if edit.extend_after and length > 2 * EDGE_FRAMES else 0
        kept[:, offset : offset + length - edge] = True
    elif edit.mask:
        kept[:] = True
        for start, end in edit.mask:
            kept[:, math.floor(start * spec.latent_rate) : math.ceil(end * spec.latent_rate)] = False
    return Canvas(latents, toward, kept, edit.start_time)


def encoded(
    path: Path,
    autoencoder: MelVAE,
    option: str = "init_audio",
    longest_seconds: float | None = None,
    goes_on: bool = False,
) -> Tensor:
    """A sound file as raw latents, `(1, channels, latent_frames)`; says so where it is resampled.

    Args:
        path: of the file.
        autoencoder: encodes.
        option: that names it.
        longest_seconds: read no more than so much.
        goes_on: the encoder, which sees beyond the end of a file, finds its mirror image there and not silence. Where a
            sound breaks off it would write down that it ends, and what is made after it would begin anew.

    Raises:
        ValueError: an unreadable file, or one too short for the mel.
    """
    mel, own_rate = autoencoder.mel, audio_rate(path)
    waveform, _ = read_audio(path, mel.sample_rate, seconds=longest_seconds)
    check_samples(path, len(waveform), mel, option)
    if own_rate != mel.sample_rate:
        say(f"'{path}' has {own_rate} Hz and is brought to {mel.sample_rate} Hz")
    device = next(autoencoder.parameters()).device
    signal = torch.from_numpy(waveform)[None]
    unit = mel.hop_length * autoencoder.config.frames_per_latent
    latent_frames = -(-len(waveform) // unit)
    if goes_on:
        beyond = unit * (latent_frames + 1) + autoencoder.encoder_reach() * mel.hop_length + mel.n_fft - len(waveform)
        signal = mirrored(signal, beyond)
    log_mel = LogMelSpectrogram(mel).to(device)(signal.to(device))
    latents = autoencoder.encode(log_mel).mean.float()
    return latents[..., :latent_frames] if goes_on else latents


def mirrored(waveform: Tensor, samples: int) -> Tensor:
    """`(1, length)` followed by so many samples of its mirror image, back and forth where it is shorter than that."""
    length = waveform.shape[-1]
    place = torch.arange(length + samples) % (2 * length)
    return waveform[:, torch.minimum(place, 2 * length - 1 - place)]
