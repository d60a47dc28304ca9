"""The bundled model from 0.25 to 4 seconds: what dies away ends in silence, not in a cut."""

import numpy as np
import pytest

from audio.measures import ends_in_a_cut, loudness_db
from evaluation.measurements import silent_share
from pipelines import TextToAudioPipeline

RATE = 44100
DYING = ("tight acoustic snare, soft", "a deep kick drum", "a dry woodblock", "a closed hi-hat", "a marimba", "a snap")


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def test_what_dies_away_ends_in_silence_at_the_longest(pipeline) -> None:
    assert pipeline.defaults.max_seconds >= 4.0
    clips = pipeline(DYING, seconds=4.0, seed=1, solver_steps=8).waveforms.numpy()
    assert clips.shape == (len(DYING), 4 * RATE)
    for prompt, clip in zip(DYING, clips, strict=True):
        assert not ends_in_a_cut(clip, RATE), prompt
        heard, end = loudness_db(clip, RATE), loudness_db(clip[-RATE // 2 :], RATE)
        assert heard > -40.0, prompt
        assert end < heard - 40.0, (prompt, heard, end)
    # The hi-hat hisses on, 50 dB down.
    assert sum(silent_share(clip, RATE) > 0.4 for clip in clips) >= len(DYING) - 1


def test_the_shortest_clips_sound_from_their_beginning(pipeline) -> None:
    clips = pipeline(DYING, seconds=0.25, seed=1, solver_steps=8).waveforms.numpy()
    assert clips.shape == (len(DYING), RATE // 4)
    for prompt, clip in zip(DYING, clips, strict=True):
        assert np.argmax(np.abs(clip)) < 0.15 * RATE, prompt
        assert loudness_db(clip, RATE) > -40.0, prompt
        assert silent_share(clip, RATE) < 0.8, prompt
