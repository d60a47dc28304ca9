"""How much memory a vocoder takes: measured in a process of its own, which loads it and decodes one clip.

Counted is the growth of the largest resident size, from just before the vocoder is made to just after it has decoded:
the modules that it imports, its weights, and its working memory. Not counted are Python, torch and the mel. On CUDA the
device's largest allocation is counted instead.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from audio.mel import MelConfig
from pipelines.comparison_vocoders import Contestant, Recipe, enter
from pipelines.process_memory import MEBIBYTE, peak_mib, start_mib
from training.command import answer

KEY = "log_mel"


@dataclass(frozen=True)
class Memory:
    """What was measured.

    Args:
        mebibytes: None where it cannot be had.
        reason: why not.
    """

    mebibytes: float | None
    reason: str = ""


def peak_memory(contestant: Contestant, log_mel: Tensor) -> Memory:
    """Load a vocoder anew in a child process and let it decode a clip there.

    Args:
        contestant: whose recipe is followed.
        log_mel: the clip, `(1, n_mels, frames)`.
    """
    recipe = contestant.recipe
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.safetensors"
        save_file({KEY: log_mel.float().cpu().contiguous()}, clip)
        order: dict[str, Any] = {
            "name": recipe.name,
            "target": recipe.target,
            "arguments": dict(recipe.arguments),
            "mel": contestant.mel.to_dict(),
            "device": str(contestant.device),
            "threads": torch.get_num_threads(),
            "clip": str(clip),
        }
        # It finds what this process finds, in the same order.
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        child = subprocess.run(
            [sys.executable, "-P", "-m", "pipelines.comparison_memory"],
            input=json.dumps(order, default=str),
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONPATH": paths},
        )
    # A vocoder may print: the answer is the last line.
    lines = child.stdout.strip().splitlines()
    try:
        found = json.loads(lines[-1])
        return Memory(found["mebibytes"], str(found["reason"]))
    except (IndexError, KeyError, TypeError, json.JSONDecodeError):
        return Memory(None, f"its own process ended with code {child.returncode}")


def measure_here(order: dict[str, Any]) -> Memory:
    """What the child does."""
    device = torch.device(order["device"])
    torch.set_num_threads(order["threads"])
    log_mel = load_file(order["clip"])[KEY].to(device)
    recipe = Recipe(order["name"], order["target"], order["arguments"])
    if device.type != "cuda" and peak_mib() is None:
        return Memory(None, "this system does not tell")
    before = start_mib()
    try:
        enter(recipe, MelConfig.from_dict(order["mel"]), device).decode(log_mel)
    except ValueError as error:
        return Memory(None, str(error))
    if device.type == "cuda":
        return Memory(torch.cuda.max_memory_allocated(device) / MEBIBYTE)
    return Memory(max(0.0, (peak_mib() or 0.0) - before))


if __name__ == "__main__":
    measured = measure_here(json.loads(sys.stdin.read()))
    answer(json.dumps({"mebibytes": measured.mebibytes, "reason": measured.reason}))
