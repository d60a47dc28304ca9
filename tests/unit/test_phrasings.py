"""Other words for the same sound: read, drawn in training, and apart from those that are kept for the evaluation."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from audio.latents import LatentFile
from audio.notes import named_pitch
from audio.phrasings import content_words, phrases_of, read_phrasings
from latent_diffusion.data import Wording, phrases_for, split_clips
from latent_diffusion.loading import LatentData
from tests.diffusion_doubles import latent_file

CONFIGS = Path(__file__).resolve().parents[2] / "configs/phrasings"
TRAINING = CONFIGS / "training.yaml"
KEPT = ("oneshots.yaml", "oneshots_further.yaml", "validation.yaml")
SAID = {"bell": ["a ding", "something that rings"], "metal": ["struck metal", "a ding"], "kick": ["a thump"]}


@pytest.mark.parametrize("text", ["", "a: b", "- a\n- b", "a: []", "a: ['']", "a: [1]", "{", "a: [x]\nb: 3"])
def test_what_is_no_list_of_prompts_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match="phrasings: "):
        read_phrasings(path)
    with pytest.raises(ValueError, match="phrasings: cannot read"):
        read_phrasings(tmp_path / "nowhere.yaml")


def test_a_clip_has_the_phrases_of_its_label_and_of_its_family_once() -> None:
    assert phrases_of(SAID, "bell", "metal") == ("a ding", "something that rings", "struck metal")
    assert phrases_of(SAID, "gong", "metal") == ("struck metal", "a ding")
    assert phrases_of(SAID, "gong", "skin", 60.0) == ()
    assert phrases_of(SAID, "bell", "metal", math.nan) == phrases_of(SAID, "bell", "metal")


def test_a_note_is_said_in_some_of_them() -> None:
    phrases = phrases_of(SAID, "bell", "metal", 61.0)
    assert phrases[:3] == phrases_of(SAID, "bell", "metal")
    assert len(phrases) == 6
    assert all(named_pitch(phrase) == 61.0 for phrase in phrases[3:])
    assert phrases == phrases_of(SAID, "bell", "metal", 61.0)
    assert len({phrases_of(SAID, "bell", "metal", pitch)[3:] for pitch in range(50, 70)}) == 20


def test_a_share_of_the_draws_are_phrases(tmp_path, mel) -> None:
    clip = split_clips(LatentFile.load(latent_file(tmp_path / "l.safetensors", mel)), "train")[0]
    said = {clip.label: ["one", "two"]}
    generator = torch.Generator().manual_seed(0)

    def share(wording: Wording) -> float:
        texts = [wording.draw(clip, generator) for _ in range(400)]
        assert set(texts) <= {*clip.captions, *phrases_for(clip, said)}
        return sum(text not in clip.captions for text in texts) / len(texts)

    assert share(Wording((), said, 0.3)) == pytest.approx(0.3, abs=0.08)
    assert share(Wording((), said, 1.0)) == 1.0
    assert share(Wording((), said, 0.0)) == 0.0
    assert phrases_for(replace(clip, tilt_db=3.0), said) == ()
    # A clip that nothing is said of keeps its captions.
    assert share(Wording((), {"another": ["x"]}, 1.0)) == 0.0


def test_training_draws_them_and_validation_does_not(tmp_path, mel) -> None:
    path = latent_file(tmp_path / "l.safetensors", mel)
    listed = tmp_path / "phrasings.yaml"
    labels = {clip.label for clip in LatentFile.load(path).clips}
    listed.write_text("".join(f"{label}: [some {label} thing]\n" for label in labels))
    data = LatentData(path, batch_size=8, steps_per_epoch=10, phrasings=listed, phrasing_share=0.5)
    own = {caption for clip in data.file.clips for caption in clip.captions}

    def drawn(loader) -> set[str]:
        return {data.captions[int(index)] for batch in loader for index in batch["caption"]}

    assert any(text.startswith("some ") for text in drawn(data.train_dataloader()))
    assert drawn(data.val_dataloader()) <= own
    with pytest.raises(ValueError, match=r"data\.phrasing_share: expected 0 to 1, got 2"):
        LatentData(path, phrasings=listed, phrasing_share=2.0)
    with pytest.raises(ValueError, match="phrasings: cannot read"):
        LatentData(path, phrasings=tmp_path / "nowhere.yaml")
    listed.write_text("bel: [a misspelt label]")
    with pytest.raises(ValueError, match=r"data\.phrasings: '.*' lists no label or family of '.*'"):
        LatentData(path, phrasings=listed)


@pytest.mark.parametrize("name", KEPT)
def test_phrases_of_the_evaluation_are_kept_out_of_training(name: str) -> None:
    taught = [content_words(phrase) for phrases in read_phrasings(TRAINING).values() for phrase in phrases]
    assert len(taught) > 1000
    for prompts in read_phrasings(CONFIGS / name).values():
        for prompt in prompts:
            asked = content_words(prompt)
            nearest = max(len(asked & words) / len(asked | words) for words in taught)
            assert nearest < 0.6, f"'{prompt}' is all but taught"
