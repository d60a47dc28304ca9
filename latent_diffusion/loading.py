"""Loaders of stage 2: latents that `python -m autoencoder.encode` wrote."""

from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from audio.balance import balanced_weights
from audio.latents import LatentClip, LatentFile
from audio.phrasings import read_phrasings
from latent_diffusion.data import (
    LatentClips,
    LatentDraws,
    Wording,
    collate,
    known_labels,
    phrases_for,
    split_clips,
    validation_draws,
)
from latent_diffusion.lengths import LengthConfig
from training.data import StageData


class LatentData(StageData):
    """Latents of a file.

    Args:
        latents: written by `python -m autoencoder.encode`.
        lengths: total lengths in training.
        batch_size: draws a batch.
        steps_per_epoch: training batches between two validations.
        validation_draws: fixed draws that are judged.
        balance: 0 draws all clips alike, 1 all families and sources alike.
        workers: loader processes.
        seed: of the order of batches.
        changed_levels: how often a clip whose level was changed is drawn, of 1 for one at its own.
        tilted: how often a clip whose spectrum was tilted is drawn, of 1 for one as it was recorded.
        known: how often some frames of a training row are known beforehand; goes with `network.known`.
        phrasings: YAML of further phrases by label or family, such as configs/phrasings/training.yaml.
        phrasing_share: how often one of them takes the place of a training clip's own caption.

    Raises:
        ValueError: a number out of its range, or a file that cannot be read.
    """

    def __init__(
        self,
        latents: Path,
        lengths: LengthConfig = LengthConfig(),  # noqa: B008 (frozen)
        batch_size: int = 48,
        steps_per_epoch: int = 200,
        validation_draws: int = 400,
        balance: float = 0.5,
        workers: int = 0,
        seed: int = 0,
        changed_levels: float = 1.0,
        tilted: float = 1.0,
        known: float = 0.0,
        phrasings: Path | None = None,
        phrasing_share: float = 0.3,
    ) -> None:
        super().__init__(batch_size, steps_per_epoch, workers, seed)
        if validation_draws < 1:
            raise ValueError(f"data.validation_draws: expected at least 1, got {validation_draws}")
        shares = {"changed_levels": changed_levels, "tilted": tilted, "known": known, "phrasing_share": phrasing_share}
        for name, share in shares.items():
            if not 0.0 <= share <= 1.0:
                raise ValueError(f"data.{name}: expected 0 to 1, got {share}")
        self.known = known
        self.latents = Path(latents)
        self.lengths = lengths
        self.validation_count = validation_draws
        self.balance = balance
        self.changed_levels, self.tilted = changed_levels, tilted
        self.file = LatentFile.load(self.latents)
        lineage = dict(self.file.lineage)
        self.licences = list(lineage.pop("licences", []))
        self.lineage = {**lineage, "encoder": self.file.spec.encoder_fingerprint}
        own = {caption for clip in self.file.clips for caption in clip.captions}
        said = read_phrasings(Path(phrasings)) if phrasings else {}
        names = {name for clip in self.file.clips for name in (clip.label, clip.family)}
        if said and not names & set(said):
            raise ValueError(f"data.phrasings: '{phrasings}' lists no label or family of '{self.latents}'")
        further = {phrase for clip in split_clips(self.file, "train") for phrase in phrases_for(clip, said)}
        self.captions = sorted(own | further)
        self.wording = Wording(self.captions, said, phrasing_share if said else 0.0)

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Batches of one epoch."""
        clips = split_clips(self.file, "train")
        weights = balanced_weights(clips, self.balance)
        draws = LatentDraws(
            clips,
            [
                weight * (self.changed_levels if clip.gain_db else self.tilted if clip.tilt_db else 1.0)
                for weight, clip in zip(weights, clips, strict=True)
            ],
            self.lengths,
            self.file.spec.latent_rate,
            self.batch_size,
            self.steps_per_epoch,
            self.seed,
        )
        return self._loader(clips, draws, with_noise=False)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The fixed draws."""
        clips = split_clips(self.file, "validation")
        draws = validation_draws(clips, self.validation_count, self.lengths, self.file.spec.latent_rate)
        return self._loader(clips, draws, with_noise=True)

    def _loader(self, clips: tuple[LatentClip, ...], draws: Any, with_noise: bool) -> DataLoader[dict[str, Tensor]]:  # noqa: ANN401
        labels = known_labels(split_clips(self.file, "train"))
        known, wording = (0.0, Wording(self.captions)) if with_noise else (self.known, self.wording)
        dataset = LatentClips(self.file, clips, labels, wording, with_noise, known)
        workers = 0 if with_noise else self.workers
        return DataLoader(
            dataset,
            self.batch_size,
            sampler=draws,
            collate_fn=collate,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
