"""The same mels through every vocoder, clip by clip.

    real        the mel of the held-out clip
    decoded     that mel through the autoencoder and back (posterior mean)
    generated   what the diffusion model makes for the clip's caption

The vocoders take turns at every mel, each time in another order, so that a busy machine slows all of them alike.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from audio.dataset import Clip
from audio.files import read_audio
from pipelines.comparison_measures import MEASURES, Ears, Reference, measure_alone
from pipelines.comparison_vocoders import Contestant
from pipelines.ladder_latents import decode_latents, read_latents
from pipelines.text_to_audio import TextToAudioPipeline
from vocoder.judging import clip_and_mel

REAL, DECODED, GENERATED = SOURCES = ("real", "decoded", "generated")

# A vocoder's name and a source.
Entry = tuple[str, str]


@dataclass(frozen=True)
class Kept:
    """A clip with all that came of it, to be listened to.

    Args:
        clip: the real one.
        real: its samples `(1, samples)`.
        made: what each vocoder made of each source, `(1, samples)`.
    """

    clip: Clip
    real: Tensor
    made: dict[Entry, Tensor]


@dataclass
class Findings:
    """Everything measured.

    Args:
        clips: the real ones, in order.
        values: for each vocoder and source, by measure one number a clip; not a number where it does not apply.
        kept: whole clips, by their number.
        speech: how many clips were judged as speech.
        pitched: how many clips were judged by their note.
        real_onset_rises: of the real clips, in ms.
    """

    clips: list[Clip] = field(default_factory=list)
    values: dict[Entry, dict[str, list[float]]] = field(default_factory=dict)
    kept: dict[int, Kept] = field(default_factory=dict)
    speech: int = 0
    pitched: int = 0
    real_onset_rises: list[float] = field(default_factory=list)

    def add(self, entry: Entry, measured: dict[str, float]) -> None:
        """The measures of one more clip."""
        columns = self.values.setdefault(entry, {measure.name: [] for measure in MEASURES})
        for name, column in columns.items():
            column.append(measured.get(name, float("nan")))


@dataclass(frozen=True)
class Chain:
    """What makes the mels.

    Args:
        pipeline: of the model.
        ears: that listen.
        sources: of the mels.
        seconds: that longer clips are cut to.
    """

    pipeline: TextToAudioPipeline
    ears: Ears
    sources: Sequence[str]
    seconds: float

    @torch.inference_mode()
    def mels(self, clip: Clip, latents: Path | None) -> tuple[Reference, dict[str, Tensor]]:
        """A real clip, and the log-mels `(1, n_mels, frames)` of every source, decoded ones with their lead.

        Args:
            clip: the real one.
            latents: made for its caption.

        Raises:
            ValueError: a file cannot be read.
        """
        pipeline = self.pipeline
        waveform, _ = read_audio(clip.path, pipeline.sample_rate, seconds=self.seconds)
        target, log_mel = clip_and_mel(torch.from_numpy(waveform).to(pipeline.device), self.ears.front_end)
        found = {}
        for source in self.sources:
            if source == REAL:
                found[source] = log_mel
            elif source == DECODED:
                encoded = pipeline.autoencoder.encode(log_mel).mean
                frames = self.lead_samples(source) // pipeline.autoencoder.mel.hop_length + log_mel.shape[-1]
                found[source] = decode_latents(pipeline, encoded)[..., :frames]
            elif latents is not None:
                found[source] = decode_latents(pipeline, read_latents(latents))
        return Reference(clip, target.cpu(), self.ears), found

    def lead_samples(self, source: str) -> int:
        """How many samples of what is made of a source belong to the lead."""
        return 0 if source == REAL else self.pipeline.autoencoder.lead_samples


def decode_all(
    chain: Chain, contestants: Sequence[Contestant], clips: Iterable[tuple[Clip, Path | None]], keep: frozenset[int]
) -> Findings:
    """Decode and measure.

    Args:
        chain: makes the mels.
        contestants: all vocoders, each of which has decoded once.
        clips: with the latents made for their captions.
        keep: numbers of the clips that are kept whole.

    Raises:
        ValueError: a file cannot be read, or a vocoder fails.
    """
    found = Findings()
    for number, (clip, latents) in enumerate(clips):
        reference, mels = chain.mels(clip, latents)
        made: dict[Entry, Tensor] = {}
        for contestant, source in turns(contestants, list(mels), number):
            waveform, seconds = contestant.decode(mels[source])
            measured = measure_alone(waveform, mels[source], chain.ears, chain.lead_samples(source))
            measured["real_time_factor"] = seconds * chain.ears.sample_rate / waveform.shape[1]
            waveform = waveform[:, chain.lead_samples(source) :]
            if source != GENERATED:
                measured |= reference.compare(waveform)
            found.add((contestant.name, source), measured)
            made[contestant.name, source] = waveform
        found.clips.append(clip)
        found.speech += chain.ears.is_speech(clip)
        found.pitched += reference.voicing is not None
        found.real_onset_rises.append(reference.onset_rise)
        if number in keep:
            found.kept[number] = Kept(clip, reference.waveform, made)
    return found


def turns(contestants: Sequence[Contestant], sources: Sequence[str], number: int) -> Iterator[tuple[Contestant, str]]:
    """Who decodes what, in which order: every clip and every source begins with another vocoder."""
    for place, source in enumerate(sources):
        order = np.roll(np.arange(len(contestants)), -(number + place))
        yield from ((contestants[index], source) for index in order.tolist())
