"""A small classifier of sounds: the plainest ear. It learns from real clips alone and is asked about others.

A convolutional network on a log-mel picture of the first two seconds, peak-normalised; softmax over families.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from audio.distances import normalise_peak
from audio.files import read_audio
from audio.measures import Waveform
from audio.mel import LogMelSpectrogram, MelConfig

PICTURE = MelConfig(
    sample_rate=44100,
    n_fft=2048,
    win_length=2048,
    hop_length=1024,
    n_mels=64,
    f_min=30.0,
    f_max=16000.0,
    mel_scale="slaney",
    filter_norm="slaney",
    framing="centred",
    magnitude_epsilon=0.0,
    log_floor=1e-4,
)
PICTURE_SECONDS = 2.0


class ClassifierNetwork(nn.Module):
    """Four strided convolutions, pooling over the picture, one linear layer.

    Args:
        classes: number of outputs.
        width: channels of the first layer.
    """

    def __init__(self, classes: int, width: int = 24) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for step in range(4):
            out = width * 2 ** min(step, 2)
            layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        self.layers = nn.Sequential(*layers)
        self.dropout = nn.Dropout(0.3)
        self.head = nn.Linear(2 * channels, classes)

    def forward(self, pictures: Tensor) -> Tensor:
        """`(batch, n_mels, frames)` to logits `(batch, classes)`."""
        features = self.layers(((pictures + 5.0) / 3.0)[:, None])
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


def picture(waveform: Waveform) -> Tensor:
    """The log-mel picture `(n_mels, frames)` of a mono clip at 44.1 kHz; cut or padded to two seconds."""
    samples = round(PICTURE_SECONDS * PICTURE.sample_rate)
    clip = torch.zeros(samples)
    clip[: min(samples, len(waveform))] = torch.from_numpy(np.ascontiguousarray(waveform[:samples]))
    log_mel: Tensor = LogMelSpectrogram(PICTURE, "torch")(normalise_peak(clip[None]))
    return log_mel[0]


def pictures_of_files(paths: Sequence[Path], progress: Callable[[Sequence[Path]], Iterable[Path]]) -> Tensor:
    """Pictures `(clips, n_mels, frames)` of sound files.

    Args:
        paths: of the files.
        progress: wraps the list, to draw a bar.
    """
    return torch.stack(
        [picture(read_audio(path, PICTURE.sample_rate, 0.0, PICTURE_SECONDS)[0]) for path in progress(paths)]
    )


@dataclass(frozen=True)
class Classifier:
    """A trained network and the names of its classes.

    Args:
        network: in eval mode.
        classes: names, in the order of the outputs.
    """

    network: ClassifierNetwork
    classes: tuple[str, ...]

    @torch.inference_mode()
    def probabilities(self, pictures: Tensor) -> Tensor:
        """`(clips, classes)` for pictures `(clips, n_mels, frames)`."""
        return torch.cat([self.network(part).softmax(dim=1) for part in torch.split(pictures, 128)])

    def accuracies(self, pictures: Tensor, names: Sequence[str]) -> dict[str, float]:
        """Share of right answers for each class that occurs in `names`."""
        answers = self.probabilities(pictures).argmax(dim=1).tolist()
        result = {}
        for name in sorted(set(names)):
            rows = [row for row, true in enumerate(names) if true == name]
            result[name] = sum(self.classes[answers[row]] == name for row in rows) / len(rows)
        return result


def train_classifier(
    pictures: Tensor,
    names: Sequence[str],
    epochs: int = 16,
    batch_size: int = 64,
    seed: int = 0,
    on_epoch: Callable[[], None] | None = None,
) -> Classifier:
    """Train on real clips; classes are drawn alike, however many clips they have.

    Args:
        pictures: `(clips, n_mels, frames)`.
        names: class of each.
        epochs: passes over as many clips as there are.
        batch_size: clips a batch.
        seed: of weights, order and augmentation.
        on_epoch: called after each epoch.

    Raises:
        ValueError: fewer than two classes.
    """
    classes = tuple(sorted(set(names)))
    if len(classes) < 2:
        raise ValueError(f"classifier: expected at least 2 classes, got {classes}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ClassifierNetwork(len(classes))
        targets = torch.tensor([classes.index(name) for name in names])
        weights = (1.0 / torch.bincount(targets).double())[targets]
        optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
        batches = epochs * max(1, len(names) // batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=batches)
        for number in range(batches):
            rows = torch.multinomial(weights, batch_size, replacement=True)
            loss = nn.functional.cross_entropy(network(augment(pictures[rows])), targets[rows], label_smoothing=0.05)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            if on_epoch and (number + 1) % max(1, len(names) // batch_size) == 0:
                on_epoch()
    return Classifier(network.eval(), classes)


def augment(pictures: Tensor) -> Tensor:
    """Random level, tilt, floor and masks, so that the ear listens to the sound and not to its recording."""
    batch, bins, frames = pictures.shape
    level = torch.empty(batch, 1, 1).uniform_(-1.0, 1.0)
    tilt = torch.empty(batch, 1, 1).uniform_(-1.0, 1.0) * torch.linspace(-1.0, 1.0, bins)[:, None]
    floor = torch.empty(batch, 1, 1).uniform_(-9.2, -6.0)
    varied = torch.logaddexp(pictures + level + tilt, floor)
    start = torch.randint(0, bins - 8, (batch, 1))
    band = (torch.arange(bins)[None] >= start) & (torch.arange(bins)[None] < start + 8)
    cut = torch.randint(frames // 3, 2 * frames, (batch, 1))
    late = torch.arange(frames)[None] >= cut
    varied = torch.where(band[:, :, None] & (torch.rand(batch, 1, 1) < 0.5), floor, varied)
    return torch.where(late[:, None, :], floor, varied)
