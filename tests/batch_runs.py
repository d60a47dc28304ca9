"""A small table of prompts, and the command that makes it."""

from pathlib import Path

from pipelines.batch import main

QUICK = ["--solver_steps", "2", "--device", "cpu", "--seed", "5"]
TABLE = """prompt,seconds,pitch,loudness,label
a deep kick,0.3,,,
"a bell, bright",0.6,A4,-12,
a snare,,,,kick
a deep kick,0.2,,,
"""


def run(small_bundle: Path, table: Path, out: Path, *options: str) -> int:
    """Exit code of `python -m pipelines.batch`; rows without a length are short."""
    return main([str(table), "--model", str(small_bundle), "--out", str(out), *QUICK, "--seconds", "0.4", *options])
