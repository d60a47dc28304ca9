"""How much data and how much noise a path holds at each time.

Time runs from noise (t = 0) to data (t = 1); u = 1 - t is the diffusion time of the papers.

    rectified flow         alpha = t                      sigma = 1 - t
    linear beta schedule   alpha = exp(-u^2 (b1 - b0) / 4 - u b0 / 2)     sigma^2 = 1 - alpha^2
    cosine beta schedule   alpha = cos(a(u)) / cos(a(0))                  sigma^2 = 1 - alpha^2
                           a(u) = (pi / 2) (u + s) / (1 + s)

The linear one is the limit of many steps of Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", 2020, section
4 (Song et al., "Score-Based Generative Modeling through SDEs", 2021, equation 33); the cosine one is Nichol, Dhariwal,
"Improved Denoising Diffusion Probabilistic Models", 2021, equation 17. Both are continuous: any number of solver steps.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

PathName = Literal["rectified_flow", "variance_preserving"]
ScheduleName = Literal["linear", "cosine"]

# Betas of DDPM times its 1000 steps.
LINEAR_BETA = (0.1, 20.0)
COSINE_OFFSET = 0.008
# The cosine's end, where alpha would be 0 and a noise prediction would say nothing of the data, is left out: the
# remaining alpha, 0.006, is that of the linear schedule. DDPM's clipped betas (at most 0.999) serve the same end.
COSINE_LAST = 0.996
DISCRETE_STEPS = 1000


@dataclass(frozen=True)
class PathConfig:
    """Which path leads from noise to data.

    Args:
        name: rectified_flow or variance_preserving (the classic Gaussian diffusion).
        schedule: of variance_preserving: linear or cosine betas.

    Raises:
        ValueError: an unknown name.
    """

    name: PathName = "rectified_flow"
    schedule: ScheduleName = "cosine"

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        if self.name not in ("rectified_flow", "variance_preserving"):
            raise ValueError(f"path.name: expected rectified_flow or variance_preserving, got {self.name!r}")
        if self.schedule not in ("linear", "cosine"):
            raise ValueError(f"path.schedule: expected linear or cosine, got {self.schedule!r}")


def alpha_sigma(path: PathConfig, time: Tensor) -> tuple[Tensor, Tensor]:
    """Shares of data and noise.

    Args:
        path: which path.
        time: in [0, 1], any shape; computed in float64.

    Returns:
        alpha and sigma, the shape of `time`, float64 (float32 on devices without float64).
    """
    time = time.float() if time.device.type == "mps" else time.double()
    if path.name == "rectified_flow":
        return time, 1.0 - time
    u = 1.0 - time
    if path.schedule == "linear":
        low, high = LINEAR_BETA
        exponent = -0.25 * u.square() * (high - low) - 0.5 * u * low
        return exponent.exp(), (-torch.expm1(2.0 * exponent)).sqrt()
    start, scale = (math.pi / 2.0 * value / (1.0 + COSINE_OFFSET) for value in (COSINE_OFFSET, COSINE_LAST))
    # sin(x) sin(x + 2 start) = cos^2(start) - cos^2(start + x): no cancellation where sigma is small.
    share = torch.sin(u * scale) * torch.sin(u * scale + 2.0 * start)
    return torch.cos(start + u * scale) / math.cos(start), share.clamp(min=0.0).sqrt() / math.cos(start)


def log_snr(path: PathConfig, time: Tensor) -> Tensor:
    """Logarithm of the signal-to-noise ratio, ln(alpha^2 / sigma^2), any shape; infinite where one of them is 0."""
    alpha, sigma = alpha_sigma(path, time)
    return 2.0 * (alpha.log() - sigma.log())


def discrete_betas(path: PathConfig, count: int = DISCRETE_STEPS) -> Tensor:
    """The noise that each of `count` steps of a variance-preserving chain adds (DDPM, equation 4), data first.

    Args:
        path: variance_preserving.
        count: steps of the chain.

    Raises:
        ValueError: the path has no betas.
    """
    if path.name != "variance_preserving":
        raise ValueError(f"path.name: only variance_preserving has betas, got {path.name!r}")
    alpha, _ = alpha_sigma(path, 1.0 - torch.linspace(0.0, 1.0, count + 1, dtype=torch.float64))
    return 1.0 - (alpha[1:] / alpha[:-1]).square()
