"""What a vocoder is: anything with a mel contract and a `decode`.

The two members are the whole interface, so a class from any package swaps in by its import path. The method is not
`__call__`, because jsonargparse takes a callable protocol for a function and refuses class paths. Two more it may have:
`fingerprint`, text that changes with weights and settings, and `licences`, of what it was trained on. Vocoders that
were trained here have a stage record, which says both.
"""

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from audio.mel import MelConfig
from training.checkpoint import StageRecord

MEMBERS = ("mel", "decode")
MINIMUM_FRAMES = 2
# An autoencoder paints a nat or two below the floor; decibels lie tens of units below it.
NATS_BELOW_FLOOR = 6.0
DECIBEL_SHARE = 0.005
# No sound reaches it (samples of 32,768 where 1 was meant stay below 21 nats) or spans so much (nats span 33 at most).
IMPOSSIBLE_NATS = 25.0
IMPOSSIBLE_SPAN = 40.0
# Of a decimal logarithm's lowest value from that of the floor, and of cells that share it.
LOG10_TOLERANCE = 1e-3
TIE = 1e-5


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
    -5 and -100. Decibels give themselves away by reaching far below ln f, or from there to above what sound can be. A
    decimal logarithm lies within the range of nats, so it is known only by what clamping leaves: several bins whose
    lowest cells are equal, at log10 f, with nothing below. Sound in nats has one lowest cell, wherever it lies; a mel
    that is one value all over says nothing.
    """
    lowest, highest = float(log_mel.min()), float(log_mel.max())
    if highest - lowest <= TIE:
        return
    low = mel.log_mel_floor - NATS_BELOW_FLOOR
    too_low = lowest < low and float((log_mel < low).float().mean()) >= DECIBEL_SHARE
    too_high = highest > IMPOSSIBLE_NATS and highest - lowest > IMPOSSIBLE_SPAN
    if too_low or too_high:
        raise ValueError(
            f"log_mel: expected natural logarithms, which end at ln({mel.log_floor:g}) = {mel.log_mel_floor:.1f}, got "
            f"values from {lowest:.1f} to {highest:.1f}: these look like decibels; multiply by ln(10) / 20"
        )
    if abs(lowest - math.log10(mel.log_floor)) > LOG10_TOLERANCE:
        return
    tied = log_mel <= lowest + TIE
    bins = int(torch.count_nonzero(tied.any(dim=2).any(dim=0)))
    if bins > 1:
        raise ValueError(
            f"log_mel: expected natural logarithms, got values that end in {bins} bins at exactly log10("
            f"{mel.log_floor:g}) = {lowest:.1f}: these look like decimal logarithms; multiply by ln(10)"
        )
