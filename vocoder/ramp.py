"""Phases of steady partials: each turns as fast as the spectral peak it belongs to says.

    peak      bin whose smoothed log magnitude exceeds its neighbours', placed between bins by a parabola
    f[k, t]   place of the peak nearest to bin k, in bins; k itself where none is near
    n[k, t]   round(f hop / n_fft P)                                turns in P frames
    phase     2 pi ((n t) mod P) / P                                frame t of the clip

Where a clip's note is known, and so low that a mel does not hold its partials apart, the places are its harmonics:

    f[k, t]   F max(1, round(k / F))                                F the fundamental, in bins

(Peaks and the regions they rule after Laroche, Dolson, "Improved phase vocoder time-scale modification of audio", 1999;
the parabola after Smith, Serra, "PARSHL", 1987.)

A mel says how strong a frame is, not how its waves go on from the frame before. High partials may drift, for the ear
hears their sum; of a low note the partials lie apart, and where their phases do not follow their frequencies it has no
pitch. A network finds such phases hard to learn, as they are saw-teeth of time; here they are given.

Not around attacks: there the phases of a frame must agree with each other, so that nothing sounds before its time, and
a ramp knows nothing of that. `steady_frames` says where nothing rises.

Turns are whole numbers in P frames, so that a frame's phase depends on its own neighbourhood and on t mod P alone: a
window that begins at a multiple of P frames decodes as the whole clip does. Projections of Griffin-Lim take off what
the rounding costs.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

# Frames to either side over which log magnitudes are averaged before peaks are sought.
SMOOTHING = 2
# A peak is sought within 1 + 2 + 4 + 8 bins to either side: each step hears so much further than the one before.
STEPS = (1, 2, 4, 8)
# Four frames to either side of an attack, as many as a window has hops (in steps that add up), and the rise that makes
# one, in nats (6 dB).
AROUND, RISE = (1, 2, 1), 0.7
# F#3, 185 Hz: from there on partials lie nine bins apart (44.1 kHz, windows of 2,048), and peaks tell where.
HIGHEST_NOTE = 54.0
# What comes before a clip, in log magnitude.
QUIET = -8.5
# No bin is there.
FAR = -1e4


@torch.no_grad()
def phase_ramp(log_magnitude: Tensor, turns_per_bin: float, period: int, fundamental: Tensor | None = None) -> Tensor:
    """Phases of the lowest bins, without the term `pi k` of a window's middle.

    Args:
        log_magnitude: `(batch, bins + 1, frames)`, natural log, of the lowest bins and one more, from the clip's
            beginning or from a multiple of `period` frames after it.
        turns_per_bin: `hop_length / n_fft`: turns from frame to frame of a partial in the middle of bin 1.
        period: P, in frames.
        fundamental: of each clip, `(batch,)`, in bins, NaN where it is not known; see `fundamentals`.

    Returns:
        `(batch, bins, frames)`, in radians, from 0 to 2 pi.
    """
    places = peak_places(log_magnitude)
    places = places if fundamental is None else harmonic_places(places, fundamental)
    turns = (places * (turns_per_bin * period)).round()
    # Whole turns are taken off first, so that a long clip's phases are as exact as a short one's.
    time = torch.arange(log_magnitude.shape[-1], device=log_magnitude.device) % period
    return (2.0 * math.pi / period) * ((turns * time) % period)


def fundamentals(notes: Tensor, bin_hz: float) -> Tensor:
    """Where the fundamentals of low notes lie, in bins, `(batch,)`; NaN for notes that are not low or not known.

    Args:
        notes: MIDI numbers `(batch,)`, NaN where a clip has none.
        bin_hz: from bin to bin.
    """
    hertz = 440.0 * 2.0 ** ((notes - 69.0) / 12.0)
    return torch.where(notes <= HIGHEST_NOTE, hertz / bin_hz, torch.nan)


def harmonic_places(places: Tensor, fundamental: Tensor) -> Tensor:
    """Places `(batch, bins, frames)`, moved to the nearest harmonic where a fundamental `(batch,)` is known."""
    known = fundamental.to(places)[:, None, None]
    bins = torch.arange(places.shape[1], device=places.device, dtype=places.dtype)[:, None]
    return torch.where(known.isnan(), places, (bins / known).round().clamp(min=1.0) * known)


@torch.no_grad()
def steady_frames(log_magnitude: Tensor) -> Tensor:
    """Where a sound does not rise: True, `(batch, 1, frames)`, but for frames whose windows hold an attack.

    Their energy is exceeded by more than `RISE` within the frames to come, or exceeds that of the frames before; a clip
    begins after silence.

    Args:
        log_magnitude: `(batch, bins, frames)`, natural log.
    """
    level = 0.5 * (2.0 * log_magnitude).logsumexp(dim=1, keepdim=True)
    to_come, before = level, level
    # Shifted copies, not pools: an exported file takes any number of frames.
    for step in AROUND:
        to_come = torch.maximum(to_come, pad(to_come[..., step:], (0, step), value=QUIET))
        before = torch.minimum(before, pad(before[..., :-step], (step, 0), value=QUIET))
    return (to_come - level <= RISE) & (level - before <= RISE)


def peak_places(log_magnitude: Tensor) -> Tensor:
    """Where the peak nearest to a bin lies, in bins, `(batch, bins, frames)` of `(batch, bins + 1, frames)`."""
    # A frame's bins lie side by side in memory, as an STFT has them.
    log = log_magnitude.transpose(1, 2)
    smooth = _averaged(log)
    below, middle, above = smooth[..., :-2], smooth[..., 1:-1], smooth[..., 2:]
    bend = (below - 2.0 * middle + above).clamp(max=-1e-6)
    offset = (0.5 * (below - above) / bend).clamp(-0.5, 0.5)
    # Bin 0 has no neighbour below: it is no peak.
    is_peak = pad((middle >= below) & (middle > above), (1, 0))
    own = torch.arange(is_peak.shape[-1], device=log.device, dtype=log.dtype)
    before, after = torch.where(is_peak, own, FAR), torch.where(is_peak, own, -FAR)
    for step in STEPS:
        before = torch.maximum(before, pad(before[..., :-step], (step, 0), value=FAR))
        after = torch.minimum(after, pad(after[..., step:], (0, step), value=-FAR))
    nearest = torch.where(own - before <= after - own, before, after)
    places = (own + pad(offset, (1, 0))).gather(-1, nearest.clamp(0.0, own.shape[0] - 1.0).long())
    return torch.where(nearest.abs() < -FAR, places, own).transpose(1, 2)


def _averaged(log: Tensor) -> Tensor:
    """Mean over a frame, `(batch, frames, bins)`, and as many of its neighbours as there are."""
    count = torch.ones_like(log[:1, :, :1])
    total, terms = log, count
    for step in range(1, SMOOTHING + 1):
        for behind, ahead in ((step, 0), (0, step)):
            rows = slice(None, -step) if behind else slice(step, None)
            total = total + pad(log[:, rows], (0, 0, behind, ahead))
            terms = terms + pad(count[:, rows], (0, 0, behind, ahead))
    return total / terms
