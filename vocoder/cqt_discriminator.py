"""A listener with a musician's frequency axis: a constant-Q transform, octave by octave.

    C(k, n) = sum over samples of waveform * conj(atom k at n),   f_k = f_min 2^(k / B),  f_min = rate / 2^(octaves + 1)

An atom lasts a fixed number of its own periods, so low pitches are told apart finely and high onsets sharply; an STFT
has one resolution for both. Octaves are computed at halved rates and lie a little apart in time, so each octave has a
convolution of its own before they are joined (Gu, Zhang, Xue, Wu, "Multi-Scale Sub-Band Constant-Q Transform
Discriminator for High-Fidelity Vocoder", ICASSP 2024, sections 2.2 and 2.3; scales differ in B). The paper doubles the
sample rate to reach the top; here the octaves are counted down from half the rate.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad
from torch.nn.utils.parametrizations import weight_norm

from training.game import SLOPE, run_layers
from vocoder.listening import compress

DILATIONS = (1, 2, 4)


class CqtDiscriminator(nn.Module):
    """Sees a compressed complex constant-Q transform.

    Args:
        sample_rate: of the waveforms, in Hz.
        bins_per_octave: B.
        octaves: below half the sample rate.
        hop_length: samples between two columns, a multiple of 2^(octaves - 1).
        channels: of all layers.
    """

    def __init__(self, sample_rate: int, bins_per_octave: int, octaves: int, hop_length: int, channels: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.bins_per_octave = bins_per_octave
        self.octaves = octaves
        self.hop_length = hop_length
        self.bands = nn.ModuleList(_layer(2, channels) for _ in range(octaves))
        self.layers = nn.ModuleList(_layer(channels, channels, dilation, stride=2) for dilation in DILATIONS)
        self.layers.append(weight_norm(nn.Conv2d(channels, channels, (3, 3), padding=1)))
        self.score = weight_norm(nn.Conv2d(channels, 1, (3, 3), padding=1))
        # A list hides the transform from nn.Module: its kernels are constants and have no place in a checkpoint.
        self._transform: list[nn.Module] = []

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Score map and features of `(batch, samples)`."""
        with torch.autocast(waveform.device.type, enabled=False):
            compressed = compress(self.spectrum(waveform), dim=1)
        octaves = rearrange(
            compressed, "batch part frames (octaves bins) -> octaves batch part frames bins", octaves=self.octaves
        )
        first = [leaky_relu(band(octave), SLOPE) for band, octave in zip(self.bands, octaves, strict=True)]
        hidden = torch.cat(first, dim=3)
        score, features = run_layers(hidden, self.layers, self.score)
        return score, [hidden, *features]

    def spectrum(self, waveform: Tensor) -> Tensor:
        """Real and imaginary parts `(batch, 2, frames, octaves * bins_per_octave)`, lowest pitch first."""
        # Every octave's rate must hold a whole number of hops, or the octaves have different numbers of columns.
        whole = pad(waveform.float(), (0, -waveform.shape[1] % self.hop_length))
        parts: Tensor = self._nnaudio(waveform.device)(whole)
        return rearrange(parts, "batch bins frames part -> batch part frames bins")

    def _nnaudio(self, device: torch.device) -> nn.Module:
        if not self._transform:
            from nnAudio.features.cqt import CQT2010v2

            transform = CQT2010v2(
                sr=self.sample_rate,
                hop_length=self.hop_length,
                fmin=self.sample_rate / 2 ** (self.octaves + 1),
                n_bins=self.octaves * self.bins_per_octave,
                bins_per_octave=self.bins_per_octave,
                pad_mode="constant",
                earlydownsample=False,
                output_format="Complex",
                verbose=False,
            )
            self._transform.append(transform.to(device))
        self._transform[0].to(device)
        return self._transform[0]


def longest_atom(sample_rate: int, bins_per_octave: int, octaves: int) -> float:
    """Seconds that the atom of the lowest pitch lasts: Q = 1 / (2^(1/B) - 1) of its periods."""
    lowest = sample_rate / 2.0 ** (octaves + 1)
    quality: float = 1.0 / (2.0 ** (1.0 / bins_per_octave) - 1.0)
    return quality / lowest


def _layer(inputs: int, outputs: int, dilation: int = 1, stride: int = 1) -> nn.Module:
    """Three columns by nine bins; dilated in time, thinned out in pitch."""
    convolution = nn.Conv2d(inputs, outputs, (3, 9), stride=(1, stride), dilation=(dilation, 1), padding=(dilation, 4))
    layer: nn.Module = weight_norm(convolution)
    return layer
