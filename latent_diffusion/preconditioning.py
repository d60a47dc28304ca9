"""What is known of latents before any training: how their channels vary together.

Whitened channels have unit variance each, but they repeat each other: most of what they say lies in a few directions.
In the basis of their covariance, Gaussian data have a best prediction in closed form (`flow.gaussian_prediction`).
The stage starts there, and its network learns the rest, at about unit size in every direction and at every time.

The covariance is that of the frames of the training clips. The silence that training adds behind many of them is left
out: it says nothing about sounds, and a network that starts near the answer is all that is asked.
"""

import torch
from einops import einsum
from torch import Tensor, nn

# Directions that hold less than this are noise of the encoder's posterior; they are not blown up to unit size.
LEAST_VARIANCE = 1e-3
PART_FRAMES = 65536


class Preconditioner(nn.Module):
    """Directions of whitened latents and their variances; they travel with the weights.

    They are NaN until `measure` (or `assume_white`) is called or weights are loaded: forgetting both cannot pass.

    Args:
        channels: of the latents.
    """

    basis: Tensor
    variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("basis", torch.full((channels, channels), torch.nan))
        self.register_buffer("variance", torch.full((channels,), torch.nan))

    def measure(self, frames: Tensor, noise: Tensor | None = None) -> None:
        """Take directions and variances from whitened latents.

        Args:
            frames: `(channels, frames)`.
            noise: variance that draws of the posterior add to each channel, `(channels,)`; none when left out.
        """
        # The product is in float64, a part at a time: a whole folder would not fit twice.
        covariance = torch.zeros(len(frames), len(frames), dtype=torch.float64)
        for part in torch.split(frames, PART_FRAMES, dim=1):
            covariance += part.double() @ part.double().T
        covariance /= frames.shape[1]
        if noise is not None:
            covariance += noise.double().diag()
        variance, basis = torch.linalg.eigh(covariance)
        self.basis.copy_(basis)
        self.variance.copy_(variance.clamp(min=LEAST_VARIANCE))

    def assume_white(self) -> None:
        """Every channel its own direction, of unit variance: for a network that only has to run."""
        self.basis.copy_(torch.eye(len(self.basis)))
        self.variance.fill_(1.0)

    def rotate(self, latents: Tensor) -> Tensor:
        """`(batch, channels, latent_frames)` in the basis of the directions, the same shape, float32."""
        return self._turn(latents, "batch channel frame, channel direction -> batch direction frame")

    def rotate_back(self, latents: Tensor) -> Tensor:
        """The inverse of `rotate`."""
        return self._turn(latents, "batch direction frame, channel direction -> batch channel frame")

    def _turn(self, latents: Tensor, pattern: str) -> Tensor:
        # Half precision would round the small directions away.
        with torch.autocast(latents.device.type, enabled=False):
            return einsum(latents.float(), self.basis.float(), pattern)
