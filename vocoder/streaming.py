"""A vocoder that speaks while it listens: chunks of any size in, sound out, the same as decoded whole.

A sample hears the frames whose middles lie within R / 2 of it, R being `receptive_field()`. So after n frames

    hop (n + f - R / 2)      f = 1/2 in framing "same", 0 in "centred"

samples are settled, and no frame to come can change them. A window begins R / 2 frames before the first sample that is
still to be given, moved back to a multiple of `frame_alignment`. Its edges are reflected and its outer overlap-adds
incomplete; that lies within R / 2 of them and is cut away.

Whether a mel is in nats is asked of the first window only, and there only of most of its cells: the share by which
`vocoder.base.check_log_mel` judges a clip is that of the whole, which no window knows, and what the whole decode
accepts no window may refuse. Clamping at the floor would be no way out, it would change the sound.

Each window decodes R frames beyond those it settles, which is the price of small blocks (`block_frames`).
"""

from collections.abc import Callable
from numbers import Integral
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from audio.mel import MelConfig
from audio.windows import Reach, Windows
from vocoder.base import Vocoder, check_log_mel
from vocoder.checked import decode_checked
from vocoder.generator import Generator

# A tenth of a second at 44.1 kHz and hop 512: at 70 frames of overlap, every frame is decoded ten times.
BLOCK_FRAMES = 8
# New frames of a window, where a chunk brings many.
LARGEST_BLOCK = 256
# Half of a window so far below the floor is in decibels; an autoencoder paints a nat or two below it.
DECIBELS_BELOW_FLOOR = 10.0


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
            ValueError: another shape, values that are not finite or in decibels, a stream that was finished, or a
                vocoder that answers with something else than a waveform of the right length.
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
    vocoder: Vocoder, block_frames: int = BLOCK_FRAMES, prepare: Callable[[Tensor], Tensor] | None = None
) -> Windows:
    """The windows of a vocoder, for a chain of such.

    Args:
        vocoder: anything with `mel`, `decode` and `receptive_field()`.
        block_frames: new frames for which a window is decoded.
        prepare: what is done to a log-mel before it is decoded, to every frame alike.

    Raises:
        ValueError: a vocoder that hears the whole clip or does not say how far it hears, or a block of no frames.
    """
    if block_frames < 1:
        raise ValueError(f"block_frames: expected at least 1, got {block_frames}")
    hop = vocoder.mel.hop_length
    reach, decode = vocoder_reach(vocoder), WindowDecoder(vocoder, prepare)
    return Windows(decode, reach, block_frames * hop, LARGEST_BLOCK * hop, vocoder.mel.num_samples)


class WindowDecoder:
    """Decodes one window after the other and looks at what comes.

    Generators of ours are asked without the check of a whole clip's scale; a foreign class is asked as it is.

    Args:
        vocoder: anything with `mel` and `decode`.
        prepare: what is done to a window before it is decoded.
    """

    def __init__(self, vocoder: Vocoder, prepare: Callable[[Tensor], Tensor] | None) -> None:
        self.vocoder = vocoder
        self.prepare = prepare
        self._own = vocoder if isinstance(vocoder, Generator) else None
        self._judged = False

    def __call__(self, log_mel: Tensor) -> Tensor:
        """Waveform `(batch, samples)` of a window `(batch, n_mels, frames)`.

        Raises:
            ValueError: the first window is in decibels, or the vocoder fails or answers with something else.
        """
        window = log_mel if self.prepare is None else self.prepare(log_mel)
        if not self._judged:
            self._judge(window)
        if self._own is None:
            return decode_checked(self.vocoder, window)
        own = self._own

        def unjudged(log_mel: Tensor) -> Tensor:
            # One value all over says nothing of its scale: shape, type and finiteness are looked at.
            check_log_mel(log_mel * 0.0, own.mel)
            waveform: Tensor = own(log_mel)
            return waveform.float()

        return decode_checked(own, window, decode=torch.no_grad()(unjudged))

    def _judge(self, window: Tensor) -> None:
        mel, middle = self.vocoder.mel, float(window.median())
        if middle < mel.log_mel_floor - DECIBELS_BELOW_FLOOR:
            raise ValueError(
                f"log_mel: expected natural logarithms, which end at ln({mel.log_floor:g}) = {mel.log_mel_floor:.1f}, "
                f"got half of the first window below {middle:.1f}: these look like decibels; multiply by ln(10) / 20"
            )
        self._judged = True


def vocoder_reach(vocoder: Vocoder) -> Reach:
    """Where a vocoder's samples lie among its frames, in half samples.

    Raises:
        ValueError: the vocoder does not say how far it hears, or not in whole frames.
    """
    name = type(vocoder).__name__
    if not isinstance(vocoder, StreamableVocoder):
        raise ValueError(
            f"vocoder {name} cannot be streamed: it has no receptive_field(), so a sample may "
            "depend on the whole clip; take one with a finite reach, such as the bundle's own"
        )
    if not callable(vocoder.receptive_field):
        came = type(vocoder.receptive_field).__name__
        raise ValueError(f"vocoder {name}: expected a method receptive_field(), got an attribute, {came}")
    frames = _whole(vocoder.receptive_field(), f"vocoder {name}: receptive_field()")
    mel, centred = vocoder.mel, vocoder.mel.framing == "centred"
    return Reach(
        input_ticks=2 * mel.hop_length,
        output_ticks=2,
        # Between two middles of frames there is sound only once both are there.
        reach=max(frames, 2 if centred else 1) * mel.hop_length,
        input_offset=0 if centred else mel.hop_length,
        output_offset=1,
        alignment=_whole(getattr(vocoder, "frame_alignment", 1), f"vocoder {name}: frame_alignment"),
    )


def _whole(value: object, what: str) -> int:
    """A number of frames.

    Raises:
        ValueError: not a positive whole number.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{what}: expected a positive whole number of frames, got {value!r}")
    return int(value)
