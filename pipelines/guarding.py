"""No sound beyond full scale: a clip is lowered as a whole, or, around what it keeps of a recording, where it was made.

What is made around a kept recording may be louder than full scale allows. Lowering all of it would change what is kept;
so the level falls within reach of what was made, and is 1 beyond it:

    | kept: 1 | within reach: falls smoothly | made: limit / peak | within reach: rises | kept: 1 |
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PEAK_LIMIT = 0.99
# Of what is within reach: so near to its edge a loud sample counts as kept, for the level could not fall smoothly.
SLOPE_SAMPLES = 512


@dataclass(frozen=True)
class Zone:
    """Samples that are the recording's no more: those that were made, and those around them that the networks reach.

    Args:
        begin: first sample within reach.
        first: first sample that was made.
        last: the one behind the last that was made.
        end: the one behind the last within reach.
    """

    begin: int
    first: int
    last: int
    end: int

    def inner(self) -> tuple[int, int]:
        """What may be lowered by itself: the first sample, and the one behind the last."""
        return min(self.begin + SLOPE_SAMPLES, self.first), max(self.end - SLOPE_SAMPLES, self.last)


def zones_of(made: Sequence[tuple[int, int]], reach: int, samples: int) -> tuple[Zone, ...]:
    """Zones around what was made; those that overlap are one.

    Args:
        made: first samples, and those behind the last, in any order.
        reach: samples around each that are not kept exactly.
        samples: of the clip; where a zone comes to its end, nothing is kept there.
    """
    found: list[Zone] = []
    for start, stop in sorted(made):
        begin, end = max(0, start - reach), min(samples, stop + reach)
        # At an end of the clip there is no kept sound to lead over to.
        zone = Zone(begin, start if begin else 0, stop if end < samples else samples, end)
        if found and begin <= found[-1].end:
            before = found.pop()
            zone = Zone(before.begin, before.first, zone.last, zone.end)
        found.append(zone)
    return tuple(found)


def lowered(waveforms: Tensor, zones: Sequence[Zone]) -> tuple[bool, ...]:
    """Bring what was made in each clip below full scale; all of a clip only where what it keeps is beyond it.

    Args:
        waveforms: `(clips, samples)` or `(clips, 2, samples)`, which are changed.
        zones: of all of them, rising.

    Returns:
        for each, whether any of it was lowered.
    """
    ends = [0, *(place for zone in zones for place in zone.inner()), waveforms.shape[-1]]
    kept = [slice(start, end) for start, end in zip(ends[::2], ends[1::2], strict=True) if start < end]
    guarded = []
    for waveform in waveforms:
        peak = max((float(waveform[..., part].abs().max()) for part in kept), default=0.0)
        if peak > PEAK_LIMIT:
            waveform *= PEAK_LIMIT / peak
        loud = [lower_zone(waveform, zone) for zone in zones]
        guarded.append(peak > PEAK_LIMIT or any(loud))
    return tuple(guarded)


def lower_zone(waveform: Tensor, zone: Zone) -> bool:
    """Bring a zone of `(..., samples)` below full scale, if it is beyond; gives whether it was.

    All that was made gets one level, so that it keeps its shape; so does what lies between it and a loud sample in
    reach.
    """
    part = waveform[..., zone.begin : zone.end]
    level = part.abs().reshape(-1, part.shape[-1]).amax(dim=0)
    loud = (level > PEAK_LIMIT).nonzero()[:, 0]
    if not len(loud):
        return False
    first = min(zone.first - zone.begin, int(loud[0]))
    last = max(zone.last - zone.begin, int(loud[-1]) + 1)
    share = torch.ones_like(level)
    share[:first] = rising(first)
    share[last:] = rising(len(share) - last).flip(0)
    part *= 1.0 - (1.0 - PEAK_LIMIT / float(level.max())) * share
    return True


def rising(samples: int) -> Tensor:
    """From 0 to 1, flat at both ends, `(samples,)`."""
    return 0.5 - 0.5 * torch.cos(torch.arange(samples) * (math.pi / max(1, samples)))
