"""Prompts that a model is asked for when its classes are checked, those in unseen words among them."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from audio.dataset import AudioFolder, Clip
from audio.phrasings import read_phrasings
from pipelines import check_classes
from pipelines.check_classes import (
    generated_accuracies,
    held_out_captions,
    prompts_of,
    unseen_share,
    words_of,
)
from pipelines.recipes.captions import captions
from pipelines.recipes.clips import Clip as PlannedClip
from pipelines.recipes.gm_names import DRUM_KEYS, PROGRAMS
from pipelines.recipes.traits import BRIGHT, DARK, DEEP

PHRASINGS = Path(__file__).resolve().parents[2] / "configs/phrasings/oneshots.yaml"
COURSES = ["short", "tight", "long", "punchy", "slow-attack", "swelling", "sustained", "decaying"]


def planned(family: str, names: tuple[str, ...], number: int) -> PlannedClip:
    pitch = 30.0 + number if number % 2 else None
    return PlannedClip(
        file_name=f"{family}/{number}.flac", label=names[0], family=family, names=names, words=("acoustic", "room"),
        pitch=pitch, velocity=0.8, dynamics="soft", group="g", recording="r", licence="MIT", source="s", rendered=True,
    )  # fmt: skip


def test_prompts_of_the_first_list_hold_words_that_no_caption_has() -> None:
    things = [*PROGRAMS, *DRUM_KEYS.values()]
    said = {
        word
        for number in range(60)
        for family, names in things
        for caption in captions(planned(family, names, number), [*BRIGHT, *DARK, *DEEP], COURSES)
        for word in words_of(caption)
    }
    assert {"piano", "kick", "bright", "playing"} <= said
    for family, texts in read_phrasings(PHRASINGS).items():
        assert family in {name for name, _ in things} | {"strum"}
        assert [text for text in texts if not words_of(text) - said] == []
        assert len(set(texts)) >= 5


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
        def accuracies(self, pictures, names):
            return {name: names.count(name) / len(pictures) for name in names}

    monkeypatch.setattr(check_classes, "picture", lambda waveform: torch.zeros(2, 2))
    monkeypatch.setattr(check_classes, "resample", lambda waveform, old, new: waveform)
    prompts = {"snare": ["c"], "kick": ["a", "b"], "tom": ["1", "2", "3", "4", "5", "6", "7"]}
    found = generated_accuracies(Pipeline(), Classifier(), prompts, 3, 0.5, 7, 3)
    assert asked == [["a", "b", "a"], ["c", "c", "c"], ["1", "3", "5"]]
    assert found == {"kick": 1 / 3, "snare": 1 / 3, "tom": 1 / 3}
