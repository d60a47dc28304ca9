"""Encoding a folder: what a kill leaves is used, and the latent file is the same as without the kill."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audio.latents import LatentFile
from autoencoder import encode, parts
from autoencoder.model import MelVAE, MelVAEConfig


class Counting(encode._Encoder):
    """Counts the pieces, and stops like Ctrl-C after a number of them."""

    calls = 0
    stop_after = 10**9

    def __call__(self, piece):
        type(self).calls += 1
        if self.calls > self.stop_after:
            raise KeyboardInterrupt
        return super().__call__(piece)


def run(monkeypatch, stage_files, folder: Path, out: Path, stop_after: int = 10**9, *options: str) -> int:
    """Encode; returns the pieces that were looked at, the two of the forecast included."""
    monkeypatch.setattr(encode, "PART_PIECES", 3)
    monkeypatch.setattr(encode, "_Encoder", Counting)
    Counting.calls, Counting.stop_after = 0, stop_after
    words = ["--checkpoint", str(stage_files["autoencoder"]), "--audio", str(folder), "--out", str(out)]
    code = encode.main([*words, "--max_seconds", "0.3", "--variants", "2", "--device", "cpu", *options])
    assert code == (0 if stop_after == 10**9 else 130)
    return Counting.calls


def test_a_kill_loses_one_part_at_most(sonic_pi_folder, stage_files, tmp_path, monkeypatch, capsys) -> None:
    whole, halves = tmp_path / "whole.safetensors", tmp_path / "halves.safetensors"
    everything = run(monkeypatch, stage_files, sonic_pi_folder, whole)
    assert "MiB of disk" in capsys.readouterr().err
    run(monkeypatch, stage_files, sonic_pi_folder, halves, 2 + 7)
    assert not halves.exists()
    capsys.readouterr()
    again = run(monkeypatch, stage_files, sonic_pi_folder, halves)
    assert again == everything - 6
    assert "going on: 2 of" in capsys.readouterr().err
    assert halves.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["halves.safetensors", "whole.safetensors"]


def test_parts_of_another_plan_are_not_used(sonic_pi_folder, stage_files, tmp_path, monkeypatch) -> None:
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    everything = run(monkeypatch, stage_files, sonic_pi_folder, first, 10**9, "--gain_db", "-3")
    run(monkeypatch, stage_files, sonic_pi_folder, second, 2 + 7)
    assert run(monkeypatch, stage_files, sonic_pi_folder, second, 10**9, "--gain_db", "-3") == everything
    assert second.read_bytes() == first.read_bytes()
    assert LatentFile.load(second).spec.channels == 8


def test_changed_audio_and_broken_parts_are_encoded_again(sonic_pi_folder, stage_files, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    for path in sorted(sonic_pi_folder.glob("bd_*.flac"))[:8]:
        shutil.copy(path, folder)
    out = tmp_path / "latents.safetensors"
    everything = run(monkeypatch, stage_files, folder, out)
    run(monkeypatch, stage_files, folder, out, 2 + 7)
    broken = tmp_path / "latents.safetensors.parts" / "00001.safetensors"
    broken.write_bytes(broken.read_bytes()[:100])
    assert run(monkeypatch, stage_files, folder, out) == everything - 3
    run(monkeypatch, stage_files, folder, out, 2 + 7)
    # The same name, length and loudness, another content.
    some = sorted(folder.glob("*.flac"))[3]
    signal, rate = soundfile.read(some)
    soundfile.write(some, -signal, rate)
    assert run(monkeypatch, stage_files, folder, out) == everything


def test_one_process_at_a_time(sonic_pi_folder, stage_files, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(parts, "LOCK_SECONDS", 0.1)
    out = tmp_path / "latents.safetensors"
    with parts.EncodedParts(tmp_path / "latents.safetensors.parts", {}).held():
        words = ["--checkpoint", str(stage_files["autoencoder"]), "--audio", str(sonic_pi_folder), "--out", str(out)]
        assert encode.main([*words, "--max_seconds", "0.3", "--device", "cpu"]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: another process encodes into")
    assert not out.exists()


def test_gains_are_what_a_channel_moves_in_nats(mel) -> None:
    network = MelVAE(mel, MelVAEConfig(4, width=8, encoder_blocks=(0, 0), decoder_blocks=(0, 0), linear_path=True))
    columns = network.decoder.linear.mix.weight[..., 0].detach()
    std = torch.tensor([1.0, 2.0, 0.1, 1e-9])
    means = [torch.randn(4, 7), torch.randn(4, 30), torch.randn(4, 1)]
    # The network beside the linear map starts at zero: what moves is a column, as often as the mel has numbers.
    expected = std * columns.square().mean(dim=0).sqrt() * network.config.mel_std
    assert torch.allclose(encode.channel_gains(network, means, std), expected.clamp(min=1e-6), rtol=1e-3)


def test_encoded_folders_tell_the_gains(sonic_pi_folder, stage_files, tmp_path, monkeypatch) -> None:
    run(monkeypatch, stage_files, sonic_pi_folder, tmp_path / "latents.safetensors")
    gains = LatentFile.load(tmp_path / "latents.safetensors").spec.gains
    assert len(gains) == 8
    assert min(gains) > 1e-4


def test_transposed_clips_are_written_with_their_captions_and_numbers(stage_files, tmp_path, monkeypatch) -> None:
    folder, rate = tmp_path / "audio", 44100
    folder.mkdir()
    rows = []
    for number in range(4):
        tone = 0.5 * np.sin(2.0 * np.pi * 440.0 * np.arange(rate // 4) / rate)
        soundfile.write(folder / f"{number}.wav", tone, rate)
        rows.append({"file_name": f"{number}.wav", "text": ["a horn, A4"], "pitch": 69.0, "recording": str(number)})
    (folder / "metadata.jsonl").write_text("".join(json.dumps({**row, "split": "train"}) + "\n" for row in rows))
    out = tmp_path / "latents.safetensors"
    run(monkeypatch, stage_files, folder, out, 10**9, "--transposed", "2", "--transpose", "3")
    file = LatentFile.load(out)
    own = [clip for clip in file.clips if clip.captions == ("a horn, A4",)]
    moved = [clip for clip in file.clips if clip not in own]
    # One clip is of the validation split, which is encoded once and as it is.
    assert (len(own), len(moved)) == (2 * 3 + 1, 2 * 3)
    for clip in moved:
        semitones = clip.numbers["pitch"] - 69.0
        speed = 2.0 ** (semitones / 12.0)
        assert 1.0 <= abs(semitones) <= 3.0
        assert clip.captions == (f"a horn, {moved_name(semitones)}",)
        assert clip.numbers["seconds"] == pytest.approx(0.25 / speed, rel=2e-3)
        assert clip.numbers["brightness"] == pytest.approx(own[0].numbers["brightness"] * speed, rel=2e-3)
        assert clip.gain_db == 0.0
        # What is encoded is as long as what is said of it, and another sound than at its own pitch.
        assert clip.sound_frames(file.spec.latent_rate) == math.ceil(clip.numbers["seconds"] * file.spec.latent_rate)
        latents = [file.mean[:, at.start + 2 : at.start + 6].float() for at in (own[0], clip)]
        assert float((latents[0] - latents[1]).abs().mean()) > 1e-3
    for name in {clip.file_name for clip in moved}:
        assert len({clip.numbers["pitch"] for clip in moved if clip.file_name == name}) == 2


def test_tilted_clips_are_written_with_their_brightness(sonic_pi_folder, stage_files, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "audio"
    folder.mkdir()
    rows = []
    for name in ("bd_haus", "drum_cowbell", "elec_bell", "ambi_choir"):
        shutil.copy(sonic_pi_folder / f"{name}.flac", folder)
        rows.append({"file_name": f"{name}.flac", "text": ["a bright hit", "a hit"], "split": "train"})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "latents.safetensors"
    run(monkeypatch, stage_files, folder, out, 10**9, "--tilted", "2", "--tilt_db", "5")
    file = LatentFile.load(out)
    for name in {clip.file_name for clip in file.clips if clip.split == "train"}:
        clips = [clip for clip in file.clips if clip.file_name == name]
        own = next(clip for clip in clips if not clip.tilt_db and not clip.gain_db)
        turned = sorted((clip for clip in clips if clip.tilt_db), key=lambda clip: clip.tilt_db)
        # One darker, one brighter, each with what is heard then, at its own level.
        assert [clip.tilt_db < 0.0 for clip in turned] == [True, False]
        assert turned[0].numbers["brightness"] < own.numbers["brightness"] < turned[1].numbers["brightness"]
        assert all(clip.numbers["loudness"] == own.numbers["loudness"] and not clip.gain_db for clip in turned)
        # Words of its colour may hold no longer.
        assert own.captions == ("a bright hit", "a hit")
        assert all(clip.captions == ("a hit",) for clip in turned)
        latents = [file.mean[:, at.start + 2 : at.start + 6].float() for at in (own, *turned)]
        assert float((latents[0] - latents[1]).abs().mean()) > 1e-3
        assert float((latents[0] - latents[2]).abs().mean()) > 1e-3
    words = ["--checkpoint", str(stage_files["autoencoder"]), "--audio", str(folder), "--out", str(out)]
    assert encode.main([*words, "--tilted", "1", "--tilt_db", "40"]) == 2
    assert "tilt_db 0 to 12" in capsys.readouterr().err


def moved_name(semitones: float) -> str:
    return {-3: "F#4", -2: "G4", -1: "G#4", 1: "A#4", 2: "B4", 3: "C5"}[round(semitones)]


def test_transpositions_that_cannot_be_are_refused(stage_files, tmp_path, sonic_pi_folder, capsys) -> None:
    words = ["--checkpoint", str(stage_files["autoencoder"]), "--audio", str(sonic_pi_folder)]
    words += ["--out", str(tmp_path / "latents.safetensors")]
    assert encode.main([*words, "--transposed", "1", "--transpose", "40"]) == 2
    assert "expected transposed >= 0 and transpose 1 to 12 semitones, got 1, 40" in capsys.readouterr().err


def test_a_place_that_no_file_can_have_is_refused_before_anything_is_encoded(
    sonic_pi_folder, stage_files, tmp_path, capsys
) -> None:
    taken = tmp_path / "taken.safetensors"
    taken.mkdir()
    words = ["--checkpoint", str(stage_files["autoencoder"]), "--audio", str(sonic_pi_folder)]
    assert encode.main([*words, "--out", str(taken)]) == 2
    assert f"a file to write, got the folder '{taken}'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [taken]
