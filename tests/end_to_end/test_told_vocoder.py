"""Whatever way a clip is made, its vocoder is told its own note, and none where it must not be."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from audio.dataset import Clip
from audio.mel import LogMelSpectrogram
from pipelines import TextToAudioPipeline
from pipelines.ladder_rungs import rungs_of
from pipelines.live import stream
from pipelines.memorisation_decoding import ClipDecoder
from pipelines.request import Job, Request
from pipelines.watching import watch_clip, write_watch
from vocoder.griffin_lim import GriffinLim

QUICK: dict[str, Any] = {"seconds": 0.3, "solver_steps": 1, "guidance_scale": 1.0, "seed": 0}
NOTES = tuple(f"C{octave}" for octave in range(1, 5))


class Listener:
    """A vocoder that writes down what it is told with every batch that it decodes."""

    def __init__(self, vocoder: Any, heard: list[list[float]], notes: list[float] | None = None) -> None:
        self.vocoder, self.heard, self.notes = vocoder, heard, notes
        self.mel, self.frame_alignment = vocoder.mel, vocoder.frame_alignment

    def receptive_field(self) -> int:
        return self.vocoder.receptive_field()

    def told(self, notes: Tensor) -> "Listener":
        return Listener(self.vocoder, self.heard, notes.tolist())

    def decode(self, log_mel: Tensor) -> Tensor:
        assert self.notes is None or len(self.notes) == len(log_mel)
        self.heard.append(self.notes or [])
        return self.vocoder.decode(log_mel)


@pytest.fixture
def pipeline(small_bundle: Path) -> TextToAudioPipeline:
    made = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    made.vocoder = Listener(made.vocoder, [])
    return made


def heard(pipeline: TextToAudioPipeline) -> list[list[float]]:
    found = list(pipeline.vocoder.heard)
    pipeline.vocoder.heard.clear()
    return found


def test_each_row_of_each_batch_has_its_own(pipeline) -> None:
    prompts = [f"a bass, {NOTES[number % 4]}" for number in range(18)]
    wanted = [24.0 + 12.0 * (number % 4) for number in range(18)]
    pipeline(prompts, **QUICK)
    assert heard(pipeline) == [wanted[:16], wanted[16:]]
    pipeline(prompts, **QUICK, best_of=2)
    assert [note for batch in heard(pipeline) for note in batch] == [note for note in wanted for _ in range(2)]
    pipeline("a bass", **QUICK, pitch="C2", num_clips=2)
    assert heard(pipeline) == [[36.0, 36.0]]
    jobs = [Job(f"a bass, {note}", index, 0.5 - 0.1 * index) for index, note in enumerate(NOTES)]
    list(pipeline.run_jobs(jobs, Request(prompts=("x",), solver_steps=1, seed=0)))
    assert heard(pipeline) == [[60.0, 48.0, 36.0, 24.0]]


def test_every_mode_that_makes_a_sound_from_words_tells_it(pipeline, tmp_path) -> None:
    list(stream(pipeline, "a bass, C2", **QUICK))
    assert set(map(tuple, heard(pipeline))) == {(36.0,)}
    long = pipeline.diffusion.window_frames / pipeline.diffusion.spec.latent_rate + 0.5
    pipeline("a bass, C2", **{**QUICK, "seconds": long})
    assert set(map(tuple, heard(pipeline))) == {(36.0,)}
    output = pipeline("a bass, C2", **QUICK)
    heard(pipeline)
    write_watch(watch_clip(pipeline, output), pipeline, tmp_path / "clip", "a bass")
    assert {note for batch in heard(pipeline) for note in batch} == {36.0}
    pipeline("a bass, C2", **{**QUICK, "seconds": 0.6}, loop=True)
    assert heard(pipeline) == [[36.0]]


def test_nothing_is_told_where_there_is_no_one_note(pipeline, sonic_pi_folder) -> None:
    for prompts, words in (
        ("a bass", {}),
        ("a chord of C2 and G2", {}),
        (("a bass, C2", "an organ, C3"), {"mix": (0.5, 0.5)}),
        ("a bass, C2", {"init_audio": str(sonic_pi_folder / "perc_bell.flac")}),
    ):
        pipeline(prompts, **{**QUICK, "seconds": None} if "init_audio" in words else QUICK, **words)
        assert {tuple(batch) for batch in heard(pipeline)} == {()}, prompts


def test_real_clips_are_decoded_as_generated_ones_are(pipeline, sonic_pi_folder, tmp_path) -> None:
    clip = Clip(sonic_pi_folder / "bass_woodsy_c.flac", ("a bass, C2",), 1.0, -10.0, 200.0, pitch=36.0)
    ClipDecoder(pipeline, tmp_path).decode(clip)
    assert heard(pipeline) == [[36.0]]
    mel = pipeline.autoencoder.mel
    log_mel = LogMelSpectrogram(mel)(torch.randn(1, 8192, generator=torch.Generator().manual_seed(0)) * 0.1)
    latents = pipeline.autoencoder.encode(log_mel).mean
    rungs_of(pipeline, GriffinLim(mel), log_mel, latents, 36.0)
    assert heard(pipeline) == [[36.0]] * 3
