"""What every generator of ours has in common: built from a mel and its sizes, stored and loaded the same way.

Three are trained here: Vocos with the pseudo-inverse prior, plain Vocos (`vocoder.vocos`), and an upsampling network
(`vocoder.upsampling`). `vocoder.generators` chooses among them by what a checkpoint says.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from audio.mel import MelConfig
from training.checkpoint import StageRecord, load_stage, load_weights
from vocoder.base import check_log_mel

KIND = "vocoder"


class Generator(nn.Module, ABC):
    """A vocoder that is trained here. It is a `vocoder.base.Vocoder`, with sizes, a record and a finite reach.

    Args:
        mel: the contract it decodes.
        record: of the checkpoint it came from.
    """

    def __init__(self, mel: MelConfig, record: StageRecord | None = None) -> None:
        super().__init__()
        self.mel = mel
        self.record = record

    @classmethod
    @abstractmethod
    def from_config(cls, config: dict[str, Any], record: StageRecord | None = None) -> Self:
        """Build the network that `to_config` described, with fresh weights.

        Raises:
            ValueError: sizes that cannot be built.
            KeyError: mel or network are missing.
            TypeError: sizes that this version does not know.
        """

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """Mel and network as plain containers, the `config` of a stage record."""

    @abstractmethod
    def receptive_field(self) -> int:
        """Frames on which one sample of the output depends at most."""

    @property
    def frame_alignment(self) -> int:
        """A window cut out of a longer mel decodes alike where it begins at a multiple of this many frames."""
        return 1

    @abstractmethod
    def forward(self, log_mel: Tensor) -> Tensor:
        """Waveform `(batch, samples)` of `(batch, n_mels, frames)`, unchecked and differentiable."""

    @classmethod
    def from_checkpoint(cls, path: Path) -> Self:
        """Load a Lightning checkpoint or a released safetensors file, ready to decode.

        Raises:
            ValueError: the file is missing, broken, not a vocoder of ours or of another kind of generator.
        """
        record, weights = load_stage(Path(path), KIND)
        return cls.from_stage(record, weights, Path(path))

    @classmethod
    def from_stage(cls, record: StageRecord, weights: dict[str, Tensor], path: Path) -> Self:
        """Build what a record describes and give it its weights, ready to decode.

        Args:
            record: of the file.
            weights: of the file.
            path: its name, for messages.

        Raises:
            ValueError: the record lacks mel or network, or the weights do not fit.
        """
        try:
            generator = cls.from_config(record.config, record)
        except (KeyError, TypeError) as error:
            raise ValueError(f"'{path}': the stage record lacks mel or network ({error})") from error
        load_weights(generator, weights, path)
        return generator.eval()

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
        waveform: Tensor = self(log_mel)
        return waveform.float()
