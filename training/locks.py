"""One process at a time in a folder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout


@contextlib.contextmanager
def held_folder(folder: Path, seconds: float, busy: str) -> Iterator[None]:
    """Make the folder and keep other processes out; the system lets go when the process dies, however it dies.

    Args:
        folder: to hold.
        seconds: to wait for another process.
        busy: what to say when it does not let go.

    Raises:
        ValueError: another process holds the folder, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / ".lock", timeout=seconds)
        lock.acquire()
    except Timeout as error:
        raise ValueError(busy) from error
    except OSError as error:
        raise ValueError(f"'{folder}' cannot be written ({error.strerror})") from error
    try:
        # The process that was waited for may have removed it.
        folder.mkdir(exist_ok=True)
        yield
    finally:
        lock.release()
