"""Draws of latents: a function of seed and epoch, silence behind the clips, like lengths together."""

import math
from dataclasses import replace

import pytest
import torch

from audio.balance import balanced_weights
from audio.latents import LatentFile
from latent_diffusion.data import (
    LatentClips,
    LatentDraws,
    Wording,
    collate,
    known_labels,
    number_ranges,
    split_clips,
    validation_draws,
)
from latent_diffusion.lengths import LengthConfig
from tests.diffusion_doubles import LABELS, latent_file

LENGTHS = LengthConfig(min_seconds=0.1, max_seconds=1.0)


@pytest.fixture
def file(tmp_path, mel) -> LatentFile:
    return LatentFile.load(latent_file(tmp_path / "latents.safetensors", mel))


def draws(file: LatentFile, seed: int = 0, epoch: int = 0) -> list[tuple[int, int, int]]:
    clips = split_clips(file, "train")
    sampler = LatentDraws(clips, balanced_weights(clips, 0.5), LENGTHS, file.spec.latent_rate, 8, 20, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def dataset(file: LatentFile, split: str = "train", with_noise: bool = False) -> LatentClips:
    captions = sorted({caption for clip in file.clips for caption in clip.captions})
    return LatentClips(file, split_clips(file, split), LABELS, Wording(captions), with_noise)


def test_draws_are_a_function_of_seed_and_epoch(file) -> None:
    assert draws(file, 3, 5) == draws(file, 3, 5)
    assert draws(file, 3, 5) != draws(file, 3, 6)
    assert draws(file, 3, 5) != draws(file, 4, 5)
    assert len(draws(file)) == 160


def test_batches_hold_like_lengths(file) -> None:
    totals = torch.tensor([total for _, _, total in draws(file)]).reshape(20, 8)
    padding = 1.0 - float(totals.sum()) / float(totals.amax(dim=1).sum() * 8)
    assert padding < 0.16
    # The batches themselves come in no order of length.
    assert totals[:, 0].tolist() != sorted(totals[:, 0].tolist())


def test_total_lengths_keep_their_shares(file) -> None:
    low, high = LENGTHS.limits(file.spec.latent_rate)
    frames = torch.full((6000,), 20)
    totals = LengthConfig(0.1, 1.0, own=0.3, cut=0.2).draw(
        frames, file.spec.latent_rate, torch.Generator().manual_seed(0)
    )
    assert (totals >= low).all()
    assert (totals <= high).all()
    assert float((totals < 20).double().mean()) == pytest.approx(0.2, abs=0.03)
    assert float((totals > 20).double().mean()) == pytest.approx(0.5, abs=0.03)
    longer = LENGTHS.draw(torch.full((500,), 999), file.spec.latent_rate, torch.Generator().manual_seed(0))
    assert int(longer.max()) == high


def test_silence_follows_the_clip(file) -> None:
    clips = dataset(file)
    clip = clips.clips[1]
    item = clips[(1, 42, clip.frames + 9)]
    raw = file.spec.unwhiten(item["latents"][None])[0]
    assert torch.allclose(raw[:, clip.frames :], torch.tensor(file.spec.silence)[:, None].expand(-1, 9), atol=1e-5)
    mean = file.mean[:, clip.start : clip.start + clip.frames].float()
    spread = (raw[:, : clip.frames] - mean).std()
    # A draw of the posterior (standard deviation 0.1), not its mean.
    assert float(spread) == pytest.approx(0.1, rel=0.35)
    assert float(item["numbers"][3]) == pytest.approx((clip.frames + 9) / file.spec.latent_rate)


def test_long_clips_are_cut_from_their_start(file) -> None:
    clips = dataset(file)
    clip = clips.clips[2]
    item = clips[(2, 42, 3)]
    raw = file.spec.unwhiten(item["latents"][None])[0]
    mean = file.mean[:, clip.start : clip.start + 3].float()
    assert raw.shape == (4, 3)
    assert float((raw - mean).abs().max()) < 0.5


def test_each_draw_is_its_seed(file) -> None:
    clips = dataset(file, with_noise=True)
    for name, value in clips[(1, 7, 20)].items():
        assert (
            torch.equal(
                value,
                clips[(1, 7, 20)][name],
            )
            or value.isnan().any()
        )
    assert not torch.equal(clips[(1, 7, 20)]["latents"], clips[(1, 8, 20)]["latents"])
    captions = {int(clips[(1, seed, 20)]["caption"]) for seed in range(30)}
    assert len(captions) == 2


def test_collate_pads_with_zeros(file) -> None:
    clips = dataset(file, with_noise=True)
    batch = collate([clips[(0, 1, 4)], clips[(1, 2, 9)]])
    assert batch["valid_frames"].tolist() == [4, 9]
    assert batch["latents"].shape == batch["noise"].shape == (2, 4, 9)
    assert batch["latents"][0, :, 4:].abs().max() == 0.0
    assert torch.equal(batch["latents"][1], clips[(1, 2, 9)]["latents"])


def test_validation_never_changes_and_repeats_short_lists(file) -> None:
    clips = split_clips(file, "validation")
    first = validation_draws(clips, 30, LENGTHS, file.spec.latent_rate)
    assert first == validation_draws(clips, 30, LENGTHS, file.spec.latent_rate)
    assert len(first) == 30
    assert sorted(seed for _, seed, _ in first) == list(range(30))
    assert [total for _, _, total in first] == sorted(total for _, _, total in first)
    counts = torch.bincount(torch.tensor([index for index, _, _ in first]))
    assert counts.max() - counts.min() <= 1
    many = validation_draws(split_clips(file, "train"), 5, LENGTHS, file.spec.latent_rate)
    assert len({index for index, _, _ in many}) == 5


def test_meaning_comes_from_the_training_split(file) -> None:
    clips = split_clips(file, "train")
    assert known_labels(clips) == tuple(sorted(LABELS))
    ranges = number_ranges(clips, (0.1, 1.0))
    assert ranges["seconds"] == (0.1, 1.0)
    assert ranges["pitch"] == (60.0, 81.0)
    assert ranges["loudness"][0] <= min(clip.numbers["loudness"] for clip in clips)
    without_pitch = [clip for clip in clips if "pitch" not in clip.numbers]
    assert "pitch" not in number_ranges(without_pitch, (0.1, 1.0))
    assert math.isnan(float(dataset(file)[(1, 0, 9)]["numbers"][0]))


def test_labels_that_training_did_not_know_are_unsaid(file) -> None:
    clips = LatentClips(
        file, split_clips(file, "train"), ("kick",), Wording(sorted({c for k in file.clips for c in k.captions}))
    )
    labels = {clips.clips[index].label: int(clips[(index, 0, 9)]["label"]) for index in range(3)}
    assert labels == {"bell": -1, "kick": 0, "snare drum": -1}


def test_refused_lengths_and_splits(file) -> None:
    with pytest.raises(ValueError, match=r"expected 0 < min_seconds < max_seconds <= 600, got 2.0 and 1.0"):
        LengthConfig(2.0, 1.0)
    with pytest.raises(ValueError, match=r"expected own \+ cut between 0 and 1, got 0.9 and 0.2"):
        LengthConfig(0.1, 1.0, 0.9, 0.2)
    with pytest.raises(ValueError, match="holds no clip of split 'test'"):
        split_clips(file, "test")
    only_train = LatentFile(file.spec, split_clips(file, "train"), file.mean, file.std, {})
    assert split_clips(only_train, "validation") == split_clips(file, "train")


def test_a_draw_says_whether_the_clip_has_its_own_level(file: LatentFile) -> None:
    clips = split_clips(file, "train")[:2]
    captions = sorted({caption for clip in clips for caption in clip.captions})
    data = LatentClips(file, (clips[0], replace(clips[1], gain_db=-6.0)), LABELS, Wording(captions))
    assert [bool(data[index, 0, 10]["own_level"]) for index in (0, 1)] == [True, False]


def test_a_draw_says_whether_the_clip_was_tilted(file: LatentFile) -> None:
    clips = split_clips(file, "train")[:2]
    captions = sorted({caption for clip in clips for caption in clip.captions})
    data = LatentClips(file, (clips[0], replace(clips[1], tilt_db=3.0)), LABELS, Wording(captions))
    assert [bool(data[index, 0, 10]["own_colour"]) for index in (0, 1)] == [True, False]
