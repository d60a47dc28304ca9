"""How long until something happens, in fresh processes, beside a bare `import torch`."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.conftest import ROOT, Bench, Work

GROUP = "start-up"
TORCH = "import torch"


def child(*words: str) -> Work:
    """A fresh process from the root of the checkout; what it prints is thrown away."""
    return lambda: subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=True)


@pytest.mark.parametrize("name", ["generate.py --help", "generate.py, first clip"])
def test_start_up(name: str, bench: Bench, tmp_path: Path) -> None:
    command = ["generate.py", "--help"]
    if "first clip" in name:
        if not (ROOT / "bundles/oneshots/bundle.json").is_file():
            bench.skip(GROUP, name, "bundles/oneshots is not there")
        command = ["generate.py", "--prompt", "a bright bell", "--seed", "0", "--out", str(tmp_path)]
    rounds = bench.measure(child(*command), {TORCH: child("-c", TORCH)}, rounds=3)
    bench.report(GROUP, name, rounds.seconds, f"{rounds.cost(TORCH):.2f} x the time of `{TORCH}`")
