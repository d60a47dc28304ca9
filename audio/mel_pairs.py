"""Mels that a model made of real clips, beside those clips on disk: what a vocoder is fine-tuned on.

    FOLDER/manifest.json                model, mel contract, kind and seed; one row a clip, with its hash
    FOLDER/mels/FILE_NAME.safetensors   log_mel (variants, n_mels, frames), float16

Frame k of a pair lies where frame k of the clip's own mel lies, so that any crop which begins at a frame border is a
pair too. Mels are made of clips at a peak of 0.9: near the floor of a log-mel a gain cannot be made up for afterwards.
The gain that brought a clip there stands in its pair (`MelPairs.gain`). A pair whose audio has changed, or that another
model made, is stale; it is refused, never used.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from audio.files import file_hash, write_aside
from audio.mel import MelConfig

# 1 made mels of clips as loud as they came.
PAIRS_FORMAT = 2
MANIFEST_NAME = "manifest.json"
HEADER_KEY = "melisma_mel_pair"
TENSOR = "log_mel"


@dataclass(frozen=True)
class PairedClip:
    """A clip that has, or will have, a pair.

    Args:
        file_name: of its audio, within the folder of audio.
        sha256: of its audio.
        split: train, validation or test.
    """

    file_name: str
    sha256: str
    split: str


@dataclass(frozen=True)
class MelPairs:
    """A folder of pairs, as its manifest tells it.

    Args:
        folder: where it lies.
        identity: all that decides the mels but the clips themselves: model, mel contract, kind, seed and settings.
        whole: every clip of its splits was asked for, not a choice of them.
        clips: one row each, by file name.
    """

    folder: Path
    identity: dict[str, Any]
    whole: bool
    clips: dict[str, PairedClip]

    @classmethod
    def open(cls, folder: Path) -> "MelPairs":
        """Read a manifest.

        Raises:
            ValueError: no manifest there, a broken one, or another format.
        """
        path = Path(folder) / MANIFEST_NAME
        if not path.is_file():
            raise ValueError(f"mels: '{folder}' holds no {MANIFEST_NAME}; python -m pipelines.export_mels writes one")
        try:
            page = json.loads(path.read_text(encoding="utf-8"))
            if page["format"] != PAIRS_FORMAT:
                raise ValueError(
                    f"mels: '{folder}' has pairs of format {page['format']}, this version reads {PAIRS_FORMAT}; export "
                    "the mels again, into another folder"
                )
            clips = [PairedClip(**row) for row in page["clips"]]
            MelConfig.from_dict(page["identity"]["mel"])
            return cls(Path(folder), page["identity"], bool(page["whole"]), {clip.file_name: clip for clip in clips})
        except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"mels: '{path}' is broken: {type(error).__name__} {error}") from error

    def save(self) -> None:
        """Write the manifest aside, then rename it.

        Raises:
            ValueError: it cannot be written.
        """
        rows = [asdict(clip) for clip in self.clips.values()]
        page = {"format": PAIRS_FORMAT, "identity": self.identity, "whole": self.whole, "clips": rows}
        with write_aside(self.folder / MANIFEST_NAME) as aside:
            aside.write_text(json.dumps(page, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @property
    def mel(self) -> MelConfig:
        """Contract of the mels."""
        return MelConfig.from_dict(self.identity["mel"])

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the identity."""
        return hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:16]

    def path(self, file_name: str) -> Path:
        """Where the pair of a clip lies."""
        return self.folder / "mels" / f"{file_name}.safetensors"

    def missing(self, file_names: Sequence[str]) -> list[str]:
        """The clips without a pair: not in the manifest, or not yet made."""
        return [name for name in file_names if name not in self.clips or not self.path(name).is_file()]

    def check_audio(self, root: Path, file_names: Sequence[str]) -> None:
        """Refuse pairs whose audio is not what it was.

        Args:
            root: the folder of audio.
            file_names: of clips that have a pair.

        Raises:
            ValueError: names the first clip that has changed.
        """
        changed = [name for name in file_names if file_hash(root / name) != self.clips[name].sha256]
        if changed:
            raise ValueError(
                f"mels: stale pairs, {len(changed)} clips have other audio than '{self.folder}' was made of "
                f"(first {changed[0]}); run python -m pipelines.export_mels again"
            )

    def write(self, file_name: str, log_mel: Tensor, facts: Mapping[str, Any], dtype: torch.dtype) -> None:
        """Write a pair aside, then rename it.

        Args:
            file_name: of the clip, one of `clips`.
            log_mel: `(variants, n_mels, frames)`.
            facts: about its making, plain containers.
            dtype: float16 (wrong by 0.002 nats in the mean) or float32.

        Raises:
            ValueError: it cannot be written.
        """
        header = {
            "format": PAIRS_FORMAT,
            "mel": self.identity["mel"],
            "made_by": self.fingerprint,
            "clip": asdict(self.clips[file_name]),
            "facts": dict(facts),
        }
        with write_aside(self.path(file_name)) as aside:
            save_file({TENSOR: log_mel.to(dtype).contiguous()}, aside, metadata={HEADER_KEY: json.dumps(header)})

    def facts(self, file_name: str) -> dict[str, Any] | None:
        """The facts of a pair; None where there is none, a broken or a stale one."""
        try:
            with safe_open(str(self.path(file_name)), framework="pt") as file:
                header = self._header(file, file_name)
        except (OSError, SafetensorError, ValueError):
            return None
        facts: dict[str, Any] = header["facts"]
        return facts

    def gain(self, file_name: str) -> float:
        """By what a clip's waveform is multiplied to be the one whose mel was made; 1 where the pair names none.

        Raises:
            ValueError: no such pair, a broken or a stale one.
        """
        facts = self.facts(file_name)
        if facts is None:
            raise ValueError(f"mels: '{self.path(file_name)}' is missing, broken or stale; export the mels again")
        return float(facts.get("gain", 1.0))

    def read(self, file_name: str, start: int = 0, frames: int | None = None, variant: int = 0) -> Tensor:
        """A stretch of a pair.

        Args:
            file_name: of the clip.
            start: first frame.
            frames: how many, silence (the log floor) beyond the pair's end; to the end when left out.
            variant: which of its variants; counted round.

        Returns:
            `(n_mels, frames)`, float32.

        Raises:
            ValueError: no such pair, a broken or a stale one.
        """
        try:
            with safe_open(str(self.path(file_name)), framework="pt") as file:
                self._header(file, file_name)
                stored = file.get_slice(TENSOR)
                variants, _, length = stored.get_shape()
                end = length if frames is None else min(length, start + frames)
                found: Tensor = stored[variant % variants, :, min(start, length) : max(min(start, length), end)].float()
        except (OSError, SafetensorError) as error:
            raise ValueError(f"mels: '{self.path(file_name)}' is missing or broken; export the mels again") from error
        beyond = 0 if frames is None else frames - found.shape[1]
        return torch.nn.functional.pad(found, (0, beyond), value=self.mel.log_mel_floor)

    def _header(self, file: Any, file_name: str) -> dict[str, Any]:  # noqa: ANN401
        """The header of an opened pair, checked against the manifest."""
        try:
            header: dict[str, Any] = json.loads((file.metadata() or {})[HEADER_KEY])
            made_by, audio = header["made_by"], header["clip"]["sha256"]
        except (KeyError, json.JSONDecodeError) as error:
            raise ValueError(f"mels: '{self.path(file_name)}' is not a pair of pipelines.export_mels") from error
        if made_by != self.fingerprint or header["mel"] != self.identity["mel"]:
            raise ValueError(f"mels: stale pair of {file_name}: another model or mel made it; export the mels again")
        if file_name not in self.clips or audio != self.clips[file_name].sha256:
            raise ValueError(f"mels: stale pair of {file_name}: its audio has changed; export the mels again")
        return header
