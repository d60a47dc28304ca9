"""What all discriminators share: how loudness is compressed and how layers are run.

c = x (|x|^2 + q)^((p - 1) / 2),   p = 0.3                                            |c| is about |x|^p
"""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn.functional import leaky_relu

SLOPE = 0.1
COMPRESSION = 0.3
# Of a squared magnitude: -60 dB below one unit, so that silence has a finite gradient.
QUIET_POWER = 1e-6


def compress(parts: Tensor, dim: int) -> Tensor:
    """A complex spectrum with its magnitudes compressed; its real and imaginary parts lie along `dim`."""
    power = parts.square().sum(dim=dim, keepdim=True)
    compressed: Tensor = parts * (power + QUIET_POWER) ** ((COMPRESSION - 1.0) / 2.0)
    return compressed


def run_layers(hidden: Tensor, layers: Iterable[nn.Module], score: nn.Module) -> tuple[Tensor, list[Tensor]]:
    """The score map, and what each layer says on the way there."""
    features = []
    for layer in layers:
        hidden = leaky_relu(layer(hidden), SLOPE)
        features.append(hidden)
    return score(hidden), features
