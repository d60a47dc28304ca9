"""Clips longer than the model was trained on: made window by window, decoded piece by piece, on the bundled model."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram
from latent_diffusion import model, windows
from pipelines import TextToAudioPipeline, check_control, decoding, encoding
from pipelines.check_control import ControlCheck
from pipelines.decoding import decode_clip, decode_long
from pipelines.editing import Edit
from pipelines.encoding import encoded
from pipelines.generate import main
from pipelines.looping import seam_score
from pipelines.request import Job, Request
from pipelines.shaping import output_of

QUICK = ["--solver_steps", "4", "--plot", "false", "--device", "cpu"]
# What a kept frame may hear of new ones: the reach of the autoencoder's decoder and of a window, in mel frames.
SEAM_FRAMES = 48


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def test_a_long_clip_decoded_in_pieces_is_the_clip_decoded_whole(pipeline) -> None:
    spec = pipeline.diffusion.spec
    latents = spec.unwhiten(torch.randn(1, spec.channels, 700, generator=torch.Generator().manual_seed(1)))
    with torch.inference_mode():
        whole = decode_clip(latents, pipeline.autoencoder, pipeline.vocode, torch.float32)
        pieces = decode_long(latents, pipeline.autoencoder, pipeline.vocoder)
    assert pieces.shape == whole.shape
    assert float((pieces - whole).abs().max()) < 1e-3 * float(whole.abs().max())
    # Of a clip of minutes there is no second copy: it is finished where it lies.
    settings = pipeline.settle(Request(("a pad",), seconds=pieces.shape[1] / pipeline.sample_rate - 0.1))
    finished = output_of(pieces, [Job("a pad", 0, settings["seconds"])], [0], settings, pipeline.autoencoder.mel)
    assert finished.waveforms.data_ptr() == pieces.data_ptr()


@pytest.mark.parametrize("rate", [44_100, 48_000])
@pytest.mark.parametrize(("ahead", "beyond"), [(0, 0), (30, 60)])
def test_a_long_source_encoded_in_pieces_is_the_source_encoded_whole(
    pipeline, sonic_pi_folder, tmp_path, monkeypatch: pytest.MonkeyPatch, rate: int, ahead: int, beyond: int
) -> None:
    drone = read_audio(sonic_pi_folder / "ambi_drone.flac", rate)[0]
    source = tmp_path / "drone.wav"
    # Of no whole number of frames, and louder at its end, so that what lies behind it is of its end.
    write_audio(source, np.concatenate([drone, 0.5 * drone, drone])[: 12 * rate + 777], rate)
    with torch.inference_mode():
        whole = encoding.encoded(source, pipeline.autoencoder, ahead=ahead, beyond=beyond)
        monkeypatch.setattr(encoding, "WHOLE_SECONDS", 5.0)
        monkeypatch.setattr(encoding, "encoded_whole", None)
        pieces = encoding.encoded(source, pipeline.autoencoder, ahead=ahead, beyond=beyond)
    assert pieces.shape == whole.shape
    assert whole.shape[-1] > 500
    assert float((pieces - whole).abs().max()) < 1e-4 * float(whole.abs().max())


def test_a_long_mel_in_pieces_is_the_mel_decoded_whole(pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, decode, seen = pipeline.diffusion.spec, pipeline.autoencoder.decode, []
    latents = spec.unwhiten(torch.randn(2, spec.channels, 900, generator=torch.Generator().manual_seed(1)))
    whole = decode(latents).clamp(min=pipeline.autoencoder.mel.log_mel_floor)

    def looking(some: torch.Tensor) -> torch.Tensor:
        seen.append(some.shape[-1])
        return decode(some)

    monkeypatch.setattr(pipeline.autoencoder, "decode", looking)
    pieces = decoding.decoded_mels(pipeline.autoencoder, latents)
    assert max(seen) < 400
    assert pieces.shape == whole.shape
    assert float((pieces - whole).abs().max()) < 1e-4


def test_a_held_sound_goes_on_beyond_the_length_of_training_without_a_jump(pipeline) -> None:
    made = pipeline("a warm synth pad", seconds=9.0, seed=3, solver_steps=8)
    assert made.waveforms.shape == (1, 9 * 44_100)
    seconds = made.waveforms[0].reshape(9, -1).square().mean(dim=1).sqrt()
    assert float(seconds[4:8].min()) > 0.1 * float(seconds[:4].max())


def test_no_border_of_windows_is_heard_but_where_they_stand_still_and_hear_no_neighbours(pipeline, monkeypatch) -> None:
    """At the cuts of the last steps, where sound is settled; of such places one in twenty is rougher by chance."""
    monkeypatch.setattr(check_control, "LONG_SECONDS", 8.0)
    check, prompts = ControlCheck(pipeline, 8, 3), ("a warm synth pad", "a string ensemble")
    turning = list(check.long(prompts))
    assert len(turning) >= 10
    assert np.mean(np.array(turning) <= 1.0) >= 0.8, turning
    assert max(turning) < 1.3, turning
    # Cuts that stand still alone are not heard, as long as each window hears its neighbours.
    monkeypatch.setattr(windows, "turned", lambda time: 0.5)
    monkeypatch.setattr(model, "line_margin", lambda window: 0)
    monkeypatch.setattr(windows, "line_margin", lambda window: 0)
    frozen = list(check.long(prompts))
    assert max(frozen) > 1.5 * max(turning), (frozen, turning)


def test_what_is_kept_of_a_recording_stays_when_many_seconds_are_added(pipeline, sonic_pi_folder, tmp_path) -> None:
    waveform, rate = read_audio(sonic_pi_folder / "ambi_drone.flac", None, 0.0, 3.0)
    source = tmp_path / "drone.wav"
    write_audio(source, waveform, rate)
    made = pipeline((), edit=Edit(source, extend_after=5.0), seed=1, solver_steps=8)
    assert made.waveforms.shape[1] == pytest.approx(8.0 * 44_100, abs=2)
    mel = LogMelSpectrogram(pipeline.autoencoder.mel)
    with torch.inference_mode():
        own = decode_clip(encoded(source, pipeline.autoencoder), pipeline.autoencoder, pipeline.vocode, torch.float32)
    kept = round(3.0 * pipeline.autoencoder.mel.frame_rate) - SEAM_FRAMES
    apart = (mel(made.waveforms)[0, :, :kept] - mel(own)[0, :, :kept]).abs().mean()
    assert float(apart) < 0.05
    assert float(made.waveforms[0, 4 * 44_100 :].abs().max()) > 0.01


def test_a_long_clip_is_written_and_made_again(tmp_path, capsys) -> None:
    options = ["--prompt", "an organ", "--seconds", "5", "--seed", "1"]
    assert main([*QUICK, *options, "--out", str(tmp_path)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert soundfile.info(str(path)).frames == 5 * 44_100
    assert main(["--again", str(path), "--plot", "false", "--device", "cpu", "--out", str(tmp_path / "again")]) == 0
    assert np.array_equal(soundfile.read(path)[0], soundfile.read(capsys.readouterr().out.strip())[0])


def test_a_long_loop_goes_round(pipeline) -> None:
    made = pipeline("a drawbar organ", loop="circle", seconds=6.0, seed=1, num_clips=3, solver_steps=16)
    mel = pipeline.autoencoder.mel
    seams = [seam_score(loop, mel, made.closing(row)) for row, loop in enumerate(made.waveforms)]
    # Of any place on a circle one in twenty is beyond the 95th percentile.
    assert float(np.median(seams)) <= 1.0, seams
    assert max(seams) < 1.2, seams


@pytest.mark.parametrize("shape", [{"seconds": 6.0}, {"seconds": 1.5, "loop": "circle"}])
def test_the_adaptive_solver_bears_cuts_that_move(pipeline, monkeypatch: pytest.MonkeyPatch, shape) -> None:
    """The field jumps wherever the cuts do; were that to count, its steps would become ever shorter."""
    asked = 0
    field = pipeline.diffusion.whole_field

    def counted(*around: object):
        whole = field(*around)

        def counting(*given: object) -> torch.Tensor:
            nonlocal asked
            asked += 1
            return whole(*given)

        return counting

    monkeypatch.setattr(pipeline.diffusion, "whole_field", counted)
    words = {"seed": 3, "solver": "adaptive", "tolerance": 0.01, "autoguidance": 1.0}
    made = pipeline("a warm synth pad, C3", **words, **shape).waveforms
    assert bool(made.isfinite().all())
    assert float(made.abs().max()) > 0.01
    assert asked <= 60, asked
