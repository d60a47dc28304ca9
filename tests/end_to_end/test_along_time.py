"""Prompts that change along a clip, on the bundled model: each is heard where it rules."""

import pytest
import torch
from torch import Tensor

from audio.mel import LogMelSpectrogram
from pipelines import TextToAudioPipeline

SECONDS = 4.0


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def colours(pipeline: TextToAudioPipeline, waveform: Tensor) -> Tensor:
    """Mean log spectrum of each half second less its own mean, `(half seconds, n_mels)`: level does not count."""
    log_mel = LogMelSpectrogram(pipeline.autoencoder.mel)(waveform[None])[0]
    parts = torch.stack([part.mean(dim=1) for part in log_mel.tensor_split(round(2.0 * SECONDS), dim=1)])
    return parts - parts.mean(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a soft organ, C4", "a bright brass section, C4"),
        ("a warm synth pad, C3", "a string ensemble, C5"),
        ("a bright brass section, C4", "a choir, C4"),
    ],
)
def test_a_glide_begins_as_the_first_prompt_and_ends_as_the_second(pipeline, first, second) -> None:
    settings = {"seconds": SECONDS, "seed": 3, "solver_steps": 12}
    one, other = (colours(pipeline, pipeline(words, **settings).waveforms[0]) for words in (first, second))
    for at in ((), (1.0, 3.0)):
        made = pipeline((first, second), glide=True, glide_at=at, **settings).waveforms[0]
        heard = colours(pipeline, made)
        # Above 0 a half second is nearer to what the first prompt makes alone, at the same place.
        nearer = [
            float((row - b).abs().mean() - (row - a).abs().mean()) for row, a, b in zip(heard, one, other, strict=True)
        ]
        assert min(nearer[:2]) > 0.0, nearer
        assert max(nearer[-2:]) < 0.0, nearer
        # Nothing goes back on the way: the first half is nearer to the first prompt than the second half is.
        assert sum(nearer[:4]) > sum(nearer[4:]), nearer
