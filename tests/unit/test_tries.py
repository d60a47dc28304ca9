"""What the best of several tries gains: closed forms, and which ears are asked about what."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from audio.dataset import AudioFolder, Clip
from evaluation.classifier import Classifier
from evaluation.pitch import PitchReading
from pipelines import tries
from pipelines.check_classes import main
from pipelines.request import Request
from pipelines.tries import asked_clips, gain_of, gains


def clip(name: str, family: str, recording: str, caption: str) -> Clip:
    return Clip(Path(name), (caption,), 1.0, -10.0, 100.0, family=family, recording=recording, split="validation")


def test_the_gain_is_that_of_the_kept_try_over_the_mean_of_all() -> None:
    hits = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)
    found = [(hits[number % 2], 0 if number % 2 == 0 else 3, number) for number in range(10)]
    gain = gain_of(found)
    assert (gain.alone, gain.best, gain.captions, gain.recordings) == (0.375, 0.5, 10, 10)
    # Differences are 0.75 and -0.5 in turn: standard deviation 0.659, of the mean of ten 0.2083; t of 9 degrees 2.262.
    assert gain.difference.value == pytest.approx(0.125)
    assert gain.difference.high == pytest.approx(0.125 + 2.262 * 0.2083, abs=1e-3)
    assert "(cannot tell; 10 captions of 10 recordings)" in str(gain)


def test_captions_that_all_gain_the_same_leave_no_interval() -> None:
    gain = gain_of([(torch.tensor([1.0, 0.0]).double(), 0, number) for number in range(9)])
    assert (gain.difference.value, gain.difference.low) == (0.5, None)


def test_clips_of_each_family_are_spread_evenly() -> None:
    clips = [
        clip(f"{family}{n}", family, "r", "a") for family, count in (("kick", 6), ("tom", 1)) for n in range(count)
    ]
    chosen = asked_clips(AudioFolder(Path(), tuple(clips)), ["kick", "snare", "tom"], "validation", 3)
    assert [one.path.name for one in chosen] == ["kick0", "kick2", "kick4", "tom0"]


def test_ears_are_asked_about_the_family_and_the_note_of_a_caption(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[tuple[str, ...], int | None]] = []

    def ranked(_pipeline, request):
        asked.append((request.prompts, request.seed))
        # The second try is the better one, and sounds the note.
        return SimpleNamespace(waveforms=torch.tensor([[0.1] * 8, [0.9] * 8]), sample_rate=44100), 1

    class Loud:
        def __call__(self, pictures):
            return torch.stack([pictures[:, 0, 0], 1.0 - pictures[:, 0, 0]], dim=1)

    class Pitch:
        lowest_midi, highest_midi = 24.0, 95.0

        def midi(self, waveform, _rate):
            return PitchReading(60.3 if waveform[0] > 0.5 else None, 1.0)

    monkeypatch.setattr(tries, "ranked_tries", ranked)
    monkeypatch.setattr(tries, "picture", lambda waveform: torch.full((2, 2), float(waveform[0])))
    clips = [clip(f"{n}", "kick", f"r{n}", "a piano, C4") for n in range(8)] + [clip("t", "tom", "r", "a tom, C9")]
    found = gains(SimpleNamespace(), clips, Request(seed=5), Classifier(Loud(), ("kick", "tom")), Pitch(), list)
    assert asked == [(("a piano, C4",), 5 + n) for n in range(8)] + [(("a tom, C9",), 13)]
    # C9 is out of the ear's range and is not asked about; a tom is the faint try, which is not kept.
    note = found["note within 50 cents"]
    assert (note.alone, note.best, note.captions) == (0.5, 1.0, 8)
    assert (found["class"].alone, found["class"].best, found["class"].captions) == (0.5, 8 / 9, 9)
    without = gains(SimpleNamespace(), clips, Request(seed=5), Classifier(Loud(), ("kick", "tom")), None, list)
    assert list(without) == ["class"]


def test_what_cannot_be_tried_is_one_line(tmp_path, capsys) -> None:
    common = ["--model", str(tmp_path), "--audio", str(tmp_path)]
    for options, words in (
        (["--best_of", "0"], "best_of: expected 1 to 64, got 0"),
        (["--best_of", "2", "--phrasings", str(tmp_path / "p.yaml")], "best_of and phrasings contradict each other"),
    ):
        assert main([*common, *options]) == 2
        assert words in capsys.readouterr().err
