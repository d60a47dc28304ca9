"""What the best of several tries gains, by ears that had no part in the choice.

    gain = E[hit of the try that is kept] - E[hit of a try]

A hit is a clip that a classifier of real clips gives to its family, or a note within 50 cents of the one that its
caption names. A try by itself is the mean of all tries of its caption, of which any could have been the only one. The
difference is paired by caption, and captions of one recording count as one draw.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from audio.dataset import AudioFolder, Clip, Split, evenly
from audio.files import resample
from audio.notes import named_pitch
from evaluation.classifier import PICTURE, Classifier, picture
from evaluation.intervals import Interval, distinct, mean_interval, verdict
from evaluation.pitch import PitchEstimator, cents
from evaluation.prompt_scores import WITHIN_CENTS
from pipelines.counterparts import counterpart_prompt
from pipelines.ranking import best_rows, evidence
from pipelines.request import AudioOutput, Request, jobs_of
from pipelines.shaping import output_of
from pipelines.text_to_audio import TextToAudioPipeline


@dataclass(frozen=True)
class Gain:
    """Of one kind of hit.

    Args:
        alone: share of hits of a try by itself.
        best: share of hits of the tries that are kept.
        difference: of the two, with its interval.
        captions: that were asked about.
        recordings: that they are of.
    """

    alone: float
    best: float
    difference: Interval
    captions: int
    recordings: int

    def __str__(self) -> str:
        """One line, with the word that the interval decides."""
        return (
            f"{self.alone:.3f} by itself, {self.best:.3f} of the best, difference {self.difference} "
            f"({verdict(self.difference, True)}; {self.captions} captions of {self.recordings} recordings)"
        )


def asked_clips(folder: AudioFolder, families: Sequence[str], split: Split, clips_per_family: int) -> list[Clip]:
    """Of each family that a split holds, so many clips spread evenly, or all where there are fewer."""
    chosen: list[Clip] = []
    for family in families:
        chosen += evenly([clip for clip in folder.split(split) if clip.family == family], clips_per_family)
    return chosen


def ranked_tries(pipeline: TextToAudioPipeline, request: Request) -> tuple[AudioOutput, int]:
    """All tries of one prompt, `num_clips` of a request, and the number of that which `best_of` would keep."""
    settings = pipeline.settle(request)
    jobs = jobs_of(request, settings)
    latents = pipeline.latents(jobs, settings)
    (best,) = best_rows(jobs, evidence(pipeline.diffusion, latents, jobs, settings), 1)
    waveforms = pipeline.sound(latents, settings, jobs)
    return output_of(waveforms, jobs, range(len(jobs)), settings, pipeline.autoencoder.mel), best


def gains(
    pipeline: TextToAudioPipeline,
    clips: Sequence[Clip],
    request: Request,
    classifier: Classifier,
    pitch: PitchEstimator | None,
    progress: Callable[[Sequence[Any]], Iterable[Any]],
) -> dict[str, Gain]:
    """What is gained for the captions of real clips.

    Args:
        pipeline: of the model.
        clips: whose captions are asked for; that of clip i by the seed of the request and i more.
        request: tries, seed, seconds and solver; its prompts are not used.
        classifier: of their families.
        pitch: hears notes; None where it is not installed.
        progress: wraps the list, to draw a bar.

    Returns:
        of the class and, where captions name notes that can be heard, of the note.
    """
    names = sorted({clip.recording for clip in clips})
    hits: dict[str, list[tuple[Tensor, int, int]]] = {"class": [], "note within 50 cents": []}
    for number, clip in enumerate(progress(clips)):
        prompt, unit = counterpart_prompt(clip, number), names.index(clip.recording)
        made, best = ranked_tries(pipeline, replace(request, prompts=(prompt,), seed=(request.seed or 0) + number))
        hits["class"].append((class_hits(made, classifier, clip.family), best, unit))
        wanted = named_pitch(prompt)
        if pitch is not None and wanted is not None and pitch.lowest_midi <= wanted <= pitch.highest_midi:
            hits["note within 50 cents"].append((note_hits(made, pitch, wanted), best, unit))
    return {name: gain_of(found) for name, found in hits.items() if found}


def class_hits(made: AudioOutput, classifier: Classifier, family: str) -> Tensor:
    """1 where a clip is given to a family, else 0, `(clips,)`."""
    clips = [resample(one.numpy(), made.sample_rate, PICTURE.sample_rate) for one in made.waveforms]
    answers = classifier.probabilities(torch.stack([picture(clip) for clip in clips])).argmax(dim=1)
    return (answers == classifier.classes.index(family)).double()


def note_hits(made: AudioOutput, pitch: PitchEstimator, wanted: float) -> Tensor:
    """1 where a clip sounds within 50 cents of a MIDI number, else 0, `(clips,)`."""
    heard = [pitch.midi(one.numpy(), made.sample_rate).midi for one in made.waveforms]
    return torch.tensor([float(one is not None and abs(cents(one, wanted)) <= WITHIN_CENTS) for one in heard]).double()


def gain_of(found: Sequence[tuple[Tensor, int, int]]) -> Gain:
    """The gain over captions.

    Args:
        found: of each caption the hits of its tries, which of them is kept, and the number of its recording.
    """
    alone = torch.stack([hits.mean() for hits, _, _ in found])
    best = torch.stack([hits[kept] for hits, kept, _ in found])
    units = torch.tensor([unit for _, _, unit in found])
    change = best - alone
    difference = mean_interval(change, units)
    if bool((change == change[0]).all()):
        difference = Interval(difference.value, reason="all captions gain the same")
    return Gain(float(alone.mean()), float(best.mean()), difference, len(found), len(distinct(units)))
