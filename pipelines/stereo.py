"""Two channels from one: the clip in the middle, at the sides a copy a quarter of a turn away from it (ADR 17).

    side = width * i s(f) * mono,   s(f) = b(f) tanh(k sin(phi(f))) / tanh(k)
    left = mono + side,   right = mono - side,   (left + right) / 2 = mono

The sum of both channels is the clip itself, sample by sample, so nothing is cancelled where a player has one speaker.
As the side stands at a right angle to the middle at every frequency, |left| = |right| = |mono| sqrt(1 + (width s)^2):
neither channel is coloured or louder. The sign of s alternates from band to band, two to three in an octave, so that
no side leads; b keeps the bass in the middle. A loop is filtered on its circle, so it stays without a seam.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor

# The side's echoes lie this many seconds around a sound: CYCLES periods of a frequency, at most LONGEST.
CYCLES = 2.0
LONGEST_ECHO_SECONDS = 0.005
SHARPNESS = 1.5
BASS_HZ = 180.0
TAIL_SECONDS = 0.25
WIDEST = 1.0
COHERENCE_BANDS_HZ = (20.0, 100.0, 1000.0, 10_000.0)


def side_response(samples: int, sample_rate: int) -> Tensor:
    """What a spectrum of `samples` samples is multiplied with: `(samples // 2 + 1,)`, real, times i.

    Args:
        samples: length of the transform.
        sample_rate: in Hz.
    """
    hertz = torch.fft.rfftfreq(samples, 1.0 / sample_rate).double()
    # phi grows with 2 pi times the echo's time: linear up to the knee, logarithmic beyond it.
    knee = CYCLES / LONGEST_ECHO_SECONDS
    turns = LONGEST_ECHO_SECONDS * hertz.clamp(max=knee) + CYCLES * (hertz.clamp(min=knee) / knee).log()
    sign = torch.tanh(SHARPNESS * torch.sin(2.0 * math.pi * turns)) / math.tanh(SHARPNESS)
    above_bass = 1.0 / (1.0 + (BASS_HZ / hertz.clamp(min=1e-3)) ** 4)
    response: Tensor = 1j * above_bass * sign
    # A real signal has no phase at half its rate.
    response[-1] = 0.0 if samples % 2 == 0 else response[-1]
    return response


def widen(mono: Tensor, sample_rate: int, width: float, circular: bool = False) -> Tensor:
    """Left and right, `(..., 2, samples)`, of clips `(..., samples)`.

    Args:
        mono: samples.
        sample_rate: in Hz.
        width: 0, both channels alike, to 1, the sides as loud as the middle.
        circular: the clip is a loop.

    Raises:
        ValueError: another width.
    """
    check_width(width)
    length = mono.shape[-1]
    padded = length if circular else length + round(TAIL_SECONDS * sample_rate)
    spectrum = torch.fft.rfft(mono.double(), n=padded)
    side = torch.fft.irfft(spectrum * side_response(padded, sample_rate), n=padded)[..., :length]
    side = (width * side).to(mono.dtype)
    return torch.stack([mono + side, mono - side], dim=-2)


def check_width(width: float) -> None:
    """Refuse a width that is none.

    Raises:
        ValueError: names it.
    """
    if not math.isfinite(width) or not 0.0 <= width <= WIDEST:
        raise ValueError(f"stereo: expected 0 (one channel) to {WIDEST:g} (as wide as it goes), got {width}")


def mono_of(waveform: Tensor) -> Tensor:
    """The middle of `(2, samples)`; `(samples,)` is its own."""
    return waveform if waveform.ndim == 1 else waveform.mean(dim=0)


def band_coherence(waveform: Tensor, sample_rate: int) -> list[float]:
    """How alike two channels are in bands with the edges `COHERENCE_BANDS_HZ`: 1 alike, 0 unrelated, -1 opposed.

    The real part of their cross spectrum over the root of the product of their powers, each summed over a band.

    Args:
        waveform: `(2, samples)`.
        sample_rate: in Hz.
    """
    left, right = torch.fft.rfft(waveform.double())
    hertz = torch.fft.rfftfreq(waveform.shape[-1], 1.0 / sample_rate)
    found = []
    for low, high in pairwise(COHERENCE_BANDS_HZ):
        band = (hertz >= low) & (hertz < high)
        both = (left[band].abs().square().sum() * right[band].abs().square().sum()).sqrt()
        found.append(float((left[band] * right[band].conj()).real.sum() / both.clamp(min=1e-12)))
    return found
