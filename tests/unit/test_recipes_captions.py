"""Captions name what is heard, claim nothing false, and never change."""

import re
from dataclasses import replace

import numpy as np
import pytest

from pipelines.recipes.captions import captions, note_names, with_article
from pipelines.recipes.clips import SAMPLE_RATE, Clip, store_form
from pipelines.recipes.gm_names import DRUM_KEYS, PROGRAMS
from pipelines.recipes.paraphrases import player_of
from pipelines.recipes.sonic_pi import describe
from pipelines.recipes.traits import Traits, adjectives, family_scales, measure

KICK = Clip("a/kick.flac", "kick", "kick", ("kick", "kick drum", "bass drum"), ("808",), None, 0.9, "loud", "g", "r",
            "MIT", "font", True, "train")  # fmt: skip
PIANO = replace(KICK, file_name="a/piano_c4.flac", label="grand piano", family="piano", words=(), pitch=60.0,
                names=("grand piano", "piano"), dynamics=None)  # fmt: skip
SOUND = Traits(0.5, -9.0, 120.0, 0.005, 0.1, -30.0)


def test_captions_are_several_different_and_repeatable():
    for clip in (KICK, PIANO):
        texts = captions(clip, ["bright", "crisp"], ["short"])
        assert 8 <= len(texts) <= 12
        assert len(set(texts)) == len(texts)
        assert texts == captions(clip, ["bright", "crisp"], ["short"])
        assert texts[0] == clip.names[0]
        assert all(any(name in text for name in clip.names) for text in texts)


def test_captions_are_said_in_other_words_too():
    many = " / ".join(text for i in range(40) for text in captions(replace(PIANO, file_name=f"{i}"), [], []))
    assert "a pianist plays C4 on" in many
    assert re.search("(ballad|melody|keyboard part)", many)
    assert "keyboard" in many
    drums = [text for i in range(40) for text in captions(replace(KICK, file_name=f"{i}"), [], [])]
    assert "drummer" in " ".join(drums)
    # Who is not known plays nothing, and an unknown family is asked for in plain words only.
    door = replace(KICK, names=("door",), family="effect", words=())
    assert any(text.startswith(("please make", "I need", "give me", "sound of", "recording of"))
               for text in captions(door, [], []))  # fmt: skip
    assert not re.search("drummer|player|beat", " ".join(captions(door, [], [])))


@pytest.mark.parametrize(
    ("name", "player"),
    [("slap bass", "a bass player"), ("bass drum", "a drummer"), ("bassoon", "a bassoon player"),
     ("synth bass", "a synthesist"), ("steel-string acoustic guitar", "a guitarist"), ("door", "")],
)  # fmt: skip
def test_players_play_their_own_instrument(name, player):
    assert player_of(name) == player


def test_a_note_is_named_and_a_drum_is_not():
    spoken = "|".join(re.escape(name) for name in note_names(60))
    assert sum(bool(re.search(spoken, text)) for text in captions(PIANO, [], [])) >= 2
    assert not any(re.search(r"\b[A-G][#b]?\d\b", text) for text in captions(KICK, [], []))


def test_dynamics_are_said_only_where_they_are_known():
    many = " ".join(text for i in range(30) for text in captions(replace(KICK, file_name=f"{i}"), [], []))
    assert "loud" in many
    none = " ".join(text for i in range(30) for text in captions(replace(PIANO, file_name=f"{i}"), [], []))
    assert not re.search(r"\b(loud|soft|quiet)\b", none)


def test_no_word_is_said_twice_in_a_row_and_none_contradicts_the_name():
    for name in ("warm pad", "bright piano", "brush snare", "door sound", "dark woosh"):
        clip = replace(KICK, names=(name,), words=("brushed",), family="effect")
        for i in range(20):
            for text in captions(replace(clip, file_name=f"{i}"), ["dark", "muffled"], ["long"]):
                assert not re.search(r"\b(\w+) \1\b", text), text
                assert not ("bright" in text and "dark" in text), text


@pytest.mark.parametrize(
    ("pitch", "expected"), [(60, {"C4", "middle C"}), (61, {"C#4", "Db4", "C sharp 4"}),
     (21, {"A0"}), (70, {"A#4", "Bb4", "B flat 4"})]
)  # fmt: skip
def test_note_names(pitch, expected):
    assert set(note_names(pitch)) == expected


@pytest.mark.parametrize(
    ("phrase", "expected"),
    [("organ", "an organ"), ("kick", "a kick"), ("FM piano", "an FM piano"), ("808 kick", "an 808 kick"),
     ("slow strings", "slow strings"), ("slap bass", "a slap bass"),
     ("upright bass", "an upright bass")],
)  # fmt: skip
def test_articles(phrase, expected):
    assert with_article(phrase) == expected


def test_bright_means_brighter_than_the_family_at_that_pitch():
    clips = [(replace(PIANO, pitch=36.0 + 4 * i), replace(SOUND, brightness=200 * 2 ** (i / 3))) for i in range(13)]
    scales = family_scales(clips)
    high = replace(PIANO, pitch=84.0)
    usual = 200 * 2 ** (12 / 3)
    assert not adjectives(high, replace(SOUND, brightness=usual), scales)[0] or abs(scales["piano"].slope) > 0
    assert "bright" in adjectives(high, replace(SOUND, brightness=usual * 1.5), scales)[0]
    assert "dark" in adjectives(high, replace(SOUND, brightness=usual / 1.5), scales)[0]
    # The same brightness an octave and a half lower is bright, though it is lower than most of the family's numbers.
    low = replace(PIANO, pitch=36.0)
    assert "bright" in adjectives(low, replace(SOUND, brightness=330.0), scales)[0]


def test_adjectives_learn_from_training_clips_only():
    train = [(replace(KICK, file_name=f"{i}"), replace(SOUND, brightness=100.0 + i)) for i in range(20)]
    other = [(replace(KICK, file_name=f"t{i}", split="test"), replace(SOUND, brightness=9000.0)) for i in range(50)]
    assert family_scales(train) == family_scales(train + other)


def test_measures_tell_a_click_from_a_swell():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 220 * time)
    struck = measure((0.9 * tone * np.exp(-12 * time)).astype(np.float32))
    swelling = measure((0.9 * tone * np.minimum(time / 0.8, 1.0)).astype(np.float32))
    assert struck.attack < 0.03 < 0.5 < swelling.attack
    assert 0.15 < struck.decay < 0.25  # ln(10) / 12 = 0.19 s
    assert struck.sustain < -40 < -6 < swelling.sustain


def test_store_form_trims_fades_and_normalises():
    tone = 0.05 * np.sin(2 * np.pi * 300 * np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE)
    padded = np.concatenate([np.zeros(20_000), tone, np.zeros(40_000)]).astype(np.float32)
    clip = store_form(padded, 6.0)
    assert clip is not None
    assert abs(len(clip) - len(tone)) < 0.02 * SAMPLE_RATE
    assert np.max(np.abs(clip)) == pytest.approx(0.9, abs=1e-3)
    assert abs(clip[-1]) < 1e-3
    cut = store_form(np.tile(padded, 3), 1.0)
    assert cut is not None
    assert len(cut) == SAMPLE_RATE
    assert abs(cut[-1]) < 1e-6
    # A cut lets go over 0.4 s, or a quarter of the clip: no step of 10 ms falls by more than 6 dB above -30 dB.
    held = store_form(np.tile(tone, 8).astype(np.float32), 2.0)
    assert held is not None
    level = 20 * np.log10(np.sqrt(np.square(held[: len(held) // 441 * 441]).reshape(-1, 441).mean(1)) + 1e-9)
    assert float(np.max(level[:-1] - level[1:], where=level[1:] > -30.0, initial=0.0)) < 6.0
    assert level[-50] > level[20] - 0.5
    assert level[-20] < level[20] - 4.0


@pytest.mark.parametrize("waveform", [np.zeros(1000), np.full(1000, 1e-5), np.ones(50), np.array([])])
def test_store_form_refuses_what_cannot_be_heard(waveform):
    assert store_form(waveform.astype(np.float32), 6.0) is None


def test_tables_are_complete():
    assert len(PROGRAMS) == 120
    assert set(range(35, 82)) <= set(DRUM_KEYS)
    labels = [names[0] for _, names in PROGRAMS]
    assert len(set(labels)) == len(labels)
    assert PROGRAMS[40] == ("strings", ("violin", "solo violin"))
    assert PROGRAMS[73][1][0] == "flute"


@pytest.mark.parametrize(
    ("stem", "family", "label"),
    [("bd_808", "kick", "kick"), ("drum_cymbal_closed", "hihat", "closed hi-hat"), ("elec_hi_snare", "snare", "snare"),
     ("elec_blip2", "electronic", "electronic blip"), ("tabla_te_m", "percussion", "tabla"),
     ("loop_amen_full", "loop", "drum loop"),
     ("bass_voxy_hit_c", "bass", "voxy hit bass"), ("ambi_choir", "vocal", "choir")],
)  # fmt: skip
def test_sonic_pi_names(stem, family, label):
    clip = describe(stem)
    assert (clip.family, clip.label) == (family, label)


def test_unknown_sonic_pi_sample_is_said():
    with pytest.raises(ValueError, match="xyz_new"):
        describe("xyz_new")
