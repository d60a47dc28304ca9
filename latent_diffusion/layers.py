"""The parts of a diffusion transformer.

    RMSNorm           x / sqrt(mean(x^2) + eps)                     Zhang, Sennrich, 2019, equation 4
    rotary positions  pairs of a query's numbers are turned by position * frequency; keys too, so that only the
                      distance between two frames counts            Su et al., "RoFormer", 2021, equation 34
    SwiGLU            (silu(x W1) * x W2) W3                        Shazeer, "GLU Variants", 2020, equation 6
    positions         sines and cosines of a frame's distance from the start are added to it: a struck sound begins
                      there, and distances between frames do not say where that is
    adaLN-zero        x + gate * f((1 + scale) * norm(x) + shift)   Peebles, Xie, "DiT", 2023, section 3.2

Gates and the output of cross-attention start at zero, so that a new block is the identity.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import rms_norm, scaled_dot_product_attention, silu

NORM_EPSILON = 1e-6
ROTARY_BASE = 10_000.0
POSITION_PERIODS = (3.0, 600.0)
POSITION_FEATURES = 24
TIME_FEATURES = 256
TIME_SCALE = 1000.0


class RMSNorm(nn.Module):
    """Divide by the root mean square of the last axis; an optional gain.

    Args:
        width: of the last axis.
        gain: learn one.
    """

    def __init__(self, width: int, gain: bool = True) -> None:
        super().__init__()
        self.width = width
        self.gain = nn.Parameter(torch.ones(width)) if gain else None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that ends in `width`."""
        # Of one type with x: torch has no fused norm for two, and would go on in the wider one.
        return rms_norm(x, (self.width,), None if self.gain is None else self.gain.to(x.dtype), NORM_EPSILON)


def rotary_table(frames: int, head_width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines of all positions, each `(frames, head_width)`, float32."""
    half = head_width // 2
    frequencies = ROTARY_BASE ** (-torch.arange(half, device=device, dtype=torch.float32) / half)
    angles = torch.arange(frames, device=device, dtype=torch.float32)[:, None] * frequencies
    cosine, sine = angles.cos(), angles.sin()
    return torch.cat([cosine, cosine], dim=-1), torch.cat([-sine, sine], dim=-1)


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turn queries or keys `(batch, heads, frames, head_width)` by their positions."""
    cosine, sine = table
    return x * cosine.to(x) + x.roll(x.shape[-1] // 2, dims=-1) * sine.to(x)


class PositionEmbedding(nn.Module):
    """How far each frame is from an end: sines and cosines of periods spread evenly in ratio, and a decay.

    It starts at zero, as an addition that the network finds when it needs it.

    Args:
        width: of the frames.
    """

    rates: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        shortest, longest = (math.log(period) for period in POSITION_PERIODS)
        periods = torch.linspace(shortest, longest, POSITION_FEATURES).exp()
        self.register_buffer("rates", 2.0 * math.pi / periods, persistent=False)
        self.layer = nn.Linear(2 * POSITION_FEATURES + 1, width)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)

    def forward(self, places: Tensor) -> Tensor:
        """`(…, frames, width)` of places `(…, frames)`, in frames, 0 at the end."""
        position = places.to(self.rates)[..., None]
        angles = position * self.rates
        result: Tensor = self.layer(torch.cat([angles.sin(), angles.cos(), torch.exp(-0.5 * position)], dim=-1))
        return result


class SelfAttention(nn.Module):
    """Frames look at frames: normed queries and keys, rotary positions.

    Args:
        width: of the frames.
        heads: must divide width.
        dropout: of the output.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.query_norm = RMSNorm(width // heads)
        self.key_norm = RMSNorm(width // heads)
        self.output = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, table: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """Attend.

        Args:
            x: `(batch, frames, width)`.
            table: of `rotary_table`.
            mask: `(batch, 1, 1, frames)`, True where a frame may be looked at; None for all.
        """
        query, key, value = rearrange(
            self.query_key_value(x),
            "batch frames (three heads d) -> three batch heads frames d",
            three=3,
            heads=self.heads,
        )
        query, key = rotate(self.query_norm(query), table), rotate(self.key_norm(key), table)
        attended = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        merged = rearrange(attended, "batch heads frames d -> batch frames (heads d)")
        result: Tensor = self.dropout(self.output(merged))
        return result


class CrossAttention(nn.Module):
    """Frames look at condition tokens; the output starts at zero.

    Args:
        width: of frames and tokens.
        heads: must divide width.
        dropout: of the output.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.query_norm = RMSNorm(width // heads)
        self.key_norm = RMSNorm(width // heads)
        self.output = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.output.weight)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """Attend.

        Args:
            x: `(batch, frames, width)`.
            tokens: `(batch, tokens, width)`.
            mask: `(batch, 1, 1, tokens)`, True where a token counts.
        """
        query = rearrange(self.query(x), "batch frames (heads d) -> batch heads frames d", heads=self.heads)
        key, value = rearrange(
            self.key_value(tokens), "batch tokens (two heads d) -> two batch heads tokens d", two=2, heads=self.heads
        )
        attended = scaled_dot_product_attention(self.query_norm(query), self.key_norm(key), value, attn_mask=mask)
        merged = rearrange(attended, "batch heads frames d -> batch frames (heads d)")
        result: Tensor = self.dropout(self.output(merged))
        return result


class SwiGLU(nn.Module):
    """Gated feed-forward layer.

    Args:
        width: in and out.
        hidden: in between.
        dropout: of the hidden layer.
    """

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        # Two matrices, not one of twice the rows: on a CPU, cutting the product in two costs more than it saves.
        self.gate = nn.Linear(width, hidden, bias=False)
        self.value = nn.Linear(width, hidden, bias=False)
        self.output = nn.Linear(hidden, width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`(…, width)` to the same shape."""
        result: Tensor = self.output(self.dropout(silu(self.gate(x)) * self.value(x)))
        return result


class Modulation(nn.Module):
    """Shifts, scales and gates from the condition vector, through a narrow waist; zero at the start.

    Args:
        width: of vector and frames.
        rank: of the waist.
        count: how many vectors of `width` to give.
    """

    def __init__(self, width: int, rank: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, count * width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, vector: Tensor) -> tuple[Tensor, ...]:
        """`(batch, width)` to `count` tensors `(batch, 1, width)`."""
        values: Tensor = self.up(self.down(silu(vector)))[:, None]
        return values.chunk(self.count, dim=-1)


class Block(nn.Module):
    """Self-attention, cross-attention in some blocks, feed-forward.

    Args:
        width: of the frames.
        heads: of all attention.
        hidden: of the feed-forward layer.
        rank: of the modulation.
        dropout: in all three.
        cross: with cross-attention.
    """

    def __init__(self, width: int, heads: int, hidden: int, rank: int, dropout: float, cross: bool) -> None:
        super().__init__()
        self.modulation = Modulation(width, rank, 6)
        self.norm = RMSNorm(width, gain=False)
        self.self_attention = SelfAttention(width, heads, dropout)
        self.cross_norm = RMSNorm(width) if cross else None
        self.cross_attention = CrossAttention(width, heads, dropout) if cross else None
        self.feed_forward = SwiGLU(width, hidden, dropout)

    def forward(
        self,
        x: Tensor,
        vector: Tensor,
        tokens: Tensor,
        token_mask: Tensor,
        table: tuple[Tensor, Tensor],
        frame_mask: Tensor | None,
    ) -> Tensor:
        """One block; arguments as in its parts, `vector` is time and condition `(batch, width)`."""
        shift, scale, gate, shift_2, scale_2, gate_2 = self.modulation(vector)
        x = x + gate * self.self_attention(self.norm(x) * (1.0 + scale) + shift, table, frame_mask)
        if self.cross_norm is not None and self.cross_attention is not None:
            x = x + self.cross_attention(self.cross_norm(x), tokens, token_mask)
        result: Tensor = x + gate_2 * self.feed_forward(self.norm(x) * (1.0 + scale_2) + shift_2)
        return result


class TimeEmbedding(nn.Module):
    """Time in [0, 1] to a vector: sines and cosines of many frequencies, then a small network.

    Args:
        width: of the vector.
    """

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        half = TIME_FEATURES // 2
        frequencies = TIME_SCALE * torch.exp(-math.log(ROTARY_BASE) * torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.layers = nn.Sequential(nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, time: Tensor) -> Tensor:
        """`(batch,)` to `(batch, width)`."""
        angles = time.float()[:, None] * self.frequencies
        result: Tensor = self.layers(torch.cat([angles.sin(), angles.cos()], dim=-1))
        return result
