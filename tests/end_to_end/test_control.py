"""What a person does with one sound, on the bundled model and real recordings: vary, fill in, go on, make it again."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram
from pipelines import TextToAudioPipeline, guarding
from pipelines.canvas import BEYOND_FRAMES, EDGE_FRAMES, seam_reach
from pipelines.editing import Edit
from pipelines.generate import main
from pipelines.inspect import main as inspect

STEPS = {"solver_steps": 8, "seed": 3}
QUICK = ["--solver_steps", "4", "--seed", "3", "--plot", "false", "--device", "cpu"]


@pytest.fixture(scope="module")
def pipeline() -> TextToAudioPipeline:
    return TextToAudioPipeline.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def sources(sonic_pi_folder: Path, tmp_path_factory) -> list[Path]:
    """Real recordings of drums, bells and a guitar, a second and a half at most."""
    names = ("bd_haus", "drum_cowbell", "drum_snare_hard", "elec_bell", "guit_e_slide", "perc_bell2")
    return cut(sonic_pi_folder, names, 1.5, tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def long_sources(sonic_pi_folder: Path, tmp_path_factory) -> list[Path]:
    """Real recordings of three and a half seconds."""
    names = ("ambi_lunar_land", "guit_em9", "loop_amen_full", "ambi_drone")
    return cut(sonic_pi_folder, names, 3.5, tmp_path_factory.mktemp("long"))


def cut(folder: Path, names: tuple[str, ...], seconds: float, out: Path) -> list[Path]:
    made = []
    for name in names:
        waveform, rate = read_audio(folder / f"{name}.flac", None, 0.0, seconds)
        made.append(out / f"{name}.wav")
        write_audio(made[-1], waveform, rate)
    return made


def log_mel(pipeline: TextToAudioPipeline, waveform: Tensor) -> Tensor:
    return LogMelSpectrogram(pipeline.autoencoder.mel)(waveform)[0]


def nats(first: Tensor, second: Tensor) -> float:
    frames = min(first.shape[-1], second.shape[-1])
    return float((first[:, :frames] - second[:, :frames]).abs().mean())


def test_distance_from_the_source_grows_with_strength(pipeline, sources) -> None:
    strengths = (0.0, 0.25, 0.5, 0.75, 1.0)
    rows = []
    for source in sources:
        mels = [log_mel(pipeline, pipeline((), edit=Edit(source, value), **STEPS).waveforms) for value in strengths]
        waveform, _ = read_audio(source, pipeline.sample_rate)
        real = log_mel(pipeline, torch.from_numpy(waveform)[None])
        # At 0 it is the model's own reconstruction, with a faded end; a guarded peak lowers all of it alike.
        assert nats(mels[0] - mels[0].median(), real - real.median()) < 0.6
        rows.append([nats(mels[0], one) for one in mels])
    medians = np.median(np.array(rows), axis=0)
    assert medians[0] == 0.0
    assert (np.diff(medians) > 0.0).all(), medians


def test_what_is_kept_sounds_as_it_did_and_what_is_not_does_not(pipeline, long_sources) -> None:
    mel, spec = pipeline.autoencoder.mel, pipeline.diffusion.spec
    compared = 0
    for source in long_sources:
        whole = log_mel(pipeline, pipeline((), edit=Edit(source, 0.0), **STEPS).waveforms)
        seconds = whole.shape[-1] / mel.frame_rate
        start, end = 0.45 * seconds, 0.55 * seconds
        made = pipeline(("a hand clap",), edit=Edit(source, mask=((start, end),)), **STEPS)
        filled = log_mel(pipeline, made.waveforms)
        # Of a latent frame, the decoder, the vocoder and the mel of the measurement itself.
        reach = spec.frames_per_latent + pipeline.autoencoder.decoder_reach() + 4
        reach += pipeline.vocoder.receptive_field() // 2
        first, last = int(start * mel.frame_rate), int(end * mel.frame_rate)
        kept = (slice(0, max(0, first - reach)), slice(last + reach, whole.shape[-1]))
        frames = [(whole[:, own], filled[:, own]) for own in kept if whole[:, own].shape[-1]]
        compared += sum(before.shape[-1] for before, _ in frames)
        assert all(nats(before, after) < 0.05 for before, after in frames)
        assert nats(whole[:, first:last], filled[:, first:last]) > 0.3
    assert compared > 200


@pytest.mark.parametrize("solver", ["heun", "dpmpp_2m", "ddim", "ancestral", "stochastic"])
def test_every_kind_of_solver_keeps_what_a_mask_keeps(pipeline, long_sources, solver) -> None:
    mel, source = pipeline.autoencoder.mel, long_sources[0]
    whole = log_mel(pipeline, pipeline((), edit=Edit(source, 0.0), **STEPS).waveforms)
    half = 0.5 * whole.shape[-1] / mel.frame_rate
    edit = Edit(source, mask=((half, half + 0.3),))
    filled = log_mel(pipeline, pipeline(("a hand clap",), edit=edit, solver=solver, **STEPS).waveforms)
    reach = seam_reach(edit, pipeline.autoencoder, pipeline.diffusion, pipeline.vocoder)
    first = math.floor((half - reach) * mel.frame_rate) - 4
    assert first > 20
    assert nats(whole[:, :first], filled[:, :first]) < 0.05
    middle = slice(int(half * mel.frame_rate), int((half + 0.3) * mel.frame_rate))
    assert nats(whole[:, middle], filled[:, middle]) > 0.3


def test_beyond_the_printed_reach_of_two_masks_all_is_kept(pipeline, long_sources, tmp_path, capsys) -> None:
    for source in long_sources[:3]:
        heard = []
        for mode in (["--strength", "0"], ["--mask", "1.1:1.25", "--mask", "1.4:1.6"]):
            assert main([*QUICK, "--init_audio", str(source), *mode, "--out", str(tmp_path)]) == 0
            printed = capsys.readouterr()
            heard.append(torch.from_numpy(read_audio(Path(printed.out.strip()), pipeline.sample_rate)[0])[None])
        (seconds,) = re.findall(r"further than ([0-9.]+) s from what is made anew the source stays", printed.err)
        whole, filled = (log_mel(pipeline, one) for one in heard)
        rate = pipeline.autoencoder.mel.frame_rate
        first, last = math.floor((1.1 - float(seconds)) * rate), math.ceil((1.6 + float(seconds)) * rate)
        assert max(nats(whole[:, part], filled[:, part]) for part in (slice(first), slice(last, None))) < 0.05
        for start, end in ((1.1, 1.25), (1.4, 1.6)):
            part = slice(round(start * rate), round(end * rate))
            assert nats(whole[:, part], filled[:, part]) > 0.15


def test_what_is_too_loud_around_a_mask_is_lowered_and_what_is_kept_is_not(
    pipeline, long_sources, tmp_path, monkeypatch
) -> None:
    waveform, rate = read_audio(long_sources[1], pipeline.sample_rate, 0.0, 2.6)
    loud = tmp_path / "loud.wav"
    write_audio(loud, waveform * (0.93 / np.abs(waveform).max()), rate)
    edit = Edit(loud, mask=((1.25, 1.5),))
    given = pipeline((), edit=Edit(loud, 0.0), **STEPS).waveforms[0]
    # Within reach of the mask the guitar is struck again: full scale is set between that and what is kept.
    monkeypatch.setattr(guarding, "PEAK_LIMIT", 0.89)
    made = pipeline(("a guitar",), edit=edit, **STEPS)
    assert made.guarded == (True,)
    assert float(made.waveforms.abs().max()) < 0.8901
    reach = seam_reach(edit, pipeline.autoencoder, pipeline.diffusion, pipeline.vocoder)
    for part in (slice(math.floor((1.25 - reach) * rate)), slice(math.ceil((1.5 + reach) * rate), None)):
        assert len(given[part]) > 2000
        assert float((made.waveforms[0, part] - given[part]).abs().max()) < 1e-4


def test_a_source_of_another_rate_is_resampled_and_said_so(sources, tmp_path, capsys) -> None:
    slow = tmp_path / "slow.wav"
    write_audio(slow, read_audio(sources[0], 22_050)[0], 22_050)
    assert main([*QUICK, "--init_audio", str(slow), "--strength", "0.5", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr()
    assert f"'{slow}' has 22050 Hz and is brought to 44100 Hz" in printed.err
    assert soundfile.info(printed.out.strip()).duration == pytest.approx(soundfile.info(str(slow)).duration, abs=0.02)


def test_going_on_keeps_the_source_and_adds_sound(pipeline, sources) -> None:
    source = sources[1]
    own = soundfile.info(str(source)).duration
    longer = pipeline(("a cowbell",), edit=Edit(source, extend_before=0.5, extend_after=0.7), **STEPS)
    spec = pipeline.diffusion.spec
    # What is made before it is a whole number of latent frames.
    before = round(0.5 * spec.latent_rate) / spec.latent_rate
    assert longer.waveforms.shape[1] == round((own + before + 0.7) * pipeline.sample_rate)
    settings, jobs = longer.settings, longer.jobs
    from pipelines.canvas import open_canvas
    from pipelines.encoding import encoded

    canvas = open_canvas(settings, pipeline.autoencoder, pipeline.diffusion)
    assert canvas is not None
    latents = pipeline.latents(jobs, settings, canvas=canvas)
    given = encoded(source, pipeline.autoencoder, beyond=BEYOND_FRAMES)[..., :-BEYOND_FRAMES]
    offset = round(0.5 * spec.latent_rate)
    placed = latents[..., offset : offset + given.shape[-1]]
    apart = (placed - given[..., : placed.shape[-1]]).abs().amax(dim=(0, 1))
    # All of it but its last frames, where no one knows how it went on.
    assert float(apart[:-EDGE_FRAMES].max()) < 1e-3
    assert float(apart[1 - EDGE_FRAMES :].min()) > 1e-3
    assert float((latents[..., :offset] - torch.tensor(spec.silence)[None, :, None]).abs().mean()) > 0.05


def test_prompts_together_one_after_the_other_and_what_is_not_wanted(pipeline) -> None:
    def made(*prompts: str, **settings) -> Tensor:
        return pipeline(prompts, seconds=0.6, **STEPS, **settings).waveforms

    kick, bell = made("a deep kick"), made("a bright bell")
    both = made("a deep kick", "a bright bell", mix=(1.0, 1.0))
    assert len(both) == 1
    assert torch.allclose(made("a deep kick", "a bright bell", mix=(2.0, 0.0)), kick, atol=1e-3)
    assert all((both - alone).abs().max() > 1e-2 for alone in (kick, bell))
    gliding = made("a deep kick", "a bright bell", glide=True)
    assert (gliding - both).abs().max() > 1e-2
    assert (made("a deep kick", negative_prompt="a long boomy kick") - kick).abs().max() > 1e-2


def test_a_style_draws_clips_towards_a_recording_and_leaves_them_what_they_are(pipeline, sources) -> None:
    """By their mean log spectra: nearer to that of the recording, still nearest to the same words without a style."""
    prompts = ("a snare drum", "a shaker", "a soft organ, E3", "a bright piano, C4")

    def spectra(**settings) -> Tensor:
        made = pipeline(prompts, seconds=0.8, **STEPS, **settings).waveforms
        return torch.stack([colour(pipeline, one) for one in made])

    plain = spectra()
    assert torch.equal(spectra(style=sources[1], style_strength=0.0), plain)
    gains, kept = [], []
    for source in sources:
        wanted = colour(pipeline, torch.from_numpy(read_audio(source, pipeline.sample_rate)[0]))
        near, nearer = (spectra(style=source, style_strength=value) for value in (0.15, 0.6))
        rows = [(one - wanted).abs().mean(dim=1) for one in (plain, near, nearer)]
        gains.append([float(row.median()) for row in rows])
        nearest = (near[:, None] - plain[None]).abs().mean(dim=2).argmin(dim=1)
        kept += (nearest == torch.arange(len(prompts))).tolist()
    without, default, much = np.median(np.array(gains), axis=0)
    assert much < default < without
    assert default < 0.9 * without
    assert np.mean(kept) >= 0.75, kept


def colour(pipeline: TextToAudioPipeline, waveform: Tensor) -> Tensor:
    """Mean log spectrum of the frames within 40 dB of the loudest, less its own mean: level does not count."""
    mel = log_mel(pipeline, waveform[None])
    levels = mel.exp().square().sum(dim=0)
    mean = mel[:, levels > 1e-4 * levels.max()].mean(dim=1)
    return mean - mean.mean()


def test_a_file_tells_how_it_was_made(sources, tmp_path, capsys) -> None:
    source = tmp_path / "source.wav"
    shutil.copy(sources[0], source)
    mode = ["--init_audio", str(source), "--mask", "0.05:0.1", "--prompt", "a snare"]
    assert main([*QUICK, *mode, "--out", str(tmp_path)]) == 0
    clip = capsys.readouterr().out.strip()
    assert inspect([clip]) == 0
    text = capsys.readouterr().out
    for words in ("prompt: a snare", "seed: 3, clip 0", f"source: {source} (unchanged)", "mask: [[0.05, 0.1]]", "CC0"):
        assert words in text
    source.write_bytes(b"other")
    assert inspect([clip]) == 0
    assert "(changed)" in capsys.readouterr().out
    assert inspect([clip, "--as_json", "true"]) == 0
    page = json.loads(capsys.readouterr().out)
    assert page == json.loads(Path(clip).with_suffix(".json").read_text())
    assert len(page["settings"]["edit"]["sha256"]) == 64
    assert inspect([str(sources[0])]) == 2
    assert "does not say how it was made" in capsys.readouterr().err


def test_again_refuses_what_it_cannot_make_the_same(sources, small_bundle, tmp_path, capsys) -> None:
    source = tmp_path / "source.wav"
    shutil.copy(sources[0], source)
    assert main([*QUICK, "--init_audio", str(source), "--out", str(tmp_path / "out")]) == 0
    clip = capsys.readouterr().out.strip()
    plain = tmp_path / "plain.wav"
    write_audio(plain, np.zeros(4000, dtype=np.float32), 44_100)
    out = ["--out", str(tmp_path / "no"), "--device", "cpu"]

    def refused(*options: str) -> str:
        assert main([*options, *out]) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert len(errors) == 1
        assert not (tmp_path / "no").exists()
        return errors[0]

    assert "does not say how it was made" in refused("--again", str(plain))
    assert "not a readable sound file" in refused("--again", str(tmp_path / "none.wav"))
    assert "--again and --seed contradict" in refused("--again", clip, "--seed", "4")
    assert "made by another model" in refused("--again", clip, "--model", str(small_bundle))
    write_audio(source, np.full(9000, 0.1, dtype=np.float32), 44_100)
    assert "has changed since" in refused("--again", clip)
    source.unlink()
    assert "is missing" in refused("--again", clip)
    # Another file of that name beside the clip is not the source.
    write_audio(Path(clip).parent / source.name, np.full(9000, 0.1, dtype=np.float32), 44_100)
    assert "is missing" in refused("--again", clip)
