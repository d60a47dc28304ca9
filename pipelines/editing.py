"""What is asked for where a sound is started from instead of from nothing: variation, filling in, going on."""

import hashlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from audio.files import audio_seconds
from audio.mel import MelConfig

DEFAULT_STRENGTH = 0.6
LEAST_STRENGTH = 1e-6
ROUNDED_SECONDS = 0.005
EXTENSIONS = ("extend_before", "extend_after")
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
        for name in EXTENSIONS:
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
        start = 1.0 - (whole if self.strength is None else self.strength)
        # Of less than a solver's time can tell no step is left.
        return 1.0 if start > 1.0 - LEAST_STRENGTH else start

    def on_frames(self, latent_rate: float) -> "Edit":
        """The same with whole latent frames before the source, at least one where any seconds are asked for.

        Latents of the source can lie nowhere else; to round what is asked for keeps the length true.

        Args:
            latent_rate: latent frames a second.
        """
        frames = max(1, round(self.extend_before * latent_rate)) if self.extend_before else 0
        return replace(self, extend_before=frames / latent_rate)

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

    def made(self, seconds: float) -> list[tuple[float, float]]:
        """Seconds that are made anew of a clip of `seconds`, first and last of each stretch; none of a variation."""
        before = [(0.0, self.extend_before)] if self.extend_before else []
        after = [(seconds - self.extend_after, seconds)] if self.extend_after else []
        return [*self.mask, *before, *after]

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
        """What `to_dict` wrote; the hash is for the caller to check.

        Raises:
            ValueError: values that are missing or damaged.
        """
        missing = [name for name in ("init_audio", "strength", "mask", *EXTENSIONS) if name not in values]
        if missing:
            raise ValueError(f"what is told of the edit lacks {', '.join(missing)}: the page is damaged")
        try:
            return cls(
                Path(values["init_audio"]),
                values["strength"],
                tuple((float(start), float(end)) for start, end in values["mask"]),
                float(values["extend_before"]),
                float(values["extend_after"]),
                Path(values["toward"]) if values.get("toward") else None,
            )
        except TypeError as error:
            raise ValueError(f"what is told of the edit is damaged ({error})") from error


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
