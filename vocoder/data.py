"""The vocoder's batches: crops of audio and, where a model has made some, its mels of the same sound."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from audio.dataset import Clip
from audio.mel_pairs import MelPairs
from training.data import AudioData
from training.pairs import PairedSegments, open_pairs, paired_clips


class VocoderData(AudioData):
    """Crops of a folder of audio, with exported mels where there are any.

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
        beginnings: how often a training crop is the beginning of its clip, after up to 50 ms of silence (none before
            exported mels, which are of whole clips).
        mels: folder written by `python -m pipelines.export_mels`; batches then hold these mels too, as `log_mel`.
        transpose: semitones by which half of the training crops are played faster or slower, at most; not with mels.
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
        mels: Path | None = None,
        transpose: float = 0.0,
    ) -> None:
        if mels and transpose:
            raise ValueError("data.mels and data.transpose contradict each other: mels are of sounds as recorded")
        super().__init__(
            folder,
            sample_rate,
            segment_seconds,
            batch_size,
            steps_per_epoch,
            validation_seconds,
            validation_clips,
            gain_db,
            balance,
            workers,
            seed,
            beginnings,
            transpose,
        )
        self.mels = Path(mels) if mels else None
        self.pairs: MelPairs | None = None

    def setup(self, stage: str) -> None:
        """Scan the folder once, and open the mels.

        Raises:
            ValueError: mels of another contract or of other clips.
        """
        super().setup(stage)
        if self.mels is None or self.pairs is not None or self.audio is None:
            return
        mel = getattr(getattr(getattr(self.trainer, "lightning_module", None), "model", None), "mel", None)
        self.pairs = open_pairs(self.mels, self.audio, self.sample_rate, mel)
        self.lineage |= {"mels": self.pairs.fingerprint, "mel_kind": self.pairs.identity.get("kind")}

    def _usable(self, clips: tuple[Clip, ...]) -> tuple[Clip, ...]:
        if self.pairs is None or self.audio is None:
            return clips
        return paired_clips(self.pairs, self.audio, clips)

    def _segments(
        self, clips: Sequence[Clip], samples: int, gain_db: tuple[float, float], random_crop: bool
    ) -> Dataset[dict[str, Tensor]]:
        if self.pairs is None or self.audio is None:
            return super()._segments(clips, samples, gain_db, random_crop)
        frames = self.pairs.mel.num_frames(samples)
        return PairedSegments(self.pairs, self.audio.root, clips, frames, gain_db, random_crop, self.beginnings)
