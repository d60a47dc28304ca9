"""What the ears hear of a set of clips: one row of numbers a clip, from which every metric is computed.

A set of ten thousand clips is a few tens of megabytes, whatever the clips' length: sounds are read one at a time.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from audio.files import read_audio, resample, write_aside
from audio.measures import Waveform, ends_in_a_cut, loudness_db
from evaluation.classifier import PICTURE, Classifier, picture
from evaluation.embedders import EmbeddingCache
from evaluation.pitch import PitchEstimator

SILENCE_BLOCK_SECONDS = 0.01
SILENT_BELOW_DB = -60.0
HEADER_KEY = "melisma_measurements"
NAN = float("nan")
Progress = Callable[[Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True)
class Subject:
    """A clip to be listened to.

    Args:
        path: of its file.
        unit: what was drawn independently: its recording, or the recording whose caption it was made for.
        prompt: its caption.
        family: coarse class; empty where unknown.
        pitch: MIDI note that its prompt names; None where it names none.
    """

    path: Path
    unit: str
    prompt: str
    family: str = ""
    pitch: float | None = None


@dataclass(frozen=True)
class Ears:
    """All that listens.

    Args:
        embeddings: vectors of clips.
        pitch: hears notes; None where it is not installed.
        classifier: of families, trained on real clips; None where there are too few.
        sample_rate: what is compared is brought to this rate first, in Hz.
    """

    embeddings: EmbeddingCache
    pitch: PitchEstimator | None
    classifier: Classifier | None
    sample_rate: int


@dataclass(frozen=True)
class Measurements:
    """What was heard of each clip.

    Args:
        files: names.
        units: see `Subject`.
        prompts: captions.
        families: coarse classes.
        embeddings: `(clips, numbers)`.
        loudness: of the loudest 50 ms, in dBFS, `(clips,)`.
        silence: share of 10 ms blocks below -60 dBFS, `(clips,)`.
        cut: 1 where the sound stops instead of dying away, else 0, `(clips,)`.
        wanted_pitch: MIDI, NaN where the prompt names none or one out of range, `(clips,)`.
        heard_pitch: MIDI, NaN where no note was heard or none was wanted, `(clips,)`.
        probabilities: of the classifier's families, `(clips, classes)`; no columns without a classifier.
    """

    files: tuple[str, ...]
    units: tuple[str, ...]
    prompts: tuple[str, ...]
    families: tuple[str, ...]
    embeddings: Tensor
    loudness: Tensor
    silence: Tensor
    cut: Tensor
    wanted_pitch: Tensor
    heard_pitch: Tensor
    probabilities: Tensor

    def __len__(self) -> int:
        return len(self.files)

    def rows(self, chosen: Sequence[int]) -> "Measurements":
        """Some of the clips, in the order given; a row may come twice."""
        index = torch.tensor(list(chosen), dtype=torch.long)
        values: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            values[item.name] = value[index] if isinstance(value, Tensor) else tuple(value[row] for row in chosen)
        return Measurements(**values)

    def save(self, path: Path) -> None:
        """Write aside, then rename.

        Raises:
            ValueError: the file cannot be written.
        """
        tensors = {name: getattr(self, name).contiguous() for name in TENSORS}
        header = {HEADER_KEY: json.dumps({name: list(getattr(self, name)) for name in TEXTS})}
        with write_aside(path) as aside:
            save_file(tensors, aside, metadata=header)

    @classmethod
    def load(cls, path: Path) -> "Measurements":
        """Read what `save` wrote.

        Raises:
            ValueError: no such file, or a broken one.
        """
        try:
            with safe_open(str(path), framework="pt") as file:
                texts = json.loads((file.metadata() or {})[HEADER_KEY])
                tensors = {name: file.get_tensor(name) for name in TENSORS}
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
            raise ValueError(f"'{path}' holds no measurements of a report of this version") from error
        values: dict[str, Any] = {name: tuple(texts[name]) for name in TEXTS}
        return cls(**values, **tensors)


TEXTS = ("files", "units", "prompts", "families")
TENSORS = ("embeddings", "loudness", "silence", "cut", "wanted_pitch", "heard_pitch", "probabilities")


def measure(subjects: Sequence[Subject], ears: Ears, progress: Progress | None = None) -> Measurements:
    """Listen to clips, one at a time.

    Args:
        subjects: the clips.
        ears: all that listens.
        progress: wraps the list, to draw a bar.

    Raises:
        ValueError: a file cannot be read.
    """
    embeddings = ears.embeddings.of_files([subject.path for subject in subjects], progress)
    rows = [_heard(subject, ears) for subject in (progress(subjects) if progress else subjects)]
    classes = len(ears.classifier.classes) if ears.classifier else 0
    return Measurements(
        files=tuple(subject.path.name for subject in subjects),
        units=tuple(subject.unit for subject in subjects),
        prompts=tuple(subject.prompt for subject in subjects),
        families=tuple(subject.family for subject in subjects),
        embeddings=embeddings,
        loudness=torch.tensor([row.loudness for row in rows]),
        silence=torch.tensor([row.silence for row in rows]),
        cut=torch.tensor([float(row.cut) for row in rows]),
        wanted_pitch=torch.tensor([row.wanted for row in rows]),
        heard_pitch=torch.tensor([row.heard for row in rows]),
        probabilities=torch.stack([row.probabilities for row in rows]) if rows else torch.zeros(0, classes),
    )


@dataclass(frozen=True)
class _Row:
    loudness: float
    silence: float
    cut: bool
    wanted: float
    heard: float
    probabilities: Tensor


def _heard(subject: Subject, ears: Ears) -> _Row:
    waveform, rate = read_audio(subject.path, ears.sample_rate)
    wanted, heard = NAN, NAN
    pitch, named = ears.pitch, subject.pitch
    # Clips whose note the estimator cannot hear say nothing about the model.
    if pitch is not None and named is not None and pitch.lowest_midi <= named <= pitch.highest_midi:
        wanted, reading = named, pitch.midi(waveform, rate)
        heard = NAN if reading.midi is None else reading.midi
    probabilities = torch.zeros(0)
    if ears.classifier is not None:
        clip = waveform if rate == PICTURE.sample_rate else resample(waveform, rate, PICTURE.sample_rate)
        probabilities = ears.classifier.probabilities(picture(clip)[None])[0]
    loudness, silence, cut = loudness_db(waveform, rate), silent_share(waveform, rate), ends_in_a_cut(waveform, rate)
    return _Row(loudness, silence, cut, wanted, heard, probabilities)


def silent_share(waveform: Waveform, sample_rate: int) -> float:
    """Share of 10 ms blocks that are below -60 dBFS; a last, incomplete block counts as one.

    Args:
        waveform: samples, mono, at least one.
        sample_rate: in Hz.
    """
    block = max(1, round(SILENCE_BLOCK_SECONDS * sample_rate))
    starts = np.arange(0, len(waveform), block)
    energy = np.add.reduceat(np.square(waveform, dtype=np.float64), starts)
    lengths = np.diff(np.append(starts, len(waveform)))
    return float(np.mean(energy / lengths < 10.0 ** (SILENT_BELOW_DB / 10.0)))
