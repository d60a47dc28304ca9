"""The diffusion transformer: noisy latents, a time and a condition to a prediction.

Peebles, Xie, "Scalable Diffusion Models with Transformers", 2023, on sequences: one token is one latent frame. Frames
beyond a row's end are masked in attention and touch nothing else, so one model covers many lengths and padding changes
nothing.

    result = skip(t, condition) * x + transformer(x, t, condition)

x is x_t at unit size and the result is what the best linear prediction leaves (`preconditioning`). The first term is
ours: norms hide how large a row of x is, and rows differ in it. It starts at zero, as the second does.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import silu

from latent_diffusion.conditioning import Condition
from latent_diffusion.layers import Block, Modulation, PositionEmbedding, RMSNorm, TimeEmbedding, rotary_table

# Beyond so many frames (3 s at 43 a second) the end of a sound is not in sight.
FARTHEST = 128.0


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the transformer.

    Args:
        width: numbers per frame inside.
        depth: blocks.
        heads: of attention; must divide width into even parts.
        hidden: of the feed-forward layers.
        cross_every: a block in so many looks at the condition's tokens; the others see its vector only.
        modulation_rank: waist of the layers that turn the condition vector into shifts, scales and gates.
        dropout: in attention and feed-forward layers.
        ending: tell each frame how many are still to come, so that a sound ends where the clip does.
        known: tell it which frames are known beforehand, and what they are, so that new ones join them.

    Raises:
        ValueError: sizes that do not fit.
    """

    width: int = 256
    depth: int = 8
    heads: int = 4
    hidden: int = 576
    cross_every: int = 2
    modulation_rank: int = 32
    dropout: float = 0.0
    ending: bool = False
    known: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that do not fit."""
        for name in ("width", "depth", "heads", "hidden", "cross_every", "modulation_rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"network.{name}: expected a positive number, got {getattr(self, name)}")
        if self.width % (2 * self.heads):
            raise ValueError(f"network.width: expected a multiple of 2 x {self.heads} heads, got {self.width}")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"network.dropout: expected 0 to 1, got {self.dropout}")


class DiffusionTransformer(nn.Module):
    """The network of stage 2.

    Args:
        channels: of the latents.
        config: sizes.
    """

    def __init__(self, channels: int, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.input = nn.Linear(channels, width)
        self.position = PositionEmbedding(width)
        self.ending = PositionEmbedding(width) if config.ending else None
        # Nothing where nothing is known.
        self.known = nn.Linear(channels + 1, width, bias=False) if config.known else None
        self.time = TimeEmbedding(width)
        self.vector = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList(
            Block(
                width,
                config.heads,
                config.hidden,
                config.modulation_rank,
                config.dropout,
                cross=index % config.cross_every == 0,
            )
            for index in range(config.depth)
        )
        self.norm = RMSNorm(width, gain=False)
        self.modulation = Modulation(width, config.modulation_rank, 2)
        self.output = nn.Linear(width, channels)
        self.skip = nn.Linear(width, channels)
        for layer in (self.output, self.skip):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        if self.known is not None:
            nn.init.zeros_(self.known.weight)

    def forward(
        self,
        latents: Tensor,
        time: Tensor,
        condition: Condition,
        mask: Tensor | None = None,
        known: Tensor | None = None,
    ) -> Tensor:
        """What the best linear prediction leaves.

        Args:
            latents: x_t at unit size, `(batch, channels, latent_frames)`.
            time: `(batch,)`, 0 noise, 1 data.
            condition: of each row.
            mask: `(batch, latent_frames)`, True where a frame is part of its row; None where all are.
            known: of `known.known_frames`, at unit size; None where nothing is, or the network hears nothing of it.

        Returns:
            the shape of `latents`; frames beyond a row's end mean nothing.
        """
        x = self.input(rearrange(latents, "batch channels frames -> batch frames channels"))
        if self.known is not None and known is not None:
            x = x + self.known(rearrange(known, "batch channels frames -> batch frames channels"))
        places = torch.arange(x.shape[1], device=x.device)
        x = x + self.position(places).to(x)
        if self.ending is not None:
            x = x + self.ending(frames_to_come(places, condition, mask)).to(x)
        vector = self.time(time) + self.vector(condition.vector)
        table = rotary_table(x.shape[1], self.config.width // self.config.heads, x.device)
        token_mask = rearrange(condition.mask, "batch tokens -> batch 1 1 tokens")
        frame_mask = None if mask is None else rearrange(mask, "batch frames -> batch 1 1 frames")
        for block in self.blocks:
            x = block(x, vector, condition.tokens, token_mask, table, frame_mask)
        shift, scale = self.modulation(vector)
        result: Tensor = self.output(self.norm(x) * (1.0 + scale) + shift)
        skipped: Tensor = self.skip(silu(vector))[..., None] * latents
        return rearrange(result, "batch frames channels -> batch channels frames") + skipped


def frames_to_come(places: Tensor, condition: Condition, mask: Tensor | None = None) -> Tensor:
    """How many frames follow each, `(batch, frames)`, up to `FARTHEST`.

    Args:
        places: of the frames, `(frames,)`.
        condition: says how many follow the last one that is seen.
        mask: `(batch, frames)`, True where a frame is part of its row; None where all are.
    """
    count = len(places) if mask is None else mask.sum(dim=1, keepdim=True)
    left = (count - 1 - places).clamp(min=0) + condition.frames_after()[:, None]
    return left.clamp(max=FARTHEST)
