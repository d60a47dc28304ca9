"""`python -m vocoder.export --checkpoint C --out vocoder.onnx`: a vocoder as a file that needs neither torch nor us.

In: `log_mel`, `(batch, n_mels, frames)`, natural log. Out: `waveform`, `(batch, samples)`. Batch and frames are free.
"""

import sys
from pathlib import Path

from training.checkpoint import StageRecord
from training.command import answer, run_command, say
from vocoder.generators import load_generator
from vocoder.onnx_file import Wire, check_target, example_mels, write_onnx
from vocoder.onnx_network import exportable


def export(checkpoint: Path, out: Path) -> None:
    """Write a vocoder as an ONNX file, after ONNX Runtime has been heard to agree with torch.

    Args:
        checkpoint: a vocoder's .ckpt or .safetensors.
        out: file to write, .onnx.

    Raises:
        ValueError: a wrong checkpoint, a missing package, or a file that differs from torch by more than 1e-4.
    """
    check_target(out)
    vocoder = load_generator(checkpoint)
    say("exporting and comparing, about a minute")
    record = vocoder.record or StageRecord("vocoder", vocoder.to_config())
    metadata = {
        "kind": "vocoder",
        "input": "log_mel (batch, n_mels, frames), natural log, of the contract in mel",
        "output": "waveform (batch, samples), float32",
        "mel": vocoder.mel.to_dict(),
        "fingerprint": record.fingerprint,
        "licences": record.licences,
    }
    wire = Wire("log_mel", 2, example_mels(vocoder.mel))
    agreement = write_onnx(exportable(vocoder), vocoder.decode, wire, metadata, out)
    for line in agreement.lines():
        answer(line)
    answer(str(out))


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m vocoder.export`."""
    return run_command(export, arguments, program="python -m vocoder.export")


if __name__ == "__main__":
    sys.exit(main())
