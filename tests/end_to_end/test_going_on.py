"""What is made after a recording that breaks off and before one that breaks in, on the bundled model: no border."""

from pathlib import Path
from statistics import median

import numpy as np
import pytest

from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram
from pipelines import TextToAudioPipeline, canvas
from pipelines.borders import border_scores
from pipelines.broken_ends import breaks_in
from pipelines.check_control import decibels
from pipelines.editing import Edit
from pipelines.encoding import encoded

STEPS = {"solver_steps": 8, "seed": 3}
LASTING = ("ambi_drone", "ambi_choir", "ambi_haunted_hum", "guit_em9", "ambi_lunar_land")


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


def levels_after(pipeline: TextToAudioPipeline, folder: Path, out: Path) -> list[float]:
    """Decibels of 0.3 s behind the break over the 0.3 s before it."""
    rate, found = pipeline.sample_rate, []
    for name in LASTING:
        sound = read_audio(folder / f"{name}.flac", rate, 0.0, 1.2)[0]
        write_audio(out / f"{name}.wav", sound, rate)
        made = pipeline((), edit=Edit(out / f"{name}.wav", extend_after=0.8), **STEPS).waveforms[0]
        width = round(0.3 * rate)
        before, after = made[len(sound) - width : len(sound)], made[len(sound) : len(sound) + width]
        found.append(decibels(after) - decibels(before))
    return found


def test_a_sound_that_breaks_off_goes_on(pipeline, sonic_pi_folder, tmp_path, monkeypatch) -> None:
    found = levels_after(pipeline, sonic_pi_folder, tmp_path)
    assert median(found) > -9.0, found
    # Without its last moments behind its end it is fainter.
    monkeypatch.setattr(canvas, "BEYOND_FROM", 0.0)
    assert median(levels_after(pipeline, sonic_pi_folder, tmp_path)) < median(found) - 2.0


def test_where_it_goes_on_no_border_is_heard(pipeline, sonic_pi_folder, tmp_path, monkeypatch) -> None:
    front_end, rate = LogMelSpectrogram(pipeline.autoencoder.mel), pipeline.sample_rate

    def worst(name: str) -> float:
        sound = read_audio(sonic_pi_folder / f"{name}.flac", rate, 0.0, 1.2)[0]
        write_audio(tmp_path / "whole.wav", sound, rate)
        made = pipeline((), edit=Edit(tmp_path / "whole.wav", extend_after=0.8), **STEPS).waveforms
        return max(border_scores(front_end(made)[0], [round(1.2 * pipeline.autoencoder.mel.frame_rate)]), default=0.0)

    free = median(map(worst, LASTING))
    assert free <= 1.0
    # Held from the very end on, its last moments are heard turning back.
    monkeypatch.setattr(canvas, "taken_up", lambda frames: canvas.let_go(frames, canvas.BEYOND_FROM))
    held = median(map(worst, LASTING))
    assert held > 1.3 * free, (held, free)


def test_what_had_ended_stays_ended(pipeline, sonic_pi_folder, tmp_path) -> None:
    rate = pipeline.sample_rate
    rest = rate // 10
    for name in ("bd_haus", "drum_cowbell", "elec_bell"):
        # A tenth of a second of silence behind it, as a recording of a struck sound has.
        sound = np.pad(read_audio(sonic_pi_folder / f"{name}.flac", rate)[0], (0, rest))
        write_audio(tmp_path / f"{name}.wav", sound, rate)
        made = pipeline((), edit=Edit(tmp_path / f"{name}.wav", extend_after=0.6), **STEPS).waveforms[0]
        assert decibels(made[len(sound) :]) < decibels(made[: len(sound) - rest]) - 25.0, name


def test_where_it_leads_over_no_border_is_heard(pipeline, sonic_pi_folder, tmp_path, monkeypatch) -> None:
    front_end, rate = LogMelSpectrogram(pipeline.autoencoder.mel), pipeline.sample_rate

    def worst(name: str) -> float:
        sound = read_audio(sonic_pi_folder / f"{name}.flac", rate, 0.6, 1.2)[0]
        write_audio(tmp_path / "part.wav", sound, rate)
        made = pipeline((), edit=Edit(tmp_path / "part.wav", extend_before=0.8), **STEPS).waveforms
        return max(border_scores(front_end(made)[0], [round(0.8 * pipeline.autoencoder.mel.frame_rate)]), default=0.0)

    led = median(map(worst, LASTING))
    assert led <= 1.0
    # Without its first moments ahead of it, it begins there.
    monkeypatch.setattr(canvas, "breaks_in", lambda path, sample_rate: False)
    begun = median(map(worst, LASTING))
    assert begun > 1.5 * led, (begun, led)


def test_a_sound_that_begins_is_not_led_over_to(pipeline, sonic_pi_folder, tmp_path) -> None:
    rate = pipeline.sample_rate
    for name in ("bd_haus", "drum_cowbell", "elec_bell", "drum_snare_hard", "tabla_tas2", "sn_dub", *LASTING):
        assert not breaks_in(sonic_pi_folder / f"{name}.flac", rate), name
    found = []
    for name in LASTING:
        write_audio(tmp_path / "part.wav", read_audio(sonic_pi_folder / f"{name}.flac", rate, 0.6, 1.2)[0], rate)
        found.append(breaks_in(tmp_path / "part.wav", rate))
    # Levels of the choir and the hum move.
    assert sum(found) >= 3, found


def test_what_breaks_in_is_kept_but_for_its_first_frames(pipeline, sonic_pi_folder, tmp_path) -> None:
    rate, spec = pipeline.sample_rate, pipeline.diffusion.spec
    sound = read_audio(sonic_pi_folder / "ambi_drone.flac", rate, 0.6, 1.2)[0]
    write_audio(tmp_path / "part.wav", sound, rate)
    longer = pipeline((), edit=Edit(tmp_path / "part.wav", extend_before=0.5), **STEPS)
    start = canvas.open_canvas(longer.settings, pipeline.autoencoder, pipeline.diffusion)
    assert start is not None
    made = pipeline.latents(longer.jobs, longer.settings, canvas=start)
    offset = round(0.5 * spec.latent_rate)
    given = encoded(tmp_path / "part.wav", pipeline.autoencoder, ahead=canvas.AHEAD_FRAMES)
    apart = (made[..., offset:] - given[..., canvas.AHEAD_FRAMES :]).abs().amax(dim=(0, 1))
    assert float(apart[canvas.EDGE_FRAMES :].max()) < 1e-3
    assert float(apart[: canvas.EDGE_FRAMES - 1].min()) > 1e-3
    # What the encoder wrote down of it is the same, but where it hears what lies ahead.
    alone = encoded(tmp_path / "part.wav", pipeline.autoencoder)
    heard = -(-(pipeline.autoencoder.encoder_reach() + 4) // spec.frames_per_latent)
    apart = (alone - given[..., canvas.AHEAD_FRAMES :]).abs().amax(dim=(0, 1))
    assert float(apart[heard:].max()) < 1e-3 < float(apart[0])
