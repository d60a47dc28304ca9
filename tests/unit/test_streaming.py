"""What a stream refuses, and the arithmetic of reaches."""

from dataclasses import replace

import pytest
import torch

from audio.mel import MelConfig
from audio.windows import Chain, Reach, Windows
from autoencoder.model import MelVAE, MelVAEConfig
from pipelines.streaming import StreamingDecoder
from vocoder.griffin_lim import GriffinLim
from vocoder.streaming import StreamingVocoder
from vocoder.vocos import PriorVocos, VocosConfig

MEL = MelConfig(8000, 128, 128, 32, 12, 0.0, 4000.0, "slaney", "slaney", "same", 1e-9, 1e-5)
SMALL = VocosConfig(dim=8, intermediate_dim=8, num_layers=1, refinements=1, clock=(2,))


def moving_sum(signal):
    """Each output hears its input and two to either side."""
    return torch.nn.functional.conv1d(signal[:, None], torch.ones(1, 1, 5), padding=2)[:, 0]


def test_a_reach_is_counted_exactly():
    reach = Reach(input_ticks=1, output_ticks=1, reach=2)
    assert [reach.settled(inputs) for inputs in range(6)] == [0, 0, 0, 1, 2, 3]
    assert [reach.needed(outputs) for outputs in (1, 2, 3)] == [3, 4, 5]
    assert [reach.begin(output) for output in (0, 2, 3, 4)] == [0, 0, 1, 2]
    assert replace(reach, alignment=4).begin(9) == 4
    for count in range(1, 40):
        assert reach.settled(reach.needed(count)) >= count > reach.settled(reach.needed(count) - 1)


def test_a_reach_that_is_too_small_is_heard():
    """The windows are no formality: with less context than the function hears, the sum is another."""
    signal = torch.randn(1, 60, generator=torch.Generator().manual_seed(0))
    for reach, equal in ((2, True), (1, False)):
        stream = Windows(moving_sum, Reach(1, 1, reach), block=1, largest=10)
        pieces = [part for sample in signal.split(1, dim=1) for part in stream.push(sample)] + stream.finish()
        assert torch.allclose(torch.cat(pieces, dim=1), moving_sum(signal), atol=1e-6) is equal


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_function_of_another_length_is_refused(factor):
    """A loop that waits for outputs would wait for ever; twice too many would be passed on in the wrong places."""

    def stretched(signal):
        return torch.nn.functional.interpolate(signal[:, None], scale_factor=factor)[:, 0]

    says = rf"expected 20 outputs of 20 inputs, got {round(20 * factor)}"
    with pytest.raises(ValueError, match=says):
        Windows(stretched, Reach(1, 1, 2), block=1, largest=18).push(torch.ones(1, 60))
    waiting = Windows(stretched, Reach(1, 1, 2), block=100, largest=100)
    assert waiting.push(torch.ones(1, 20)) == []
    with pytest.raises(ValueError, match="expected"):
        waiting.finish()
    short = Windows(stretched, Reach(1, 1, 50), block=1, largest=1)
    assert short.push(torch.ones(1, 20)) == []
    with pytest.raises(ValueError, match=says):
        short.finish()


def test_a_reach_that_promises_what_is_not_there_is_refused():
    stream = Windows(lambda signal: signal[:, :-1], Reach(1, 1, 0), 1, 10, total=lambda inputs: inputs - 1)
    with pytest.raises(ValueError, match="its reach is not as told"):
        stream.push(torch.ones(1, 30))


def test_a_chain_adds_its_reaches():
    chain = Chain([Windows(moving_sum, Reach(1, 1, 2), 1, 10) for _ in range(3)])
    assert chain.lookahead == 7
    signal = torch.randn(1, 50)
    given = [sum(part.shape[1] for part in chain.push(sample)) for sample in signal.split(1, dim=1)]
    assert given.index(1) + 1 == 7
    assert sum(given) + sum(part.shape[1] for part in chain.finish()) == 50


def test_a_vocoder_that_hears_the_whole_clip_is_refused():
    with pytest.raises(ValueError, match=r"GriffinLim cannot be streamed: it has no receptive_field") as caught:
        StreamingVocoder(GriffinLim(MEL))
    assert "\n" not in str(caught.value)


def test_an_alignment_may_be_left_out():
    """A class of the user's own: `mel`, `decode` and `receptive_field()` are enough."""

    class Steps:
        mel = MEL

        def decode(self, log_mel):
            return log_mel.mean(dim=1).repeat_interleave(MEL.hop_length, dim=1)

        def receptive_field(self):
            return 1

    log_mel = torch.randn(1, 12, 30)
    stream = StreamingVocoder(Steps(), block_frames=1)
    pieces = [stream.push(frame) for frame in log_mel.split(1, dim=2)] + [stream.finish()]
    assert torch.allclose(torch.cat(pieces, dim=1), Steps().decode(log_mel), atol=1e-6)
    assert pieces[1].shape[1] > 0


class Told:
    """A vocoder of the user's own: every frame its mean, held for a hop, or for a share of one."""

    mel = MEL

    def __init__(self, factor=1.0, **members):
        self.factor = factor
        for name, value in members.items():
            setattr(self, name, value)

    def receptive_field(self):
        return 3

    def decode(self, log_mel):
        return log_mel.mean(dim=1).repeat_interleave(round(self.factor * MEL.hop_length), dim=1)


@pytest.mark.parametrize(("factor", "samples"), [(0.5, 16), (2.0, 64)])
def test_a_vocoder_of_another_length_is_named(factor, samples):
    stream = StreamingVocoder(Told(factor), block_frames=1)
    with pytest.raises(ValueError, match=r"'Told': expected a waveform of shape \(1, (\d+)\), got \(1, ") as caught:
        stream.push(torch.randn(1, 12, 20))
    assert "\n" not in str(caught.value)
    stream = StreamingVocoder(Told(factor))
    stream.push(torch.randn(1, 12, 3))
    with pytest.raises(ValueError, match=rf"shape \(1, 96\), got \(1, {3 * samples}\)"):
        stream.finish()


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"receptive_field": 70}, r"expected a method receptive_field\(\), got an attribute, int"),
        ({"receptive_field": lambda: None}, r"receptive_field\(\): expected a positive whole number .* got None"),
        ({"receptive_field": lambda: 2.5}, "got 2.5"),
        ({"receptive_field": lambda: 0}, "got 0"),
        ({"receptive_field": lambda: True}, "got True"),
        ({"frame_alignment": 0}, "frame_alignment: expected a positive whole number of frames, got 0"),
        ({"frame_alignment": "2"}, "got '2'"),
    ],
)
def test_a_reach_that_is_no_number_of_frames_is_one_line(members, says):
    with pytest.raises(ValueError, match=f"vocoder Told.*{says}") as caught:
        StreamingVocoder(Told(**members))
    assert "\n" not in str(caught.value)


def test_decibels_are_refused_at_once():
    log_mel = (torch.randn(1, 12, 60, generator=torch.Generator().manual_seed(0)) - 4.0) * 20.0 / 2.302585
    for vocoder in (PriorVocos(MEL, SMALL), Told()):
        with pytest.raises(ValueError, match=r"half of the first window below -.*look like decibels"):
            StreamingVocoder(vocoder).push(log_mel)


@pytest.mark.parametrize(
    ("chunk", "says"),
    [
        (torch.zeros(12, 4), r"expected \(batch, 12 bins, frames\), got shape \(12, 4\)"),
        (torch.zeros(1, 4, 12), r"got shape \(1, 4, 12\)"),
        (torch.full((1, 12, 4), float("nan")), "NaN"),
        (torch.zeros(3, 12, 4), r"expected \(1, 12\) before the time axis, as pushed before, got \(3, 12\)"),
    ],
)
def test_bad_chunks_are_refused(chunk, says):
    stream = StreamingVocoder(PriorVocos(MEL, SMALL))
    stream.push(torch.zeros(1, 12, 4))
    with pytest.raises(ValueError, match=says):
        stream.push(chunk)


def test_a_stream_ends_once():
    stream = StreamingVocoder(PriorVocos(MEL, SMALL))
    with pytest.raises(ValueError, match="given nothing"):
        stream.finish()
    stream.push(torch.zeros(2, 12, 9))
    assert stream.finish().shape == (2, 9 * 32)
    assert stream.finish().shape == (2, 0)
    with pytest.raises(ValueError, match="finished; make a new one"):
        stream.push(torch.zeros(2, 12, 1))
    with pytest.raises(ValueError, match="block_frames: expected at least 1"):
        StreamingVocoder(PriorVocos(MEL, SMALL), block_frames=0)


def test_a_decoder_refuses_another_mel_and_bad_latents():
    vae = MelVAE(MEL, MelVAEConfig(3, 2, 8, (0, 0), (0, 0)))
    with pytest.raises(ValueError, match="hop_length: 32 != 16"):
        StreamingDecoder(vae, PriorVocos(replace(MEL, hop_length=16), SMALL))
    stream = StreamingDecoder(vae, PriorVocos(MEL, SMALL))
    with pytest.raises(ValueError, match=r"expected \(batch, 3, frames\), got \(1, 4, 9\)"):
        stream.push(torch.zeros(1, 4, 9))
    with pytest.raises(ValueError, match="latents: expected finite"):
        stream.push(torch.full((1, 3, 9), float("inf")))
