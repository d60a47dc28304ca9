"""What is wrong with one sound file: pure measurements on its samples, each with the reason why it is sure.

    clipped        flat tops: runs within one quantum of the extreme whose shoulders fall faster than any smooth peak
    offset         a mean that stays the same all through the clip, not the push of one drum stroke
    cliff          the long-term spectrum falls like a wall, and nothing comes after it

All of them prefer silence to a guess: a clip that cannot be judged is not accused.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import percentile_filter
from scipy.signal.windows import blackmanharris, hann

from audio.measures import Waveform, peak

SIXTEEN_BITS = 1.0 / 32768.0

# Clipping.
SHORTEST_PLATEAU = 3
CORNER_QUANTA = 12.0
FEWEST_PLATEAU_SAMPLES = 8
PLATEAU_SHARE = 0.0001
FEWEST_PILED = 16
FEWEST_LEVELS = 64

# Offset.
OFFSET_BLOCK_SECONDS = 0.05
OFFSET_OF_PEAK = 0.015
SMALLEST_OFFSET = 0.003
OFFSET_CERTAINTY = 3.0
END_SAMPLES = 24

# Bandwidth.
SPECTRUM_SAMPLES = 2048
LOUD_FRAMES_DB = 40.0
LOWEST_CLIFF_HZ = 3000.0
HIGHEST_CLIFF_OF_NYQUIST = 0.88
CLIFF_WIDTH = 0.12
CLIFF_DB = 22.0
CLIFF_TO_FLOOR_DB = 16.0
# 16-bit rounding noise lies at -101 dB in these spectra.
NUMERIC_FLOOR_DB = -92.0
FEWEST_STEPS_ABOVE = 16
SPECTRUM_STEP_HZ = 50.0


@dataclass(frozen=True)
class Clipping:
    """Flat tops of a clip.

    Args:
        level: where the waveform is cut, 1 at full scale.
        share: of all samples that lie on flat tops.
        runs: number of flat tops.
    """

    level: float
    share: float
    runs: int


@dataclass(frozen=True)
class Cliff:
    """Where a spectrum ends in a wall.

    Args:
        hertz: its frequency.
        drop_db: how far it falls there.
    """

    hertz: float
    drop_db: float


def find_clipping(waveform: Waveform) -> Clipping | None:
    """Flat tops at the extremes of a channel, at full scale or (a clipped file turned down) below it.

    A smooth peak of height 1 quantum over a run of m samples falls by about 3 quanta in the next m / 2 samples, because
    it is a parabola there; the shoulder of a cut wave falls by its slope. So a run counts where both shoulders fall by
    at least 12 quanta. Bright sounds have runs of one or two samples: for them the extreme value must be met more often
    than the 5 % below it all together. A wave that knows only a few levels (a naive square) is drawn so, not clipped.

    Args:
        waveform: samples of one channel; mixing channels would hide it.

    Returns:
        the clipping, or None.
    """
    top = peak(waveform)
    if top < 40 * SIXTEEN_BITS:
        return None
    quantum = _quantum(waveform)
    if np.unique(np.round(np.abs(waveform) / quantum)).size < min(FEWEST_LEVELS, top / quantum / 4):
        return None
    runs, samples, level = 0, 0, 0.0
    for side in (waveform, -waveform):
        extreme = float(side.max())
        if extreme < 0.2 * top:
            continue
        found = _plateaus(side, extreme, quantum)
        piled = _piled(side, extreme, quantum)
        if found.sum() >= max(FEWEST_PLATEAU_SAMPLES, PLATEAU_SHARE * len(side)) or piled:
            runs += max(len(found), 1 if piled else 0)
            samples += max(int(found.sum()), piled)
            level = max(level, extreme)
    return Clipping(level, samples / len(waveform), runs) if runs else None


def _quantum(waveform: Waveform) -> float:
    """The step of the file's values: one 16-bit step, or the coarser one of an 8-bit file."""
    values = np.unique(np.abs(waveform[: 1 << 18]))
    steps = np.diff(values)
    steps = steps[steps > 1e-9]
    return max(SIXTEEN_BITS, float(steps.min())) if steps.size else SIXTEEN_BITS


def _plateaus(side: Waveform, extreme: float, quantum: float) -> NDArray[np.int64]:
    """Lengths of the flat tops: runs near the extreme between shoulders that fall too fast for a smooth peak."""
    flat = np.concatenate(([False], side >= extreme - 1.5 * quantum, [False]))
    edges = np.flatnonzero(np.diff(flat.astype(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    long = ends - starts >= SHORTEST_PLATEAU
    starts, ends = starts[long], ends[long]
    if not starts.size:
        return np.zeros(0, dtype=np.int64)
    reach = np.maximum(1, (ends - starts) // 2)
    left = extreme - side[np.maximum(starts - reach, 0)]
    right = extreme - side[np.minimum(ends - 1 + reach, len(side) - 1)]
    cut = np.minimum(left, right) >= CORNER_QUANTA * quantum
    return np.asarray((ends - starts)[cut], dtype=np.int64)


def _piled(side: Waveform, extreme: float, quantum: float) -> int:
    """Samples at the very extreme, if they outnumber those of the 5 % below it; else 0."""
    if extreme < 200 * quantum:
        return 0
    at = int(np.count_nonzero(side >= extreme - 1.5 * quantum))
    below = int(np.count_nonzero((side >= 0.95 * extreme) & (side < extreme - 1.5 * quantum)))
    return at if at >= max(FEWEST_PILED, PLATEAU_SHARE * len(side), below) else 0


def find_offset(waveform: Waveform, sample_rate: int) -> float:
    """The constant part of a channel, where there is one that matters; else 0.

    The mean of a kick drum is not zero, but it comes and goes; an offset stays. So the clip is cut into Hann windows of
    50 ms: the median of their means is the offset, in the quiet half of them or in all, and it must be three times what
    they scatter by, 0.003 of full scale and 1.5 per cent of the peak.

    Args:
        waveform: samples of one channel.
        sample_rate: in Hz.
    """
    means, swings = _blocks(waveform, sample_rate)
    if means.size < 2:
        return 0.0
    quiet = means[swings <= np.median(swings)]
    needed = max(SMALLEST_OFFSET, OFFSET_OF_PEAK * peak(waveform))
    for part in (quiet, means):
        low, offset, high = np.percentile(part, (10, 50, 90))
        if abs(offset) >= max(needed, OFFSET_CERTAINTY * float(high - low) / 2.56):
            return float(offset)
    # A short stroke over an offset: it leaves and comes back to the same value, and that is not zero.
    first, last = float(waveform[:END_SAMPLES].mean()), float(waveform[-END_SAMPLES:].mean())
    ends, mean = (first + last) / 2, float(waveform.mean())
    if abs(ends) >= needed and abs(first - last) <= 0.2 * abs(ends) and abs(mean - ends) <= 0.5 * abs(ends):
        return ends
    return 0.0


def _blocks(waveform: Waveform, sample_rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Windowed mean and swing (standard deviation) of every block that is not digital silence."""
    length = min(max(8, round(OFFSET_BLOCK_SECONDS * sample_rate)), max(1, len(waveform) // 4))
    if len(waveform) < length:
        return np.zeros(0), np.zeros(0)
    blocks = np.lib.stride_tricks.sliding_window_view(waveform, length)[:: max(1, length // 2)]
    blocks = blocks[np.any(blocks != 0.0, axis=1)]
    window = hann(length, sym=False)
    means = blocks @ (window / max(window.sum(), 1e-12))
    return np.asarray(means, dtype=np.float64), np.asarray(blocks.std(axis=1), dtype=np.float64)


def spectrum_db(waveform: Waveform, sample_rate: int) -> NDArray[np.float64]:
    """Long-term spectrum of the loud part of a clip, in dB, in steps of 50 Hz from 0 to the Nyquist frequency.

    The median over frames, so that a click says nothing; Blackman-Harris windows, whose side lobes lie below 16 bits.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    length = min(SPECTRUM_SAMPLES, len(waveform))
    frames = np.lib.stride_tricks.sliding_window_view(waveform, length)[:: max(1, length // 2)]
    energy = np.square(frames, dtype=np.float64).sum(axis=1)
    frames = frames[energy >= energy.max() * 10 ** (-LOUD_FRAMES_DB / 10)]
    frames = frames[:: max(1, len(frames) // 200)]
    window = blackmanharris(length, sym=False)
    power = np.square(np.abs(np.fft.rfft((frames - frames.mean(axis=1, keepdims=True)) * window, axis=1)))
    level = np.median(power, axis=0) / max(float(np.square(window).sum()), 1e-12)
    steps = np.arange(0.0, sample_rate / 2, SPECTRUM_STEP_HZ)
    bins = np.fft.rfftfreq(length, 1.0 / sample_rate)
    return np.asarray(10 * np.log10(np.maximum(np.interp(steps, bins, level), 1e-20)))


def find_cliff(waveform: Waveform, sample_rate: int) -> Cliff | None:
    """The wall at which a spectrum ends, as up-sampling and MP3 make it; None for dark sounds, which fade.

    Up to a frequency the spectrum (its mean power over 1/20 of that frequency) stands; within 12 % of it, less than a
    quarter of an octave, it falls by 25 dB or more, and it stays down up to the Nyquist frequency. Natural roll-offs
    and analogue filters need an octave for that.

    Args:
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    if len(waveform) < 256 or peak(waveform) < 100 * SIXTEEN_BITS:
        return None
    level = spectrum_db(waveform, sample_rate)
    low = percentile_filter(level, 25, size=13, mode="nearest")
    count = len(level)
    best: Cliff | None = None
    for index in range(round(LOWEST_CLIFF_HZ / SPECTRUM_STEP_HZ), round(HIGHEST_CLIFF_OF_NYQUIST * count), 3):
        half = max(3, round(CLIFF_WIDTH * index / 2))
        if index + half + FEWEST_STEPS_ABOVE > count:
            break
        below = _ranked(low[index - 3 * half : index - half], 0.5)
        before = _ranked(low[index - 6 * half : index - 4 * half], 0.5)
        beside = _ranked(level[index + half : index + 3 * half], 0.75)
        after = _ranked(level[index + half :], 0.75)
        drop = below - max(beside, after) - max(0.0, before - below)
        if best is None or drop > best.drop_db:
            best = Cliff(index * SPECTRUM_STEP_HZ, drop)
    if best is None:
        return None
    above = level[round(best.hertz * (1 + CLIFF_WIDTH / 2) / SPECTRUM_STEP_HZ) :]
    empty = float(np.percentile(above, 90)) < NUMERIC_FLOOR_DB
    return best if best.drop_db >= (CLIFF_TO_FLOOR_DB if empty else CLIFF_DB) else None


def _ranked(values: NDArray[np.float64], share: float) -> float:
    """The value that `share` of all lie below: numpy's percentile is twenty times slower on so few."""
    place = min(int(share * len(values)), len(values) - 1)
    return float(np.partition(values, place)[place])
