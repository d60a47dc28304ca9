"""What an interrupted encoding has already done, so that it need not be done again.

A folder beside the latent file, one safetensors file for some hundred pieces. Each carries the fingerprint of its plan:
all that decides the result. A part of another plan (other weights, audio or options) is done again. One process at a
time works in the folder.
"""

import contextlib
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from audio.files import write_aside
from training.locks import held_folder

PLAN_KEY = "melisma_plan"
LOCK_SECONDS = 10.0


@dataclass(frozen=True)
class Encoded:
    """The posterior of one piece.

    Args:
        mean: `(channels, latent_frames)`, float32.
        std: the same shape.
        inside: how many latent frames lie inside the clip; the rest is its tail.
        brightness: of what was encoded, in Hz, where its spectrum was tilted; 0 elsewhere.
    """

    mean: Tensor
    std: Tensor
    inside: int
    brightness: float = 0.0


class EncodedParts:
    """Finished parts of an encoding.

    Args:
        folder: where they are kept.
        plan: all that decides the result, as JSON knows it.
    """

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder = folder
        self.plan = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()

    def held(self) -> contextlib.AbstractContextManager[None]:
        """Keep other processes out of the folder; see `training.locks.held_folder`."""
        busy = f"another process encodes into '{self.folder}'; stop it, or choose another --out"
        return held_folder(self.folder, LOCK_SECONDS, busy)

    def done(self, number: int) -> bool:
        """Whether a part of this plan is there, by its header alone."""
        try:
            with safe_open(str(self._path(number)), framework="pt") as file:
                return bool((file.metadata() or {}).get(PLAN_KEY) == self.plan)
        except (OSError, SafetensorError):
            return False

    def load(self, number: int) -> list[Encoded]:
        """The pieces of a part that is done."""
        tensors = load_file(self._path(number))
        lengths, inside, brightness = (tensors[name].tolist() for name in ("lengths", "inside", "brightness"))
        means, stds = (torch.split(tensors[name], lengths, dim=1) for name in ("mean", "std"))
        return [Encoded(*row) for row in zip(means, stds, inside, brightness, strict=True)]

    def save(self, number: int, pieces: list[Encoded]) -> None:
        """Keep one part; written aside, then renamed.

        Raises:
            ValueError: it cannot be written.
        """
        tensors = {
            "mean": torch.cat([piece.mean for piece in pieces], dim=1),
            "std": torch.cat([piece.std for piece in pieces], dim=1),
            "lengths": torch.tensor([piece.mean.shape[1] for piece in pieces]),
            "inside": torch.tensor([piece.inside for piece in pieces]),
            "brightness": torch.tensor([piece.brightness for piece in pieces]),
        }
        with write_aside(self._path(number)) as aside:
            save_file(tensors, aside, metadata={PLAN_KEY: self.plan})

    def remove(self) -> None:
        """All of it, once the whole is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.safetensors"
