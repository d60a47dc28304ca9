"""The words that a model learnt sounds by, and prompts without any of them."""

from pathlib import Path

import pytest

from audio.phrasings import read_phrasings
from pipelines.resources import DEFAULT_BUNDLE, resource
from pipelines.vocabulary import WORDS_NAME, read_words, taught_words, tell_unheard, unheard, write_words

CONFIGS = Path(__file__).resolve().parents[2] / "configs/phrasings"
FAR = ("a lion roaring", "a dog barking", "footsteps on gravel", "thunder", "a helicopter", "a woman laughing")


@pytest.fixture(scope="module")
def bundled() -> frozenset[str]:
    return read_words(resource(DEFAULT_BUNDLE))


def test_prompts_far_from_the_training_data_are_told_from_others(bundled) -> None:
    assert unheard(FAR, bundled) == list(FAR)
    # Never in training, and its relatives were.
    assert unheard(["a viola", "a violin", "violins", "kick", "a kick", "C4"], bundled) == ["a viola"]
    # Prompts of people who had seen none of the captions: few of them hold nothing known.
    kept = [
        prompt
        for name in ("oneshots.yaml", "oneshots_further.yaml")
        for listed in read_phrasings(CONFIGS / name).values()
        for prompt in listed
    ]
    assert len(kept) > 380
    assert len(unheard(kept, bundled)) <= 4
    taught = [phrase for listed in read_phrasings(CONFIGS / "training.yaml").values() for phrase in listed]
    assert unheard(taught, bundled) == []


def test_a_phrase_is_known_as_a_whole() -> None:
    words = {"drum", "bebop bird blowing"}
    assert unheard(["bird blowing bebop", "a bird", "snare drums", "", "the"], words) == ["a bird"]
    # Nothing is said of a model whose words nobody kept.
    assert unheard(["a bird"], ()) == []


def test_words_are_gathered_from_training_clips_alone(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Clip:
        def __init__(self, *captions: str) -> None:
            self.captions = captions

    class Folder:
        def split(self, name: str) -> list[Clip]:
            assert name == "train"
            return [Clip("a deep kick", "Kicks, soft"), Clip("clip of the door")]

    monkeypatch.setattr("pipelines.vocabulary.AudioFolder.scan", lambda _: Folder())
    listed = tmp_path / "phrasings.yaml"
    listed.write_text("kick: [a soft thing, boots and cats]")
    words = taught_words(tmp_path, listed)
    assert words == {"deep", "kick", "soft", "clip", "door", "boot cat"}
    write_words(tmp_path, words)
    assert (tmp_path / WORDS_NAME).read_text().splitlines() == sorted(words)
    assert read_words(tmp_path) == words
    assert read_words(tmp_path / "nowhere") == frozenset()
    (tmp_path / WORDS_NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="cannot be read"):
        read_words(tmp_path)


def test_what_is_said_names_a_few(capsys, bundled) -> None:
    tell_unheard(["a deep kick"], bundled)
    assert capsys.readouterr().err == ""
    tell_unheard(FAR, bundled)
    said = capsys.readouterr().err
    assert (
        "no word of 'a lion roaring', 'a dog barking', 'footsteps on gravel' and of 3 more was in this model's" in said
    )
