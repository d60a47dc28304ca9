"""Prompts that a model is asked for when its classes are checked, those in unseen words among them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from audio.dataset import AudioFolder, Clip
from audio.phrasings import read_phrasings, words_of
from evaluation.intervals import even_interval
from pipelines import check_classes, class_answers
from pipelines.check_classes import (
    held_out_captions,
    prompts_of,
    unsaid,
    unseen_share,
)
from pipelines.class_answers import generated_answers
from pipelines.recipes.captions import captions
from pipelines.recipes.clips import Clip as PlannedClip
from pipelines.recipes.gm_names import DRUM_KEYS, PROGRAMS
from pipelines.recipes.traits import BRIGHT, DARK, DEEP

PHRASINGS = Path(__file__).resolve().parents[2] / "configs/phrasings"
COURSES = ["short", "tight", "long", "punchy", "slow-attack", "swelling", "sustained", "decaying"]


def planned(family: str, names: tuple[str, ...], number: int) -> PlannedClip:
    pitch = 30.0 + number if number % 2 else None
    return PlannedClip(
        file_name=f"{family}/{number}.flac", label=names[0], family=family, names=names, words=("acoustic", "room"),
        pitch=pitch, velocity=0.8, dynamics="soft", group="g", recording="r", licence="MIT", source="s", rendered=True,
    )  # fmt: skip


def recipe_captions() -> list[str]:
    """What the recipe says of things of every kind."""
    return [
        caption
        for number in range(60)
        for family, names in [*PROGRAMS, *DRUM_KEYS.values()]
        for caption in captions(planned(family, names, number), [*BRIGHT, *DARK, *DEEP], COURSES)
    ]


def test_prompts_of_the_first_list_hold_words_that_no_caption_has() -> None:
    said = {word for caption in recipe_captions() for word in words_of(caption)}
    assert {"piano", "kick", "bright", "playing"} <= said
    for family, texts in read_phrasings(PHRASINGS / "oneshots.yaml").items():
        assert family in {name for name, _ in [*PROGRAMS, *DRUM_KEYS.values()]} | {"strum"}
        assert [text for text in texts if not words_of(text) - said] == []
        assert len(set(texts)) >= 5


@pytest.mark.parametrize("name", ["oneshots.yaml", "oneshots_further.yaml"])
def test_no_prompt_of_a_list_says_what_a_caption_says(name) -> None:
    clip = Clip(Path("k.wav"), tuple(recipe_captions()), 1.0, -10.0, 100.0, family="kick")
    listed = read_phrasings(PHRASINGS / name)
    assert unsaid(listed, AudioFolder(Path(), (clip,))) == (listed, ())
    # The measure knows one when it sees one.
    assert unsaid({"ensemble": ["warm synth strings"]}, AudioFolder(Path(), (clip,)))[1] == ("warm synth strings",)


def test_a_prompt_is_unseen_by_a_single_word() -> None:
    clip = Clip(Path("k.wav"), ("a deep kick", "Kick, punchy"), 1.0, -10.0, 100.0, family="kick")
    folder = AudioFolder(Path(), (clip,))
    prompts = {"kick": ["punchy, deep kick", "a booming kick"], "snare": ["a KICK"]}
    assert unseen_share(prompts, folder) == 1 / 3
    assert unseen_share(prompts, folder, {"kick": ["booming thing"]}) == 0.0


def test_captions_are_those_of_the_held_out_clips() -> None:
    clips = [
        Clip(Path(f"{split}.wav"), (f"{split} one", "a kick"), 1.0, -10.0, 100.0, family=family, split=split)
        for split, family in (("train", "kick"), ("test", "kick"), ("test", "snare"))
    ]
    folder = AudioFolder(Path(), tuple(clips))
    assert held_out_captions(folder, "kick") == ["a kick", "test one"]
    assert prompts_of(["kick", "snare"], folder, {}) == {name: ["a kick", "test one"] for name in ("kick", "snare")}
    assert prompts_of(["kick", "snare"], folder, {"snare": ["crack"], "tom": ["boom"]}) == {"snare": ["crack"]}
    with pytest.raises(ValueError, match="phrasings: expected some of the families kick, snare, got tom"):
        prompts_of(["kick", "snare"], folder, {"tom": ["boom"]})


def test_each_family_is_asked_as_often_and_by_its_own_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    class Pipeline:
        def __call__(self, prompts, seconds, seed, solver_steps):
            asked.append(prompts)
            assert (seconds, seed, solver_steps) == (0.5, 7, 3)
            return SimpleNamespace(waveforms=torch.zeros(len(prompts), 100), sample_rate=16000)

    class Classifier:
        classes = ("kick", "snare", "tom")

        def probabilities(self, pictures):
            assert len(pictures) == 9
            return torch.eye(3)[[0, 0, 1, 2, 1, 1, 2, 2, 2]]

    monkeypatch.setattr(class_answers, "picture", lambda waveform: torch.zeros(2, 2))
    monkeypatch.setattr(class_answers, "resample", lambda waveform, old, new: waveform)
    prompts = {"snare": ["c"], "kick": ["a", "b"], "tom": ["1", "2", "3", "4", "5", "6", "7"]}
    found = generated_answers(Pipeline(), Classifier(), prompts, 3, 0.5, 7, 3)
    assert asked == [["a", "b", "a"], ["c", "c", "c"], ["1", "3", "5"]]
    assert found.accuracies() == {"kick": 2 / 3, "snare": 2 / 3, "tom": 1.0}
    # Clips of one prompt are one draw: six of them, too few for an interval.
    assert len(set(found.units)) == 6
    assert found.accuracy().value == pytest.approx(7 / 9)
    assert found.accuracy().low is None
    assert found.of_families({"tom"}).accuracies() == {"tom": 1.0}


def test_families_weigh_alike_in_value_and_interval() -> None:
    hits = torch.tensor([1.0] * 30 + [0.0] * 10 + [1.0, 0.0, 1.0, 0.0])
    groups = torch.tensor([0] * 40 + [1] * 4)
    alone = even_interval(hits, groups, torch.arange(44))
    assert alone.value == pytest.approx(0.5 * (0.75 + 0.5))
    # Half of each group's own error, added as squares: 0.0685 and 0.25 of standard error, nearly.
    reach = 0.5 * (0.75 * 0.25 / 40 + 0.5 * 0.5 / 4) ** 0.5
    assert alone.high - alone.value == pytest.approx(2.017 * reach, rel=0.02)
    # Clips of one recording are one: four alike are known as one is.
    four = even_interval(hits.repeat_interleave(4), groups.repeat_interleave(4), torch.arange(44).repeat_interleave(4))
    assert four.high - four.value == pytest.approx(alone.high - alone.value, rel=0.01)


def test_prompts_that_captions_say_are_left_out() -> None:
    clip = Clip(Path("k.wav"), ("a mid tom for a drum fill", "tom, low"), 1.0, -10.0, 100.0, family="tom")
    folder = AudioFolder(Path(), (clip,))
    left, said = unsaid({"tom": ["mid tom for drum fill", "a big tom", "low tom"], "kick": ["the low tom"]}, folder)
    assert left == {"tom": ["a big tom"]}
    assert said == ("mid tom for drum fill", "low tom", "the low tom")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--clips_per_family", "0"), "clips_per_family: expected at least 1, got 0"),
        (("--seconds", "0"), "seconds"),
        (("--solver_steps", "0"), "solver_steps"),
        (("--seed", "-1"), "seed"),
    ],
)
def test_numbers_are_asked_before_the_classifier_learns(
    monkeypatch: pytest.MonkeyPatch, capsys, options, message
) -> None:
    def scan(_: Path) -> None:
        raise AssertionError("clips are read")

    monkeypatch.setattr(check_classes.AudioFolder, "scan", scan)
    assert check_classes.main(["--model", "bundles/oneshots", "--audio", "anywhere", *options]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said
