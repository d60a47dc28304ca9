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
# Further from a sound its side is not heard.
TAIL_SECONDS = 0.25
# Longer clips are widened and measured piece by piece, so that memory does not grow with them.
PIECE_SECONDS = 10.0
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
    length, piece = mono.shape[-1], round(PIECE_SECONDS * sample_rate)
    if length <= piece:
        padded = length if circular else length + round(TAIL_SECONDS * sample_rate)
        side = _side(mono, padded, sample_rate, width)
        return torch.stack([mono + side, mono - side], dim=-2)
    # Of a clip of minutes nothing but its two channels is held: a side hears no further than the tail.
    tail, made = round(TAIL_SECONDS * sample_rate), mono.new_empty(*mono.shape[:-1], 2, length)
    for start in range(0, length, piece):
        end = min(start + piece, length)
        heard = _heard(mono, start - tail, end + tail, circular)
        side = _side(heard, heard.shape[-1] + tail, sample_rate, width)[..., tail : tail + end - start]
        torch.add(mono[..., start:end], side, out=made[..., 0, start:end])
        torch.sub(mono[..., start:end], side, out=made[..., 1, start:end])
    return made


def _side(mono: Tensor, padded: int, sample_rate: int, width: float) -> Tensor:
    """Half the difference of both channels, the shape of `mono`; `padded` samples with silence behind go round."""
    spectrum = torch.fft.rfft(mono.double(), n=padded)
    side = torch.fft.irfft(spectrum * side_response(padded, sample_rate), n=padded)[..., : mono.shape[-1]]
    made: Tensor = (width * side).to(mono.dtype)
    return made


def _heard(mono: Tensor, start: int, end: int, circular: bool) -> Tensor:
    """Samples from `start` to `end`, which may lie beyond both ends: there a loop goes round, and else is silence."""
    length = mono.shape[-1]
    inside = mono[..., max(0, start) : min(end, length)]
    before, behind = max(0, -start), max(0, end - length)
    if not circular:
        return torch.nn.functional.pad(inside, (before, behind))
    return torch.cat([mono[..., length - before :], inside, mono[..., :behind]], dim=-1)


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
    sums = torch.zeros(len(COHERENCE_BANDS_HZ) - 1, 3, dtype=torch.float64)
    for piece in torch.split(waveform, round(PIECE_SECONDS * sample_rate), dim=-1):
        left, right = torch.fft.rfft(piece.double())
        hertz = torch.fft.rfftfreq(piece.shape[-1], 1.0 / sample_rate)
        for row, (low, high) in enumerate(pairwise(COHERENCE_BANDS_HZ)):
            band = (hertz >= low) & (hertz < high)
            products = ((left[band] * right[band].conj()).real, left[band].abs().square(), right[band].abs().square())
            # Per sample of the piece: transforms of other lengths are of other sizes.
            sums[row] += torch.stack([product.sum() for product in products]) / piece.shape[-1]
    return [float(cross / (one * other).sqrt().clamp(min=1e-12)) for cross, one, other in sums]
