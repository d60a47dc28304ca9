"""A vocoder that is told the note of a clip: low partials lie on its harmonics, and nothing else changes."""

import math
from dataclasses import replace

import pytest
import torch

from audio.mel import MelConfig
from pipelines.request import Job
from pipelines.tuning import note_of, told_vocoder
from vocoder.base import identity, told_notes
from vocoder.ramp import HIGHEST_NOTE, fundamentals, harmonic_places
from vocoder.streaming import StreamingVocoder
from vocoder.vocos import PriorVocos, VocosConfig

MEL = MelConfig(44100, 2048, 2048, 512, 128, 0.0, 22050.0, "slaney", "slaney", "same", 1e-9, 1e-5)
SIZE = VocosConfig(dim=16, intermediate_dim=32, num_layers=1, ramp_bins=64)
LOW, HIGH = 33.0, 81.0


@pytest.fixture
def vocoder() -> PriorVocos:
    torch.manual_seed(0)
    return PriorVocos(MEL, SIZE).eval()


def log_mel(batch: int = 1, frames: int = 64) -> torch.Tensor:
    return torch.randn(batch, MEL.n_mels, frames, generator=torch.Generator().manual_seed(1)) - 5.0


def test_bins_go_to_the_nearest_harmonic_where_a_fundamental_is_known() -> None:
    places = torch.full((2, 12, 3), 7.5)
    found = harmonic_places(places, torch.tensor([math.nan, 2.5]))
    assert torch.equal(found[0], places[0])
    assert found[1, :, 0].tolist() == [2.5, 2.5, 2.5, 2.5, 5.0, 5.0, 5.0, 7.5, 7.5, 10.0, 10.0, 10.0]


def test_only_low_notes_are_taken() -> None:
    found = fundamentals(torch.tensor([33.0, HIGHEST_NOTE, HIGHEST_NOTE + 1.0, math.nan]), 10.0)
    assert found[:2].tolist() == pytest.approx([5.5, 18.5], abs=0.01)
    assert found[2:].isnan().all()


def test_a_low_note_changes_the_sound_and_a_high_one_does_not(vocoder) -> None:
    plain = vocoder.decode(log_mel())
    assert not torch.allclose(vocoder.told(torch.tensor([LOW])).decode(log_mel()), plain, atol=1e-3)
    for note in (HIGH, math.nan):
        assert torch.equal(vocoder.told(torch.tensor([note])).decode(log_mel()), plain)
    # The vocoder itself was told nothing.
    assert torch.equal(vocoder.decode(log_mel()), plain)


def test_it_is_the_same_vocoder(vocoder) -> None:
    told = vocoder.told(torch.tensor([LOW]))
    assert next(told.parameters()) is next(vocoder.parameters())
    assert identity(told) == identity(vocoder)
    assert list(told.state_dict()) == list(vocoder.state_dict())
    assert told.receptive_field() == vocoder.receptive_field()


def test_each_row_has_its_own_note(vocoder) -> None:
    mels = log_mel(3)
    together = vocoder.told(torch.tensor([LOW, math.nan, 40.0])).decode(mels)
    for row, note in enumerate((LOW, math.nan, 40.0)):
        alone = vocoder.told(torch.tensor([note])).decode(mels[row : row + 1])
        assert torch.allclose(together[row], alone[0], atol=1e-4)


def test_a_stream_is_told_as_the_whole_is(vocoder) -> None:
    told = vocoder.told(torch.tensor([LOW]))
    stream = StreamingVocoder(told, block_frames=16)
    pieces = [stream.push(part) for part in log_mel(frames=200).split(11, dim=-1)] + [stream.finish()]
    assert torch.allclose(torch.cat(pieces, dim=-1), told.decode(log_mel(frames=200)), atol=1e-4)


def test_vocoders_that_do_not_care_stay_themselves(vocoder) -> None:
    deaf = PriorVocos(MEL, replace(SIZE, ramp_bins=0))
    assert deaf.told(torch.tensor([LOW])) is deaf
    foreign = object()
    assert told_notes(foreign, [LOW]) is foreign
    assert told_notes(vocoder, [None, None]) is vocoder
    assert told_notes(vocoder, []) is vocoder
    told = told_notes(vocoder, [LOW, None])
    assert told.notes[0] == LOW
    assert told.notes[1].isnan()


def test_a_foreign_answer_is_looked_at(vocoder) -> None:
    class Bad:
        mel, decode = vocoder.mel, vocoder.decode

        def __init__(self, answer) -> None:
            self.answer = answer

        def told(self, notes):
            return self.answer(notes)

    with pytest.raises(ValueError, match="vocoder 'Bad': expected a vocoder of the same mel from told, got NoneType"):
        told_notes(Bad(lambda notes: None), [LOW])
    with pytest.raises(ValueError, match="vocoder 'Bad' failed when told a note: ZeroDivisionError"):
        told_notes(Bad(lambda notes: 1 / 0), [LOW])
    with pytest.raises(ValueError, match="told: expected a note for each of 2 clips, got 1"):
        told_notes(vocoder, [LOW]).decode(log_mel(2))


@pytest.mark.parametrize(
    ("job", "note"),
    [
        (Job("a bass, C2", 0, 1.0), 36.0),
        (Job("a bass, C2", 0, 1.0, numbers={"pitch": 40.0}), 40.0),
        (Job("a bass", 0, 1.0), None),
        (Job("both", 0, 1.0, parts=("a bass, C2", "an organ, C2")), 36.0),
        (Job("both", 0, 1.0, parts=("a bass, C2", "an organ, C3")), None),
        (Job("both", 0, 1.0, parts=("a bass, C2", "an organ")), None),
        (Job("a bass sliding from G2 to C2", 0, 1.0), None),
        (Job("C2 on a bass, C2", 0, 1.0), 36.0),
    ],
)
def test_the_one_note_that_is_asked_for_is_told(job, note, vocoder) -> None:
    assert note_of(job) == note
    told = told_vocoder(vocoder, [job], {})
    assert (told is vocoder) == (note is None)
    # What is kept of a source has notes of its own.
    assert told_vocoder(vocoder, [job], {"edit": {"init_audio": "x.wav"}}) is vocoder
