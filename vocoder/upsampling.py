"""An upsampling vocoder: transposed convolutions from frames to samples, periodic activations without aliases.

    h    = conv(log_mel);   for each rate u:   h = up_u(h),   h = mean over kernel sizes of residual_k(h)
    y    = tanh(conv(a(h)))
    a(x) = down2(s(up2(x))),   s(x) = x + sin^2(alpha x) / beta                    alpha, beta per channel

The sine is the inductive bias for pitch (Ziyin, Hartwig, Ueda, "Neural networks fail to learn periodic functions",
NeurIPS 2020). It makes overtones beyond what a rate can carry, so it is computed at twice the rate between two
Kaiser-windowed sinc filters (Lee, Ping, Ginsburg, Catanzaro, Yoon, "BigVGAN", ICLR 2023, sections 3.2 and 3.3; the
generator around it is that of Kong, Kim, Bae, "HiFi-GAN", NeurIPS 2020, section 2.2). `beta = alpha` is its `snake`.

It is here for comparison: the same training, data and yardstick as Vocos, at eight times the arithmetic (2.84 against
0.349 GMAC for 1 s). Tensors bear the names of the official `bigvgan_generator.pt`, whose weights load
(`vocoder.official_weights`) and sound alike (tests/reference). Frames of framing `centred` lie half a hop earlier: half
a hop is left out at either end.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv_transpose1d, pad
from torch.nn.utils.parametrizations import weight_norm

from audio.mel import MelConfig
from training.checkpoint import StageRecord
from vocoder.generator import Generator

# Stored in the config of a checkpoint; one without it is a Vocos.
GENERATOR = "upsampling"
EDGE_KERNEL = 7
# Of the sinc filters: twelve taps at the doubled rate, passing up to half of it.
TAPS = 12
TRANSITION = 0.3
TINY = 1e-9


@dataclass(frozen=True)
class UpsamplingConfig:
    """The network's size.

    Args:
        rates: of the upsamplers; their product is the hop length. Empty: there is no such network.
        kernel_sizes: of the upsamplers, each at least its rate and of the same parity; empty takes twice the rates.
        channels: before the first upsampler; each halves them.
        residual_kernels: of the residual blocks, odd; their outputs are averaged.
        dilations: of the convolutions of a residual block, one after the other.
        paired: each dilated convolution is followed by a plain one (the papers' block 1; false is block 2).
        activation: snakebeta has a width and a height per channel, snake has one number for both.
        log_scale: alpha and beta are stored as logarithms.
        final_bias: of the last convolution.
        final_tanh: bounds the waveform smoothly; false cuts it at 1.

    Raises:
        ValueError: a number out of its range.
    """

    rates: tuple[int, ...] = ()
    kernel_sizes: tuple[int, ...] = ()
    channels: int = 256
    residual_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)
    paired: bool = True
    activation: Literal["snakebeta", "snake"] = "snakebeta"
    log_scale: bool = True
    final_bias: bool = False
    final_tanh: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("rates", "kernel_sizes", "residual_kernels", "dilations"):
            values = tuple(getattr(self, name))
            object.__setattr__(self, name, values)
            if any(value < 1 for value in values) or (not values and name in ("residual_kernels", "dilations")):
                raise ValueError(f"UpsamplingConfig.{name}: expected numbers of at least 1, got {values}")
        if not self.kernel_sizes:
            object.__setattr__(self, "kernel_sizes", tuple(2 * rate for rate in self.rates))
        if len(self.kernel_sizes) != len(self.rates) or any(
            kernel < rate or (kernel - rate) % 2 for rate, kernel in zip(self.rates, self.kernel_sizes, strict=False)
        ):
            raise ValueError(
                "UpsamplingConfig.kernel_sizes: expected one for each rate, at least the rate and of its parity, "
                f"got {self.kernel_sizes} for rates {self.rates}"
            )
        if any(kernel % 2 == 0 for kernel in self.residual_kernels):
            raise ValueError(f"UpsamplingConfig.residual_kernels: expected odd sizes, got {self.residual_kernels}")
        if self.channels < 2 ** len(self.rates):
            raise ValueError(
                f"UpsamplingConfig.channels: expected at least {2 ** len(self.rates)}, which {len(self.rates)} "
                f"upsamplers halve to 1, got {self.channels}"
            )
        if self.activation not in ("snakebeta", "snake"):
            raise ValueError(f"UpsamplingConfig.activation: expected snakebeta or snake, got {self.activation!r}")


class Snake(nn.Module):
    """x + sin^2(alpha x) / beta.

    Args:
        channels: each has its own numbers.
        config: which form.
    """

    def __init__(self, channels: int, config: UpsamplingConfig) -> None:
        super().__init__()
        self.log_scale = config.log_scale
        start = torch.zeros(channels) if config.log_scale else torch.ones(channels)
        self.alpha = nn.Parameter(start)
        self.beta = nn.Parameter(start.clone()) if config.activation == "snakebeta" else None

    def forward(self, hidden: Tensor) -> Tensor:
        """Of `(batch, channels, samples)`."""
        alpha = self.alpha[:, None]
        beta = alpha if self.beta is None else self.beta[:, None]
        if self.log_scale:
            alpha, beta = alpha.exp(), beta.exp()
        # sin^2 z = (1 - cos 2z) / 2 saves a pass over the data.
        return hidden + (1.0 - (hidden * (2.0 * alpha)).cos()) / (2.0 * beta + TINY)


class AliasFree(nn.Module):
    """An activation at twice the rate: what it makes above the old rate is filtered out again.

    Args:
        act: the activation.
    """

    filter: Tensor

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.act = act
        self.register_buffer("filter", low_pass_filter()[None, None], persistent=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Of `(batch, channels, samples)`."""
        channels, edge = hidden.shape[1], TAPS // 2 - 1
        taps = self.filter.to(hidden.dtype).expand(channels, -1, -1)
        padded = pad(hidden, (edge, edge), mode="replicate")
        # The gain of two makes up for the zeros between the samples.
        doubled = 2.0 * conv_transpose1d(padded, taps, stride=2, groups=channels)
        cut = 2 * edge + TAPS // 2 - 1
        active = pad(self.act(doubled[..., cut:-cut]), (edge, edge + 1), mode="replicate")
        return conv1d(active, taps, stride=2, groups=channels)


class Residual(nn.Module):
    """Dilated convolutions behind periodic activations, each added to what came.

    Args:
        channels: in and out.
        kernel: of the convolutions, odd.
        config: dilations, form and activation.
    """

    def __init__(self, channels: int, kernel: int, config: UpsamplingConfig) -> None:
        super().__init__()
        self.paired = config.paired
        dilated = nn.ModuleList(_conv(channels, channels, kernel, dilation) for dilation in config.dilations)
        if self.paired:
            self.convs1 = dilated
            self.convs2 = nn.ModuleList(_conv(channels, channels, kernel) for _ in config.dilations)
        else:
            self.convs = dilated
        count = len(dilated) * (2 if self.paired else 1)
        self.activations = nn.ModuleList(AliasFree(Snake(channels, config)) for _ in range(count))

    def forward(self, hidden: Tensor) -> Tensor:
        """Of `(batch, channels, samples)`."""
        if not self.paired:
            for act, conv in zip(self.activations, self.convs, strict=True):
                hidden = hidden + conv(act(hidden))
            return hidden
        acts, then = self.activations[::2], self.activations[1::2]
        for act, first, act_then, second in zip(acts, self.convs1, then, self.convs2, strict=True):
            hidden = hidden + second(act_then(first(act(hidden))))
        return hidden


class UpsamplingGenerator(Generator):
    """Frames to samples by upsampling.

    Args:
        mel: the contract it decodes.
        config: its size.
        record: of the checkpoint it came from.

    Raises:
        ValueError: the product of the rates is not the hop length.
    """

    def __init__(self, mel: MelConfig, config: UpsamplingConfig, record: StageRecord | None = None) -> None:
        super().__init__(mel, record)
        self.config = config
        if math.prod(config.rates) != mel.hop_length:
            raise ValueError(
                f"UpsamplingConfig.rates: expected a product of hop_length {mel.hop_length}, got {config.rates}, "
                f"whose product is {math.prod(config.rates)}"
            )
        self.conv_pre = _conv(mel.n_mels, config.channels, EDGE_KERNEL)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        channels = config.channels
        for rate, kernel in zip(config.rates, config.kernel_sizes, strict=True):
            up = nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2)
            # A list of one: the official tensors are called ups.0.0, ups.1.0 ...
            self.ups.append(nn.ModuleList([weight_norm(up)]))
            channels //= 2
            self.resblocks.extend(Residual(channels, kernel, config) for kernel in config.residual_kernels)
        self.activation_post = AliasFree(Snake(channels, config))
        self.conv_post = _conv(channels, 1, EDGE_KERNEL, bias=config.final_bias)

    @classmethod
    def from_config(cls, config: dict[str, Any], record: StageRecord | None = None) -> "UpsamplingGenerator":
        """Build the network that `to_config` described, with fresh weights."""
        return cls(MelConfig.from_dict(config["mel"]), UpsamplingConfig(**config["network"]), record)

    def to_config(self) -> dict[str, Any]:
        """Mel, network and its kind as plain containers, the `config` of a stage record."""
        network = {
            name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self.config).items()
        }
        return {"generator": GENERATOR, "mel": self.mel.to_dict(), "network": network}

    @property
    def _trim(self) -> int:
        """Samples left out at either end."""
        return self.mel.hop_length // 2 if self.mel.framing == "centred" else 0

    def receptive_field(self) -> int:
        """Frames on which one sample depends at most: twice the distance to the farthest frame's edge."""
        hop, farthest = self.mel.hop_length, 0.0
        for sample in range(hop):
            first, last = self._frames_of(sample)
            farthest = max(farthest, sample / hop - first - 0.5, last + 0.5 - sample / hop)
        return math.ceil(2.0 * farthest)

    def _frames_of(self, sample: int) -> tuple[int, int]:
        """First and last frame on which a sample depends, before the trim; layer by layer from the output back."""
        config = self.config
        activation = TAPS // 2 - 1
        per_kernel = sum(config.dilations) + (len(config.dilations) if config.paired else 0)
        activations = len(config.dilations) * (2 if config.paired else 1) * activation
        residual = max(config.residual_kernels) // 2 * per_kernel + activations
        first, last = sample - EDGE_KERNEL // 2 - activation, sample + EDGE_KERNEL // 2 + activation
        for rate, kernel in zip(reversed(config.rates), reversed(config.kernel_sizes), strict=True):
            padding = (kernel - rate) // 2
            first, last = first - residual + padding, last + residual + padding
            first, last = -((kernel - 1 - first) // rate), last // rate
        return first - EDGE_KERNEL // 2, last + EDGE_KERNEL // 2

    def forward(self, log_mel: Tensor) -> Tensor:
        """Waveform `(batch, samples)` of `(batch, n_mels, frames)`, unchecked and differentiable."""
        hidden = self.conv_pre(log_mel)
        kinds, resblocks = len(self.config.residual_kernels), list(self.resblocks)
        for index, up in enumerate(self.ups):
            for layer in up.children():
                hidden = layer(hidden)
            blocks = resblocks[index * kinds : (index + 1) * kinds]
            hidden = torch.stack([block(hidden) for block in blocks]).mean(dim=0)
        waveform: Tensor = self.conv_post(self.activation_post(hidden))[:, 0]
        waveform = waveform.tanh() if self.config.final_tanh else waveform.clamp(-1.0, 1.0)
        return waveform[:, self._trim : self._trim + self.mel.num_samples(log_mel.shape[2])]


def low_pass_filter() -> Tensor:
    """Kaiser-windowed sinc that passes the lower half of a band, sum 1, `(TAPS,)`.

    The window's shape follows from the attenuation that taps and transition allow, above 50 dB (Kaiser, "Nonrecursive
    digital filter design using the I0-sinh window function", 1974).
    """
    attenuation = 2.285 * (TAPS // 2 - 1) * math.pi * 4.0 * TRANSITION + 7.95
    window = torch.kaiser_window(TAPS, periodic=False, beta=0.1102 * (attenuation - 8.7))
    taps = window * torch.sinc((torch.arange(TAPS) - (TAPS - 1) / 2.0) / 2.0)
    return taps / taps.sum()


def _conv(inputs: int, outputs: int, kernel: int, dilation: int = 1, bias: bool = True) -> nn.Module:
    padding = dilation * (kernel // 2)
    layer: nn.Module = weight_norm(nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=padding, bias=bias))
    return layer
