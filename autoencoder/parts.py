"""What an interrupted encoding has already done, so that it need not be done again.

A folder beside the latent file, one safetensors file for some hundred pieces, and a page that says of what. A page of
another plan (other weights, another folder, other options) empties the folder.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from audio.files import write_aside

PAGE = "plan.json"


@dataclass(frozen=True)
class Encoded:
    """The posterior of one piece.

    Args:
        mean: `(channels, latent_frames)`, float32.
        std: the same shape.
        inside: how many latent frames lie inside the clip; the rest is its tail.
    """

    mean: Tensor
    std: Tensor
    inside: int


class EncodedParts:
    """Finished parts of an encoding.

    Args:
        folder: where they are kept.
        plan: all that decides the result, as JSON knows it.

    Raises:
        ValueError: the folder cannot be written.
    """

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder = folder
        page = json.dumps(plan, sort_keys=True)
        known = folder / PAGE
        if known.is_file() and known.read_text(encoding="utf-8") == page:
            return
        shutil.rmtree(folder, ignore_errors=True)
        with write_aside(known) as aside:
            aside.write_text(page, encoding="utf-8")

    def load(self, number: int) -> list[Encoded] | None:
        """The pieces of one part; None where it is not done."""
        try:
            tensors = load_file(self._path(number))
        except (OSError, SafetensorError):
            return None
        lengths, inside = (tensors[name].tolist() for name in ("lengths", "inside"))
        means, stds = (torch.split(tensors[name], lengths, dim=1) for name in ("mean", "std"))
        return [Encoded(*row) for row in zip(means, stds, inside, strict=True)]

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
        }
        with write_aside(self._path(number)) as aside:
            save_file(tensors, aside)

    def remove(self) -> None:
        """All of it, once the whole is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05d}.safetensors"
