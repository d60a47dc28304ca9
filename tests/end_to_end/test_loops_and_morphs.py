"""Loops without a seam and ways from one sound to another, on the bundled model."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram
from pipelines import TextToAudioPipeline
from pipelines.editing import Edit
from pipelines.generate import main
from pipelines.looping import around, begun_at, decode_loop_mel, loop_seconds, seam_score, smooth_starts
from pipelines.morphing import even_places, evened, great_circle, morph_kind, step_lengths
from pipelines.request import Job
from pipelines.shaping import finish

QUICK = ["--solver_steps", "4", "--plot", "false", "--device", "cpu"]


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def test_decoders_go_round(pipeline) -> None:
    """A loop that is begun elsewhere is the same loop: no decoder knows where it begins."""
    spec, mel = pipeline.diffusion.spec, pipeline.autoencoder.mel
    latents = spec.unwhiten(torch.randn(1, spec.channels, 40, generator=torch.Generator().manual_seed(1)))
    with torch.inference_mode():
        log_mel = decode_loop_mel(pipeline.autoencoder, latents)
        turned = decode_loop_mel(pipeline.autoencoder, latents.roll(8, dims=-1))
        assert torch.allclose(turned, log_mel.roll(8 * spec.frames_per_latent, dims=-1), atol=1e-4)
        assert log_mel.shape[-1] == 40 * spec.frames_per_latent
        unit = pipeline.vocoder.frame_alignment
        sound, later = (
            around(one, pipeline.vocoder, pipeline.vocode, mel.hop_length)
            for one in (log_mel, log_mel.roll(unit, dims=-1))
        )
        assert sound.shape[1] == log_mel.shape[-1] * mel.hop_length
        assert torch.allclose(later, sound.roll(unit * mel.hop_length, dims=-1), atol=1e-3)
        # What has ends instead is something else.
        assert not torch.allclose(pipeline.vocode(log_mel)[:, : sound.shape[1]], sound, atol=1e-2)


def test_a_loop_has_a_length_that_goes_round(pipeline) -> None:
    unit = 16 * 512 / 44_100
    for wanted, turns in ((0.01, 1), (1.0, 5), (2.04, 11)):
        assert loop_seconds(wanted, pipeline.autoencoder, pipeline.vocoder, 60.0) == pytest.approx(turns * unit)


def test_a_loop_begins_where_it_changes_least(pipeline) -> None:
    mel = pipeline.autoencoder.mel
    frames = 160
    tone = 0.3 * torch.sin(torch.arange(frames * mel.hop_length) * 2 * torch.pi * 40 / (frames * mel.hop_length) * 16)
    # Loud from frame 0 to 20: two jumps, at the seam and behind it.
    tone[20 * mel.hop_length :] *= 0.03
    (start,) = smooth_starts(tone[None], mel)
    (turned,) = begun_at(tone[None], [start], mel)
    assert torch.equal(turned, tone.roll(-start * mel.hop_length))
    assert seam_score(tone, mel) > 3.0
    assert seam_score(turned, mel) < 0.3
    # A jump that was rolled into the clip is still found.
    assert seam_score(turned, mel, -start * mel.hop_length % len(tone)) > 3.0
    # One turn of the clock is shorter than what a seam is heard in.
    assert 0 <= smooth_starts(tone[None, : 16 * mel.hop_length], mel)[0] < 16
    # Together with a loop that is loud elsewhere, where neither jumps.
    both = smooth_starts(torch.stack([tone, tone.roll(10 * mel.hop_length)]), mel, together=True)
    assert both[0] == both[1]
    assert all(abs(both[0] - jump) > 3 for jump in (0, 10, 20, 30))


def test_a_loop_is_written_with_its_seam_and_made_again(tmp_path, capsys) -> None:
    options = ["--prompt", "an organ", "--loop", "true", "--seconds", "0.5", "--seed", "1"]
    assert main([*QUICK, *options, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    path = Path(printed.out.strip())
    page = json.loads(path.with_suffix(".json").read_text())
    assert page["measured"]["seam"] > 0.0
    assert "seam" in printed.err
    assert soundfile.info(str(path)).frames == 3 * 16 * 512
    assert main(["--again", str(path), "--plot", "false", "--device", "cpu", "--out", str(tmp_path / "again")]) == 0
    assert np.array_equal(soundfile.read(path)[0], soundfile.read(capsys.readouterr().out.strip())[0])


def test_a_morph_leads_from_one_end_to_the_other_in_even_steps(pipeline, sonic_pi_folder, tmp_path) -> None:
    ends = []
    for name in ("drum_cowbell", "perc_bell2"):
        waveform, rate = read_audio(sonic_pi_folder / f"{name}.flac", None, 0.0, 0.7)
        ends.append(tmp_path / f"{name}.wav")
        write_audio(ends[-1], waveform, rate)
    quick = {"solver_steps": 8, "morph_clips": 9}
    prompts = pipeline(("a deep kick", "a bright bell"), seconds=0.6, seed=2, **quick)
    # These two meet in a sudden change: evenly placed, their longest step is 6 times the median one.
    sudden = pipeline(("koto", "shakuhachi"), seconds=1.0, seed=0, **quick)
    seeds = pipeline(("a bell",), seconds=0.6, seed=2, to_seed=3, **quick)
    clips = pipeline((), edit=Edit(ends[0], 0.2, toward=ends[1]), seed=2, **quick)
    for output in (prompts, sudden, seeds, clips):
        assert len(output.waveforms) == 9
        steps = distances(pipeline, output.waveforms)
        assert max(steps) < 3.0 * float(np.median(steps)), steps
    same = {"seconds": 0.6, "solver_steps": 8}
    for made, alone in (
        (prompts.waveforms[0], pipeline(("a deep kick",), seed=2, **same)),
        (prompts.waveforms[-1], pipeline(("a bright bell",), seed=2, **same)),
        (seeds.waveforms[0], pipeline(("a bell",), seed=2, **same)),
        (seeds.waveforms[-1], pipeline(("a bell",), seed=3, **same)),
    ):
        # But for the level: all steps of a morph are guarded alike.
        gain = alone.waveforms[0].norm() / made.norm()
        assert gain > 0.99
        assert (gain * made - alone.waveforms[0]).abs().max() < 3e-3
    # The shorter of two recordings lies on a longer canvas, so the model sees another length.
    own = pipeline((), edit=Edit(ends[0], 0.2), seed=2, solver_steps=8).waveforms[0]
    assert nats(pipeline, clips.waveforms[0][: len(own)], own) < 1.0


def test_the_steps_of_a_looped_morph_begin_at_one_place_and_go_evenly(pipeline) -> None:
    mel, ends = pipeline.autoencoder.mel, ("a drawbar organ, C4", "a string ensemble, C4")
    made = pipeline(ends, loop=True, morph_clips=7, seconds=0.75, seed=2, solver_steps=8)
    steps = distances(pipeline, made.waveforms)
    assert max(steps) < 3.0 * float(np.median(steps)), steps
    assert len(set(made.origins)) == 1
    assert made.settings["loop_start"] == -made.origins[0] // mel.hop_length % (
        made.waveforms.shape[1] // mel.hop_length
    )
    # Begun each at its own place, they would be further apart.
    own = begun_at(made.waveforms, smooth_starts(made.waveforms, mel), mel)
    assert sum(distances(pipeline, own)) > 1.05 * sum(steps)


def distances(pipeline: TextToAudioPipeline, waveforms: Tensor) -> list[float]:
    return [nats(pipeline, waveforms[row], waveforms[row + 1]) for row in range(len(waveforms) - 1)]


def nats(pipeline: TextToAudioPipeline, first: Tensor, second: Tensor) -> float:
    log_mel = LogMelSpectrogram(pipeline.autoencoder.mel)
    return float((log_mel(first[None]) - log_mel(second[None])).abs().mean())


def test_the_clips_of_a_morph_are_guarded_alike() -> None:
    sounds = torch.tensor([[0.5, -0.2], [2.0, 1.0], [0.1, 0.0]]).repeat(1, 2000)
    alone, together = finish(sounds.clone(), 44_100, False), finish(sounds.clone(), 44_100, False, least_peak=0.0)
    assert alone.guarded == (False, True, False)
    assert together.guarded == (True, True, True)
    assert together.loudest == 2.0
    assert torch.allclose(together.waveforms, sounds * 0.99 / 2.0)
    # One of them alone, made again, is as soft as it was among the others.
    once_more = finish(sounds[:1].clone(), 44_100, False, least_peak=together.loudest)
    assert torch.equal(once_more.waveforms, together.waveforms[:1])


def test_a_loud_morph_is_made_again(pipeline, tmp_path, capsys) -> None:
    command = ["--solver_steps", "8", "--plot", "false", "--device", "cpu", "--prompt", "a bell", "--seconds", "0.6"]
    command += ["--loudness", "-2"]
    assert main([*command, "--morph", "2", "3", "--morph_clips", "9", "--out", str(tmp_path / "out")]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    page = json.loads(paths[0].with_suffix(".json").read_text())
    assert page["settings"]["loudest"] > 0.99
    assert main(["--again", str(paths[0]), "--plot", "false", "--device", "cpu", "--out", str(tmp_path / "again")]) == 0
    assert np.array_equal(soundfile.read(paths[0])[0], soundfile.read(capsys.readouterr().out.strip())[0])


def test_noise_between_two_seeds_is_as_long_as_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(64, 40, generator=generator) for _ in range(2))
    for place in (0.0, 0.3, 0.5, 1.0):
        assert float(great_circle(first, second, place).std()) == pytest.approx(1.0, abs=0.05)
    assert torch.allclose(great_circle(first, second, 0.0), first, atol=1e-5)
    assert torch.allclose(great_circle(first, second, 1.0), second, atol=1e-5)
    assert torch.allclose(great_circle(first, first, 0.5), first, atol=1e-5)


def test_places_are_where_the_sound_has_gone_equally_far() -> None:
    # A sound that stands still, changes all at once between 0.6 and 0.62, and stands still again.
    def log_mels(jobs: Sequence[Job]) -> Tensor:
        gone = [min(max((job.place - 0.6) / 0.02, 0.0), 1.0) + 0.01 * job.place for job in jobs]
        return torch.tensor(gone)[:, None, None].expand(-1, 4, 5)

    jobs = [Job("a > b", 0, 1.0, place=number / 8) for number in range(9)]
    calls: list[int] = []

    def counted(some: Sequence[Job]) -> Tensor:
        calls.append(len(some))
        return log_mels(some)

    placed = evened(jobs, counted, 4)
    assert (placed[0].place, placed[-1].place) == (0.0, 1.0)
    assert step_lengths(log_mels(jobs)).max() > 100.0 * np.median(step_lengths(log_mels(jobs)))
    steps = step_lengths(log_mels(placed))
    assert steps.max() < 2.0 * np.median(steps)
    assert max(calls) <= 4
    assert [job.place for job in placed] == sorted(job.place for job in placed)
    # What goes evenly stays as it is, and is made once.
    calls.clear()
    even = evened(jobs, lambda some: torch.tensor([job.place for job in some])[:, None, None].expand(-1, 4, 5), 16)
    assert even == jobs
    assert even_places([0.0, 0.5, 1.0], np.array([0.0, 0.0]), 3) == [0.0, 0.5, 1.0]


def test_what_the_ends_of_a_morph_are() -> None:
    assert morph_kind(["1", "22"]) == "seeds"
    assert morph_kind(["a.wav", "b.flac"]) == "clips"
    assert morph_kind(["a kick", "a snare"]) == "prompts"


def test_a_morph_from_the_command_line(tmp_path, capsys) -> None:
    for number, ends in enumerate((["a kick", "a snare"], ["4", "5"])):
        options = ["--morph", *ends, "--morph_clips", "3", "--seconds", "0.3"]
        options += ["--seed", "2"] if number == 0 else ["--prompt", "a bell"]
        assert main([*QUICK, *options, "--out", str(tmp_path / str(number))]) == 0
        paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
        assert len(paths) == 3
        again = ["--again", str(paths[1]), "--plot", "false", "--device", "cpu", "--out", str(tmp_path / "again")]
        assert main(again) == 0
        assert np.array_equal(soundfile.read(paths[1])[0], soundfile.read(capsys.readouterr().out.strip())[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--morph", "a", "2"], "morph: expected two of one kind, got prompts and seeds"),
        (["--morph", "a kick"], "morph: expected two prompts, two seeds or two sound files, got 1"),
        (["--morph", "a", "b", "--morph_clips", "1"], "morph_clips: expected 2 to 1000"),
        (["--morph", "a", "b", "--prompt", "c"], "morph of two prompts contradicts"),
        (["--morph", "1", "2", "--prompt", "c", "--seed", "3"], "morph of two seeds contradicts"),
        (["--morph", "1", "2"], "--prompt"),
        (["--morph", "a.wav", "b.wav"], "not a readable sound file"),
        (["--morph", "a", "b", "--num_clips", "2"], "neither mix, glide nor num_clips"),
        (["--morph", "a", "b", "--seconds", "601"], "seconds: expected 0.05 to 600"),
        (["--prompt", "x", "--loop", "true", "--seconds", "61"], "a loop may be 60 s long at most"),
        (["--prompt", "x", "--loop", "true", "--vocoder", "vocoder.griffin_lim.GriffinLim"], "so it cannot go round"),
    ],
)
def test_bad_input_is_one_line(options, words, tmp_path, capsys) -> None:
    assert main([*QUICK, *options, "--out", str(tmp_path / "out")]) == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert words in errors[0]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
