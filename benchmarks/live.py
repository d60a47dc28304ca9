"""`python -m benchmarks.live`: does a long generated stream need more memory than a short one, and does it keep up?

Each length is streamed by `generate.py --stream pcm` in a process of its own, whose output is thrown away. Told
are the most that the process held, the time to the first sound, and seconds of computing for a second of sound.
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from training.command import run_command

LENGTHS = (20, 60, 180)
BLOCK = 65_536
PEAK = (
    "import sys;from pipelines.generate import main;from pipelines.process_memory import peak_mib;c=main(sys.argv[1:]);"
)
PEAK += "print(f'peak {peak_mib()}',file=sys.stderr);sys.exit(c)"


def live(model: Path | None = None, solver_steps: int = 4, lengths: tuple[int, ...] = LENGTHS) -> None:
    """Stream several lengths and print what they cost.

    Args:
        model: folder of a bundle; the bundled model when left out.
        solver_steps: of the solver; few, for memory does not depend on them.
        lengths: of the streams, in seconds.
    """
    table = Table("seconds", "peak MiB", "over the shortest", "first sound after s", "s a second", title="Streams")
    shortest = 0.0
    for length in lengths:
        peak, first, whole = streamed(model, solver_steps, length)
        shortest = shortest or peak
        row = (f"{peak:.0f}", f"{peak / shortest:.2f}", f"{first:.1f}", f"{whole / length:.2f}")
        table.add_row(str(length), *row)
    Console().print(table)


def streamed(model: Path | None, solver_steps: int, seconds: int) -> tuple[float, float, float]:
    """Peak memory in MiB, seconds to the first sound, and to the last, of one stream."""
    words = [
        "--prompt",
        "a warm synth pad",
        "--seconds",
        str(seconds),
        "--seed",
        "1",
        "--solver_steps",
        str(solver_steps),
    ]
    words += ["--stream", "pcm", "--device", "cpu", *(["--model", str(model)] if model else [])]
    began, first = time.perf_counter(), 0.0
    process = subprocess.Popen([sys.executable, "-c", PEAK, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if process.stdout is None or process.stderr is None:
        raise RuntimeError("the child has no pipes")
    while process.stdout.read1(BLOCK):
        first = first or time.perf_counter() - began
    told = process.stderr.read().decode()
    if process.wait():
        raise ValueError(told.strip().splitlines()[-1])
    peaks = [float(line.split()[1]) for line in told.splitlines() if line.startswith("peak ")]
    return statistics.fmean(peaks), first, time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(run_command(live, program="python -m benchmarks.live"))
