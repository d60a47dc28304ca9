"""Attacks: a gain many times a frame, which a vocoder learns after everything else.

    waveform(n)  <-  waveform(n) exp(g(n)),      g = linear interpolation of `parts` numbers a frame, times
    rising(t)    =  clamp((loudest of frames t, t + 1 - faintest of frames t - 1, t - 2 - LOW) / (HIGH - LOW), 0, 1)

An inverse STFT spreads what its phases miss over a whole window, 46 ms in the bundled model: sound leaks ahead of an
attack, and the attack itself comes late. Where in its window the energy lies the mel still tells: neighbouring frames
overlap, so a struck sound is loud in one and faint in the one before by just so much. A few convolutions over the
log-mel read it. (Modelled on temporal noise shaping: Herre, Johnston, "Enhancing the performance of perceptual audio
coders by using temporal noise shaping", AES 1996, which sends such an envelope; here it is inferred.)

Where nothing rises g is 0, for in a sound that goes on a gain has nothing to mend and would only roughen it. Before the
first frame there is silence: a clip begins with an attack.

It starts at g = 0 everywhere, as an addition to a vocoder that is already there.
"""

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

from audio.mel import MelConfig

KERNEL = 3
# Nats: 6 dB up and 26 dB down, and no further. What an attack lacks is silence before it; a gain that may lift as far
# as it may lower makes clicks of mels that no real sound has, such as generated ones.
LARGEST_RISE, LARGEST_FALL = 0.7, 3.0
# Nats by which loudness must rise to be an attack at all (6 dB), and to be one entirely (18 dB).
LOW, HIGH = 0.7, 2.1


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
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    @property
    def reach(self) -> int:
        """Frames to either side of its own on which a gain depends: those of the kernels, and a neighbour."""
        return (KERNEL // 2) * (1 + len(self.layers)) + 1

    def rising(self, log_mel: Tensor) -> Tensor:
        """How much of an attack each frame is, 0 to 1, `(batch, 1, frames)`, of a log-mel `(batch, n_mels, frames)`."""
        loudness = log_mel.float().logsumexp(dim=1, keepdim=True)
        silence = math.log(self.mel.n_mels) + self.mel.log_mel_floor
        before = pad(loudness, (2, 0), value=silence)
        faintest = torch.minimum(before[..., :-2], before[..., 1:-1])
        loudest = torch.maximum(loudness, pad(loudness, (0, 1), value=silence)[..., 1:])
        return ((loudest - faintest - LOW) / (HIGH - LOW)).clamp(0.0, 1.0)

    def forward(self, log_mel: Tensor, normalised: Tensor) -> Tensor:
        """Gains of all samples.

        Args:
            log_mel: `(batch, n_mels, frames)`, natural log.
            normalised: the same, as the network sees it.

        Returns:
            `(batch, mel.num_samples(frames))`, positive.
        """
        hidden = gelu(self.first(normalised))
        for layer in self.layers:
            hidden = hidden + gelu(layer(hidden))
        asked = self.last(hidden).float()
        # Chosen, not clamped: at 0, where it starts, a clamp has no gradient.
        limit = torch.where(asked > 0.0, LARGEST_RISE, LARGEST_FALL)
        bounded = limit * torch.tanh(asked / limit) * self.rising(log_mel)
        gains = self._interpolated(rearrange(bounded, "batch parts frames -> batch (frames parts) 1")).exp_()
        # A centred frame has its middle at a multiple of the hop, another half a hop later.
        first = self.mel.hop_length // 2 if self.mel.framing == "centred" else 0
        return gains[:, first : first + self.mel.num_samples(normalised.shape[-1])]

    def _interpolated(self, steps: Tensor) -> Tensor:
        """Straight lines between the middles of steps, `(batch, steps, 1)` to `(batch, samples)`.

        Written out, because an exported `interpolate` knows one length only.
        """
        before = torch.cat([steps[:, :1], steps[:, :-1]], dim=1)
        after = torch.cat([steps[:, 1:], steps[:, -1:]], dim=1)
        place = (torch.arange(self.samples, device=steps.device) + 0.5) / self.samples - 0.5
        shares = torch.stack([(-place).clamp(min=0.0), 1.0 - place.abs(), place.clamp(min=0.0)])
        # One product instead of a sum of three: fresh memory costs more than the arithmetic.
        mixed = torch.cat([before, steps, after], dim=2) @ shares
        return rearrange(mixed, "batch steps samples -> batch (steps samples)")
