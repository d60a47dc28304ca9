"""Attacks: a gain many times a frame, which a vocoder learns after everything else.

    waveform(n)  <-  waveform(n) exp(g(n)),      g = linear interpolation of `parts` numbers a frame

An inverse STFT spreads what its phases miss over a whole window, 46 ms in the bundled model: sound leaks ahead of an
attack, and the attack itself comes late. Where in its window the energy lies the mel still tells: neighbouring frames
overlap, so a struck sound is loud in one and faint in the one before by just so much. A few convolutions over the
log-mel read it. (Modelled on temporal noise shaping: Herre, Johnston, "Enhancing the performance of perceptual audio
coders by using temporal noise shaping", AES 1996, which sends such an envelope; here it is inferred.)

It starts at g = 0 everywhere, as an addition to a vocoder that is already there.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate

from audio.mel import MelConfig

KERNEL = 3
# Nats: 26 dB up or down, and no further.
LARGEST_GAIN = 3.0


class AttackGain(nn.Module):
    """A gain for every sample, from a log-mel.

    Args:
        mel: the contract.
        parts: gains a frame; must divide the hop.
        width: channels inside.
        layers: convolutions beside the first.

    Raises:
        ValueError: parts that do not divide the hop.
    """

    def __init__(self, mel: MelConfig, parts: int, width: int = 96, layers: int = 3) -> None:
        super().__init__()
        if parts < 1 or mel.hop_length % parts:
            raise ValueError(f"attack: expected a divisor of the hop {mel.hop_length}, got {parts}")
        self.mel = mel
        self.samples = mel.hop_length // parts
        self.first = nn.Conv1d(mel.n_mels, width, KERNEL, padding=KERNEL // 2)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2) for _ in range(layers))
        self.last = nn.Conv1d(width, parts, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    @property
    def reach(self) -> int:
        """Frames to either side of its own on which a gain depends: those of the kernels, and a neighbour."""
        return (KERNEL // 2) * (1 + len(self.layers)) + 1

    def forward(self, normalised: Tensor) -> Tensor:
        """Gains `(batch, mel.num_samples(frames))`, positive, of a normalised log-mel `(batch, n_mels, frames)`."""
        hidden = gelu(self.first(normalised))
        for layer in self.layers:
            hidden = hidden + gelu(layer(hidden))
        bounded = LARGEST_GAIN * torch.tanh(self.last(hidden).float() / LARGEST_GAIN)
        steps = rearrange(bounded, "batch parts frames -> batch 1 (frames parts)")
        gains = interpolate(steps, scale_factor=float(self.samples), mode="linear")[:, 0].exp()
        # A centred frame has its middle at a multiple of the hop, another half a hop later.
        first = self.mel.hop_length // 2 if self.mel.framing == "centred" else 0
        return gains[:, first : first + self.mel.num_samples(normalised.shape[-1])]
