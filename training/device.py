"""Where to compute, and in which precision."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    # Commands read their options before they wait for torch.
    import torch

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "bfloat16"]


def choose_device(device: str) -> "torch.device":
    """The device that `auto` means here.

    Raises:
        ValueError: a device that this machine lacks.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    if not available.get(device, False):
        present = ", ".join(name for name, there in available.items() if there)
        raise ValueError(f"device: '{device}' is not available here; available: {present}")
    return torch.device(device)


def choose_precision(precision: str, device: "torch.device") -> "torch.dtype":
    """The type of matrix products that `auto` means on a device.

    bfloat16 is taken only where the hardware multiplies it: on a CPU without such instructions it is hundreds of times
    slower than float32. Sound made with float32 is the same on every machine to 1e-3 of full scale, so `auto` takes
    float32 on a CPU.

    Raises:
        ValueError: an unknown precision.
    """
    import torch

    if precision == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if native else torch.float32
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision: expected auto, float32 or bfloat16, got {precision!r}")
    return torch.bfloat16 if precision == "bfloat16" else torch.float32


def in_precision(device: "torch.device", precision: "torch.dtype") -> "torch.autocast":
    """A context in which matrix products have a precision; float32 is no context at all."""
    import torch

    return torch.autocast(device.type, precision, enabled=precision != torch.float32)
