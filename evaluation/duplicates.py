"""The same recording twice: copied, at another gain, re-encoded, resampled or trimmed by a little.

Two stages. A fingerprint of 240 numbers, the level of 24 bands below 5 kHz in ten stretches after the onset, in dB and
normalised, knows nothing of gain, coding and small shifts: pairs with a cosine of 0.92 are looked at. Those are judged
by their waveforms: pre-emphasised, aligned to a sixteenth of a sample, normalised cross-correlation. Two strokes on
one drum share their fingerprint, but not their waveform.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate

from audio.files import resample
from audio.measures import Waveform

BANDS_HZ = np.geomspace(60.0, 5000.0, 25)
STRETCHES_SECONDS = np.array([0.0, 0.03, 0.06, 0.1, 0.16, 0.25, 0.4, 0.65, 1.0, 1.6, 2.5])
FINGERPRINT_SIZE = (len(BANDS_HZ) - 1) * (len(STRETCHES_SECONDS) - 1)
WINDOW_SECONDS = 0.046
ONSET_DB = 30.0
RANGE_DB = 50.0
CANDIDATE_COSINE = 0.92
COMPARED_RATE = 16000
COMPARED_SECONDS = 3.0
# Measured on 550 recordings: 0.96 is reached by neighbouring velocity layers, 0.94 by a worst-case MP3, Vorbis or Opus.
SAME_CORRELATION = 0.96
SAME_CORRELATION_CODED = 0.94
EMPHASIS = 0.9
LEAST_OVERLAP = 0.7
SINC_REACH = 16
BLOCK = 1024


@dataclass(frozen=True)
class DuplicatePair:
    """Two clips that hold one recording.

    Args:
        first: index of a clip.
        second: index of a later one.
        similarity: correlation of their aligned waveforms; 1 for equal samples.
        exact: the decoded samples are equal.
    """

    first: int
    second: int
    similarity: float
    exact: bool


def sample_digest(waveform: Waveform, sample_rate: int) -> str:
    """Sixteen hex digits of the decoded samples at 16 bits: equal for one recording as WAV and as FLAC.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    rounded = np.round(np.clip(waveform, -1.0, 1.0) * 32767.0).astype("<i2")
    return hashlib.sha256(f"{sample_rate}|".encode() + rounded.tobytes()).hexdigest()[:16]


def fingerprint(waveform: Waveform, sample_rate: int) -> NDArray[np.float32]:
    """What a clip sounds like, coarsely, from its onset: `(240,)`, of mean 0 and length 1; zeros for silence.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    length = round(WINDOW_SECONDS * sample_rate)
    hop = max(1, length // 4)
    wanted = waveform[: round(sample_rate * (STRETCHES_SECONDS[-1] + 2.0))]
    padded = np.pad(wanted, (length // 2, length))
    frames = np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(length).astype(np.float32), axis=1)))
    edges = np.searchsorted(np.fft.rfftfreq(length, 1.0 / sample_rate), BANDS_HZ)
    # A band narrower than one bin takes the bin it lies in.
    bands = np.stack([power[:, low : max(high, low + 1)].sum(axis=1) for low, high in pairwise(edges)])
    energy = bands.sum(axis=0)
    if energy.max() <= 1e-12:
        return np.zeros(FINGERPRINT_SIZE, dtype=np.float32)
    onset = int(np.argmax(energy >= energy.max() * 10 ** (-ONSET_DB / 10)))
    borders = onset + np.round(STRETCHES_SECONDS * sample_rate / hop).astype(int)
    stretches = np.stack(
        [bands[:, low : max(high, low + 1)].sum(axis=1) / max(1, high - low) for low, high in pairwise(borders)]
    )
    level = 10 * np.log10(np.maximum(stretches, 1e-20))
    level = np.maximum(level - level.max(), -RANGE_DB)
    level -= level.mean()
    return np.asarray(level / max(float(np.linalg.norm(level)), 1e-9), dtype=np.float32).reshape(-1)


def waveform_similarity(first: Waveform, second: Waveform) -> float:
    """Largest normalised cross-correlation of two clips over their overlap, to a sixteenth of a sample; its magnitude.

    Pre-emphasis keeps a fundamental from speaking for all that lies above it.

    Args:
        first: samples, mono, at 16 kHz.
        second: the same.
    """
    a, b = (_emphasised(clip) for clip in (first, second))
    cross = correlate(a, b, mode="full", method="fft")
    best = int(np.argmax(np.abs(cross)))
    lag = best - (len(b) - 1)
    a, b = a[max(0, lag) :], b[max(0, -lag) :]
    overlap = min(len(a), len(b))
    if overlap < LEAST_OVERLAP * max(len(first), len(second)):
        return 0.0
    energy = float(np.sqrt(np.square(a[:overlap]).sum() * np.square(b[:overlap]).sum()))
    if energy <= 1e-12:
        return 0.0
    around = np.arange(max(0, best - SINC_REACH), min(len(cross), best + SINC_REACH + 1))
    # A bright clip shifted by half a sample has its largest whole-sample lag one lobe beside the true one.
    between = (np.arange(-40, 41) / 16)[:, None] - (around - best)[None]
    kernel = np.sinc(between) * np.cos(np.pi * between / (2 * (SINC_REACH + 1))) ** 2
    return min(1.0, float(np.max(np.abs(kernel @ cross[around]))) / energy)


def _emphasised(clip: Waveform) -> NDArray[np.float64]:
    wide = np.asarray(clip, dtype=np.float64)
    return wide - EMPHASIS * np.concatenate(([0.0], wide[:-1]))


def candidate_pairs(fingerprints: NDArray[np.float32], groups: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs worth a look: fingerprints nearly the same, and not known to be of one group.

    Args:
        fingerprints: `(clips, 240)`.
        groups: a name for each clip; clips with the same one, if it is not empty, are not compared.
    """
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    nameless = np.asarray([not name for name in groups])
    pairs: list[tuple[int, int]] = []
    for start in range(0, len(fingerprints), BLOCK):
        close = fingerprints[start : start + BLOCK] @ fingerprints.T >= CANDIDATE_COSINE
        rows, columns = np.nonzero(close)
        rows = rows + start
        known = (codes[rows] == codes[columns]) & ~nameless[rows]
        keep = (rows < columns) & ~known
        pairs += list(zip(rows[keep].tolist(), columns[keep].tolist(), strict=True))
    return pairs


def find_duplicates(
    fingerprints: NDArray[np.float32],
    digests: Sequence[str],
    groups: Sequence[str],
    read: Callable[[int], tuple[Waveform, int]],
    coded: Sequence[bool],
) -> list[DuplicatePair]:
    """All pairs of clips that hold one recording.

    Args:
        fingerprints: `(clips, 240)` of `fingerprint`.
        digests: of `sample_digest`, one for each clip.
        groups: clips of one group (not empty) are known to belong together and are not compared.
        read: gives the samples and the rate of a clip again, for the few that must be looked at.
        coded: whether the file of each clip is lossy (MP3, Vorbis, Opus): such copies correlate a little less.
    """

    @lru_cache(maxsize=512)
    def compared(index: int) -> Waveform:
        waveform, sample_rate = read(index)
        waveform = waveform[: round(sample_rate * (COMPARED_SECONDS + 1))]
        return resample(waveform, sample_rate, COMPARED_RATE) if sample_rate != COMPARED_RATE else waveform

    found = []
    first_of: dict[str, int] = {}
    for index, digest in enumerate(digests):
        original = first_of.setdefault(digest, index)
        if original != index and (not groups[index] or groups[index] != groups[original]):
            found.append(DuplicatePair(original, index, 1.0, True))
    copies = {pair.second for pair in found}
    for first, second in candidate_pairs(fingerprints, groups):
        if first in copies or second in copies:
            continue
        similarity = waveform_similarity(compared(first), compared(second))
        if similarity >= (SAME_CORRELATION_CODED if coded[first] or coded[second] else SAME_CORRELATION):
            found.append(DuplicatePair(first, second, similarity, False))
    return found
