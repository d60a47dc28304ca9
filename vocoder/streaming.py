"""A vocoder that speaks while it listens: chunks of any size in, sound out, the same as decoded whole.

A sample hears the frames whose middles lie within R / 2 of it, R being `receptive_field()`. So after n frames

    hop (n + f - R / 2)      f = 1/2 in framing "same", 0 in "centred"

samples are settled, and no frame to come can change them. A window begins R / 2 frames before the first sample that is
still to be given, moved back to a multiple of `frame_alignment`. Its edges are reflected and its outer overlap-adds
incomplete; that lies within R / 2 of them and is cut away.

Each window decodes R frames beyond those it settles, which is the price of small blocks (`block_frames`).
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from audio.mel import MelConfig
from audio.windows import Reach, Windows
from vocoder.base import Vocoder

# A tenth of a second at 44.1 kHz and hop 512: at 70 frames of overlap, every frame is decoded ten times.
BLOCK_FRAMES = 8
# New frames of a window, where a chunk brings many.
LARGEST_BLOCK = 256


@runtime_checkable
class StreamableVocoder(Protocol):
    """A vocoder that knows how far it hears. `frame_alignment` may be left out; it is then 1."""

    mel: MelConfig

    def decode(self, log_mel: Tensor) -> Tensor:
        """Make sound; see `vocoder.base.Vocoder`."""
        ...

    def receptive_field(self) -> int:
        """Frames on which one sample depends, half of them to either side of it."""
        ...


class StreamingVocoder:
    """Decodes a log-mel that comes in chunks.

    Args:
        vocoder: anything with `mel`, `decode` and `receptive_field()`.
        block_frames: new frames for which a window is decoded; 1 gives every sample as early as can be, and is dear.

    Raises:
        ValueError: a vocoder that hears the whole clip, or a block of no frames.
    """

    def __init__(self, vocoder: Vocoder, block_frames: int = BLOCK_FRAMES) -> None:
        self.mel = vocoder.mel
        self._windows = vocoder_windows(vocoder, block_frames)
        self._empty = torch.zeros(1, 0)

    @property
    def kept_frames(self) -> int:
        """Frames that are held back now."""
        return self._windows.kept

    @property
    def first_frames(self) -> int:
        """Frames without which the first sample cannot be known."""
        return self._windows.reach.needed(1)

    def push(self, log_mel: Tensor) -> Tensor:
        """Take further frames.

        Args:
            log_mel: `(batch, n_mels, frames)`, any number of frames, the same batch in every chunk.

        Returns:
            the samples `(batch, samples)` that are settled and not yet given, perhaps none.

        Raises:
            ValueError: another shape, values that are not finite, or a stream that was finished.
        """
        bins = self.mel.n_mels
        if log_mel.dim() != 3 or log_mel.shape[1] != bins:
            raise ValueError(f"log_mel: expected (batch, {bins} bins, frames), got shape {tuple(log_mel.shape)}")
        if not bool(log_mel.isfinite().all()):
            raise ValueError("log_mel: expected finite values, got NaN or infinity")
        pieces = self._windows.push(log_mel)
        self._empty = log_mel.new_zeros(log_mel.shape[0], 0)
        return torch.cat([self._empty, *pieces], dim=-1)

    def finish(self) -> Tensor:
        """The samples that waited for the end, `(batch, samples)`.

        Raises:
            ValueError: no frames were pushed, or too few for one hop of sound.
        """
        return torch.cat([self._empty, *self._windows.finish()], dim=-1)


def vocoder_windows(
    vocoder: Vocoder, block_frames: int = BLOCK_FRAMES, decode: Callable[[Tensor], Tensor] | None = None
) -> Windows:
    """The windows of a vocoder, for a chain of such.

    Args:
        vocoder: anything with `mel`, `decode` and `receptive_field()`.
        block_frames: new frames for which a window is decoded.
        decode: stands for the vocoder's own; it treats every frame alike before it decodes.

    Raises:
        ValueError: a vocoder that hears the whole clip, or a block of no frames.
    """
    if block_frames < 1:
        raise ValueError(f"block_frames: expected at least 1, got {block_frames}")
    hop = vocoder.mel.hop_length
    return Windows(decode or vocoder.decode, vocoder_reach(vocoder), block_frames * hop, LARGEST_BLOCK * hop)


def vocoder_reach(vocoder: Vocoder) -> Reach:
    """Where a vocoder's samples lie among its frames, in half samples.

    Raises:
        ValueError: the vocoder does not say how far it hears.
    """
    if not isinstance(vocoder, StreamableVocoder):
        raise ValueError(
            f"vocoder {type(vocoder).__name__} cannot be streamed: it has no receptive_field(), so a sample may "
            "depend on the whole clip; take one with a finite reach, such as the bundle's own"
        )
    mel = vocoder.mel
    return Reach(
        input_ticks=2 * mel.hop_length,
        output_ticks=2,
        reach=vocoder.receptive_field() * mel.hop_length,
        input_offset=mel.hop_length if mel.framing == "same" else 0,
        output_offset=1,
        alignment=getattr(vocoder, "frame_alignment", 1),
    )
