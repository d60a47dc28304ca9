"""`python -m pipelines.export_mels`: pairs of real clips, made once, and a vocoder trained on them."""

import json
import os
import sys

import numpy as np
import pytest
import torch
import yaml

from audio.dataset import AudioFolder
from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram
from audio.mel_pairs import MelPairs
from pipelines.export_mels import main
from pipelines.mel_pairs import MelMaker, drawn, in_windows
from pipelines.request import Request
from pipelines.text_to_audio import TextToAudioPipeline
from training.checkpoint import load_checkpoint
from training.cli import run_stage
from vocoder.data import VocoderData
from vocoder.training import VocoderTraining
from vocoder.vocos import VocosConfig

CLIPS = ("bd_808", "bd_haus", "drum_snare_hard", "elec_plip", "perc_bell", "tabla_ghe1", "sn_dub", "bass_hit_c")


@pytest.fixture(scope="module")
def folder(sonic_pi_folder, tmp_path_factory):
    """Eight real clips, two of them for validation."""
    root = tmp_path_factory.mktemp("clips")
    rows = []
    for number, name in enumerate(CLIPS):
        waveform, rate = read_audio(sonic_pi_folder / f"{name}.flac", seconds=0.7)
        write_audio(root / f"{name}.flac", waveform, rate)
        split = "validation" if number > 5 else "train"
        rows.append({"file_name": f"{name}.flac", "text": [name.replace("_", " ")], "split": split})
    (root / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return root


def run(bundle, folder, out, *options):
    return main(["--model", str(bundle), "--audio", str(folder), "--out", str(out), "--device", "cpu", *options])


@pytest.fixture(scope="module")
def decoded(small_bundle, folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs") / "decoded"
    assert run(small_bundle, folder, out, "--kind", "decoded") == 0
    return out


@pytest.fixture(scope="module")
def maker(small_bundle):
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, device="cpu")
    settings = pipeline.settle(Request(prompts=("pairs",), seed=0, solver_steps=8))
    return MelMaker(pipeline, LogMelSpectrogram(pipeline.autoencoder.mel), "denoised", settings, 0.7, 2)


@torch.no_grad()
def test_decoded_pairs_are_what_the_autoencoder_says(decoded, folder, maker):
    pairs = MelPairs.open(decoded)
    vae = maker.pipeline.autoencoder
    waveform, _ = read_audio(folder / "bd_haus.flac", vae.mel.sample_rate)
    hops = -(-len(waveform) // 512) + 2
    waveform = waveform * np.float32(0.9 / np.abs(waveform).max())
    padded = np.pad(waveform, (0, hops * 512 - len(waveform)))
    log_mel = LogMelSpectrogram(vae.mel)(torch.from_numpy(padded)[None])
    expected = vae.decode(vae.encode(log_mel).mean)[0, :, :hops].clamp(min=vae.mel.log_mel_floor)
    assert float((pairs.read("bd_haus.flac") - expected).abs().max()) < 0.01
    assert sorted(pairs.clips) == sorted(f"{name}.flac" for name in CLIPS)
    assert pairs.identity["stages"] == {"autoencoder": maker.pipeline.fingerprints["autoencoder"]}


def test_a_killed_run_goes_on_and_other_pairs_are_refused(decoded, small_bundle, folder, tmp_path, capsys):
    pairs = MelPairs.open(decoded)
    kept, gone, broken = (pairs.path(f"{name}.flac") for name in CLIPS[:3])
    before, stamp = gone.read_bytes(), os.stat(kept).st_mtime_ns
    gone.unlink()
    broken.write_bytes(broken.read_bytes()[:100])
    capsys.readouterr()
    assert run(small_bundle, folder, decoded, "--kind", "decoded") == 0
    heard = capsys.readouterr()
    assert "going on, 6 of 8 pairs are there; 2 clips" in heard.err
    assert "MiB of disk" in heard.err
    assert "decoded mels differ from the real ones by" in heard.out
    assert gone.read_bytes() == before
    assert os.stat(kept).st_mtime_ns == stamp
    assert run(small_bundle, folder, decoded, "--kind", "denoised") == 2
    assert "holds other pairs (other kind" in capsys.readouterr().err
    assert run(small_bundle, folder, decoded, "--kind", "decoded", "--dtype", "float32") == 2
    assert "holds other pairs (other dtype" in capsys.readouterr().err


def test_changed_audio_is_refused_in_training_and_made_again(small_bundle, folder, tmp_path):
    root, out = tmp_path / "clips", tmp_path / "pairs"
    for path in folder.iterdir():
        (root / path.name).parent.mkdir(exist_ok=True)
        (root / path.name).write_bytes(path.read_bytes())
    assert run(small_bundle, root, out, "--kind", "decoded", "--clips", "2") == 0
    first = sorted(MelPairs.open(out).clips)[0]
    write_audio(root / first, np.full(22050, 0.1, dtype=np.float32), 44100)
    with pytest.raises(ValueError, match="stale pairs, 1 clips have other audio"):
        VocoderData(root, 44100, mels=out).setup("fit")
    assert run(small_bundle, root, out, "--kind", "decoded", "--clips", "2") == 0
    VocoderData(root, 44100, mels=out).setup("fit")


def test_denoised_pairs_are_a_function_of_seed_and_clip(small_bundle, folder, tmp_path):
    assert run(small_bundle, folder, tmp_path / "all", "--kind", "denoised", "--seed", "3") == 0
    assert run(small_bundle, folder, tmp_path / "two", "--kind", "denoised", "--seed", "3", "--clips", "2") == 0
    whole, part = MelPairs.open(tmp_path / "all"), MelPairs.open(tmp_path / "two")
    assert (whole.whole, part.whole) == (True, False)
    name = sorted(part.clips)[0]
    assert torch.equal(whole.read(name), part.read(name))
    times = [time for clip in whole.clips for time in whole.facts(clip)["times"]]
    assert len(times) == 16
    assert len(set(times)) == 16
    assert min(times) >= 0.7
    assert max(times) < 1.0
    assert not torch.equal(whole.read(name, variant=0), whole.read(name, variant=1))


def test_too_much_noise_is_refused_with_the_reason(small_bundle, folder, tmp_path, capsys):
    assert run(small_bundle, folder, tmp_path, "--kind", "denoised", "--noise_time", "0.5") == 2
    assert "the model invents another clip" in capsys.readouterr().err
    assert run(small_bundle, folder, tmp_path, "--kind", "denoised", "--noise_time", "1.0") == 2


@torch.no_grad()
def test_windows_end_to_end_are_the_whole(maker, monkeypatch):
    """A minute in windows of 48 frames and in one piece."""
    generator = torch.Generator().manual_seed(0)
    waveform = 0.1 * torch.randn(60_000, generator=generator)
    whole = maker.real(waveform)
    latents = maker.latents(whole)
    decoded = maker.decode(latents, whole.shape[-1])
    monkeypatch.setattr("pipelines.mel_pairs.WINDOW_FRAMES", 48)
    assert torch.allclose(maker.real(waveform), whole, atol=1e-4)
    assert torch.allclose(maker.latents(whole), latents, atol=1e-4)
    assert torch.allclose(maker.decode(latents, whole.shape[-1]), decoded, atol=1e-4)


def test_windows_with_too_little_context_are_not_the_whole():
    values = torch.arange(20.0)[None, None]
    kernel = torch.ones(1, 1, 5)

    def smooth(part):
        return torch.nn.functional.conv1d(part, kernel, padding=2)

    assert torch.equal(in_windows(smooth, values, 6, 2), smooth(values))
    assert not torch.equal(in_windows(smooth, values, 6, 1), smooth(values))


@torch.no_grad()
def test_the_model_hears_a_long_clip_in_windows_of_what_it_knows(maker, folder, monkeypatch):
    clip = AudioFolder.scan(folder).clips[0]
    spec, lengths = maker.pipeline.diffusion.spec, []
    latents = torch.randn(1, spec.channels, 3 * int(spec.latent_rate * 3.0), generator=torch.Generator().manual_seed(0))
    plain = maker.pipeline.diffusion.sample

    def spy(noise, *arguments, **options):
        lengths.append(noise.shape[-1])
        return plain(noise, *arguments, **options)

    monkeypatch.setattr(maker.pipeline.diffusion, "sample", spy)
    time, noise = drawn(0, "x", 0, 0.99, latents)
    made = maker.denoised(clip, 0, latents, noise, time)
    assert made.shape == latents.shape
    assert len(lengths) > 3
    assert max(lengths) <= spec.latent_rate * maker.pipeline.defaults.max_seconds
    # Little noise, little change: no window lies elsewhere than it was cut out.
    assert float((made - latents).abs().mean()) < 0.2 * float(latents.abs().mean())


@torch.no_grad()
def test_steps_are_as_long_as_those_of_a_whole_generation(maker, folder, monkeypatch):
    """Of 8 steps a start at 0.5 has 4 left and one at 0.7 two; at least one remains."""
    clip, taken = AudioFolder.scan(folder).clips[0], []
    latents = torch.zeros(1, maker.pipeline.diffusion.spec.channels, 8)

    def spy(noise, _, sampler, **options):
        taken.append((sampler, options["start_time"]))
        return noise

    monkeypatch.setattr(maker.pipeline.diffusion, "sample", spy)
    for time in (0.5, 0.7, 0.99):
        maker.denoised(clip, 0, latents, latents, time)
    assert [(sampler.solver_steps, start) for sampler, start in taken] == [(4, 0.5), (2, 0.7), (1, 0.99)]
    assert all(sampler.guidance.scale == maker.settings["guidance_scale"] for sampler, _ in taken)


def test_a_vocoder_trains_on_pairs_and_a_mel_of_another_contract_is_named(decoded, folder, tmp_path, mel, capsys):
    config = {
        "trainer": {"default_root_dir": str(tmp_path / "run"), "max_steps": 1, "num_sanity_val_steps": 0},
        "model": {
            "mel": mel.to_dict(),
            "network": {"dim": 16, "intermediate_dim": 32, "num_layers": 1},
            "preview_clips": 0,
        },
        "data": {"folder": str(folder), "mels": str(decoded), "segment_seconds": 0.2, "batch_size": 2},
    }
    config["data"] |= {"steps_per_epoch": 1, "validation_seconds": 0.5}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config))
    words = ["vocoder", "fit", "-c", str(tmp_path / "c.yaml"), "--trainer.accelerator", "cpu"]
    arguments = sys.argv
    try:
        sys.argv = words
        assert run_stage(VocoderTraining, VocoderData, link_sample_rate=True) == 0
        sys.argv = [*words, "--resume", "false", "--model.mel.log_floor", "1e-4"]
        assert run_stage(VocoderTraining, VocoderData, link_sample_rate=True) == 2
    finally:
        sys.argv = arguments
    said = capsys.readouterr()
    assert "differ: log_floor: 1e-05 != 0.0001" in said.err
    assert f"compare_vocoders --audio {folder} --model BUNDLE --sources real decoded --vocoders bundle " in said.out
    lineage = load_checkpoint(tmp_path / "run" / "last.ckpt")["stage_record"]["lineage"]
    assert lineage["mels"] == MelPairs.open(decoded).fingerprint
    assert lineage["mel_kind"] == "decoded"


@pytest.mark.parametrize(("share", "exported"), [(0.0, 400), (0.5, 200), (1.0, 0)])
def test_some_crops_hear_their_own_mel(share, exported, mel):
    training = VocoderTraining(mel, VocosConfig(dim=16, intermediate_dim=32, num_layers=1), real_mels=share)
    waveform = 0.1 * torch.randn(400, mel.num_samples(8))
    made = torch.full((400, mel.n_mels, mel.num_frames(waveform.shape[1])), 3.0)
    heard = training._heard({"waveform": waveform, "log_mel": made})
    kept = (heard == 3.0).all(dim=(1, 2))
    assert int(kept.sum()) == pytest.approx(exported, abs=50 if 0.0 < share < 1.0 else 0)
    assert torch.equal(heard[~kept], training.front_end(waveform)[~kept])
    assert torch.equal(training._heard({"waveform": waveform}), training.front_end(waveform))


def test_a_share_of_real_mels_outside_of_0_to_1_is_named(mel):
    with pytest.raises(ValueError, match=r"model.real_mels: expected 0 to 1, got 1.5"):
        VocoderTraining(mel, real_mels=1.5)
