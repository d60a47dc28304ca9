"""The latent card of a small autoencoder on real recordings: true numbers, and every bad input one line."""

import itertools
import json
import shutil
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import soundfile
import torch

from audio.dataset import AudioFolder
from audio.files import read_audio
from audio.mel import LogMelSpectrogram
from autoencoder.evaluate import main as evaluate
from autoencoder.model import MelVAE
from autoencoder.report import main
from training.checkpoint import load_stage, save_stage

NAMES = ("bd_808", "sn_dub", "tabla_ke1", "bass_hit_c", "perc_bell", "elec_blip", "drum_snare_hard", "misc_crow",
         "loop_amen", "guit_harmonics", "vinyl_scratch", "drum_cymbal_open")  # fmt: skip


@pytest.fixture(scope="module")
def folder(sonic_pi_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dozen real recordings, all of one split."""
    out = tmp_path_factory.mktemp("recordings")
    rows = []
    for name in NAMES:
        shutil.copy(sonic_pi_folder / f"{name}.flac", out)
        rows.append({"file_name": f"{name}.flac", "text": name, "family": name.split("_")[0], "split": "test"})
    (out / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return out


def run(checkpoint: Path, audio: Path, out: Path, *more: str) -> int:
    return main(["--checkpoint", str(checkpoint), "--audio", str(audio), "--out", str(out), *more])


def read(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


def refused(capsys: pytest.CaptureFixture, code: int, out: Path) -> str:
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert len(printed.err.strip().splitlines()) == 1
    assert not out.exists()
    return printed.err


def test_numbers_are_those_of_all_clips_encoded_by_hand(folder, stage_files, tmp_path, capsys):
    out = tmp_path / "card"
    assert run(stage_files["autoencoder"], folder, out) == 0
    printed = capsys.readouterr()
    path, verdict = printed.out.strip().splitlines()
    assert Path(path) == out / "report.html"
    found = read(out)
    assert found["verdict"] == verdict
    assert verdict.endswith(f"nats error, worst {found['reconstruction']['worst_band']}")
    assert "latent channels" in printed.err
    network = MelVAE.from_checkpoint(stage_files["autoencoder"])
    clips = AudioFolder.scan(folder).split("test")
    assert found["clips"] == len(clips) == len(NAMES)
    front_end = LogMelSpectrogram(network.mel)
    with torch.inference_mode():
        waveforms = [torch.from_numpy(read_audio(clip.path, 44_100)[0])[None] for clip in clips]
        posteriors = [network.encode(front_end(waveform)) for waveform in waveforms]
    means = torch.cat([posterior.mean[0] for posterior in posteriors], dim=1).double().numpy()
    nats = torch.cat([posterior.kl()[0] for posterior in posteriors], dim=1).double().numpy()
    latents = found["latents"]
    assert latents["frames"] == means.shape[1]
    np.testing.assert_allclose(latents["mean"], means.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(latents["std"], means.std(axis=1), rtol=1e-6)
    np.testing.assert_allclose(latents["correlation"], np.corrcoef(means), atol=1e-6)
    np.testing.assert_allclose(latents["kl_nats"], nats.mean(axis=1), rtol=1e-5)
    assert latents["nats_per_dimension"] == pytest.approx(nats.mean(), rel=1e-5)
    assert latents["active_units"] == int((means.var(axis=1) > 0.01).sum())
    with torch.inference_mode():
        made = [network(front_end(waveform))[0] - front_end(waveform) for waveform in waveforms]
    errors = fmean(float(difference.abs().mean()) for difference in made)
    assert found["reconstruction"]["error_nats"] == pytest.approx(errors, rel=1e-5)
    # `autoencoder.evaluate` decodes the same way, and says the same.
    assert evaluate(["--checkpoint", str(stage_files["autoencoder"]), "--audio", str(folder)]) == 0
    assert f"mean {found['reconstruction']['error_nats']:.4f}, median" in capsys.readouterr().out
    assert sum(found["reconstruction"]["clips_by_family"].values()) == len(NAMES)
    reach = found["reach_mel_frames"]
    assert (reach["measured_encoder"], reach["measured_decoder"]) == (reach["encoder"], reach["decoder"])
    assert latents["spectrum"]["segments"] >= 30
    page = (out / "report.html").read_text()
    for part in ("Channels", "Spectrum over time", "Reconstruction inside the clips", "Receptive field", "drum"):
        assert part in page
    assert page.count("data:image/png") == 10
    assert "http" not in page


def test_a_killed_channel_of_the_bundled_autoencoder_is_named(folder, tmp_path, capsys):
    released = Path(__file__).resolve().parents[2] / "bundles/oneshots/autoencoder.safetensors"
    assert run(released, folder, tmp_path / "released") == 0
    record, weights = load_stage(released, "autoencoder")
    channels = record.config["vae"]["latent_channels"]
    assert f"0 of {channels} channels dead" in capsys.readouterr().out
    layers = (name.split(".")[1] for name in weights if name.startswith("encoder."))
    last = max(int(layer) for layer in layers if layer.isdigit())
    weights = {name: value.clone() for name, value in weights.items()}
    # The mean and the log-variance of channel 5, in the network and in the linear path beside it: its posterior becomes
    # the prior.
    for row, layer in itertools.product((5, channels + 5), (f"encoder.{last}", "encoder.linear.mix")):
        weights[f"{layer}.weight"][row] = 0.0
        weights[f"{layer}.bias"][row] = 0.0
    broken = tmp_path / "broken.safetensors"
    save_stage(broken, record, weights, torch.float32)
    assert run(broken, folder, tmp_path / "broken") == 0
    assert f"1 of {channels} channels dead" in capsys.readouterr().out
    before, after = read(tmp_path / "released")["latents"], read(tmp_path / "broken")["latents"]
    assert after["active_units"] == before["active_units"] - 1
    assert after["kl_nats"][5] == pytest.approx(0.0, abs=1e-6)
    assert after["noise_share"][5] == pytest.approx(1.0)
    assert after["signal_to_noise_db"][5] is after["excess_kurtosis"][5] is after["correlation"][5][0] is None
    assert after["std"][:5] == pytest.approx(before["std"][:5], rel=1e-3)


def test_stereo_and_other_rates_are_read_and_one_sample_files_are_skipped(folder, stage_files, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    mono, rate = soundfile.read(mixed / "bd_808.flac")
    mono = mono if mono.ndim == 1 else mono.mean(axis=1)
    soundfile.write(mixed / "bd_808.flac", np.stack([mono, mono], axis=1), rate)
    soundfile.write(mixed / "perc_bell.flac", np.stack([mono, -0.5 * mono], axis=1), 96_000)
    soundfile.write(mixed / "elec_blip.flac", mono, 22_050)
    soundfile.write(mixed / "misc_crow.flac", mono[:1], rate)
    assert run(stage_files["autoencoder"], mixed, tmp_path / "card") == 0
    found = read(tmp_path / "card")
    assert (found["clips"], found["skipped_files"]) == (len(NAMES) - 1, 1)
    assert np.isfinite(found["latents"]["std"]).all()


def test_one_clip_has_a_card_that_says_what_it_cannot_say(sonic_pi_folder, stage_files, tmp_path, capsys):
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(sonic_pi_folder / "bd_808.flac", alone)
    out = tmp_path / "card"
    text = refused(capsys, run(stage_files["autoencoder"], alone, out), out)
    assert "no clip of split 'test' (1 train, 0 validation, 0 test)" in text
    assert run(stage_files["autoencoder"], alone, out, "--split", "train") == 0
    assert "dead channels not computed" in capsys.readouterr().out
    latents = read(out)["latents"]
    for name in ("dead_channels", "active_units", "excess_kurtosis", "correlation", "effective_dimensions", "spectrum"):
        assert latents[name] is None
    assert "They need 10 clips and 80 latent frames; there are 1 and" in (out / "report.html").read_text()


def test_fewer_clips_are_spread_over_the_split(folder, stage_files, tmp_path):
    scanned = AudioFolder.scan(folder)
    everything = scanned.split("test")
    assert scanned.spread("test", 0) == scanned.spread("test", 99) == everything
    assert scanned.spread("test", 5) == tuple(everything[index] for index in (0, 2, 4, 7, 9))
    assert run(stage_files["autoencoder"], folder, tmp_path / "card", "--clips", "3") == 0
    assert read(tmp_path / "card")["clips"] == 3


def test_bad_input_is_one_line_and_leaves_nothing(folder, stage_files, tmp_path, capsys):
    out, good = tmp_path / "card", stage_files["autoencoder"]
    assert "vocoder" in refused(capsys, run(stage_files["vocoder"], folder, out), out)
    assert "missing.ckpt" in refused(capsys, run(tmp_path / "missing.ckpt", folder, out), out)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no sound files" in refused(capsys, run(good, empty, out), out)
    assert "nowhere" in refused(capsys, run(good, tmp_path / "nowhere", out), out)
    assert "split" in refused(capsys, run(good, folder, out, "--split", "tset"), out)
    assert "no clip of split 'train'" in refused(capsys, run(good, folder, out, "--split", "train"), out)
    assert "clips: expected 0 or more, got -1" in refused(capsys, run(good, folder, out, "--clips", "-1"), out)
    only = tmp_path / "only"
    only.mkdir()
    soundfile.write(only / "one.wav", np.array([0.5]), 44_100)
    assert "no usable sound file" in refused(capsys, run(good, only, out), out)
    file = tmp_path / "file"
    file.write_text("mine")
    assert run(good, folder, file) == 2
    assert "out: expected a folder" in capsys.readouterr().err
    assert file.read_text() == "mine"
