"""Ctrl-C gets through where a library swallows it or turns it into an error of its own."""

import contextlib
import signal
import sys
from collections.abc import Iterator

import pytest

from pipelines.progress import bar
from training.command import run_command
from training.interrupts import interrupted, noted_interrupts, stop_if_interrupted

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture(autouse=True)
def hearing() -> Iterator[None]:
    """A gate that runs in the background is deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def swallowed() -> None:
    with contextlib.suppress(BaseException):
        signal.raise_signal(signal.SIGINT)


def test_a_swallowed_ctrl_c_stops_the_next_round() -> None:
    rounds = []

    def work() -> None:
        for number in bar("working")(range(5)):
            rounds.append(number)
            swallowed()

    assert run_command(work, []) == 130
    assert rounds == [0]


def test_a_ctrl_c_that_became_another_error_is_still_one(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        swallowed()
        raise ValueError("could not determine the shape of object type")

    assert run_command(work, []) == 130
    assert capsys.readouterr().err == "stopped\n"


def test_the_handler_goes_with_the_command_and_an_old_wish_is_forgotten() -> None:
    with noted_interrupts():
        swallowed()
        assert interrupted()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with noted_interrupts():
        assert not interrupted()
        stop_if_interrupted()


def test_a_handler_of_somebody_else_stays() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with noted_interrupts():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
