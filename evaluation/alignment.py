"""How different two clips are when one may be moved and turned up to fit the other.

A clip is drawn as a picture: its log-mel within 50 dB of the loudest cell. Pictures are compared cell by cell,

    d(x, y) = min over shifts of  mean |x - y - g|,    g = median (x - y),    over cells audible in either

and a *gist* of each, 84 levels from the onset on, tells which are worth comparing.
"""

from itertools import pairwise
from math import inf, log

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audio.measures import Waveform, peak
from audio.mel import LogMelSpectrogram, MelConfig

Picture = NDArray[np.float16]

PICTURE_MEL = MelConfig(
    sample_rate=44100,
    n_fft=2048,
    win_length=2048,
    hop_length=256,
    n_mels=48,
    f_min=40.0,
    f_max=16000.0,
    mel_scale="slaney",
    filter_norm="slaney",
    framing="centred",
    magnitude_epsilon=0.0,
    log_floor=1e-7,
)
# Shifts are found to a frame, but every second frame is compared: an attack moves by 3 ms at most.
STRIDE = 2
RANGE_NATS = 50.0 / 20.0 * log(10.0)
SHIFT_SECONDS = 0.25
COMPARED_SECONDS = 10.0
LEVEL_PEAK = 0.9
# A clip that only touches the end of another is not a copy of it.
LEAST_OVERLAP = 0.5
# Finer alignment halves the distance of two equal clips at most.
ROUGHLY = 2.0
GIST_EDGES = (0, 4, 8, 16, 32, 64, 128, 256)
GIST_BANDS = 12
GIST_RANGE_NATS = 35.0 / 20.0 * log(10.0)


class PictureMaker:
    """Draws the pictures that `aligned_distance` compares; holds the mel filters."""

    def __init__(self) -> None:
        self.mel = LogMelSpectrogram(PICTURE_MEL, "torch")

    @torch.inference_mode()
    def draw(self, waveform: Waveform) -> Picture:
        """The log-mel of a clip above its own floor: `(frames, 48)`, 0 to 5.8 nats, float16; zeros for silence.

        Args:
            waveform: samples at 44.1 kHz, mono; the first ten seconds are drawn.
        """
        clip = np.asarray(waveform[: round(COMPARED_SECONDS * PICTURE_MEL.sample_rate)], dtype=np.float32)
        level = peak(clip)
        if level <= 1e-6:
            return np.zeros((STRIDE, PICTURE_MEL.n_mels), dtype=np.float16)
        # Silence around it: a reflected attack would differ from the same attack a little later.
        padded = np.pad(clip * np.float32(LEVEL_PEAK / level), PICTURE_MEL.n_fft)
        log_mel = self.mel(torch.from_numpy(padded)[None])[0].T.numpy()
        return np.asarray(np.maximum(log_mel - log_mel.max() + RANGE_NATS, 0.0), dtype=np.float16)


def gist(picture: Picture) -> Tensor:
    """What a clip sounds like, coarsely, from its onset on: `(84,)`; knows nothing of gain, shift or faint noise.

    Args:
        picture: of `PictureMaker.draw`.
    """
    levels = np.maximum(picture.astype(np.float32) - (RANGE_NATS - GIST_RANGE_NATS), 0.0)
    onset = int(np.argmax(levels.max(axis=1) > 0.0))
    levels = levels[onset : onset + GIST_EDGES[-1]]
    levels = np.pad(levels, ((0, GIST_EDGES[-1] - len(levels)), (0, 0)))
    bands = levels.reshape(len(levels), GIST_BANDS, -1).mean(axis=2)
    return torch.from_numpy(np.concatenate([bands[low:high].mean(axis=0) for low, high in pairwise(GIST_EDGES)]))


def aligned_distance(first: Picture, second: Picture, nearest: float = inf) -> tuple[float, float]:
    """How different two clips are when one is moved and turned up to fit the other.

    The shift with the largest cross-correlation is tried, and those around it.

    Args:
        first: of `PictureMaker.draw`.
        second: the same.
        nearest: of another pair; one that looks much farther apart than this is not aligned more finely.

    Returns:
        mean absolute difference in nats over the cells that are audible in either, infinite where too little of both
        overlaps; and by how many seconds the second must be moved to the right.
    """
    a, b = first.astype(np.float32), second.astype(np.float32)
    reach = round(SHIFT_SECONDS * PICTURE_MEL.frame_rate)
    best = STRIDE * _best_shift(a[::STRIDE], b[::STRIDE], reach // STRIDE)
    found = [(_difference(a, b, best), best)]
    if found[0][0] < ROUGHLY * nearest:
        shifts = [best + step for step in (-2, -1, 1, 2) if abs(best + step) <= reach]
        found += [(_difference(a, b, shift), shift) for shift in shifts]
    distance, shift = min(found)
    return distance, shift / PICTURE_MEL.frame_rate


def _best_shift(a: NDArray[np.float32], b: NDArray[np.float32], reach: int) -> int:
    """By how many frames b must move to the right for the largest cross-correlation."""
    width = max(len(a), len(b)) + 2 * reach
    products = np.zeros((len(a), width + 1), dtype=np.float32)
    products[:, reach : reach + len(b)] = a @ b.T
    # Read with rows one cell longer than they are: each moves by one, and diagonals become columns.
    step = products.strides[1]
    skewed = np.lib.stride_tricks.as_strided(products, (len(a), 2 * reach + 1), (step * (width + 2), step))
    return reach - int(np.argmax(skewed.sum(axis=0)))


def _difference(a: NDArray[np.float32], b: NDArray[np.float32], shift: int) -> float:
    """Mean absolute difference at one shift, after the gain that makes it least."""
    heard = min(int((a.max(axis=1) > 0).sum()), int((b.max(axis=1) > 0).sum())) // STRIDE
    # Frame n of b lies on frame n + shift of a; every second n is taken.
    start = -(min(0, shift) // STRIDE) * STRIDE
    a, b = a[start + shift :: STRIDE], b[start::STRIDE]
    frames = min(len(a), len(b))
    a, b = a[:frames], b[:frames]
    audible = (a > 0) | (b > 0)
    if not heard or int(audible.any(axis=1).sum()) < max(1.0, LEAST_OVERLAP * heard):
        return inf
    difference = (a - b)[audible]
    return float(np.abs(difference - np.median(difference)).mean())
