"""What `pipelines.check_control` finds of the numbers that a clip is asked for: level, brightness and note."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from audio.dataset import Clip
from audio.files import read_audio
from audio.measures import brightness_hz, loudness_db
from evaluation.pitch import PitchEstimator, cents, load_pitch_estimator
from pipelines.control_promises import PITCH_CENTS, UNHEARD

ASKED_SECONDS = 1.0
ASKED_LOUDNESS = -24.0
ASKED_BRIGHTNESS = (0.5, 2.0)


class Made(Protocol):
    """Makes clips of one prompt, `(clips, samples)`."""

    def __call__(self, *prompts: str, **settings: float) -> Tensor:
        """Of some prompts and numbers."""


def levels_off(
    made: Made, sample_rate: int, ranges: Mapping[str, Sequence[float]], prompts: Iterable[str]
) -> Iterator[float]:
    """Decibels from what `--loudness` asks for; of a model that never heard that, the nearest level."""
    if "loudness" not in ranges:
        return
    low, high = ranges["loudness"]
    asked = min(max(ASKED_LOUDNESS, low), high)
    for prompt in prompts:
        clip = made(prompt, seconds=ASKED_SECONDS, loudness=asked)[0]
        yield abs(loudness_db(clip.numpy(), sample_rate) - asked)


def colours_off(
    made: Made, sample_rate: int, ranges: Mapping[str, Sequence[float]], prompts: Iterable[str]
) -> Iterator[float]:
    """Octaves from what `--brightness` asks for; nothing of what the model was not trained on."""
    low, high = ranges.get("brightness", (math.inf, 0.0))
    for prompt in prompts:
        own = brightness_hz(made(prompt, seconds=ASKED_SECONDS)[0].numpy(), sample_rate)
        for asked in (own * ratio for ratio in ASKED_BRIGHTNESS if low <= own * ratio <= high):
            clip = made(prompt, seconds=ASKED_SECONDS, brightness=asked)[0]
            yield abs(math.log2(max(brightness_hz(clip.numpy(), sample_rate), 1.0) / asked))


def notes_off(
    made: Made, sample_rate: int, ranges: Mapping[str, Sequence[float]], sources: Iterable[Clip]
) -> Iterator[float]:
    """Cents from the note that `--pitch` asks for, of the label of a recording with a note, asked for that note.

    Only of recordings in which the ear hears the note that they are of: elsewhere it could not judge. None without it.
    """
    try:
        ear = load_pitch_estimator()
    except ValueError:
        return
    low, high = ranges.get("pitch", (math.inf, 0.0))
    for clip in sources:
        note, label = clip.pitch, clip.label
        if note is None or label is None or not max(low, ear.lowest_midi) <= note <= min(high, ear.highest_midi):
            continue
        recording, _ = read_audio(clip.path, sample_rate)
        if note_off(ear, recording, sample_rate, note) <= PITCH_CENTS:
            heard = made(label, seconds=ASKED_SECONDS, pitch=note)[0]
            yield note_off(ear, heard.numpy(), sample_rate, note)


def note_off(ear: PitchEstimator, waveform: np.ndarray, sample_rate: int, midi: float) -> float:
    """Cents from a note, either way."""
    heard = ear.midi(waveform, sample_rate).midi
    return UNHEARD if heard is None else abs(cents(heard, midi))
