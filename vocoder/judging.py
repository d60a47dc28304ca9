"""The yardstick on one whole clip: a vocoder and Griffin-Lim decode the same mel.

Clips are peak-normalised to 0.9 and never padded; what a vocoder cannot return of the last, incomplete hop is left out
of the comparison on both sides.
"""

import time
from dataclasses import dataclass

from torch import Tensor

from audio.distances import YARDSTICK_SCALES, multi_scale_mel_distance, normalise_peak
from audio.mel import LogMelSpectrogram, MelConfig
from vocoder.base import Vocoder

# The largest window of the yardstick must fit into what is decoded, with its reflected edges.
SHORTEST_SAMPLES = max(n_fft for n_fft, _, _ in YARDSTICK_SCALES)


@dataclass(frozen=True)
class Decoded:
    """One clip, decoded.

    Args:
        waveform: `(1, samples)`.
        distance: multi-scale mel distance to the clip.
        seconds: that decoding took.
    """

    waveform: Tensor
    distance: float
    seconds: float


def long_enough(samples: int, mel: MelConfig) -> bool:
    """Whether a clip of so many samples can be decoded and judged."""
    decoded = mel.num_samples(mel.num_frames(samples))
    return decoded >= max(SHORTEST_SAMPLES, mel.minimum_samples) and samples >= mel.minimum_samples


def clip_and_mel(waveform: Tensor, front_end: LogMelSpectrogram) -> tuple[Tensor, Tensor]:
    """The target and the input of a judgement.

    Args:
        waveform: `(samples,)`, without padding.
        front_end: of the vocoder's contract.

    Returns:
        the peak-normalised clip `(1, samples)` cut to what a vocoder returns, and its log-mel `(1, n_mels, frames)`.
    """
    clip = normalise_peak(waveform[None])
    log_mel = front_end(clip)
    return clip[:, : front_end.config.num_samples(log_mel.shape[-1])], log_mel


def judge(vocoder: Vocoder, log_mel: Tensor, target: Tensor) -> Decoded:
    """Decode one clip and measure it.

    Args:
        vocoder: to be judged.
        log_mel: `(1, n_mels, frames)`.
        target: `(1, samples)`, as from `clip_and_mel`.
    """
    start = time.perf_counter()
    waveform = vocoder.decode(log_mel)
    seconds = time.perf_counter() - start
    distance = float(multi_scale_mel_distance(waveform, target, vocoder.mel.sample_rate))
    return Decoded(waveform, distance, seconds)
