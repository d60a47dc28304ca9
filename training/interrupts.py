"""Ctrl-C that gets through.

Python raises `KeyboardInterrupt` wherever the main thread happens to be. Where that is inside a library's import, a
finaliser or a C callback, it is turned into another error or swallowed, and the program would go on for hours. So the
wish is noted as well, and long loops ask for it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_asked = threading.Event()


@contextmanager
def noted_interrupts() -> Iterator[None]:
    """Note Ctrl-C as well as raise it, as long as this lasts; a handler that somebody else set stays."""
    _asked.clear()
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, _note)
    try:
        yield
    finally:
        if ours and signal.getsignal(signal.SIGINT) is _note:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def interrupted() -> bool:
    """Whether Ctrl-C was pressed since the command began."""
    return _asked.is_set()


def stop_if_interrupted() -> None:
    """What long loops call once a round.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed and somebody swallowed it.
    """
    if _asked.is_set():
        raise KeyboardInterrupt


def _note(_signal: int, _frame: FrameType | None) -> None:
    _asked.set()
    raise KeyboardInterrupt
