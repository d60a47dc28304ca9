"""An autoencoder over a folder: every clip whole, unpadded, one by one; what remains are sums and a number a clip."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from audio.dataset import Clip
from audio.files import read_audio
from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.latent_card import LatentCard, LatentStatistics
from autoencoder.mel_bands import BandErrors
from autoencoder.model import MelVAE, Posterior
from autoencoder.reach import Reach

# One long file must not decide how much memory a report needs.
LONGEST_SECONDS = 120.0

LogMel = NDArray[np.float32]


@dataclass(frozen=True)
class Judgement:
    """All that was measured.

    Args:
        card: of the latents.
        errors: of the decoded log-mels, by mel bin and family.
        ranked: mean absolute error of each clip in nats, the best first.
        too_short: clips left out because they hold less than one mel.
        cut: clips of which only the first `LONGEST_SECONDS` were read.
        reach: of the network.
    """

    card: LatentCard
    errors: BandErrors
    ranked: tuple[tuple[float, Clip], ...]
    too_short: int
    cut: int
    reach: Reach

    @property
    def error(self) -> float:
        """Mean absolute log-mel error in nats, every clip weighing alike."""
        return fmean(error for error, _ in self.ranked)

    @property
    def verdict(self) -> str:
        """The card in one line."""
        dead = f"{int(self.card.dead.sum())} of {self.card.channels} channels dead"
        text = f"{dead if self.card.enough else 'dead channels not computed'}, {self.error:.2f} nats error"
        text = f"{text}, worst {self.errors.worst_band()}"
        return text if self.reach.holds else f"{text}; it reaches further than it states"


def judge(network: MelVAE, clips: Sequence[Clip]) -> Judgement:
    """Encode and decode all clips.

    Args:
        network: in evaluation mode.
        clips: of one folder.

    Raises:
        ValueError: every clip is too short for the mel, or a clip has become unreadable.
    """
    mel, config = network.mel, network.config
    statistics = LatentStatistics(config.latent_channels, mel.frame_rate / config.frames_per_latent)
    errors = BandErrors(mel)
    ranked = []
    bar = track(clips, "encoding and decoding", console=Console(stderr=True), disable=not sys.stderr.isatty())
    for clip, target, estimate, posterior in decoded(network, bar):
        variance = posterior.log_variance.exp()
        statistics.add(posterior.mean[0].numpy(), variance[0].numpy(), posterior.kl()[0].numpy())
        ranked.append((errors.add(clip.family or "all", estimate, target), clip))
    if not ranked:
        raise all_too_short(len(clips), mel)
    ranked.sort(key=lambda pair: (pair[0], str(pair[1].path)))
    return Judgement(
        card=statistics.card(),
        errors=errors,
        ranked=tuple(ranked),
        too_short=len(clips) - len(ranked),
        cut=sum(clip.seconds > LONGEST_SECONDS for clip in clips),
        reach=Reach.of(network),
    )


def all_too_short(clips: int, mel: MelConfig) -> ValueError:
    """What to raise where no clip is left."""
    return ValueError(f"audio: all {clips} clips hold less than the {mel.minimum_samples} samples of a mel")


@torch.inference_mode()
def decoded(network: MelVAE, clips: Iterable[Clip]) -> Iterator[tuple[Clip, LogMel, LogMel, Posterior]]:
    """Clip, log-mel, log-mel decoded from the posterior mean, posterior; clips too short for the mel are left out.

    Where the network has a lead, clips are decoded behind it, as where sound is made, and held against the log-mel of
    the clip after as much silence.
    """
    front_end, ahead = LogMelSpectrogram(network.mel), network.lead_samples
    lead = ahead // network.mel.hop_length
    for clip in clips:
        samples, _ = read_audio(clip.path, network.mel.sample_rate, seconds=LONGEST_SECONDS)
        if len(samples) < network.mel.minimum_samples:
            continue
        waveform = torch.from_numpy(samples)[None]
        target = front_end(torch.nn.functional.pad(waveform, (ahead, 0)))[..., lead:]
        posterior = network.encode(front_end(waveform))
        estimate = network.decode(network.led(posterior.mean))[..., lead : lead + target.shape[-1]]
        yield clip, target[0].numpy(), estimate[0].numpy(), posterior
