"""Seamless loops: time is a circle, in the transformer, in the autoencoder and in the vocoder.

The transformer sees a margin of the end before the beginning and of the beginning after the end
(`latent_diffusion.sampling.looped_field`); the decoders, which hear only so far, are given what lies beyond each end by
going round. So the last sample leads into the first as any sample leads into the next.

A circle begins nowhere, so the clip may begin anywhere on it: it does where the sound changes least.

The vocoder's clock turns once in `frame_alignment` frames, and a latent frame is several mel frames: a loop is a whole
number of both.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.model import MelVAE
from vocoder.base import Vocoder

PERCENTILE = 95.0


def loop_seconds(seconds: float, autoencoder: MelVAE, vocoder: Vocoder) -> float:
    """The length that goes round and is nearest to the one wanted: at least one turn of the clock.

    Args:
        seconds: wanted.
        autoencoder: says how many mel frames a latent frame has.
        vocoder: says how far it hears, and may say how its windows must be aligned.

    Raises:
        ValueError: a vocoder that hears the whole clip.
    """
    mel = autoencoder.mel
    reach_of(vocoder)
    unit = math.lcm(autoencoder.config.frames_per_latent, getattr(vocoder, "frame_alignment", 1))
    return max(1, round(seconds * mel.frame_rate / unit)) * unit * mel.hop_length / mel.sample_rate


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


def _reach(mel: MelConfig) -> int:
    """Frames to either side of a place that hear it, and one."""
    return -(-mel.n_fft // mel.hop_length // 2) + 1


def begun_smoothly(waveform: Tensor, mel: MelConfig) -> Tensor:
    """A loop that begins where its log-mel changes least, so that a player that stumbles there is heard least.

    Args:
        waveform: of a loop, a whole number of frames, `(samples,)`.
        mel: of the measurement.
    """
    frames, reach = waveform.shape[-1] // mel.hop_length, _reach(mel)
    turns = 1 + 2 * -(-2 * reach // frames)
    log_mel = LogMelSpectrogram(mel)(waveform.float().repeat(turns)[None])[0]
    # Change n leads from frame n to the next; those of the middle turn hear no cut.
    change = log_mel.diff(dim=-1).abs().mean(dim=0).unfold(0, 2 * reach, 1).amax(dim=1)
    first = turns // 2 * frames
    quietest = int(change[first - reach : first - reach + frames].argmin())
    return waveform.roll(-quietest * mel.hop_length, dims=-1)


def seam_score(waveform: Tensor, mel: MelConfig) -> float:
    """How rough the seam of a loop is; below 1, it is nothing special.

    The largest change of the log-mel from frame to frame around where the end meets the beginning, over the 95th
    percentile of the same around other places: as many frames are looked at in both.

    Args:
        waveform: `(samples,)`.
        mel: of the measurement.
    """
    twice = LogMelSpectrogram(mel)(torch.cat([waveform, waveform])[None])[0]
    change = twice.diff(dim=-1).abs().mean(dim=0).numpy()
    middle = twice.shape[-1] // 2
    reach = _reach(mel)
    seam = float(change[max(0, middle - reach) : middle + reach].max())
    # Away from the seam, and from the two ends, which are cut.
    stretches = [change[reach : middle - reach], change[middle + reach : -reach]]
    usual = [
        sliding_window_view(part, 2 * reach).max(axis=-1) if part.size >= 2 * reach else part[:0] for part in stretches
    ]
    elsewhere = np.concatenate(usual)
    return seam / max(float(np.percentile(elsewhere, PERCENTILE)), 1e-9) if elsewhere.size else 0.0
