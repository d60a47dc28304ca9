"""Seamless loops: time is a circle, in the transformer, in the autoencoder and in the vocoder.

The transformer sees a margin of the end before the beginning and of the beginning after the end
(`latent_diffusion.windows.looped_field`); the decoders, which hear only so far, are given what lies beyond each end by
going round. So the last sample leads into the first as any sample leads into the next.

A circle begins nowhere, so the clip may begin anywhere on it: it does where the sound changes least.

The vocoder's clock turns once in `frame_alignment` frames, and a latent frame is several mel frames: a loop is a whole
number of both.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.model import MelVAE
from vocoder.base import Vocoder

PERCENTILE = 95.0


def loop_seconds(seconds: float, autoencoder: MelVAE, vocoder: Vocoder, longest: float, struck: bool = False) -> float:
    """The length that goes round and is nearest to the one wanted: at least one turn of the clock.

    Args:
        seconds: wanted.
        autoencoder: says how many mel frames a latent frame has.
        vocoder: says how far it hears, and may say how its windows must be aligned.
        longest: seconds that it may have.
        struck: no network has to go round for it.

    Raises:
        ValueError: a vocoder that hears the whole clip.
    """
    mel = autoencoder.mel
    if not struck:
        reach_of(vocoder)
    unit = math.lcm(autoencoder.config.frames_per_latent, getattr(vocoder, "frame_alignment", 1))
    turns = min(round(seconds * mel.frame_rate / unit), math.floor(longest * mel.frame_rate / unit))
    return max(1, turns) * unit * mel.hop_length / mel.sample_rate


def reach_of(vocoder: Vocoder) -> int:
    """How many frames a vocoder hears.

    Raises:
        ValueError: it does not say.
    """
    if not hasattr(vocoder, "receptive_field"):
        raise ValueError("loop: this vocoder does not say how far it hears (receptive_field), so it cannot go round")
    return int(vocoder.receptive_field())


def circular(x: Tensor, margin: int) -> Tensor:
    """With `margin` frames of the other end before and after; round and round where it is shorter than that."""
    frames = x.shape[-1]
    return x[..., torch.arange(-margin, frames + margin, device=x.device) % frames]


def decode_loop_mel(autoencoder: MelVAE, latents: Tensor) -> Tensor:
    """Raw latents `(batch, channels, latent_frames)` to the log-mel of a loop."""
    factor = autoencoder.config.frames_per_latent
    margin = -(-autoencoder.decoder_reach() // factor) + 1
    return autoencoder.decode(circular(latents, margin))[..., margin * factor : -margin * factor]


def around(log_mel: Tensor, vocoder: Vocoder, decode: Callable[[Tensor], Tensor], hop_length: int) -> Tensor:
    """The log-mel of a loop to its sound, a hop for each frame.

    Args:
        log_mel: `(batch, n_mels, frames)`.
        vocoder: says how far it hears.
        decode: of it, as the chain calls it.
        hop_length: of the mel.

    Returns:
        `(batch, frames * hop_length)`.

    Raises:
        ValueError: a vocoder that does not say how far it hears.
    """
    reach, unit = reach_of(vocoder), getattr(vocoder, "frame_alignment", 1)
    margin = -(-reach // unit) * unit
    waveform = decode(circular(log_mel, margin))
    return waveform[:, margin * hop_length : (margin + log_mel.shape[-1]) * hop_length]


def circle_changes(waveform: Tensor, mel: MelConfig) -> Tensor:
    """How much the log-mel of a loop changes from frame to frame: `(frames,)`, number n from frame n - 1 to frame n.

    Args:
        waveform: of a loop, a whole number of frames, `(samples,)`.
        mel: of the measurement.
    """
    frames = waveform.shape[-1] // mel.hop_length
    turns = 1 + 2 * -(-2 * _reach(mel) // frames)
    log_mel = LogMelSpectrogram(mel)(waveform.float().repeat(turns)[None])[0]
    # Those of the middle turn hear no cut.
    first = turns // 2 * frames
    changes: Tensor = log_mel[:, first - 1 : first + frames].diff(dim=-1).abs().mean(dim=0)
    return changes


def smooth_starts(waveforms: Tensor, mel: MelConfig, together: bool = False) -> list[int]:
    """The frame at which each loop changes least, so that a player that stumbles there is heard least.

    Args:
        waveforms: of loops, a whole number of frames, `(clips, samples)`.
        mel: of the measurement.
        together: one frame for all of them, where the worst of them changes least.
    """
    reach = _reach(mel)
    around = [circular(circle_changes(one, mel), reach)[1:].unfold(0, 2 * reach, 1).amax(dim=1) for one in waveforms]
    if together:
        return [int(torch.stack(around).amax(dim=0).argmin())] * len(around)
    return [int(changes.argmin()) for changes in around]


def begun_at(waveforms: Tensor, starts: Sequence[int], mel: MelConfig) -> Tensor:
    """Loops `(clips, samples)`, each begun at its frame of `starts`."""
    hop = mel.hop_length
    return torch.stack([one.roll(-start * hop, dims=-1) for one, start in zip(waveforms, starts, strict=True)])


def seam_score(waveform: Tensor, mel: MelConfig, origin: int = 0) -> float:
    """How rough the seam of a loop is; up to 1, it is nothing special.

    The largest change of the log-mel from frame to frame where the circle closes, over the 95th percentile of such
    changes elsewhere. It closes in two places: where the first latent frame follows the last, and where the file does;
    the worse of them counts. Of a place, the change across it counts, and the one before and the one behind it, for a
    click on it is in both frames alike.

    Args:
        waveform: of a loop, `(samples,)`.
        mel: of the measurement.
        origin: sample at which the first latent frame begins.
    """
    changes = circle_changes(waveform, mel)
    near = torch.zeros(len(changes), dtype=torch.bool)
    for place in (0, round(origin / mel.hop_length)):
        near[torch.arange(place - 1, place + 2) % len(near)] = True
    if bool(near.all()):
        return 0.0
    return float(changes[near].max()) / max(float(np.percentile(changes[~near].numpy(), PERCENTILE)), 1e-9)


def _reach(mel: MelConfig) -> int:
    """Frames to either side of a place that hear it, and one."""
    return -(-mel.n_fft // mel.hop_length // 2) + 1
