"""What a vocoder is: anything with a mel contract and a `decode`.

The two members are the whole interface, so a class from any package swaps in by its import path. The method is not
`__call__`, because jsonargparse takes a callable protocol for a function and refuses class paths.
"""

from typing import Protocol, runtime_checkable

from torch import Tensor

from audio.mel import MelConfig

MEMBERS = ("mel", "decode")


@runtime_checkable
class Vocoder(Protocol):
    """A log-mel in, its waveform out."""

    mel: MelConfig

    def decode(self, log_mel: Tensor) -> Tensor:
        """Make sound.

        Args:
            log_mel: `(batch, n_mels, frames)` of contract `mel`, natural log.

        Returns:
            waveform `(batch, mel.num_samples(frames))`.
        """
        ...


def check_log_mel(log_mel: Tensor, mel: MelConfig) -> None:
    """Refuse what is not a log-mel of this contract.

    Args:
        log_mel: what came.
        mel: the contract.

    Raises:
        ValueError: a wrong shape, frames and bins swapped, whole numbers, too few frames, NaN or infinity.
    """
    shape = tuple(log_mel.shape)
    if log_mel.dim() != 3:
        raise ValueError(f"log_mel: expected (batch, {mel.n_mels} bins, frames), got shape {shape}")
    if shape[1] != mel.n_mels:
        swapped = "; frames and bins are swapped" if shape[2] == mel.n_mels else ""
        raise ValueError(f"log_mel: expected (batch, {mel.n_mels} bins, frames), got shape {shape}{swapped}")
    if not log_mel.is_floating_point():
        raise ValueError(f"log_mel: expected floating-point values, got {log_mel.dtype}")
    if shape[0] < 1 or mel.num_samples(shape[2]) < 1:
        raise ValueError(f"log_mel: expected at least one clip and one hop of sound, got shape {shape}")
    if not bool(log_mel.isfinite().all()):
        raise ValueError("log_mel: expected finite values, got NaN or infinity")
