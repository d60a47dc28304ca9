"""Sound that comes in blocks: files read and written bit by bit, resampled and turned into log-mels on the way.

Whatever the length of a file, only a block of it and the reach of a window are in memory. What comes out is what
`read_audio`, `resample` and `LogMelSpectrogram` make of the whole file.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil, gcd
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from audio.files import SUBTYPES, pcm16, resample, write_aside
from audio.measures import Waveform
from audio.mel import LogMelSpectrogram, MelConfig
from audio.windows import Reach, Windows

# Of `resample`: zero crossings of its sinc to either side, and the share of the band that it keeps.
SINC_WIDTH = 16
SINC_ROLLOFF = 0.99
# New outputs of one window at most.
LARGEST_FRAMES = 512
LARGEST_SAMPLES = 2**17
# A WAV file counts its bytes in 32 bits.
WAV_BYTES = 2**32 - 2**16


def read_blocks(path: Path, seconds: float) -> Iterator[Waveform]:
    """Read a sound file block by block, its channels averaged, at its own rate.

    Args:
        path: any file libsndfile reads.
        seconds: length of a block; the last one is shorter.

    Raises:
        ValueError: the file is unreadable, empty or holds values that are not finite.
    """
    try:
        with soundfile.SoundFile(str(path)) as file:
            samples = max(1, round(seconds * file.samplerate))
            if file.frames == 0:
                raise ValueError(f"{path}: holds no samples")
            for block in file.blocks(samples, dtype="float32", always_2d=True):
                if not np.isfinite(block).all():
                    raise ValueError(f"{path}: holds samples that are not finite")
                yield block.mean(axis=1, dtype=np.float32)
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise ValueError(f"{path}: not a readable sound file ({str(error).splitlines()[0]})") from error


@contextmanager
def write_blocks(path: Path, sample_rate: int) -> Iterator[Callable[[Waveform], None]]:
    """Write a sound file block by block, aside; it gets its name when all is written.

    Args:
        path: the suffix (.wav, .flac, .ogg) chooses the format; wav and flac are 16 bit.
        sample_rate: in Hz.

    Yields:
        a function that appends samples, mono; beyond [-1, 1] they are cut.

    Raises:
        ValueError: an unknown suffix, samples that are not finite, more than a WAV file can hold, or a folder that
            cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in SUBTYPES:
        raise ValueError(f"out: expected a name that ends in .wav, .flac or .ogg, got '{path.name}'")
    written = 0
    with write_aside(path) as aside:
        try:
            with soundfile.SoundFile(str(aside), "w", sample_rate, 1, SUBTYPES[kind], format=kind.upper()) as file:

                def append(samples: Waveform) -> None:
                    nonlocal written
                    if not np.isfinite(samples).all():
                        raise ValueError(f"{path}: refused to write samples that are not finite")
                    written += len(samples)
                    if kind == "wav" and 2 * written > WAV_BYTES:
                        raise ValueError(f"out: a WAV file holds 4 GB, {path.name} would grow beyond; write .flac")
                    file.write(np.clip(samples, -1.0, 1.0) if kind == "ogg" else pcm16(samples))

                yield append
        except soundfile.LibsndfileError as error:
            raise ValueError(f"{path}: cannot be written ({error.error_string}); is the disk full?") from error


def streaming_front_end(mel: MelConfig, block_frames: int = 1) -> Windows:
    """The log-mel of samples `(batch, samples)` that come in chunks, `(batch, n_mels, frames)`.

    Args:
        mel: the contract.
        block_frames: new frames for which a window is computed.
    """
    hop = mel.hop_length
    reach = Reach(
        input_ticks=2,
        output_ticks=2 * hop,
        # One sample more than half a window: the last frame of framing "centred" reflects so far.
        reach=mel.n_fft + 2,
        input_offset=1,
        output_offset=hop if mel.framing == "same" else 0,
        alignment=hop,
    )
    return Windows(LogMelSpectrogram(mel), reach, block_frames, LARGEST_FRAMES, mel.num_frames)


def streaming_resampler(source_rate: int, target_rate: int, block_samples: int = 1) -> Windows:
    """`audio.files.resample` of samples `(1, samples)` that come in chunks.

    Args:
        source_rate: in Hz.
        target_rate: in Hz.
        block_samples: new samples for which a window is computed.
    """
    divisor = gcd(source_rate, target_rate)
    source, target = source_rate // divisor, target_rate // divisor
    width = ceil(SINC_WIDTH * source / (SINC_ROLLOFF * min(source, target)))
    reach = Reach(input_ticks=target, output_ticks=source, reach=(width + 1) * target, alignment=source)

    def convert(samples: Tensor) -> Tensor:
        return torch.from_numpy(resample(samples[0].numpy(), source, target))[None]

    return Windows(convert, reach, block_samples, LARGEST_SAMPLES)
