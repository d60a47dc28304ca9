"""An ONNX file that has been heard: written aside, run in ONNX Runtime beside torch, and named only if both agree.

largest difference = max |ONNX Runtime - torch|  over batches and lengths it was not traced with,  at most 1e-4
"""

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from audio.files import write_aside
from audio.mel import LogMelSpectrogram, MelConfig

TOLERANCE = 1e-4
OPSET = 18
PREFIX = "melisma."
# More frames or clips than this in one call are refused by nobody, but the exporter wants a bound.
MOST_FRAMES, MOST_CLIPS = 2**22, 2**16
ROUNDS = 5


@dataclass(frozen=True)
class Wire:
    """What goes into a file.

    Args:
        name: of the input.
        shortest: fewest frames.
        examples: inputs `(batch, channels, frames)` of several batches and lengths; the last one is timed.
    """

    name: str
    shortest: int
    examples: Sequence[Tensor]


@dataclass(frozen=True)
class Agreement:
    """How a file compares with torch.

    Args:
        difference: largest, over all examples.
        onnx_seconds: of one run, median.
        torch_seconds: of the same in torch, in turn with it, median.
        mebibytes: of the file.
    """

    difference: float
    onnx_seconds: float
    torch_seconds: float
    mebibytes: float

    def lines(self) -> list[str]:
        """What is printed."""
        return [
            f"largest difference from torch: {self.difference:.2g} (allowed: {TOLERANCE:g})",
            f"ONNX Runtime {1e3 * self.onnx_seconds:.0f} ms, torch {1e3 * self.torch_seconds:.0f} ms "
            f"({self.torch_seconds / self.onnx_seconds:.2f} x the speed of torch, {torch.get_num_threads()} threads)",
            f"size: {self.mebibytes:.1f} MiB",
        ]


def write_onnx(
    module: nn.Module,
    reference: Callable[[Tensor], Tensor],
    wire: Wire,
    metadata: Mapping[str, Any],
    out: Path,
) -> Agreement:
    """Export a module, check the file against a reference, and give it its name.

    Args:
        module: from one input to `waveform`, of real operations.
        reference: what it must equal.
        wire: its input.
        metadata: stored in the file as JSON, under names that begin with `melisma.`.
        out: file to write.

    Raises:
        ValueError: a package is missing, the file differs from torch by more than 1e-4, or it cannot be written.
    """
    check_target(out)
    # What is computed once and kept must hold numbers, and not what an export traces in their place.
    with torch.inference_mode():
        reference(wire.examples[0])
    with write_aside(out) as aside:
        _export(module, wire, metadata, aside)
        agreement = compare(aside, reference, wire)
        # Not "difference > TOLERANCE": a NaN must not pass.
        if not agreement.difference <= TOLERANCE:
            raise ValueError(
                f"{out}: not written, ONNX Runtime differs from torch by {agreement.difference:.2g}, "
                f"allowed are {TOLERANCE:g}"
            )
    return agreement


def compare(path: Path, reference: Callable[[Tensor], Tensor], wire: Wire) -> Agreement:
    """Run a file beside torch.

    Args:
        path: of the file.
        reference: what it must equal.
        wire: its input.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(example: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {wire.name: example.numpy()})[0])

    with torch.inference_mode():
        differences = []
        for example in wire.examples:
            expected, came = reference(example), run(example)
            if came.shape != expected.shape:
                raise ValueError(f"the file makes {tuple(came.shape)} samples, torch {tuple(expected.shape)}")
            differences.append((came - expected).abs().max())
        example = wire.examples[-1]
        pairs = [(_seconds(run, example), _seconds(reference, example)) for _ in range(ROUNDS)]
    onnx_seconds, torch_seconds = (median(times) for times in zip(*pairs, strict=True))
    return Agreement(float(torch.stack(differences).max()), onnx_seconds, torch_seconds, path.stat().st_size / 2**20)


def example_mels(mel: MelConfig, seconds: float = 2.0) -> list[Tensor]:
    """Log-mels of decaying noise and tones, `(batch, n_mels, frames)` of several batches and lengths.

    Args:
        mel: the contract.
        seconds: of the longest.
    """
    generator = torch.Generator().manual_seed(0)
    samples = max(round(seconds * mel.sample_rate), 4 * mel.minimum_samples)
    time_line = torch.arange(samples) / mel.sample_rate
    pitches = torch.tensor([[110.0], [220.0], [440.0]])
    tones = torch.sin(2.0 * torch.pi * pitches * time_line) * torch.exp(-time_line / 0.3)
    noise = torch.randn(3, samples, generator=generator) * torch.exp(-time_line / 0.1)
    whole = LogMelSpectrogram(mel)(0.4 * tones + 0.1 * noise)
    frames = whole.shape[2]
    lengths = [(3, max(2, frames // 3)), (1, 2), (2, 7), (1, frames)]
    return [whole[:batch, :, :length].contiguous() for batch, length in lengths]


def check_target(out: Path) -> None:
    """Refuse, before anything is computed, what could not be written in the end.

    Args:
        out: file to write.

    Raises:
        ValueError: another suffix than .onnx, a folder of that name, a place where nothing can be written, or an
            optional package is missing.
    """
    if out.suffix != ".onnx":
        raise ValueError(f"out: expected a name that ends in .onnx, got '{out.name}'")
    if out.is_dir():
        raise ValueError(f"out: expected the name of a file to write, got the folder '{out}'")
    # Folders that are missing are made when there is something to put into them.
    place = next(folder for folder in out.absolute().parents if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise ValueError(f"out: cannot write into '{place}' ({(error.strerror or str(error)).lower()})") from error
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(f"ONNX needs the package {error.name}: pip install 'melisma[export]'") from error


def _export(module: nn.Module, wire: Wire, metadata: Mapping[str, Any], path: Path) -> None:
    """Trace with the first example and write the file with its metadata."""
    import onnx

    shape = {
        0: torch.export.Dim("batch", min=1, max=MOST_CLIPS),
        2: torch.export.Dim("frames", min=wire.shortest, max=MOST_FRAMES),
    }
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module,
            (wire.examples[0],),
            input_names=[wire.name],
            output_names=["waveform"],
            dynamic_shapes=(shape,),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise ValueError("torch.onnx.export gave nothing")
    model = program.model_proto
    onnx.helper.set_model_props(model, {f"{PREFIX}{name}": json.dumps(value) for name, value in metadata.items()})
    onnx.save(model, str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells about packages that it does not find."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _seconds(function: Callable[[Tensor], Tensor], example: Tensor) -> float:
    started = time.perf_counter()
    function(example)
    return time.perf_counter() - started
