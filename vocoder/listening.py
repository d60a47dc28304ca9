"""How discriminators hear loudness: compressed.

c = x (|x|^2 + q)^((p - 1) / 2),   p = 0.3                                            |c| is about |x|^p
"""

from torch import Tensor

COMPRESSION = 0.3
# Of a squared magnitude: -60 dB below one unit, so that silence has a finite gradient.
QUIET_POWER = 1e-6


def compress(parts: Tensor, dim: int) -> Tensor:
    """A complex spectrum with its magnitudes compressed; its real and imaginary parts lie along `dim`."""
    power = parts.square().sum(dim=dim, keepdim=True)
    compressed: Tensor = parts * (power + QUIET_POWER) ** ((COMPRESSION - 1.0) / 2.0)
    return compressed
