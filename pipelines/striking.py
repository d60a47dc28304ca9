"""Loops of what is struck: each time round it begins anew, and rings on under its next beginning.

On a circle nothing begins, so a kick has no place there, and a transformer that is asked for one makes silence. What
is struck is made as it is made alone, long enough to ring on, and laid over itself a turn later, as a bell is heard
that is struck again before it is still:

    y[n] = sum over turns k of x[n + k N]

That has no seam: where a turn ends, the sound goes on under the next one.

Whether a sound is struck is heard, not read: a few solver steps make it, and it is where it is as loud as it gets at
once, and falls from there. Of 50 draws of sounds that are struck or plucked and 40 of sounds that are blown, bowed or
held, 46 and none were so at 2 s, 49 and none at 4 s (25 and 20 prompts, two seeds, 16 steps, a script that was not
kept).
"""

import math

import torch
from torch import Tensor

from audio.mel import MelConfig

# A sound is heard for so long at least, and rings on so far into the next turn.
HEARING_SECONDS, RINGS_ON_SECONDS = 2.0, 1.0
# As loud as it gets, but for so many decibels, within so many seconds; and so much softer in the middle of its ring.
AT_ONCE_SECONDS, AT_ONCE_DB = 0.15, 3.0
MIDDLE, FALLEN_DB = (0.4, 0.6), 10.0
SMOOTHING_SECONDS = 0.05
# Ahead of an attack, in which its echo in two channels fades away.
ECHO_FRAMES = 2
# Of the end of a ring that is not over, for nothing is cut.
FADE_SECONDS = 0.05


def heard_seconds(seconds: float, longest: float) -> float:
    """How long a sound is made to hear whether it is struck: two turns, but no longer than the model knows.

    Beyond that all sounds come to an end, the held ones too.

    Args:
        seconds: of the loop.
        longest: that the model was trained on.
    """
    return min(longest, max(2.0 * seconds, HEARING_SECONDS))


def ring_seconds(seconds: float, longest: float) -> float:
    """How long a struck sound of a loop is made: so that its end lies within another turn; arguments as above."""
    return max(heard_seconds(seconds, longest), seconds + RINGS_ON_SECONDS)


def is_struck(log_mel: Tensor, frame_rate: float) -> bool:
    """Whether a sound is as loud as it gets at once, and falls from there.

    Args:
        log_mel: `(n_mels, frames)`, natural, of magnitudes.
        frame_rate: frames a second.
    """
    power = log_mel.double().mul(2.0).exp().sum(dim=0)
    width = max(1, round(SMOOTHING_SECONDS * frame_rate))
    power = torch.nn.functional.avg_pool1d(power[None], width, 1, width // 2, count_include_pad=False)[0]
    loudest = float(power.max())
    soon = float(power[: max(1, round(AT_ONCE_SECONDS * frame_rate))].max())
    first, last = (math.floor(share * len(power)) for share in MIDDLE)
    middle = float(power[first : max(last, first + 1)].mean())
    return _decibels(loudest / soon) <= AT_ONCE_DB and _decibels(loudest / middle) >= FALLEN_DB


def laid_over(ring: Tensor, samples: int, sample_rate: int) -> Tensor:
    """A ring that begins anew after so many samples, over and over, `(clips, samples)`.

    Args:
        ring: `(clips, ring samples)`, at least as many.
        samples: of one turn.
        sample_rate: in Hz.
    """
    length = min(ring.shape[1], round(FADE_SECONDS * sample_rate))
    fade = torch.cos(torch.linspace(0.0, math.pi / 2, length, device=ring.device)).square()
    faded = torch.cat([ring[:, :-length], ring[:, -length:] * fade], dim=1)
    turns = -(-ring.shape[1] // samples)
    return torch.nn.functional.pad(faded, (0, turns * samples - ring.shape[1])).view(-1, turns, samples).sum(dim=1)


def attack_frame(mel: MelConfig, frames: int, wide: bool = False) -> int:
    """The mel frame of a looped file at which what is struck begins: no frame next to the file's ends hears it.

    Args:
        mel: of the model.
        frames: of the loop.
        wide: of two channels, whose difference echoes ahead of the attack (`pipelines.stereo`).
    """
    # A frame is around its middle, and the change to the next one counts.
    return min(-(-mel.n_fft // mel.hop_length // 2) + 2 + ECHO_FRAMES * wide, frames // 2)


def _decibels(ratio: float) -> float:
    return 10.0 * math.log10(max(ratio, 1e-12))
