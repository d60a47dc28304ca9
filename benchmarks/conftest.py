"""Times that mean something elsewhere: each is a ratio to a peer or a ceiling, measured in the very same rounds.

A machine that is busy, hot or small slows both sides of a ratio. So a round runs every peer once, then the candidate,
and what is reported is the median over the rounds of their quotient. Nothing is asserted; a table ends the run.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from audio.mel import MelConfig

ROOT = Path(__file__).resolve().parents[1]
ROWS = pytest.StashKey[list["Row"]]()
Work = Callable[[], Any]


@dataclass(frozen=True)
class Row:
    """One line of the table: what was timed, and how it compares."""

    group: str
    name: str
    seconds: float
    readings: tuple[str, ...] = ()


@dataclass
class Rounds:
    """Times of a candidate and its peers, round by round."""

    candidate: list[float] = field(default_factory=list)
    peers: dict[str, list[float]] = field(default_factory=dict)

    def speed(self, peer: str) -> float:
        """How many times as fast as the peer."""
        return statistics.median(p / own for p, own in zip(self.peers[peer], self.candidate, strict=True))

    def cost(self, peer: str) -> float:
        """How many times the peer's time."""
        return 1.0 / self.speed(peer)

    @property
    def seconds(self) -> float:
        return statistics.median(self.candidate)


class Bench:
    """Runs a candidate and its peers in turn, and keeps the rows of the table."""

    def __init__(self, benchmark: Any, rows: list[Row]) -> None:
        self.benchmark = benchmark
        self.rows = rows

    def measure(self, candidate: Work, peers: Mapping[str, Work], rounds: int) -> Rounds:
        result = Rounds(peers={name: [] for name in peers})

        def run_peers() -> None:
            for name, peer in peers.items():
                started = time.perf_counter()
                peer()
                result.peers[name].append(time.perf_counter() - started)

        self.benchmark.pedantic(candidate, setup=run_peers, rounds=rounds, iterations=1, warmup_rounds=1)
        if self.benchmark.stats is None:
            pytest.skip("benchmarks are disabled")
        result.candidate = list(self.benchmark.stats.stats.data)
        # The peers of the warm-up round have no candidate.
        result.peers = {name: times[-len(result.candidate) :] for name, times in result.peers.items()}
        return result

    def report(self, group: str, name: str, seconds: float, *readings: str) -> None:
        self.benchmark.extra_info["readings"] = list(readings)
        self.rows.append(Row(group, name, seconds, readings))

    def skip(self, group: str, name: str, reason: str) -> None:
        self.rows.append(Row(group, name, 0.0, (f"skipped: {reason}",)))
        pytest.skip(reason)


@pytest.fixture
def bench(benchmark: Any, request: pytest.FixtureRequest) -> Iterator[Bench]:
    torch.manual_seed(0)
    return Bench(benchmark, request.config.stash[ROWS])


@pytest.fixture(scope="session")
def mel() -> MelConfig:
    """The mel of the bundled model."""
    return MelConfig.from_yaml(ROOT / "configs/mel/bigvgan_44khz.yaml")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    # Its own table has absolute times alone.
    config.option.benchmark_quiet = True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(ROWS, [])
    if not rows:
        return
    terminalreporter.section(f"ratios ({torch.get_num_threads()} threads, torch {torch.__version__})")
    width = max(len(row.name) for row in rows)
    for index, row in enumerate(rows):
        if index == 0 or rows[index - 1].group != row.group:
            terminalreporter.write_line(row.group)
        shown = f"{1e3 * row.seconds:9.1f} ms" if row.seconds else " " * 12
        terminalreporter.write_line(f"  {row.name:{width}} {shown}   " + "; ".join(row.readings))
