"""Fetch the files of a Debian package into a cache, as root or not, on any system that has apt.

`apt-get download` and `dpkg-deb -x` need no rights; only refreshing apt's lists does, and for that a private copy of
the lists in the cache serves. A package is unpacked aside and renamed, so two processes may fetch the same one.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from audio.cache import default_cache

PATIENCE_SECONDS = 1800


def package_folder(name: str, cache: Path | None = None) -> Path:
    """Where the unpacked files of a package lie, or will lie."""
    return (cache or default_cache()) / "packages" / name


def missing_packages(names: list[str], cache: Path | None = None) -> list[str]:
    """Those of `names` that are not in the cache yet."""
    return [name for name in names if not package_folder(name, cache).is_dir()]


def require_apt(names: list[str], cache: Path | None = None) -> None:
    """Check that all packages can be had before the first one is fetched.

    Raises:
        ValueError: some are not cached and this system has no apt; all of them are named.
    """
    missing = missing_packages(names, cache)
    if not missing or (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        return
    folder = package_folder("NAME", cache)
    raise ValueError(
        f"this system has no apt to fetch the Debian packages {', '.join(missing)}; "
        f"unpack each of them (dpkg-deb -x NAME.deb '{folder}') and start again"
    )


def fetch_package(name: str, cache: Path | None = None) -> Path:
    """Give the folder with the unpacked files of a Debian package, fetching it where it is not cached.

    Args:
        name: the package's name, such as "sonic-pi-samples".
        cache: the cache folder; see `audio.cache`.

    Raises:
        ValueError: there is no apt, the package cannot be downloaded or unpacked, or the cache cannot be written.
    """
    target = package_folder(name, cache)
    if target.is_dir():
        return target
    require_apt([name], cache)
    with unpacked_aside(target) as unpacked:
        archive = _download(name, unpacked.parent)
        _run(["dpkg-deb", "-x", str(archive), str(unpacked)], unpacked.parent, f"cannot unpack '{name}'")
        unpacked.chmod(0o755)
    return target


@contextmanager
def unpacked_aside(target: Path) -> Iterator[Path]:
    """Where to unpack what becomes `target` when the block ends well; its parent is a scratch folder.

    Raises:
        ValueError: the cache cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
            yield Path(scratch) / "unpacked"
            rename_unless_there(Path(scratch) / "unpacked", target)
    except OSError as error:
        raise ValueError(f"cache '{target.parent}': cannot be written ({error.strerror or error})") from error


def install_package(name: str) -> bool:
    """Install a package with apt where this process may; tell whether that worked."""
    if not (shutil.which("apt-get") and os.name == "posix" and os.geteuid() == 0):
        return False
    command = ["apt-get", "install", "-y", "-q", "--no-install-recommends", name]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for attempt in (command, ["apt-get", "update", "-q"], command):
        done = subprocess.run(attempt, env=environment, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        if attempt is command and done.returncode == 0:
            return True
    return False


def _download(name: str, scratch: Path) -> Path:
    """Download the package's archive; refresh apt's lists (privately, without root) where they lack it."""
    # As root apt would drop to a user that may not write here; APT::Sandbox::User keeps it.
    download = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root"]
    try:
        _run([*download, name], scratch, "")
    except ValueError:
        private = _private_lists(scratch)
        _run(["apt-get", "update", "-q", *private], scratch, f"cannot fetch '{name}': apt's lists cannot be refreshed")
        _run([*download, *private, name], scratch, f"cannot fetch the Debian package '{name}'")
    archives = sorted(scratch.glob("*.deb"))
    if not archives:
        raise ValueError(f"cannot fetch the Debian package '{name}': apt-get download left no archive")
    return archives[0]


def _private_lists(scratch: Path) -> list[str]:
    """Options that make apt keep its lists and caches in the scratch folder."""
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (scratch / folder).mkdir(parents=True, exist_ok=True)
    return [
        "-o", f"Dir::State={scratch / 'state'}",
        "-o", f"Dir::Cache={scratch / 'cache'}",
        "-o", "Dir::State::status=/var/lib/dpkg/status",
        "-o", "APT::Sandbox::User=root",
    ]  # fmt: skip


def _run(command: list[str], folder: Path, complaint: str) -> None:
    """Run a command in `folder`; its last line of complaint goes into the error.

    Raises:
        ValueError: it failed or took too long.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{complaint}: no answer within {PATIENCE_SECONDS // 60} minutes") from error
    if done.returncode:
        lines = [line[2:].strip() for line in done.stderr.splitlines() if line.startswith("E:")] or ["no reason given"]
        raise ValueError(f"{complaint} ({lines[-1]})")


def rename_unless_there(source: Path, target: Path) -> None:
    """Move a finished folder to its name; where another process was faster, keep that one's."""
    try:
        source.rename(target)
    except OSError:
        if not target.is_dir():
            raise
