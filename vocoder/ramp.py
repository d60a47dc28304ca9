"""Phases of steady partials: each turns as fast as the spectral peak it belongs to says.

    peak      bin whose smoothed log magnitude exceeds its neighbours', placed between bins by a parabola
    f[k, t]   place of the peak nearest to bin k, in bins; k itself where none is near
    n[k, t]   round(f hop / n_fft P)                                turns in P frames
    phase     2 pi ((n t) mod P) / P                                frame t of the clip

(Peaks and the regions they rule after Laroche, Dolson, "Improved phase vocoder time-scale modification of audio", 1999;
the parabola after Smith, Serra, "PARSHL", 1987.)

A mel says how strong a frame is, not how its waves go on from the frame before. High partials may drift, for the ear
hears their sum; of a low note the partials lie apart, and where their phases do not follow their frequencies it has no
pitch. A network finds such phases hard to learn, as they are saw-teeth of time; here they are given, and it adds what
they lack.

Turns are whole numbers in P frames, so that a frame's phase depends on its own neighbourhood and on t mod P alone: a
window that begins at a multiple of P frames decodes as the whole clip does. Projections of Griffin-Lim take off what
the rounding costs.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, pad

# Frames to either side over which log magnitudes are averaged before peaks are sought.
SMOOTHING = 2
# Bins to either side within which a peak is sought.
NEAREST = 16
NONE = -1.0


@torch.no_grad()
def phase_ramp(log_magnitude: Tensor, bins: int, turns_per_bin: float, period: int) -> Tensor:
    """Phases of the lowest bins, without the term `pi k` of a window's middle.

    Args:
        log_magnitude: `(batch, n_fft // 2 + 1, frames)`, natural log, from the clip's beginning or from a multiple of
            `period` frames after it.
        bins: how many, at most `n_fft // 2`.
        turns_per_bin: `hop_length / n_fft`: turns from frame to frame of a partial in the middle of bin 1.
        period: P, in frames.

    Returns:
        `(batch, bins, frames)`, in radians, from 0 to 2 pi.
    """
    places = peak_places(log_magnitude[:, : bins + 1])
    turns = (places * (turns_per_bin * period)).round()
    # Whole turns are taken off first, so that a long clip's phases are as exact as a short one's.
    time = torch.arange(log_magnitude.shape[-1], device=log_magnitude.device) % period
    return (2.0 * math.pi / period) * ((turns * time) % period)


def peak_places(log_magnitude: Tensor) -> Tensor:
    """Where the peak nearest to a bin lies, in bins, `(batch, bins, frames)` of `(batch, bins + 1, frames)`."""
    smooth = avg_pool1d(log_magnitude, 2 * SMOOTHING + 1, 1, SMOOTHING, count_include_pad=False)
    below, middle, above = smooth[:, :-2], smooth[:, 1:-1], smooth[:, 2:]
    is_peak = (middle >= below) & (middle > above)
    bend = (below - 2.0 * middle + above).clamp(max=-1e-6)
    offset = (0.5 * (below - above) / bend).clamp(-0.5, 0.5)
    bins = middle.shape[1] + 1
    own = torch.arange(bins, device=middle.device, dtype=middle.dtype)[None, :, None]
    # Bin 0 has no neighbour below: it is no peak.
    peaks = pad(torch.where(is_peak, own[:, 1:] + offset, middle.new_full((), NONE)), (0, 0, 1, 0), value=NONE)
    wide = pad(peaks, (0, 0, NEAREST, NEAREST), value=NONE)
    nearest = peaks
    for distance in range(1, NEAREST + 1):
        for shift in (-distance, distance):
            nearest = torch.where(nearest < 0.0, wide[:, NEAREST + shift : NEAREST + shift + bins], nearest)
    return torch.where(nearest < 0.0, own, nearest)
