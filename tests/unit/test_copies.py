"""How near is too near: distances that ignore what a copy may change, and a line that holds what it promises."""

from math import inf

import numpy as np
import pytest
import torch

from evaluation.alignment import PICTURE_MEL, PictureMaker, aligned_distance, gist
from evaluation.copies import (
    EVERYTHING,
    LevelledEmbedder,
    fit_copy_test,
    merged,
    nearest_by_picture,
    shortlist,
)
from evaluation.embedders import load_embedder

RATE = PICTURE_MEL.sample_rate
MAKER = PictureMaker()


def strike(seed: int, seconds: float = 0.8) -> np.ndarray:
    """A struck thing: a few decaying partials and a burst of noise, all drawn anew for each seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    clip = 0.3 * rng.standard_normal(len(time)) * np.exp(-time / rng.uniform(0.01, 0.05))
    for _ in range(6):
        clip += (
            rng.uniform(0.1, 1)
            * np.sin(2 * np.pi * rng.uniform(80, 6000) * time)
            * np.exp(-time / rng.uniform(0.05, 0.4))
        )
    return (0.8 * clip / np.abs(clip).max()).astype(np.float32)


def copied(clip: np.ndarray, seed: int) -> np.ndarray:
    """The same, later or earlier, quieter, with faint noise, at 16 bits."""
    rng = np.random.default_rng(seed)
    shift = round(rng.uniform(-0.02, 0.1) * RATE)
    moved = np.concatenate([np.zeros(shift, np.float32), clip]) if shift > 0 else clip[-shift:]
    noisy = rng.uniform(0.1, 1.0) * (moved + 1e-3 * rng.standard_normal(len(moved)))
    return (np.round(noisy * 32767) / 32767).astype(np.float32)


def test_a_copy_is_nearer_than_anything_else():
    clips = [strike(seed) for seed in range(8)]
    pictures = [MAKER.draw(clip) for clip in clips]
    for seed, clip in enumerate(clips):
        distances = [aligned_distance(MAKER.draw(copied(clip, 50 + seed)), picture)[0] for picture in pictures]
        assert int(np.argmin(distances)) == seed
        assert distances[seed] < 0.25 < 0.4 < min(d for n, d in enumerate(distances) if n != seed)


def test_a_gist_finds_the_copy_among_many():
    clips = [strike(seed) for seed in range(60)]
    gists = torch.stack([gist(MAKER.draw(clip)) for clip in clips])
    for seed in range(0, 60, 6):
        distances = (gists - gist(MAKER.draw(copied(clips[seed], seed)))).norm(dim=1)
        assert int(distances.argmin()) == seed
    assert torch.equal(gist(MAKER.draw(np.zeros(100, dtype=np.float32))), torch.zeros(gists.shape[1]))


@pytest.mark.parametrize("frames", [-30, -3, 0, 5, 40])
def test_the_shift_is_found(frames: int):
    clip = np.pad(strike(3), 40 * 256)
    moved = np.roll(clip, frames * 256)
    distance, shift = aligned_distance(MAKER.draw(moved), MAKER.draw(clip))
    assert shift == pytest.approx(frames * 256 / RATE)
    assert distance < 0.1


def test_beyond_a_quarter_of_a_second_nothing_is_aligned():
    clip = np.concatenate([strike(3, 0.4), np.zeros(RATE, np.float32)])
    near, far = (aligned_distance(MAKER.draw(np.roll(clip, round(s * RATE))), MAKER.draw(clip))[0] for s in (0.2, 0.5))
    assert near < 0.1 < 1.0 < far


def test_gain_does_not_count_and_a_filter_does():
    clip = strike(5)
    assert aligned_distance(MAKER.draw(0.03 * clip), MAKER.draw(clip))[0] < 0.01
    # One pole: more than the gain that is taken out.
    dull = np.convolve(clip, 0.7 ** np.arange(40), mode="full")[: len(clip)].astype(np.float32)
    assert aligned_distance(MAKER.draw(dull), MAKER.draw(clip))[0] > 0.3


def test_a_known_difference_is_its_mean():
    picture = np.full((40, 48), 3.0, dtype=np.float16)
    other = picture.copy()
    # A quarter of the cells differs by 2, the median by nothing.
    other[:, :12] += 2.0
    assert aligned_distance(picture, other)[0] == pytest.approx(0.5)
    assert aligned_distance(other, picture)[0] == pytest.approx(0.5)


def test_silence_and_shreds_are_near_nothing():
    silence = MAKER.draw(np.zeros(RATE, dtype=np.float32))
    assert aligned_distance(silence, MAKER.draw(strike(1)))[0] == inf
    assert MAKER.draw(np.ones(1, dtype=np.float32)).shape[1] == PICTURE_MEL.n_mels


def test_a_shortlist_leaves_out_the_own_recording():
    cloud = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    recordings = ["a", "a", "b", "c"]
    distances, rows = shortlist(cloud, cloud, recordings, recordings, size=2)
    assert rows[:, 0].tolist() == [2, 2, 1, 2]
    assert distances[:, 0].tolist() == [3.0, 2.0, 2.0, 4.0]
    whole, _ = shortlist(cloud, cloud, recordings)
    assert whole[:, 0].tolist() == [0.0] * 4
    alone, _ = shortlist(cloud[:2], cloud[:2], ["a", "a"], ["a", "a"])
    assert alone.tolist() == [[inf, inf], [inf, inf]]
    nobody = nearest_by_picture(MAKER.draw(strike(0)), [], (alone[0], torch.zeros(2, dtype=torch.long)))
    assert nobody.index == -1
    assert nobody.distance == inf


def test_the_line_holds_what_it_promises():
    """Classes of very different scale: new distances fall below the line in 1 % of the cases, in every class."""
    rng = np.random.default_rng(0)
    scales = {"kick": 0.3, "pad": 2.0, "rain": 9.0}

    def draw(name: str, number: int) -> list[float]:
        return (scales[name] * rng.gamma(8.0, 1.0 / 8.0, number)).tolist()

    labels = [name for name in scales for _ in range(1500)]
    distances = [d for name in scales for d in draw(name, 1500)]
    test = fit_copy_test(distances, labels, labels, [f"r{n}" for n in range(len(labels))])
    for name in scales:
        share = np.mean([d < test.threshold(name, name) for d in draw(name, 50000)])
        assert 0.006 < share < 0.014
    assert test.threshold("rain", "") / test.threshold("kick", "") == pytest.approx(30.0, rel=0.1)


def test_the_order_statistic_is_exact_for_few():
    """With 100 null distances the line is the smallest: below it lies a new one in 1 of 101 cases."""
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(300):
        null = rng.random(100).tolist()
        test = fit_copy_test(null, [""] * 100, [""] * 100, [str(n) for n in range(100)])
        assert test.threshold("", "") == pytest.approx(min(null))
        shares.append(min(null))
    assert np.mean(shares) == pytest.approx(1 / 101, abs=0.0025)


def test_small_classes_ask_their_family_and_those_of_one_recording_too():
    labels = ["snare"] * 60 + ["bongo"] * 4 + ["whistle"] * 40 + ["gong"]
    families = ["drum"] * 64 + ["pipe"] * 40 + ["metal"]
    recordings = [str(n) for n in range(64)] + ["one"] * 40 + ["last"]
    test = fit_copy_test(np.linspace(1, 2, 105).tolist(), labels, families, recordings)
    assert test.group("snare", "drum") == "class snare"
    assert test.group("bongo", "drum") == "family drum"
    assert test.group("whistle", "pipe") == EVERYTHING
    assert test.group("never heard", "") == EVERYTHING


def test_too_few_are_refused_with_the_number_that_is_enough():
    distances = [1.0] * 99 + [inf] * 50
    names = [str(n) for n in range(149)]
    with pytest.raises(ValueError, match=r"99 training clips .* 100 are enough"):
        fit_copy_test(distances, names, names, names)


def test_a_levelled_ear_does_not_hear_gain():
    ear = LevelledEmbedder(load_embedder("mel"))
    clip = strike(2)
    assert torch.allclose(ear.embed(clip), ear.embed(0.05 * clip), atol=1e-3)
    plain = load_embedder("mel")
    assert not torch.allclose(plain.embed(clip), plain.embed(0.05 * clip), atol=0.5)
    assert ear.embed(np.zeros(100, dtype=np.float32)).isfinite().all()


def test_vectors_that_are_kept_stay_as_they_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("evaluation.copies.BLOCK_ROWS", 2)
    ear = LevelledEmbedder(load_embedder("mel"))
    kept = [ear.embed(strike(seed)) for seed in range(5)]
    for seed, vector in enumerate(kept):
        assert torch.equal(vector, LevelledEmbedder(load_embedder("mel")).embed(strike(seed)))
    assert len({vector.data_ptr() for vector in kept}) == 5


def test_groups_of_a_pair_become_one():
    assert merged(["a", "b", "c", "d", "b"], [(0, 1), (4, 3)]) == ["a", "a", "c", "a", "a"]
    assert merged(["a", "b"], []) == ["a", "b"]
