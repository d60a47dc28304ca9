"""Crops of clips together with the mels that a model made of them, aligned to the sample.

A crop begins at a frame border: frames k … k + n of the pair belong to the samples

    k H … k H + num_samples(n)

of the clip, in both framings, once it is as loud as the one that the model heard (`MelPairs.gain`). A further gain of
g dB on the waveform adds g ln(10) / 20 to the log-mel, which stays at or above its floor; beyond the clip's end the
waveform is 0 and the log-mel on its floor.
"""

import math
from collections.abc import Sequence
from math import gcd
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from audio.contract import check_same_mel
from audio.dataset import AudioFolder, Clip, Split
from audio.files import audio_rate, read_audio
from audio.measures import Waveform
from audio.mel import MelConfig
from audio.mel_pairs import MelPairs
from training.command import say

NEPERS_PER_DB = math.log(10.0) / 20.0
# More samples of the file than the resampler's filter reaches, on either side.
RESAMPLER_REACH = 256


def open_pairs(folder: Path, audio: AudioFolder, sample_rate: int, mel: MelConfig | None = None) -> MelPairs:
    """Open a folder of pairs for a folder of clips, and refuse what does not belong together.

    Args:
        folder: of the mels.
        audio: of the clips.
        sample_rate: of the batches, in Hz.
        mel: the contract that is trained; not compared when left out.

    Raises:
        ValueError: another mel or rate, stale pairs, or no pair for most clips of the training and validation splits.
    """
    pairs = MelPairs.open(folder)
    if mel is not None:
        check_same_mel(pairs.mel, mel, f"data.mels '{folder}'", "the vocoder")
    if pairs.mel.sample_rate != sample_rate:
        raise ValueError(f"data.mels: expected mels at {sample_rate} Hz, '{folder}' has {pairs.mel.sample_rate} Hz")
    splits: tuple[Split, ...] = ("train", "validation")
    names = [name_of(clip, audio) for split in splits for clip in audio.split(split)]
    # Where a choice of clips was exported, the others are not missed.
    wanted = names if pairs.whole else [name for name in names if name in pairs.clips]
    missing = pairs.missing(wanted)
    if 2 * len(missing) > len(wanted) or not wanted:
        raise ValueError(
            f"data.mels: '{folder}' has no pair for {len(missing) or len(names)} of {len(wanted) or len(names)} clips "
            f"of '{audio.root}'; run python -m pipelines.export_mels on this folder, to its end"
        )
    left_out = len(names) - len(wanted) + len(missing)
    if left_out:
        say(f"data.mels: {left_out} of {len(names)} clips have no pair and are left out")
    gone = set(missing)
    pairs.check_audio(audio.root, [name for name in wanted if name not in gone])
    return pairs


def paired_clips(pairs: MelPairs, audio: AudioFolder, clips: Sequence[Clip]) -> tuple[Clip, ...]:
    """The clips that have a pair."""
    missing = set(pairs.missing([name_of(clip, audio) for clip in clips]))
    return tuple(clip for clip in clips if name_of(clip, audio) not in missing)


def name_of(clip: Clip, audio: AudioFolder) -> str:
    """The file name of a clip within its folder, as manifests have it on every system."""
    return clip.path.relative_to(audio.root).as_posix()


class PairedSegments(Dataset[dict[str, Tensor]]):
    """Crops of pairs: `waveform` `(samples,)`, `log_mel` `(n_mels, frames)` and `valid_samples`.

    Args:
        pairs: the mels.
        root: folder of the clips.
        clips: of one split, each with a pair.
        frames: length of a crop; its waveform has `pairs.mel.num_samples(frames)` samples.
        gain_db: range of the random gain; (0, 0) is none.
        random_crop: a crop anywhere in long clips; otherwise their beginning.
        beginnings: how often a random crop is the clip's beginning; no silence can be put before it.
    """

    def __init__(
        self,
        pairs: MelPairs,
        root: Path,
        clips: Sequence[Clip],
        frames: int,
        gain_db: tuple[float, float] = (0.0, 0.0),
        random_crop: bool = True,
        beginnings: float = 0.0,
    ) -> None:
        self.pairs = pairs
        self.mel = pairs.mel
        self.root = root
        self.clips = clips
        self.frames = frames
        self.gain_db = gain_db
        self.random_crop = random_crop
        self.beginnings = beginnings

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, item: int | tuple[int, int]) -> dict[str, Tensor]:
        index, seed = item if isinstance(item, tuple) else (item, 0)
        draw = np.random.default_rng(seed)
        clip, mel = self.clips[index], self.mel
        samples = mel.num_samples(self.frames)
        spare = int((clip.seconds * mel.sample_rate - samples) // mel.hop_length) if self.random_crop else 0
        start = int(draw.integers(spare + 1)) if spare > 0 else 0
        if self.random_crop and self.beginnings and draw.uniform() < self.beginnings:
            start = 0
        variant = int(draw.integers(2**31)) if self.random_crop else 0
        gain = float(draw.uniform(*self.gain_db))
        found = read_stretch(clip.path, mel.sample_rate, start * mel.hop_length, samples)
        name = clip.path.relative_to(self.root).as_posix()
        waveform = torch.zeros(samples)
        scale = self.pairs.gain(name) * 10.0 ** (gain / 20.0)
        waveform[: len(found)] = torch.from_numpy(found * np.float32(scale))
        log_mel = self.pairs.read(name, start, self.frames, variant) + gain * NEPERS_PER_DB
        return {
            "waveform": waveform,
            "log_mel": log_mel.clamp(min=mel.log_mel_floor),
            "valid_samples": torch.tensor(len(found)),
        }


def read_stretch(path: Path, sample_rate: int, start: int, samples: int) -> Waveform:
    """Samples `start … start + samples` of a whole clip at `sample_rate`, without resampling the rest of it.

    Reading starts at a sample of the file that has a counterpart at the wanted rate, so nothing moves by a fraction.

    Args:
        path: of the clip.
        sample_rate: wanted, in Hz.
        start: first sample, at the wanted rate.
        samples: at most so many; fewer where the clip ends.

    Raises:
        ValueError: the file cannot be read.
    """
    rate = audio_rate(path)
    divisor = gcd(rate, sample_rate)
    ours, theirs = sample_rate // divisor, rate // divisor
    reach = -(-RESAMPLER_REACH // theirs) if ours != theirs else 0
    block = max(0, start // ours - reach)
    blocks = -(-(start + samples) // ours) + reach - block
    found, _ = read_audio(path, sample_rate, block * theirs / rate, blocks * theirs / rate)
    first = start - block * ours
    return found[first : first + samples]
