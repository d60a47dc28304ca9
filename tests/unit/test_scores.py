"""Metrics against planted truths: right, dropped, shuffled, shifted, noise, told apart on constructed clips."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from audio.measures import ends_in_a_cut
from evaluation.adherence import AdherenceJudge
from evaluation.kernel import kernel_bandwidth
from evaluation.measurements import Measurements, silent_share
from evaluation.prompt_scores import by_family, class_score, pitch_scores, shuffled, trusted_accuracy
from evaluation.score import compare, unit_numbers
from evaluation.scores import Yardstick

FAMILIES = ("bell", "kick", "organ", "snare", "strum")
NUMBERS = 12
CENTRES = torch.randn(len(FAMILIES), NUMBERS, generator=torch.Generator().manual_seed(9)) * 2.0


def words(prompts: Sequence[str]) -> Tensor:
    """Features of prompts: one number for each family."""
    return torch.stack([torch.tensor([float(name in prompt) for name in FAMILIES]) for prompt in prompts])


def clips(count: int, seed: int, families: Sequence[str] = FAMILIES, spread: float = 1.0) -> Measurements:
    """Clips around the centre of their family, two for every recording."""
    draw = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(families), (-(-count // 2),), generator=draw).tolist()
    names = [families[drawn[number // 2]] for number in range(count)]
    rows = torch.tensor([FAMILIES.index(name) for name in names])
    embeddings = CENTRES[rows] + spread * torch.randn(count, NUMBERS, generator=draw)
    # A classifier that hears the nearest centre.
    probabilities = (-torch.cdist(embeddings, CENTRES)).softmax(dim=1)
    wanted = 60.0 + torch.arange(count).double() % 24
    return Measurements(
        files=tuple(f"{seed}_{number}" for number in range(count)),
        units=tuple(f"{seed}_{number // 2}" for number in range(count)),
        prompts=tuple(f"a {name}, take {number // 2 % 7}" for number, name in enumerate(names)),
        families=tuple(names),
        embeddings=embeddings,
        loudness=-12.0 + torch.randn(count, generator=draw),
        silence=torch.rand(count, generator=draw) * 0.5,
        cut=(torch.arange(count) % 4 == 0).float(),
        wanted_pitch=wanted,
        heard_pitch=wanted + 0.2 * torch.randn(count, generator=draw),
        probabilities=probabilities,
    )


@pytest.fixture(scope="module")
def ruler() -> Yardstick:
    train, held_out = clips(400, 1), clips(200, 2)
    return Yardstick(
        reference=held_out,
        bandwidth=kernel_bandwidth(held_out.embeddings),
        judge=AdherenceJudge.learn(words(train.prompts), train.embeddings),
        texts=words,
        classes=FAMILIES,
    )


def value(ruler: Yardstick, made: Measurements, name: str) -> float:
    interval = ruler.score(made, replicate=False)[name].interval
    assert interval is not None
    return interval.value


def test_a_set_of_the_same_kind_measures_like_one(ruler: Yardstick) -> None:
    scores = ruler.score(clips(200, 3))
    kernel = scores["kernel distance"].interval
    assert kernel is not None
    assert kernel.low is not None
    assert kernel.high is not None
    assert kernel.low < 0.0 < kernel.high
    assert scores["diversity"].interval.value == pytest.approx(1.0, abs=0.1)
    assert scores["recall"].interval.value > 0.85
    assert scores["coverage"].interval.value > 0.85
    assert scores["class accuracy"].interval.value > 0.9
    assert scores["prompt adherence"].interval.value > 0.85


def test_dropped_classes_are_seen_by_recall_and_coverage(ruler: Yardstick) -> None:
    whole, dropped = clips(200, 3), clips(200, 3, families=FAMILIES[:2])
    for name in ("recall", "coverage"):
        assert value(ruler, dropped, name) < value(ruler, whole, name) - 0.3
    assert value(ruler, dropped, "precision") > 0.8
    alone = clips(200, 3, families=FAMILIES[:1])
    assert value(ruler, alone, "diversity") < 0.8 < value(ruler, whole, "diversity")


def test_noise_is_worse_than_shuffled_prompts_and_those_worse_than_the_truth(ruler: Yardstick) -> None:
    made = clips(200, 3)
    noise = replace(made, embeddings=10.0 + torch.randn(200, NUMBERS), probabilities=torch.rand(200, len(FAMILIES)))
    mixed = shuffled(made)
    assert value(ruler, noise, "kernel distance") > value(ruler, mixed, "kernel distance") + 100.0
    for name in ("kernel distance by family",):
        assert value(ruler, made, name) < value(ruler, mixed, name) < value(ruler, noise, name)
    for name in ("class accuracy", "prompt adherence", "pitch within 50 cents"):
        assert value(ruler, mixed, name) < value(ruler, made, name) - 0.3
    assert value(ruler, mixed, "prompt adherence") == pytest.approx(0.5, abs=0.12)
    # What does not ask for prompts does not hear that they were shuffled.
    for name in ("kernel distance", "Frechet distance", "recall", "loudness error, dB"):
        assert value(ruler, mixed, name) == pytest.approx(value(ruler, made, name))


def test_shuffling_leaves_no_clip_its_own_prompt() -> None:
    made = replace(clips(50, 1), prompts=tuple(str(number) for number in range(50)))
    mixed = shuffled(made)
    assert sorted(mixed.prompts) == sorted(made.prompts)
    assert all(one != other for one, other in zip(mixed.prompts, made.prompts, strict=True))
    assert mixed.embeddings is made.embeddings


def test_a_shifted_set_is_worse_and_a_like_one_cannot_be_told(ruler: Yardstick) -> None:
    old = clips(200, 3)
    worse = replace(old, embeddings=old.embeddings + 0.8)
    noise = torch.randn(200, NUMBERS, generator=torch.Generator().manual_seed(0))
    like = replace(old, embeddings=old.embeddings + 0.02 * noise)
    units = unit_numbers(old)
    before = ruler.score(old)
    words_of = {name: word for name, (_, word) in compare(ruler.score(worse), before, units).items()}
    assert words_of["kernel distance"] == words_of["Frechet distance"] == "worse"
    assert {word for _, word in compare(ruler.score(like), before, units).values()} == {"cannot tell"}
    better = compare(before, ruler.score(worse), units)
    assert better["kernel distance"][1] == "better"


def test_an_octave_is_a_miss_and_a_clip_without_a_note_too() -> None:
    made = clips(40, 1)
    heard = made.wanted_pitch.clone()
    heard[:10] += 12.0
    heard[10:20] = torch.nan
    heard[20:30] += 0.49
    within, median = pitch_scores(replace(made, heard_pitch=heard))
    assert within.interval.value == pytest.approx(0.5)
    assert within.clips == 40
    assert median.clips == 30
    unasked = made.wanted_pitch.clone()
    unasked[:30] = torch.nan
    within, _ = pitch_scores(replace(made, wanted_pitch=unasked))
    assert within.interval is None
    assert within.reason == "10 clips are too few; 20 are enough"


def test_accuracy_is_not_given_by_a_classifier_that_knows_too_little() -> None:
    made = clips(40, 1)
    assert class_score(made, FAMILIES, "").interval is not None
    distrusted = class_score(made, FAMILIES, "the classifier knows 0.2 of real held-out clips")
    assert distrusted.interval is None
    assert "knows 0.2" in distrusted.reason
    assert trusted_accuracy(0.5, 22)
    assert not trusted_accuracy(0.39, 22)
    assert not trusted_accuracy(0.7, 4)


def test_families_that_the_classifier_does_not_know_are_left_out() -> None:
    made = replace(clips(40, 1, spread=0.1), families=tuple(["drone"] * 20 + list(clips(40, 1).families[20:])))
    shares = by_family(made, FAMILIES)
    assert shares["drone"] == (20, None)
    assert all(share == 1.0 for name, (_, share) in shares.items() if name != "drone")
    assert class_score(made, FAMILIES, "").clips == 20
    unheard = replace(made, probabilities=torch.zeros(40, 0))
    assert class_score(unheard, FAMILIES, "").interval is None
    assert by_family(unheard, FAMILIES)["drone"] == (20, None)


def test_few_clips_give_reasons_and_no_numbers(ruler: Yardstick) -> None:
    scores = ruler.score(clips(10, 3))
    assert all(score.interval is None for score in scores.values())
    assert scores["kernel distance"].reason == "10 clips are too few; 20 are enough"
    assert "100 are enough" in scores["Frechet distance"].reason
    assert scores["FAD-inf"].reason.endswith(f"{2 * NUMBERS} are enough")
    assert all(score.to_dict()["value"] is None for score in scores.values())


def test_levels_are_compared_as_distributions(ruler: Yardstick) -> None:
    made = clips(200, 3)
    quiet = replace(made, loudness=made.loudness - 6.0, silence=torch.ones(200))
    assert value(ruler, quiet, "loudness error, dB") == pytest.approx(6.0, abs=0.4)
    assert value(ruler, quiet, "silence error") == pytest.approx(0.75, abs=0.05)
    assert value(ruler, quiet, "silent clips") == 1.0
    assert value(ruler, made, "silent clips") == 0.0
    assert value(ruler, made, "cut ends") == 0.25


def test_a_sound_that_stops_ends_in_a_cut_and_one_that_dies_away_does_not() -> None:
    rate = 44100
    time_line = np.arange(rate) / rate
    noise = np.random.default_rng(0).standard_normal(rate).astype(np.float32)
    dying = (noise * np.exp(-8.0 * time_line)).astype(np.float32)
    assert not ends_in_a_cut(dying, rate)
    assert not ends_in_a_cut(np.zeros(rate, dtype=np.float32), rate)
    stopped = dying.copy()
    stopped[round(0.2 * rate) :] = 0.0
    assert ends_in_a_cut(stopped, rate)
    # The end of the file is one, too, where the sound had not died away; a click far below the sound is not the sound.
    assert ends_in_a_cut(dying[: round(0.2 * rate)], rate)
    stopped[round(0.5 * rate)] = 0.002
    assert ends_in_a_cut(stopped, rate)
    # 0.6 s on it has fallen by 42 dB: what stops there is not missed.
    faint = dying.copy()
    faint[round(0.6 * rate) :] = 0.0
    assert not ends_in_a_cut(faint, rate)


def test_silence_is_counted_in_blocks_and_an_incomplete_one_counts() -> None:
    loud, quiet = torch.full((441,), 0.1).numpy(), torch.zeros(441).numpy()
    assert (
        silent_share(torch.cat([torch.from_numpy(part) for part in (loud, quiet, quiet, quiet)]).numpy(), 44100) == 0.75
    )
    assert silent_share(loud[:1], 44100) == 0.0
    assert silent_share(quiet[:1], 44100) == 1.0


def test_a_family_of_heavy_tails_takes_the_interval_away_and_not_the_number(ruler: Yardstick) -> None:
    made = clips(200, 3)
    outlier = made.families.index("bell")
    far = made.embeddings.clone()
    far[outlier] += 1e4
    score = ruler.score(replace(made, embeddings=far))["kernel distance by family"]
    assert score.interval.low is None
    assert "heavy" in score.interval.reason
    before = ruler.score(made)
    assert (
        compare(before, ruler.score(replace(made, embeddings=far)), unit_numbers(made))[score.name][1] == "cannot tell"
    )
