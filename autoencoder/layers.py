"""One-dimensional blocks: mel bins and features are channels, time is the axis.

All norms act on one frame at a time and all kernels are short, so the receptive field is finite and known; streaming,
loops and kept regions stand on that.
"""

import torch
from einops import rearrange
from torch import Tensor, nn


class FrameNorm(nn.Module):
    """Layer norm over the channels of each frame of `(batch, channels, frames)`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise; the shape stays."""
        normed: Tensor = self.norm(rearrange(x, "batch channels frames -> batch frames channels"))
        return rearrange(normed, "batch frames channels -> batch channels frames")


class ConvNeXtBlock(nn.Module):
    """Depth-wise convolution, norm, two point-wise layers, residual (Liu et al., "A ConvNet for the 2020s", 2022).

    Args:
        channels: in and out.
        expansion: width of the hidden layer, as a multiple of `channels`.
        kernel_size: of the depth-wise convolution, odd.
        dropout: on the hidden layer.
    """

    def __init__(self, channels: int, expansion: int, kernel_size: int, dropout: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.widen = nn.Linear(channels, expansion * channels)
        self.dropout = nn.Dropout(dropout)
        self.narrow = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.3))

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, frames)` in and out."""
        hidden: Tensor = rearrange(self.depthwise(x), "batch channels frames -> batch frames channels")
        hidden = self.narrow(self.dropout(nn.functional.gelu(self.widen(self.norm(hidden))))) * self.scale
        return x + rearrange(hidden, "batch frames channels -> batch channels frames")


class Downsample(nn.Module):
    """Each `factor` frames become one: their channels are stacked, then mixed.

    Args:
        channels: in.
        factor: frames that become one.
        out_channels: out; as many as go in when left out.
    """

    def __init__(self, channels: int, factor: int, out_channels: int | None = None) -> None:
        super().__init__()
        self.factor = factor
        self.mix = nn.Conv1d(channels * factor, out_channels or channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, frames)` to `(batch, out_channels, frames / factor)`."""
        stacked = rearrange(x, "batch channels (frames factor) -> batch (factor channels) frames", factor=self.factor)
        mixed: Tensor = self.mix(stacked)
        return mixed


class Upsample(nn.Module):
    """The inverse of `Downsample`: each frame becomes `factor` frames.

    Args:
        channels: in.
        factor: frames that one becomes.
        out_channels: out; as many as go in when left out.
    """

    def __init__(self, channels: int, factor: int, out_channels: int | None = None) -> None:
        super().__init__()
        self.factor = factor
        self.mix = nn.Conv1d(channels, (out_channels or channels) * factor, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, channels, frames)` to `(batch, out_channels, frames * factor)`."""
        mixed: Tensor = self.mix(x)
        return rearrange(mixed, "batch (factor channels) frames -> batch channels (frames factor)", factor=self.factor)


class ResidualSequence(nn.Sequential):
    """Layers in a row, and one linear map beside them from their input to their output; the row starts at zero.

    Args:
        layers: in their order; the last one has weights.
        linear: of the same input and output.
    """

    linear: Downsample | Upsample

    def __init__(self, layers: list[nn.Module], linear: Downsample | Upsample) -> None:
        super().__init__(*layers)
        self.depth = len(layers)
        self.linear = linear
        for parameter in layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """What the row makes of `x`, added to what the linear map makes of it."""
        result = x
        for number in range(self.depth):
            result = self[number](result)
        total: Tensor = result + self.linear(x)
        return total
