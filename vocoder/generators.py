"""Which generator a checkpoint holds: its stored config says so; one that says nothing is a Vocos."""

from pathlib import Path

from training.checkpoint import load_stage
from vocoder.generator import KIND, Generator
from vocoder.upsampling import GENERATOR, UpsamplingGenerator
from vocoder.vocos import PriorVocos

GENERATORS: dict[str | None, type[Generator]] = {None: PriorVocos, GENERATOR: UpsamplingGenerator}


def load_generator(path: Path) -> Generator:
    """Load any generator of ours from a Lightning checkpoint or a released safetensors file, ready to decode.

    Args:
        path: ends in .ckpt or .safetensors.

    Raises:
        ValueError: the file is missing, broken, not a vocoder of ours, or of a kind that this version does not know.
    """
    path = Path(path)
    record, weights = load_stage(path, KIND)
    name = record.config.get("generator")
    if name not in GENERATORS:
        raise ValueError(f"'{path}' holds a generator '{name}', this version knows vocos and {GENERATOR}")
    return GENERATORS[name].from_stage(record, weights, path)
