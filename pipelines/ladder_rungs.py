"""The rungs of the oracle ladder, clip by clip: each hands one stage less of the truth than the one before.

    vocoder        real -> mel -> sound
    autoencoder    real -> mel -> latents -> mel -> sound
    diffusion      caption -> latents -> mel -> sound

Each is spoken out by the model's vocoder and by Griffin-Lim. Clips are cut to the longest that the model makes, and all
of them, real ones too, are peak-normalised before they are embedded, so that levels do not decide.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio.dataset import AudioFolder, Clip
from audio.distances import multi_scale_mel_distance, normalise_peak
from audio.files import read_audio
from audio.measures import Waveform
from audio.mel import LogMelSpectrogram
from evaluation.embedders import EmbeddingCache
from evaluation.onsets import onset_rise_ms
from pipelines.counterparts import counterpart_prompt
from pipelines.ladder_latents import decode_latents, read_latents
from pipelines.ladder_verdict import STAGES
from pipelines.request import Job
from pipelines.text_to_audio import TextToAudioPipeline
from pipelines.tuning import note_of
from vocoder.base import told_notes
from vocoder.griffin_lim import GriffinLim
from vocoder.judging import clip_and_mel, long_enough

DECODERS = ("vocoder", "griffin-lim")
# What came of one clip on a rung can be laid over the clip itself.
ALIGNED = STAGES[:2]

# A stage and what spoke it out.
Rung = tuple[str, str]
RUNGS: tuple[Rung, ...] = tuple((stage, decoder) for stage in STAGES for decoder in DECODERS)


@dataclass(frozen=True)
class Example:
    """A clip to listen to.

    Args:
        clip: the real one.
        real: its samples, peak-normalised.
        rungs: samples of every rung, peak-normalised.
    """

    clip: Clip
    real: Waveform
    rungs: dict[Rung, Waveform]


@dataclass
class Climb:
    """What is kept of all clips: vectors, distances, and a few to listen to.

    Args:
        real: vectors of the real clips.
        made: vectors of the rungs.
        mel_distances: multi-scale mel distances of the aligned rungs.
        real_rises: onset rises of the real clips, in ms.
        rises: by stage, of what its vocoder speaks.
        examples: whole.
    """

    real: list[Tensor] = field(default_factory=list)
    made: dict[Rung, list[Tensor]] = field(default_factory=lambda: {rung: [] for rung in RUNGS})
    mel_distances: dict[Rung, list[float]] = field(
        default_factory=lambda: {(stage, decoder): [] for stage in ALIGNED for decoder in DECODERS}
    )
    real_rises: list[float] = field(default_factory=list)
    rises: dict[str, list[float]] = field(default_factory=lambda: {stage: [] for stage in STAGES})
    examples: list[Example] = field(default_factory=list)


def judgeable(pipeline: TextToAudioPipeline, clips: Sequence[Clip]) -> list[Clip]:
    """The clips that are long enough to be decoded and judged."""
    mel, longest = pipeline.autoencoder.mel, pipeline.defaults.max_seconds
    return [clip for clip in clips if long_enough(int(min(clip.seconds, longest) * mel.sample_rate), mel)]


def climb(
    pipeline: TextToAudioPipeline,
    clips: Iterable[tuple[Clip, Path]],
    ear: EmbeddingCache,
    shown: frozenset[int] = frozenset(),
) -> Climb:
    """Take every clip up the ladder.

    Args:
        pipeline: of the model.
        clips: judgeable ones, each with the latents made for its caption.
        ear: embeds.
        shown: numbers of the clips that become examples.

    Raises:
        ValueError: a clip or its latents cannot be read.
    """
    found, rate = Climb(), pipeline.sample_rate
    front_end = LogMelSpectrogram(pipeline.autoencoder.mel).to(pipeline.device)
    baseline = GriffinLim(pipeline.autoencoder.mel)
    for number, (clip, latents) in enumerate(clips):
        target, log_mel = read_target(pipeline, front_end, clip)
        note = note_of(Job(counterpart_prompt(clip, number), number, clip.seconds))
        made = rungs_of(pipeline, baseline, log_mel, read_latents(latents), note)
        for rung, distances in found.mel_distances.items():
            distances.append(float(multi_scale_mel_distance(made[rung], target, rate)))
        heard = {rung: plain(waveform[:, : target.shape[1]]) for rung, waveform in made.items()}
        real = plain(target)
        found.real.append(ear.of_waveforms([real], rate)[0])
        for rung, waveform in heard.items():
            found.made[rung].append(ear.of_waveforms([waveform], rate)[0])
        found.real_rises.append(onset_rise_ms(real, rate))
        for stage in STAGES:
            found.rises[stage].append(onset_rise_ms(heard[stage, DECODERS[0]], rate))
        if number in shown:
            found.examples.append(Example(clip, real, heard))
    return found


def embed_targets(pipeline: TextToAudioPipeline, clips: Iterable[Clip], ear: EmbeddingCache) -> list[Tensor]:
    """Vectors of real clips, cut and levelled as the judged ones are."""
    front_end = LogMelSpectrogram(pipeline.autoencoder.mel).to(pipeline.device)
    targets = (read_target(pipeline, front_end, clip)[0] for clip in clips)
    return [ear.of_waveforms([plain(target)], pipeline.sample_rate)[0] for target in targets]


@torch.inference_mode()
def read_target(pipeline: TextToAudioPipeline, front_end: LogMelSpectrogram, clip: Clip) -> tuple[Tensor, Tensor]:
    """A real clip `(1, samples)`, cut and peak-normalised, and its log-mel `(1, n_mels, frames)`."""
    waveform, _ = read_audio(clip.path, pipeline.sample_rate, seconds=pipeline.defaults.max_seconds)
    return clip_and_mel(torch.from_numpy(waveform).to(pipeline.device), front_end)


@torch.inference_mode()
def rungs_of(
    pipeline: TextToAudioPipeline, baseline: GriffinLim, log_mel: Tensor, latents: Tensor, note: float | None
) -> dict[Rung, Tensor]:
    """Waveforms `(1, samples)` of every rung.

    Args:
        pipeline: of the model.
        baseline: of its mel.
        log_mel: of the real clip, `(1, n_mels, frames)`.
        latents: made for its caption, `(1, channels, latent_frames)`.
        note: that its caption names; the vocoder is told it on every rung, as it is where clips are generated.
    """
    lead = pipeline.autoencoder.lead_samples
    frames = lead // pipeline.autoencoder.mel.hop_length + log_mel.shape[-1]
    rebuilt = decode_latents(pipeline, pipeline.autoencoder.encode(log_mel).mean)[..., :frames]
    mels = dict(zip(STAGES, (log_mel, rebuilt, decode_latents(pipeline, latents)), strict=True))
    floor = pipeline.autoencoder.mel.log_mel_floor
    waveforms: dict[Rung, Tensor] = {}
    vocoder = told_notes(pipeline.vocoder, [note])
    for stage, mel in mels.items():
        # What is decoded has its lead ahead of it.
        ahead = 0 if stage == STAGES[0] else lead
        waveforms[stage, DECODERS[0]] = pipeline.vocode(mel, vocoder).float()[:, ahead:]
        waveforms[stage, DECODERS[1]] = baseline.decode(mel.clamp(min=floor))[:, ahead:]
    return waveforms


def plain(waveform: Tensor) -> Waveform:
    """Samples of `(1, samples)`, peak-normalised."""
    return np.asarray(normalise_peak(waveform.float())[0].cpu().numpy(), dtype=np.float32)


def of_families(folder: AudioFolder, families: Collection[str]) -> AudioFolder:
    """A folder with the clips of some families alone.

    Raises:
        ValueError: a family that it has not.
    """
    known = sorted({clip.family for clip in folder.clips if clip.family})
    unknown = sorted(set(families) - set(known))
    if unknown:
        raise ValueError(f"families: '{folder.root}' has no {unknown[0]!r}; it has {', '.join(known) or 'none'}")
    return replace(folder, clips=tuple(clip for clip in folder.clips if clip.family in families))
