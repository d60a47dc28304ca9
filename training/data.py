"""Batches: which clips, which crop of them, in an order that is a function of (seed, epoch) alone.

Because no batch depends on what came before it, a run that was killed and resumed sees the very batches that an
uninterrupted one would have seen. One *epoch* is `steps_per_epoch` batches: the distance between two validations.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from audio.balance import balanced_weights
from audio.dataset import AudioFolder, Clip
from audio.files import read_audio
from audio.transposing import MOST_SEMITONES, speed_of, transposed

SeededIndex = tuple[int, int]
# Seconds of silence before a clip's beginning, at most.
LONGEST_LEAD = 0.05
# Share of the crops that are played at another speed, where any are.
TRANSPOSED = 0.5


class StepSampler(Sampler[SeededIndex]):
    """Draws (index, seed) pairs with replacement; the seed decides crop and gain of that draw.

    Args:
        weights: how often each item is drawn.
        draws: per epoch.
        seed: of the run.
    """

    def __init__(self, weights: Sequence[float], draws: int, seed: int) -> None:
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.draws = draws
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.draws

    def __iter__(self) -> Iterator[SeededIndex]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        indices = torch.multinomial(self.weights, self.draws, replacement=True, generator=generator)
        seeds = torch.randint(2**31, (self.draws,), generator=generator)
        yield from zip(indices.tolist(), seeds.tolist(), strict=True)


class AudioSegments(Dataset[dict[str, Tensor]]):
    """Crops of clips: `waveform` `(samples,)`, zero beyond the clip's end, and `valid_samples`.

    Args:
        clips: of one split.
        sample_rate: every clip is resampled to it, in Hz.
        segment_samples: length of a crop.
        gain_db: range of the random gain; (0, 0) is none.
        random_crop: a crop anywhere in long clips; otherwise their beginning.
        beginnings: how often a random crop is the clip's beginning, after up to 50 ms of silence.
        transpose: semitones by which half of the random crops are played faster or slower, at most.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        sample_rate: int,
        segment_samples: int,
        gain_db: tuple[float, float] = (0.0, 0.0),
        random_crop: bool = True,
        beginnings: float = 0.0,
        transpose: float = 0.0,
    ) -> None:
        self.clips = clips
        self.sample_rate = sample_rate
        self.segment_samples = segment_samples
        self.gain_db = gain_db
        self.random_crop = random_crop
        self.beginnings = beginnings
        self.transpose = transpose

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, item: int | SeededIndex) -> dict[str, Tensor]:
        index, seed = item if isinstance(item, tuple) else (item, 0)
        draw = np.random.default_rng(seed)
        clip = self.clips[index]
        speed = speed_of(0.0)
        if self.random_crop and self.transpose and draw.uniform() < TRANSPOSED:
            speed = speed_of(float(draw.uniform(-self.transpose, self.transpose)))
        seconds = float(speed) * self.segment_samples / self.sample_rate
        spare = clip.seconds - seconds if self.random_crop else 0.0
        start = float(draw.uniform(0.0, spare)) if spare > 0.0 else 0.0
        silence = 0
        if self.random_crop and self.beginnings and draw.uniform() < self.beginnings:
            start, silence = 0.0, round(float(draw.uniform(0.0, LONGEST_LEAD)) * self.sample_rate)
        waveform, _ = read_audio(clip.path, self.sample_rate, start, seconds)
        waveform = np.pad(transposed(waveform, speed), (silence, 0))[: self.segment_samples] * np.float32(
            10.0 ** (draw.uniform(*self.gain_db) / 20.0)
        )
        result = torch.zeros(self.segment_samples)
        result[: len(waveform)] = torch.from_numpy(waveform)
        return {"waveform": result, "valid_samples": torch.tensor(len(waveform))}


class StageData(LightningDataModule):
    """Loaders around a training and a validation dataset; a stage's data module fills in the two.

    Args:
        batch_size: items a batch.
        steps_per_epoch: training batches between two validations.
        workers: loader processes; 0 loads in the training process.
        seed: of the order of batches.
    """

    def __init__(self, batch_size: int, steps_per_epoch: int, workers: int, seed: int) -> None:
        super().__init__()
        if batch_size < 1 or steps_per_epoch < 1 or workers < 0:
            raise ValueError(
                "data: expected batch_size >= 1, steps_per_epoch >= 1 and workers >= 0, "
                f"got {batch_size}, {steps_per_epoch}, {workers}"
            )
        self.batch_size = batch_size
        self.steps_per_epoch = steps_per_epoch
        self.workers = workers
        self.seed = seed
        self.lineage: dict[str, Any] = {}
        self.licences: list[str] = []

    def training_items(self) -> tuple[Dataset[dict[str, Tensor]], list[float]]:
        """The training dataset and how often each of its items is drawn."""
        raise ValueError("this data module has no training items")

    def validation_items(self) -> Dataset[dict[str, Tensor]]:
        """The validation dataset, read in order."""
        raise ValueError("this data module has no validation items")

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Batches of one epoch, drawn with the items' weights."""
        dataset, weights = self.training_items()
        sampler = StepSampler(weights, self.batch_size * self.steps_per_epoch, self.seed)
        return DataLoader(
            dataset, self.batch_size, sampler=sampler, num_workers=self.workers, persistent_workers=self.workers > 0
        )

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """All validation items, in order."""
        return DataLoader(self.validation_items(), self.batch_size)


class AudioData(StageData):
    """Crops of a folder of audio, for the stages that learn from waveforms.

    Args:
        folder: read by `AudioFolder`.
        sample_rate: in Hz; linked from the mel.
        segment_seconds: length of a training crop.
        batch_size: crops a batch.
        steps_per_epoch: training batches between two validations.
        validation_seconds: length of the beginning of each validation clip that is judged.
        validation_clips: at most so many, spread evenly over the split.
        gain_db: range of the random gain in training.
        balance: 0 draws all clips alike, 1 all families and sources alike.
        workers: loader processes.
        seed: of the order of batches.
        beginnings: how often a training crop is the beginning of its clip, after up to 50 ms of silence.
        transpose: semitones by which half of the training crops are played faster or slower, at most: a stage hears
            more notes than were recorded.
    """

    def __init__(
        self,
        folder: Path,
        sample_rate: int,
        segment_seconds: float = 0.75,
        batch_size: int = 16,
        steps_per_epoch: int = 100,
        validation_seconds: float = 2.0,
        validation_clips: int = 200,
        gain_db: tuple[float, float] = (0.0, 0.0),
        balance: float = 0.5,
        workers: int = 0,
        seed: int = 0,
        beginnings: float = 0.0,
        transpose: float = 0.0,
    ) -> None:
        super().__init__(batch_size, steps_per_epoch, workers, seed)
        if not 0.0 <= beginnings <= 1.0:
            raise ValueError(f"data.beginnings: expected 0 to 1, got {beginnings}")
        if not 0.0 <= transpose <= MOST_SEMITONES:
            raise ValueError(f"data.transpose: expected 0 to {MOST_SEMITONES:g} semitones, got {transpose}")
        if not 0.0 < segment_seconds < 60.0 or not 0.0 < validation_seconds < 60.0:
            raise ValueError(
                "data: expected segment_seconds and validation_seconds between 0 and 60, "
                f"got {segment_seconds}, {validation_seconds}"
            )
        self.folder = Path(folder)
        self.sample_rate = sample_rate
        self.segment_samples = round(segment_seconds * sample_rate)
        self.validation_samples = round(validation_seconds * sample_rate)
        self.validation_clips = validation_clips
        self.gain_db = gain_db
        self.balance = balance
        self.beginnings = beginnings
        self.transpose = transpose
        self.audio: AudioFolder | None = None

    def setup(self, stage: str) -> None:
        """Scan the folder once."""
        if self.audio is None:
            self.audio = AudioFolder.scan(self.folder)
            self.licences = self.audio.licences()
            self.lineage = {"data": self.audio.fingerprint(), "clips": len(self.audio.split("train"))}

    def _clips(self, split: str) -> tuple[Clip, ...]:
        if self.audio is None:
            self.setup("fit")
        clips = self._usable(self.audio.split(split)) if self.audio else ()  # type: ignore[arg-type]
        if not clips and split == "validation":
            clips = self._clips("train")
        if not clips:
            raise ValueError(f"'{self.folder}' holds no clip of split '{split}'")
        return clips

    def _usable(self, clips: tuple[Clip, ...]) -> tuple[Clip, ...]:
        """Those of a split that can be used: here all."""
        return clips

    def training_items(self) -> tuple[Dataset[dict[str, Tensor]], list[float]]:
        """Random crops of the training split."""
        clips = self._clips("train")
        dataset = self._segments(clips, self.segment_samples, self.gain_db, True)
        return dataset, balanced_weights(clips, self.balance)

    def validation_items(self) -> Dataset[dict[str, Tensor]]:
        """Beginnings of clips of the validation split; of the training split where a folder has one clip only."""
        clips = self._clips("validation")
        stride = max(1, -(-len(clips) // self.validation_clips))
        return self._segments(clips[::stride], self.validation_samples, (0.0, 0.0), False)

    def _segments(
        self, clips: Sequence[Clip], samples: int, gain_db: tuple[float, float], random_crop: bool
    ) -> Dataset[dict[str, Tensor]]:
        """Crops of clips; a subclass may add to them."""
        return AudioSegments(clips, self.sample_rate, samples, gain_db, random_crop, self.beginnings, self.transpose)
