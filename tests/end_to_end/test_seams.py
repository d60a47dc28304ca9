"""The seam of a loop, on the bundled model: nothing special, but heard where one of the networks has ends."""

import pytest
from torch import Tensor

from pipelines import TextToAudioPipeline, decoding
from pipelines.looping import seam_score
from pipelines.request import AudioOutput, Request, jobs_of
from pipelines.shaping import output_of


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


@pytest.mark.parametrize("prompt", ["a string ensemble", "a drawbar organ, C4", "a warm synth pad"])
def test_the_seam_of_a_loop_is_nothing_special(pipeline, prompt) -> None:
    made = pipeline((prompt,), loop=True, seconds=1.5, num_clips=3, seed=1, solver_steps=16)
    plain = pipeline((prompt,), seconds=1.5, num_clips=3, seed=1, solver_steps=16)
    assert max(seams(pipeline, made)) <= 1.0
    # The measure sees a seam where there is one.
    cuts = [seam_score(one, pipeline.autoencoder.mel) for one in plain.waveforms]
    assert min(cuts) > 3.0
    assert float(made.waveforms.abs().amax(dim=1).min()) > 0.01


def seams(pipeline: TextToAudioPipeline, output: AudioOutput) -> list[float]:
    mel = pipeline.autoencoder.mel
    return [seam_score(one, mel, output.closing(row)) for row, one in enumerate(output.waveforms)]


def test_the_seam_is_heard_where_a_stage_does_not_go_round_wherever_the_file_begins(pipeline, monkeypatch) -> None:
    request = Request(("a drawbar organ, C4",), 1.5, 3, 1, solver_steps=16, loop=True)
    settings = pipeline.settle(request)
    jobs = jobs_of(request, settings)

    def heard(latents: Tensor) -> list[float]:
        made = pipeline.sound(latents, settings, jobs)
        return seams(pipeline, output_of(made, jobs, [0, 1, 2], settings, pipeline.autoencoder.mel))

    latents = pipeline.latents(jobs, settings)
    assert max(heard(latents)) <= 1.0
    # A transformer that makes a clip with two ends; decoders that hear nothing beyond them.
    assert min(heard(pipeline.latents(jobs, settings | {"loop": False}))) > 3.0
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "decode_loop_mel", lambda autoencoder, latents: autoencoder.decode(latents))
        assert min(heard(latents)) > 1.2
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "around", lambda mel, vocoder, decode, hop: decode(mel)[:, : mel.shape[-1] * hop])
        assert min(heard(latents)) > 3.0
