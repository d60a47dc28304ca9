"""Checkpoints: what is refused, and that nothing is executed."""

import json
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from autoencoder.model import MelVAE
from training.checkpoint import RECORD_FORMAT, RECORD_KEY, StageRecord, load_stage, save_stage, weights_fingerprint


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.target,))


def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    target = tmp_path / "owned"
    for name, content in (("plain.ckpt", None), ("zip.ckpt", "zip")):
        path = tmp_path / name
        if content:
            torch.save({"state_dict": {}, "x": Evil(target)}, path)
        else:
            path.write_bytes(pickle.dumps(Evil(target)))
        with pytest.raises(ValueError, match=r"refused|truncated"):
            load_stage(path, "autoencoder")
    assert not target.exists()


def test_truncated_foreign_and_missing_files_are_refused(tmp_path: Path, stage_files: dict[str, Path]) -> None:
    whole = stage_files["autoencoder"].read_bytes()
    for name, content in (
        ("cut.safetensors", whole[: len(whole) // 2]),
        ("cut.ckpt", whole[:1000]),
        ("empty.ckpt", b""),
        ("text.safetensors", b"hello"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=name) as caught:
            load_stage(path, "autoencoder")
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="does not exist"):
        load_stage(tmp_path / "none.ckpt", "autoencoder")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="no stage record"):
        load_stage(tmp_path / "foreign.safetensors", "autoencoder")
    torch.save({"model": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(ValueError, match="not a training checkpoint"):
        load_stage(tmp_path / "foreign.ckpt", "autoencoder")


def test_another_stage_and_a_newer_format_are_named(tmp_path: Path, stage_files: dict[str, Path]) -> None:
    with pytest.raises(ValueError, match="stage 'vocoder', expected 'autoencoder'"):
        load_stage(stage_files["vocoder"], "autoencoder")
    record, weights = load_stage(stage_files["autoencoder"], "autoencoder")
    newer = {**record.to_dict(), "format": RECORD_FORMAT + 1}
    save_file(weights, tmp_path / "new.safetensors", metadata={RECORD_KEY: json.dumps(newer)})
    with pytest.raises(ValueError, match=f"format {RECORD_FORMAT + 1}"):
        load_stage(tmp_path / "new.safetensors", "autoencoder")


def test_missing_and_misshapen_weights_are_named(tmp_path: Path, stage_files: dict[str, Path]) -> None:
    record, weights = load_stage(stage_files["autoencoder"], "autoencoder")
    lacking = dict(weights)
    lacking.pop("encoder.0.weight")
    save_stage(tmp_path / "lacking.safetensors", record, lacking, torch.float32)
    with pytest.raises(ValueError, match=r"1 weights missing \(encoder\.0\.weight"):
        MelVAE.from_checkpoint(tmp_path / "lacking.safetensors")
    save_stage(tmp_path / "bent.safetensors", record, {**weights, "encoder.0.weight": torch.zeros(2, 2)}, torch.float32)
    with pytest.raises(ValueError, match=r"encoder\.0\.weight has shape \(2, 2\)"):
        MelVAE.from_checkpoint(tmp_path / "bent.safetensors")


def test_storing_in_half_precision_keeps_the_fingerprint(tmp_path: Path, stage_files: dict[str, Path]) -> None:
    record, weights = load_stage(stage_files["autoencoder"], "autoencoder")
    save_stage(tmp_path / "half.safetensors", record, weights, torch.float16)
    again, halved = load_stage(tmp_path / "half.safetensors", "autoencoder")
    assert again == record
    assert {value.dtype for value in load_file(tmp_path / "half.safetensors").values()} == {torch.float16}
    assert all(torch.allclose(halved[name], weights[name], atol=2e-3) for name in weights)


def test_fingerprints_change_with_weights_config_and_part(stage_files: dict[str, Path]) -> None:
    record, weights = load_stage(stage_files["autoencoder"], "autoencoder")
    assert record.fingerprint == weights_fingerprint(weights, record.config)
    decoder = {**weights, "decoder.0.bias": weights["decoder.0.bias"] + 1.0}
    changed = record.sealed(decoder)
    assert changed.fingerprint != record.fingerprint
    assert changed.parts == record.parts
    encoder = record.sealed({**weights, "encoder.0.bias": weights["encoder.0.bias"] + 1.0})
    assert encoder.parts != record.parts
    other = StageRecord("autoencoder", {**record.config, "x": 1}).sealed(weights)
    assert other.fingerprint != record.fingerprint
