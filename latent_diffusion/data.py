"""Batches of latents: which clip, how long, which draw of its posterior.

A clip is drawn, then a total length for it: its own, a shorter one (only its beginning is seen) or a longer one (it is
followed by the latent of silence, so that the model learns to end a sound and be quiet at any length asked for). Draws
of like length are put into one batch, so that padding costs little. All of it is a function of (seed, epoch): a resumed
run sees what an uninterrupted one would have seen.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from audio.dataset import NUMBERS
from audio.latents import LatentClip, LatentFile
from audio.phrasings import phrases_of
from latent_diffusion.conditioning import LOGARITHMIC, NO_LABEL, ConditioningConfig
from latent_diffusion.config import LatentDiffusionConfig
from latent_diffusion.known import draw_known, nothing_known
from latent_diffusion.lengths import LengthConfig
from latent_diffusion.network import NetworkConfig
from latent_diffusion.paths import PathConfig
from latent_diffusion.text import text_encoder

# Draws are sorted by length among so many batches at a time.
BATCHES_SORTED_TOGETHER = 8
Draw = tuple[int, int, int]
"""Index of a clip, seed of its draw, total latent frames."""


def known_labels(clips: Sequence[LatentClip]) -> tuple[str, ...]:
    """All labels, sorted."""
    return tuple(sorted({clip.label for clip in clips if clip.label}))


def number_ranges(clips: Sequence[LatentClip], seconds: tuple[float, float]) -> dict[str, tuple[float, float]]:
    """What each number spans, rounded outwards; numbers that no clip has are left out.

    Args:
        clips: of the training split.
        seconds: shortest and longest total length.
    """
    ranges = {}
    for name in NUMBERS:
        values = [clip.numbers[name] for clip in clips if math.isfinite(clip.numbers.get(name, math.nan))]
        if name in LOGARITHMIC:
            values = [value for value in values if value > 0.0]
        if values and name != "seconds":
            low, high = float(math.floor(min(values))), float(math.ceil(max(values)))
            low = max(low, 1.0) if name in LOGARITHMIC else low
            ranges[name] = (low, max(high, low + 1.0))
    return {**ranges, "seconds": seconds}


def split_clips(file: LatentFile, split: str) -> tuple[LatentClip, ...]:
    """The clips of one split; the training split's where a file has no validation.

    Raises:
        ValueError: no such clip.
    """
    clips = tuple(clip for clip in file.clips if clip.split == split)
    if not clips and split == "validation":
        return split_clips(file, "train")
    if not clips:
        raise ValueError(f"the latent file holds no clip of split '{split}'")
    return clips


def training_frames(file: LatentFile) -> tuple[Tensor, Tensor]:
    """Whitened posterior means of all training clips, and the variance that draws of the posterior add.

    Returns:
        `(channels, frames)` and `(channels,)`, float32.
    """
    clips = split_clips(file, "train")
    parts = [slice(clip.start, clip.start + clip.frames) for clip in clips]
    mean = torch.cat([file.mean[:, part] for part in parts], dim=1)
    spread = torch.cat([file.std[:, part] for part in parts], dim=1)
    noise = spread.float().square().mean(dim=1) / torch.tensor(file.spec.std).square()
    return file.spec.whiten(mean.float()[None])[0], noise


def stage_config_of(
    file: LatentFile,
    seconds: tuple[float, float],
    network: NetworkConfig,
    path: PathConfig,
    prediction: str,
    encoder: str,
) -> LatentDiffusionConfig:
    """The stage's config: sizes from the YAML, meaning from the latent file.

    Args:
        file: spec, labels and number ranges come from it.
        seconds: shortest and longest total length.
        network: sizes.
        path: between noise and data.
        prediction: of the network.
        encoder: name of the text encoder.
    """
    clips = split_clips(file, "train")
    return LatentDiffusionConfig(
        network=network,
        path=path,
        prediction=prediction,
        conditioning=ConditioningConfig(
            text_encoder=encoder,
            text_width=text_encoder(encoder).width,
            labels=known_labels(clips),
            number_ranges=number_ranges(clips, seconds),
        ),
        latents=file.spec,
        max_seconds=seconds[1],
    )


class LatentDraws(Sampler[Draw]):
    """Draws of training clips, ordered so that each batch holds like lengths.

    Args:
        clips: of the training split.
        weights: how often each is drawn.
        lengths: total lengths.
        latent_rate: latent frames per second.
        batch_size: draws in a batch.
        batches: of one epoch.
        seed: of the run.
    """

    def __init__(
        self,
        clips: Sequence[LatentClip],
        weights: Sequence[float],
        lengths: LengthConfig,
        latent_rate: float,
        batch_size: int,
        batches: int,
        seed: int,
    ) -> None:
        self.frames = torch.tensor([clip.sound_frames(latent_rate) for clip in clips])
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.lengths = lengths
        self.latent_rate = latent_rate
        self.batch_size = batch_size
        self.batches = batches
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batch_size * self.batches

    def __iter__(self) -> Iterator[Draw]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        clips = torch.multinomial(self.weights, len(self), replacement=True, generator=generator)
        seeds = torch.randint(2**31, (len(self),), generator=generator)
        totals = self.lengths.draw(self.frames[clips], self.latent_rate, generator)
        for start in range(0, self.batches, BATCHES_SORTED_TOGETHER):
            count = min(BATCHES_SORTED_TOGETHER, self.batches - start)
            first = start * self.batch_size
            order = first + torch.argsort(totals[first : first + count * self.batch_size], stable=True)
            for batch in torch.randperm(count, generator=generator).tolist():
                chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
                yield from zip(clips[chosen].tolist(), seeds[chosen].tolist(), totals[chosen].tolist(), strict=True)


def validation_draws(clips: Sequence[LatentClip], count: int, lengths: LengthConfig, latent_rate: float) -> list[Draw]:
    """`count` draws that never change, spread evenly over the clips, shortest first.

    Args:
        clips: of the validation split.
        count: of draws; clips come more than once where there are fewer.
        lengths: total lengths.
        latent_rate: latent frames per second.
    """
    generator = torch.Generator().manual_seed(0)
    chosen = (torch.arange(count) * len(clips) // count) if count < len(clips) else torch.arange(count) % len(clips)
    totals = lengths.draw(
        torch.tensor([clip.sound_frames(latent_rate) for clip in clips])[chosen], latent_rate, generator
    )
    draws = zip(chosen.tolist(), range(count), totals.tolist(), strict=True)
    return sorted(draws, key=lambda draw: (draw[2], draw[1]))


@dataclass(frozen=True)
class Wording:
    """The words that a clip may be asked for with.

    Args:
        captions: all texts that may be drawn, in the order of their features.
        phrasings: further phrases by label or family; see `audio.phrasings`.
        share: how often such a phrase takes the place of a clip's own caption.
    """

    captions: Sequence[str]
    phrasings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    share: float = 0.0

    def draw(self, clip: LatentClip, generator: torch.Generator) -> str:
        """One text for a clip."""
        texts: Sequence[str] = clip.captions
        if self.share and float(torch.rand((), generator=generator)) < self.share:
            texts = phrases_for(clip, self.phrasings) or texts
        return texts[int(torch.randint(len(texts), (), generator=generator))]


def phrases_for(clip: LatentClip, phrasings: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """All phrases of a list that a clip may be asked for with; none where its colour was changed, for some name one."""
    return () if clip.tilt_db else phrases_of(phrasings, clip.label, clip.family, clip.numbers.get("pitch"))


class LatentClips(Dataset[dict[str, Tensor]]):
    """Draws to whitened latents and what is known of them.

    Args:
        file: the latents.
        clips: of one split.
        labels: known to the model.
        wording: the words of the clips.
        with_noise: add the noise that belongs to the draw's seed, for validation.
        known: how often some frames of a row are known beforehand.
    """

    def __init__(
        self,
        file: LatentFile,
        clips: Sequence[LatentClip],
        labels: Sequence[str],
        wording: Wording,
        with_noise: bool = False,
        known: float = 0.0,
    ) -> None:
        self.known = known
        self.file = file
        self.clips = clips
        self.with_noise = with_noise
        self.silence = torch.tensor(file.spec.silence)[:, None]
        self.labels = {label: index for index, label in enumerate(labels)}
        self.wording = wording
        self.captions = {caption: index for index, caption in enumerate(wording.captions)}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, draw: Draw) -> dict[str, Tensor]:
        index, seed, total = draw
        clip = self.clips[index]
        generator = torch.Generator().manual_seed(seed)
        rate = self.file.spec.latent_rate
        own = clip.sound_frames(rate)
        whole = max(total, own)
        known = draw_known(self.known, own, total, generator) if self.known else nothing_known(total)
        total = len(known.kept)
        frames = min(clip.frames - known.offset, total)
        part = slice(clip.start + known.offset, clip.start + known.offset + frames)
        mean, std = self.file.mean[:, part].float(), self.file.std[:, part].float()
        sound = mean + std * torch.randn(mean.shape, generator=generator)
        raw = torch.cat([sound, self.silence.expand(-1, total - frames)], dim=1)
        caption = self.wording.draw(clip, generator)
        # A clip that is cut is the beginning of a longer one, which it says: as a window of a long clip does.
        seconds = {"seconds": whole / rate}
        numbers = [{**clip.numbers, **seconds}.get(name, math.nan) for name in NUMBERS]
        result = {
            "latents": self.file.spec.whiten(raw[None])[0],
            "caption": torch.tensor(self.captions[caption]),
            "label": torch.tensor(self.labels.get(clip.label, NO_LABEL)),
            "numbers": torch.tensor(numbers, dtype=torch.float32),
            "after": torch.tensor(float(max(0, own - known.offset - total))),
            "kept": known.kept,
            "own_level": torch.tensor(clip.gain_db == 0.0),
            "own_colour": torch.tensor(clip.tilt_db == 0.0),
            "index": torch.tensor(seed),
        }
        if self.with_noise:
            result["noise"] = torch.randn(raw.shape, generator=generator)
        return result


def collate(items: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """A batch: latents and noise padded with zeros to the longest, `valid_frames` added."""
    frames = torch.tensor([item["latents"].shape[1] for item in items])
    longest = int(frames.max())
    batch = {"valid_frames": frames}
    for name in items[0]:
        rows = [item[name] for item in items]
        if name in ("latents", "noise", "kept"):
            rows = [torch.nn.functional.pad(row, (0, longest - row.shape[-1])) for row in rows]
        batch[name] = torch.stack(rows)
    return batch
