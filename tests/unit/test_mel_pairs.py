"""Pairs on disk are what was written, stale ones are refused; a crop of a pair is the mel of its own waveform."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from audio.dataset import AudioFolder
from audio.files import file_hash, read_audio, resample, write_audio
from audio.mel import LogMelSpectrogram, MelConfig
from audio.mel_pairs import MelPairs, PairedClip
from training.data import AudioSegments
from training.pairs import PairedSegments, read_stretch
from vocoder.data import VocoderData

SAME = MelConfig(16000, 256, 256, 64, 40, 0.0, 8000.0, "slaney", "slaney", "same", 1e-9, 1e-5)
CENTRED = replace(SAME, framing="centred")
RATES = {"a.wav": 16000, "b.wav": 16000, "c.wav": 48000, "d.wav": 22050}


@pytest.fixture
def folder(tmp_path):
    """Four noisy clips of different rates, a second each; two of them for validation."""
    draw = np.random.default_rng(0)
    root = tmp_path / "clips"
    rows = []
    for number, (name, rate) in enumerate(RATES.items()):
        write_audio(root / name, (0.1 * draw.standard_normal(rate)).astype(np.float32), rate)
        rows.append({"file_name": name, "split": "validation" if number % 2 else "train"})
    (root / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    return AudioFolder.scan(root)


def export(folder, out, mel, names=tuple(RATES), dtype=torch.float32, variants=1):
    """The clips' own mels as pairs; variant i lies i nats higher."""
    clips = {clip.path.name: clip for clip in folder.clips}
    rows = {name: PairedClip(name, file_hash(clips[name].path), clips[name].split) for name in names}
    pairs = MelPairs(out, {"mel": mel.to_dict(), "kind": "decoded", "seed": 0}, True, rows)
    pairs.save()
    for name in names:
        waveform, _ = read_audio(clips[name].path, mel.sample_rate)
        log_mel = LogMelSpectrogram(mel)(torch.from_numpy(waveform)[None])
        shifted = torch.cat([log_mel + number for number in range(variants)])
        pairs.write(name, shifted, {"difference": 0.0}, dtype)
    return pairs


def test_what_is_read_is_what_was_written(folder, tmp_path):
    pairs = export(folder, tmp_path / "pairs", SAME)
    opened = MelPairs.open(tmp_path / "pairs")
    assert opened == pairs
    assert opened.mel == SAME
    waveform, _ = read_audio(folder.root / "a.wav", 16000)
    log_mel = LogMelSpectrogram(SAME)(torch.from_numpy(waveform)[None])[0]
    assert torch.equal(opened.read("a.wav"), log_mel)
    assert torch.equal(opened.read("a.wav", 20, 7), log_mel[:, 20:27])
    beyond = opened.read("a.wav", 245, 10)
    assert torch.equal(beyond[:, :5], log_mel[:, 245:])
    assert bool((beyond[:, 5:] == SAME.log_mel_floor).all())
    assert bool((opened.read("a.wav", 400, 3) == SAME.log_mel_floor).all())


def test_half_precision_is_off_by_a_thousandth_of_a_nat(folder, tmp_path):
    exact = export(folder, tmp_path / "exact", SAME).read("a.wav")
    rounded = export(folder, tmp_path / "half", SAME, dtype=torch.float16).read("a.wav")
    assert 0.0 < float((exact - rounded).abs().mean()) < 0.002
    assert float((exact - rounded).abs().max()) < 0.005


def test_stale_pairs_are_refused(folder, tmp_path):
    pairs = export(folder, tmp_path / "pairs", SAME)
    pairs.check_audio(folder.root, list(RATES))
    other = MelPairs(pairs.folder, {**pairs.identity, "seed": 1}, True, pairs.clips)
    with pytest.raises(ValueError, match=r"stale pair of a\.wav: another model or mel"):
        other.read("a.wav")
    renamed = {**pairs.clips, "a.wav": replace(pairs.clips["a.wav"], sha256="0" * 64)}
    with pytest.raises(ValueError, match=r"stale pair of a\.wav: its audio has changed"):
        MelPairs(pairs.folder, pairs.identity, True, renamed).read("a.wav")
    write_audio(folder.root / "a.wav", np.full(16000, 0.1, dtype=np.float32), 16000)
    with pytest.raises(ValueError, match=r"1 clips have other audio .*first a\.wav"):
        pairs.check_audio(folder.root, list(RATES))


def test_broken_folders_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match=r"holds no manifest\.json; python -m pipelines\.export_mels writes one"):
        MelPairs.open(tmp_path)
    pairs = export(folder, tmp_path / "pairs", SAME)
    pairs.path("a.wav").write_bytes(pairs.path("a.wav").read_bytes()[:200])
    with pytest.raises(ValueError, match="missing or broken"):
        pairs.read("a.wav")
    manifest = tmp_path / "pairs" / "manifest.json"
    manifest.write_text(manifest.read_text()[:50])
    with pytest.raises(ValueError, match="is broken"):
        MelPairs.open(tmp_path / "pairs")


@pytest.mark.parametrize("mel", [SAME, CENTRED], ids=["same", "centred"])
@pytest.mark.parametrize("number", range(4))
def test_a_crop_is_the_mel_of_its_own_waveform(folder, tmp_path, mel, number):
    """Whatever the file's rate: away from the crop's edges, where the whole clip's windows see more."""
    pairs = export(folder, tmp_path / "pairs", mel)
    crops = PairedSegments(pairs, folder.root, folder.clips, frames=40, gain_db=(-6.0, 3.0))
    for seed in (1, 2, 3):
        item = crops[number, seed]
        assert item["waveform"].shape == (mel.num_samples(40),)
        own = LogMelSpectrogram(mel)(item["waveform"][None])[0]
        edge = mel.n_fft // mel.hop_length
        inside = slice(edge, -edge)
        # The gain lifts or lowers both, but not what BigVGAN's epsilon adds.
        assert float((own - item["log_mel"])[:, inside].abs().max()) < 0.02
    assert not torch.equal(crops[number, 1]["log_mel"], crops[number, 2]["log_mel"])


def test_beyond_the_end_there_is_silence_in_both(folder, tmp_path):
    pairs = export(folder, tmp_path / "pairs", SAME)
    item = PairedSegments(pairs, folder.root, folder.clips, frames=300, random_crop=False)[0]
    assert int(item["valid_samples"]) == 16000
    assert bool((item["waveform"][16000:] == 0.0).all())
    assert bool((item["log_mel"][:, 250:] == SAME.log_mel_floor).all())
    assert float(item["log_mel"][:, :250].mean()) > SAME.log_mel_floor + 2.0


def test_a_crop_draws_one_of_the_variants(folder, tmp_path):
    pairs = export(folder, tmp_path / "pairs", SAME, variants=3)
    crops = PairedSegments(pairs, folder.root, folder.clips, frames=40)
    own = LogMelSpectrogram(SAME)
    heights = set()
    for seed in range(12):
        item = crops[0, seed]
        heights.add(round(float((item["log_mel"] - own(item["waveform"][None])[0])[:, 4:-4].mean())))
    assert heights == {0, 1, 2}
    whole = PairedSegments(pairs, folder.root, folder.clips, frames=40, random_crop=False)[0]
    assert torch.equal(whole["log_mel"], pairs.read("a.wav", 0, 40, 0))


def test_beginnings_come_as_often_as_asked(folder, tmp_path):
    pairs = export(folder, tmp_path / "pairs", SAME)

    def first(share):
        crops = PairedSegments(pairs, folder.root, folder.clips, frames=40, beginnings=share)
        return sum(torch.equal(crops[0, seed]["log_mel"], pairs.read("a.wav", 0, 40, 0)) for seed in range(40))

    assert first(1.0) == 40
    assert first(0.0) < 5
    assert 8 < first(0.5) < 32


@pytest.mark.parametrize("name", RATES)
def test_a_stretch_is_cut_out_of_the_whole_resampled_clip(folder, name):
    waveform, rate = read_audio(folder.root / name)
    whole = waveform if rate == 16000 else resample(waveform, rate, 16000)
    for start, samples in ((0, 500), (37, 1000), (8001, 3000), (15900, 500)):
        stretch = read_stretch(folder.root / name, 16000, start, samples)
        expected = whole[start : start + samples]
        assert len(stretch) == len(expected)
        assert np.abs(stretch - expected).max() < 1e-5


def data(folder, mels, **settings):
    return VocoderData(folder.root, 16000, segment_seconds=0.2, batch_size=2, steps_per_epoch=3, mels=mels, **settings)


def test_batches_hold_waveform_and_mel_of_one_length(folder, tmp_path):
    export(folder, tmp_path / "pairs", CENTRED)
    module = data(folder, tmp_path / "pairs", validation_seconds=0.3)
    module.setup("fit")
    assert module.lineage["mel_kind"] == "decoded"
    batches = [*module.train_dataloader(), *module.val_dataloader()]
    lengths = {(batch["waveform"].shape[1], batch["log_mel"].shape[2]) for batch in batches}
    assert lengths == {(50 * 64, 51), (75 * 64, 76)}
    again = [*module.train_dataloader()]
    assert all(torch.equal(one["log_mel"], other["log_mel"]) for one, other in zip(batches, again, strict=False))


def test_without_mels_nothing_changes(folder):
    module = data(folder, None)
    dataset, _ = module.training_items()
    assert isinstance(dataset, AudioSegments)
    assert set(next(iter(module.train_dataloader()))) == {"waveform", "valid_samples"}
    assert "mels" not in module.lineage


def test_clips_without_a_pair_are_counted_and_left_out(folder, tmp_path, capsys):
    pairs = export(folder, tmp_path / "pairs", SAME)
    pairs.path("b.wav").unlink()
    module = data(folder, tmp_path / "pairs")
    module.setup("fit")
    assert "1 of 4 clips have no pair and are left out" in capsys.readouterr().err
    assert [clip.path.name for clip in module.validation_items().clips] == ["d.wav"]
    for name in ("a.wav", "c.wav"):
        pairs.path(name).unlink()
    with pytest.raises(ValueError, match="has no pair for 3 of 4 clips"):
        data(folder, tmp_path / "pairs").setup("fit")


def test_mels_of_another_rate_are_refused(folder, tmp_path):
    export(folder, tmp_path / "pairs", SAME)
    module = VocoderData(folder.root, 44100, mels=tmp_path / "pairs")
    with pytest.raises(ValueError, match=r"expected mels at 44100 Hz, .* has 16000 Hz"):
        module.setup("fit")


def test_transposed_crops_have_no_mels_of_their_own(folder, tmp_path):
    with pytest.raises(ValueError, match=r"data\.mels and data\.transpose contradict each other"):
        data(folder, tmp_path / "pairs", transpose=2.0)
    assert data(folder, None, transpose=2.0).training_items()[0].transpose == 2.0
