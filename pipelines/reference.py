"""Real clips that a model is held against: held-out ones, training ones, and what was learned from the latter.

A classifier of families and a map from words to ears learn from training clips alone; both are remembered, for they
depend on the folder and not on the model.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from audio.cache import default_cache
from audio.dataset import AudioFolder, Clip, Split
from audio.files import audio_rate, read_audio, resample, write_aside, write_audio
from audio.notes import named_pitch
from evaluation.adherence import FEWEST_CLIPS, AdherenceJudge
from evaluation.classifier import PICTURE, PICTURE_SECONDS, Classifier, ClassifierNetwork, picture, train_classifier
from evaluation.measurements import Ears, Measurements, Subject
from evaluation.prompt_scores import LEAST_OVER_CHANCE, LEAST_REAL_ACCURACY, by_family, trusted_accuracy
from latent_diffusion.text import CaptionTable, text_encoder
from pipelines.counterparts import counterpart_prompt

Progress = Callable[[Sequence[Any]], Iterable[Any]]
FEWEST_IN_CLASS = 20
CLASSIFIER_VERSION = 1
TEXT_ENCODER = "minilm"


@dataclass(frozen=True)
class Reference:
    """A folder of real clips, as a yardstick sees it.

    Args:
        folder: read and split.
        split: which split is held out.
        held_out: its clips, or so many of them as were asked for.
        train: clips of the training split.
    """

    folder: AudioFolder
    split: Split
    held_out: tuple[Clip, ...]
    train: tuple[Clip, ...]

    @classmethod
    def open(cls, path: Path, split: Split, clips: int) -> "Reference":
        """Read a folder.

        Args:
            path: of the folder.
            split: which split is held out.
            clips: at most so many of it, spread evenly; 0 takes all.

        Raises:
            ValueError: an unusable folder, or a split without clips.
        """
        if clips < 0:
            raise ValueError(f"clips: expected 0 or more, got {clips}")
        folder = AudioFolder.scan(path)
        held_out = folder.split(split)
        if not held_out:
            raise ValueError(
                f"reference: '{path}' holds no clip of split '{split}' ({folder.report()}); a folder without "
                "metadata is split when it has 20 recordings"
            )
        stride = -(-len(held_out) // clips) if clips else 1
        return cls(folder, split, held_out[::stride], folder.split("train") if split != "train" else ())

    @property
    def sample_rate(self) -> int:
        """The lowest rate of the held-out clips, in Hz."""
        return min(audio_rate(clip.path) for clip in self.held_out)

    def fingerprint(self) -> str:
        """Sixteen hex digits of the folder, the split and the clips that were taken."""
        names = "\n".join(str(clip.path.relative_to(self.folder.root)) for clip in self.held_out)
        return hashlib.sha256(f"{self.folder.fingerprint()} {self.split}\n{names}".encode()).hexdigest()[:16]

    def matched_training(self, seed: int) -> tuple[Clip, ...]:
        """Training clips, as many as held-out ones and of the same families as far as there are enough."""
        draw = np.random.default_rng(seed)
        pool = {name: [c for c in self.train if c.family == name] for name in {c.family for c in self.train}}
        chosen: list[Clip] = []
        for family, count in sorted(Counter(clip.family for clip in self.held_out).items()):
            own = pool.get(family, [])
            chosen += [own[row] for row in draw.permutation(len(own))[:count]]
        rest = sorted(set(self.train) - set(chosen), key=lambda clip: str(clip.path))
        missing = len(self.held_out) - len(chosen)
        return (*chosen, *(rest[row] for row in draw.permutation(len(rest))[:missing]))


def real_subjects(clips: Sequence[Clip]) -> list[Subject]:
    """Real clips to listen to, each with the caption that its counterpart is made from."""
    prompts = [counterpart_prompt(clip, number) for number, clip in enumerate(clips)]
    return [
        Subject(clip.path, clip.recording, prompt, clip.family, named_pitch(prompt))
        for clip, prompt in zip(clips, prompts, strict=True)
    ]


def prompt_features(prompts: Sequence[str]) -> Tensor:
    """Mean token features of prompts, `(prompts, numbers)`, remembered on disk."""
    different = sorted(set(prompts))
    table = CaptionTable.cached(different, text_encoder(TEXT_ENCODER))
    features, mask = table.look_up(torch.arange(len(different)))
    means = features.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    rows = {prompt: number for number, prompt in enumerate(different)}
    return means[[rows[prompt] for prompt in prompts]]


def adherence_judge(train: Sequence[Clip], ears: Ears, progress: Progress) -> AdherenceJudge | None:
    """Learn what words sound like from training clips; None from too few."""
    if len(train) < FEWEST_CLIPS:
        return None
    embeddings = ears.embeddings.of_files([clip.path for clip in train], progress)
    prompts = [counterpart_prompt(clip, number) for number, clip in enumerate(train)]
    return AdherenceJudge.learn(prompt_features(prompts), embeddings)


def family_classifier(reference: Reference, sample_rate: int, seed: int, progress: Progress) -> Classifier | None:
    """A classifier of the families that have enough training clips and some held-out ones; None for fewer than two.

    Args:
        reference: its training clips are learned from.
        sample_rate: clips are brought to this rate first, in Hz.
        seed: of the training.
        progress: wraps the list of files, to draw a bar.
    """
    counts = Counter(clip.family for clip in reference.train)
    held_out = {clip.family for clip in reference.held_out}
    families = sorted(name for name, count in counts.items() if count >= FEWEST_IN_CLASS and name in held_out and name)
    if len(families) < 2:
        return None
    identity = [reference.folder.fingerprint(), families, sample_rate, seed, CLASSIFIER_VERSION, PICTURE.to_dict()]
    path = default_cache() / "classifiers" / f"{hashlib.sha256(repr(identity).encode()).hexdigest()[:24]}.safetensors"
    network = ClassifierNetwork(len(families))
    try:
        network.load_state_dict(load_file(path))
        return Classifier(network.eval(), tuple(families))
    except (OSError, SafetensorError, RuntimeError):
        clips = [clip for clip in reference.train if clip.family in families]
    pictures = torch.stack([_picture(clip.path, sample_rate) for clip in progress(clips)])
    trained = train_classifier(pictures, [clip.family for clip in clips], seed=seed)
    try:
        with write_aside(path) as aside:
            save_file(dict(trained.network.state_dict()), aside)
    except ValueError:
        return trained
    return trained


def _picture(path: Path, sample_rate: int) -> Tensor:
    waveform, rate = read_audio(path, min(sample_rate, PICTURE.sample_rate), 0.0, PICTURE_SECONDS)
    return picture(waveform if rate == PICTURE.sample_rate else resample(waveform, rate, PICTURE.sample_rate))


def distrust(held_out: Measurements, classes: Sequence[str]) -> str:
    """Why the classifier cannot judge generated clips; empty where it can."""
    if not classes:
        return f"no classifier: fewer than two families have {FEWEST_IN_CLASS} training clips and held-out ones"
    shares = [share for _, share in by_family(held_out, classes).values() if share is not None]
    accuracy = fmean(shares)
    if trusted_accuracy(accuracy, len(classes)):
        return ""
    bar = max(LEAST_REAL_ACCURACY, LEAST_OVER_CHANCE / len(classes))
    return f"the classifier knows {accuracy:.2f} of real held-out clips, {bar:.2f} is the least to judge others by"


def noise_subjects(
    held_out: Sequence[Subject], lengths: Sequence[int], sample_rate: int, folder: Path
) -> list[Subject]:
    """White noise as long as the held-out clips: what nonsense measures.

    Args:
        held_out: whose prompts the noise stands for.
        lengths: in samples.
        sample_rate: in Hz.
        folder: where the files are written.
    """
    subjects = []
    for number, (subject, length) in enumerate(zip(held_out, lengths, strict=True)):
        path = folder / f"noise_{number:05d}.flac"
        noise = np.random.default_rng(number).standard_normal(length).astype(np.float32)
        write_audio(path, np.clip(0.1 * noise, -1.0, 1.0), sample_rate)
        subjects.append(Subject(path, subject.unit, subject.prompt, subject.family, subject.pitch))
    return subjects
