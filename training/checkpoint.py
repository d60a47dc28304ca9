"""Checkpoints: which stage this is, what it was made of, and weights that load without executing anything.

Two containers carry the same stage record. A Lightning checkpoint (`.ckpt`) holds it under `stage_record`, beside
optimisers and loops; a released stage (`.safetensors`) holds it in its header. Both are read here, weights only: a
pickle that wants to run code is refused.
"""

import hashlib
import json
import pickle
import zipfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from audio.files import write_aside

RECORD_KEY = "stage_record"
RECORD_FORMAT = 1
WEIGHTS_PREFIX = "model."
KINDS = ("autoencoder", "latent_diffusion", "vocoder")


@dataclass(frozen=True)
class StageRecord:
    """Who a stage is. Plain containers only.

    Args:
        kind: one of `KINDS`, or mel_adapter, which is no part of a bundle.
        config: everything needed to build the network again, mel contract included.
        fingerprint: sixteen hex digits of config and weights, as first saved (kept when weights are stored in fp16).
        parts: fingerprints of named parts of the network, such as the encoder.
        lineage: fingerprints of what it was trained on.
        licences: of its training data.
        training: facts about its training: steps, seconds, validation metric.
        format: version of this record.
    """

    kind: str
    config: dict[str, Any]
    fingerprint: str = ""
    parts: dict[str, str] = field(default_factory=dict)
    lineage: dict[str, Any] = field(default_factory=dict)
    licences: list[str] = field(default_factory=list)
    training: dict[str, Any] = field(default_factory=dict)
    format: int = RECORD_FORMAT

    def to_dict(self) -> dict[str, Any]:
        """Plain containers."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any], path: Path) -> "StageRecord":
        """The inverse of `to_dict`.

        Raises:
            ValueError: a newer format, or fields that are missing.
        """
        if not isinstance(values, dict) or "kind" not in values:
            raise ValueError(f"'{path}' holds no stage record: it was not made by this project")
        if values.get("format", 0) > RECORD_FORMAT:
            raise ValueError(f"'{path}' has record format {values['format']}, this version reads up to {RECORD_FORMAT}")
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"'{path}': broken stage record ({error})") from error

    def sealed(self, weights: dict[str, Tensor]) -> "StageRecord":
        """This record with the fingerprints of `weights` filled in."""
        parts = {
            name: weights_fingerprint({key: value for key, value in weights.items() if key.startswith(f"{name}.")})
            for name in self.parts
        }
        return replace(self, fingerprint=weights_fingerprint(weights, self.config), parts=parts)


def weights_fingerprint(weights: dict[str, Tensor], config: dict[str, Any] | None = None) -> str:
    """Sixteen hex digits that change with any weight and any field of the config."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode() if config else b"")
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def seal_checkpoint(checkpoint: dict[str, Any]) -> None:
    """Fill in the fingerprints of a Lightning checkpoint that is about to be written (averaged weights included)."""
    if RECORD_KEY not in checkpoint:
        return
    record = StageRecord(**checkpoint[RECORD_KEY])
    sealed = record.sealed(stage_weights(checkpoint["state_dict"]))
    # A frozen part is the one it came from, also where that was released in 16 bits and its digits are no longer all.
    frozen = {name: fingerprint for name, fingerprint in record.parts.items() if fingerprint}
    checkpoint[RECORD_KEY] = replace(sealed, parts={**sealed.parts, **frozen}).to_dict()


def stage_weights(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The stage's own weights of a training state dict: discriminators and metrics left out, prefix removed."""
    start = len(WEIGHTS_PREFIX)
    return {key[start:]: value for key, value in state_dict.items() if key.startswith(WEIGHTS_PREFIX)}


def load_stage(path: Path, kind: str) -> tuple[StageRecord, dict[str, Tensor]]:
    """Read a stage from a Lightning checkpoint or a released safetensors file.

    Args:
        path: ends in .ckpt or .safetensors.
        kind: what it must be.

    Returns:
        the record, and the weights in float32.

    Raises:
        ValueError: missing, truncated, malicious or foreign file, another kind of stage, or a newer format.
    """
    record, weights = read_stage(path)
    if record.kind != kind:
        raise ValueError(f"'{path}' is a checkpoint of stage '{record.kind}', expected '{kind}'")
    return record, weights


def read_stage(path: Path) -> tuple[StageRecord, dict[str, Tensor]]:
    """A stage of any kind; otherwise as `load_stage`."""
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"checkpoint '{path}' does not exist")
    if path.suffix == ".safetensors":
        record, weights = _load_safetensors(path)
    else:
        checkpoint = load_checkpoint(path)
        record = StageRecord.from_dict(checkpoint.get(RECORD_KEY, {}), path)
        weights = stage_weights(checkpoint["state_dict"])
    return record, {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a whole Lightning checkpoint, weights only.

    Raises:
        ValueError: the file is truncated, foreign, or a pickle that wants to run code.
    """
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"'{path}' was refused: it is not a plain checkpoint (a pickle may run code)") from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"'{path}' is truncated or not a checkpoint") from error
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ValueError(f"'{path}' is not a training checkpoint of this project")
    return checkpoint


def save_stage(path: Path, record: StageRecord, weights: dict[str, Tensor], dtype: torch.dtype) -> None:
    """Write a released stage: safetensors with the record in its header.

    Args:
        path: ends in .safetensors.
        record: kept as it is; the fingerprint stays that of the trained weights.
        weights: of the stage.
        dtype: stored type of floating-point weights.

    Raises:
        ValueError: the file cannot be written.
    """
    stored = {
        name: (value.to(dtype) if value.is_floating_point() else value).contiguous().clone()
        for name, value in weights.items()
    }
    with write_aside(path) as aside:
        save_file(stored, aside, metadata={RECORD_KEY: json.dumps(record.to_dict())})


def load_weights(module: torch.nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Put weights into a network; every key must match.

    Raises:
        ValueError: names the first missing, unexpected or misshapen weight.
    """
    own = module.state_dict()
    missing, unexpected = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    if missing or unexpected:
        raise ValueError(
            f"'{path}': {len(missing)} weights missing ({', '.join(missing[:2]) or 'none'}), "
            f"{len(unexpected)} unexpected ({', '.join(unexpected[:2]) or 'none'})"
        )
    for name, value in weights.items():
        if value.shape != own[name].shape:
            raise ValueError(
                f"'{path}': weight {name} has shape {tuple(value.shape)}, expected {tuple(own[name].shape)}"
            )
    module.load_state_dict(weights)


def config_differences(old: Any, new: Any, name: str = "") -> list[str]:  # noqa: ANN401
    """Leaves in which two plain configs differ, as `path: old != new`."""
    if isinstance(old, dict) and isinstance(new, dict):
        result = []
        for key in sorted(set(old) | set(new)):
            result += config_differences(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
        return result
    old, new = (list(value) if isinstance(value, tuple) else value for value in (old, new))
    return [] if old == new else [f"{name}: {old} != {new}"]


def _load_safetensors(path: Path) -> tuple[StageRecord, dict[str, Tensor]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"'{path}' is truncated or not a safetensors file") from error
    if RECORD_KEY not in header:
        raise ValueError(f"'{path}' holds no stage record: it was not made by this project")
    try:
        values = json.loads(header[RECORD_KEY])
    except json.JSONDecodeError as error:
        raise ValueError(f"'{path}': broken stage record") from error
    return StageRecord.from_dict(values, path), weights
