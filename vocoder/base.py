"""What a vocoder is: anything with a mel contract and a `decode`.

The two members are the whole interface, so a class from any package swaps in by its import path. The method is not
`__call__`, because jsonargparse takes a callable protocol for a function and refuses class paths. Three more it may
have: `fingerprint`, text that changes with weights and settings, `licences`, of what it was trained on, and `told`,
which takes the MIDI notes of clips and gives a vocoder for them (`told_notes`). Vocoders that were trained here have a
stage record, which says the first two.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from audio.mel import MelConfig, mel_filterbank
from training.checkpoint import StageRecord

MEMBERS = ("mel", "decode")
MINIMUM_FRAMES = 2
# An autoencoder paints a nat or two below the floor; another floor or scale lies further below, in many cells.
NATS_BELOW_FLOOR = 6.0
BELOW_SHARE = 0.005
# No sound reaches it (samples of 32,768 where 1 was meant stay below 21 nats) or spans so much (nats span 33 at most).
IMPOSSIBLE_NATS = 25.0
IMPOSSIBLE_SPAN = 40.0
# Cells that share a value, and how near to a whole number they lie: floors of decimal logarithms are powers of ten.
TIE = 1e-5
WHOLE_TOLERANCE = 1e-3
LOWEST_POWER, HIGHEST_POWER = -12, -3
# Where every cell is louder than white noise at -47 dBFS, nats do not swing by 11 dB. Of 450 real clips none did; their
# decimal logarithms were known in 94 % (bigvgan_44khz), but in vocos_24khz only at a floor.
LOUD_NOISE = 0.0045
SWING_NATS = 1.3
SWING_BINS, SWING_FRAMES = 8, 5


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


def identity(stage: object) -> str:
    """Who made a sound: a stage record's fingerprint, else `module.Class FINGERPRINT`, else `module.Class`."""
    record = getattr(stage, "record", None)
    if isinstance(record, StageRecord):
        return record.fingerprint
    name = f"{type(stage).__module__}.{type(stage).__name__}"
    fingerprint = getattr(stage, "fingerprint", None)
    return f"{name} {fingerprint}" if isinstance(fingerprint, str) and fingerprint else name


def told_notes(vocoder: Vocoder, notes: Sequence[float | None]) -> Vocoder:
    """A vocoder that knows which notes it is going to decode; itself where there are none, or it does not care.

    Args:
        vocoder: may have `told`.
        notes: MIDI numbers, one a clip of the batch; None for a clip without one.

    Raises:
        ValueError: `told` fails, or answers with something else than a vocoder.
    """
    tell = getattr(vocoder, "told", None)
    if tell is None or all(note is None for note in notes):
        return vocoder
    who = f"vocoder '{type(vocoder).__name__}'"
    try:
        told = tell(torch.tensor([math.nan if note is None else float(note) for note in notes]))
    except Exception as error:
        raise ValueError(f"{who} failed when told a note: {type(error).__name__}: {error}") from error
    if not isinstance(told, Vocoder) or told.mel != vocoder.mel:
        raise ValueError(f"{who}: expected a vocoder of the same mel from told, got {type(told).__name__}")
    return told


def licences_of(*stages: object) -> list[str]:
    """Licences of what stages were trained on, as their records and attributes say, sorted."""
    names: set[str] = set()
    for stage in stages:
        record = getattr(stage, "record", None)
        names |= set(record.licences if isinstance(record, StageRecord) else getattr(stage, "licences", ()))
    return sorted(names)


def check_log_mel(log_mel: Tensor, mel: MelConfig) -> None:
    """Refuse what is not a log-mel of this contract.

    Args:
        log_mel: what came.
        mel: the contract.

    Raises:
        ValueError: a wrong shape, frames and bins swapped, whole numbers, fewer than two frames, NaN or infinity, or
            values that are decibels or decimal logarithms.
    """
    shape = tuple(log_mel.shape)
    if log_mel.dim() != 3:
        raise ValueError(f"log_mel: expected (batch, {mel.n_mels} bins, frames), got shape {shape}")
    if shape[1] != mel.n_mels:
        swapped = "; frames and bins are swapped" if shape[2] == mel.n_mels else ""
        raise ValueError(f"log_mel: expected (batch, {mel.n_mels} bins, frames), got shape {shape}{swapped}")
    if not log_mel.is_floating_point():
        raise ValueError(f"log_mel: expected floating-point values, got {log_mel.dtype}")
    if shape[0] < 1 or shape[2] < MINIMUM_FRAMES:
        raise ValueError(
            f"log_mel: expected at least one clip of {MINIMUM_FRAMES} frames (one hop of sound), got shape {shape}"
        )
    if not bool(log_mel.isfinite().all()):
        raise ValueError("log_mel: expected finite values, got NaN or infinity")
    _check_scale(log_mel, mel)


def _check_scale(log_mel: Tensor, mel: MelConfig) -> None:
    """Tell decibels and decimal logarithms from nats.

    With a floor f, nats end at ln f, decimal logarithms at log10 f, decibels at 20 log10 f; for f = 1e-5 that is -11.5,
    -5 and -100. Decibels give themselves away by reaching far below ln f, or from there to above what sound can be.
    Decimal logarithms lie within the range of nats. They are known by what clamping leaves, several bins whose lowest
    cells are equal, at a whole number; or by their range: everything is loud, and yet it comes and goes. Sound in nats
    has one lowest cell, wherever it lies; a mel that is one value all over says nothing.
    """
    lowest, highest = float(log_mel.min()), float(log_mel.max())
    span = highest - lowest
    if span <= TIE:
        return
    expected = f"expected natural logarithms, which end at ln({mel.log_floor:g}) = {mel.log_mel_floor:.1f}"
    came = f"got values from {lowest:.1f} to {highest:.1f}"
    low = mel.log_mel_floor - NATS_BELOW_FLOOR
    too_low = lowest < low and float((log_mel < low).float().mean()) >= BELOW_SHARE
    if span > IMPOSSIBLE_SPAN and (too_low or highest > IMPOSSIBLE_NATS):
        raise ValueError(f"log_mel: {expected}, {came}: these look like decibels; multiply by ln(10) / 20")
    if too_low:
        raise ValueError(
            f"log_mel: {expected}, {came}: these have another floor (clamp them at {mel.log_mel_floor:.1f}), or are "
            "logarithms of power (halve them) or decibels (multiply by ln(10) / 20)"
        )
    if _clamped_at_a_power(log_mel, lowest, mel) or _loud_and_swinging(log_mel, mel):
        raise ValueError(f"log_mel: {expected}, {came}: these look like decimal logarithms; multiply by ln(10)")


def _clamped_at_a_power(log_mel: Tensor, lowest: float, mel: MelConfig) -> bool:
    """Whether the lowest cells of several bins are equal, at the decimal logarithm of a power of ten."""
    power = round(lowest)
    if not LOWEST_POWER <= power <= HIGHEST_POWER or abs(lowest - power) > WHOLE_TOLERANCE:
        return False
    if abs(lowest - mel.log_mel_floor) <= WHOLE_TOLERANCE:
        return False
    tied = log_mel <= lowest + TIE
    return int(torch.count_nonzero(tied.any(dim=2).any(dim=0))) > 1


def _loud_and_swinging(log_mel: Tensor, mel: MelConfig) -> bool:
    """Whether, taken for nats, every cell is louder than noise, and the typical band comes and goes all the same."""
    if log_mel.shape[2] < 2 * SWING_FRAMES or bool((log_mel.amin(dim=(0, 2)).cpu() < _noise_level(mel)).any()):
        return False
    size = (min(SWING_BINS, log_mel.shape[1]), SWING_FRAMES)
    smooth = torch.nn.functional.avg_pool2d(log_mel[:, None].float(), size, size)[:, 0]
    swing = (smooth.amax(dim=2) - smooth.amin(dim=2)).median(dim=1).values
    return bool((swing > SWING_NATS).all())


@lru_cache(maxsize=16)
def _noise_level(mel: MelConfig) -> Tensor:
    """Log-mel of white noise at `LOUD_NOISE` RMS, `(n_mels,)`: a Hann window passes the power 3 / 8 of its length."""
    with torch.inference_mode(False):
        magnitude = LOUD_NOISE * (0.375 * mel.win_length) ** 0.5
        level: Tensor = (magnitude * mel_filterbank(mel).sum(dim=1)).clamp(min=mel.log_floor).log()
        return level
