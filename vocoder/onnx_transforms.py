"""STFT and its inverse as real convolutions, for files and machines that know neither complex numbers nor an FFT.

    X[k, t]  = sum_n w[n] (cos(2 pi k n / N) - i sin(2 pi k n / N)) x[t hop + n]            a convolution of stride hop
    x        = sum_t w[n] sum_k c_k / N (Re X cos + Im X (-sin)) / sum_t w^2[n - t hop]     its transpose

with c_k = 1 at k = 0 and N / 2, else 2. Both use the same kernel of N x (N + 2) numbers. It is not stored: it is looked
up at k n mod N in one period of a cosine, N numbers, so a file of N = 2048 is smaller by 16 MiB. (Real transforms of
this kind: Cheuk, Anderson, Agres, Herremans, "nnAudio", IEEE Access 2020, section III.)

They mirror `audio.inversion.forward_stft` and `inverse_stft`, framing and edges included.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, conv_transpose1d, pad

from audio.mel import MelConfig


class RealSTFT(nn.Module):
    """Both transforms of a contract, on real and imaginary parts.

    Args:
        mel: gives transform, window, hop and framing.
    """

    waves: Tensor
    window: Tensor
    weights: Tensor

    def __init__(self, mel: MelConfig) -> None:
        super().__init__()
        self.mel = mel
        size, bins = mel.n_fft, mel.n_fft // 2 + 1
        angles = torch.arange(size, dtype=torch.float64) * (2.0 * math.pi / size)
        # One period of the cosine, then one of the negative sine.
        self.register_buffer("waves", torch.cat([angles.cos(), -angles.sin()]).float(), persistent=False)
        left = (size - mel.win_length) // 2
        window = pad(torch.hann_window(mel.win_length), (left, size - mel.win_length - left))
        self.register_buffer("window", window, persistent=False)
        weights = torch.full((bins,), 2.0 / size)
        weights[0] = 1.0 / size
        if size % 2 == 0:
            weights[-1] = 1.0 / size
        self.register_buffer("weights", weights[:, None].repeat(2, 1), persistent=False)

    def kernel(self) -> Tensor:
        """Windowed cosines, then negative sines, `(2 (n_fft // 2 + 1), 1, n_fft)`."""
        size = self.mel.n_fft
        places = torch.arange(size // 2 + 1, device=self.waves.device)[:, None] * torch.arange(
            size, device=self.waves.device
        )
        places = places % size
        return (self.waves[torch.cat([places, places + size])] * self.window)[:, None]

    def forward_stft(self, waveform: Tensor, kernel: Tensor) -> Tensor:
        """Of `(batch, samples)`: real parts, then imaginary parts, `(batch, 2 (n_fft // 2 + 1), frames)`.

        A waveform too short to be reflected is reflected at what there is; its spectrum means nothing.
        """
        samples, padding = waveform.shape[1], self.mel.padding
        places = torch.arange(-padding, samples + padding, device=waveform.device).abs()
        places = (samples - 1 - (samples - 1 - places).abs()).clamp(min=0)
        return conv1d(waveform[:, places][:, None], kernel, stride=self.mel.hop_length)

    def inverse_stft(self, spectrum: Tensor, kernel: Tensor) -> Tensor:
        """Of real parts, then imaginary parts: `(batch, mel.num_samples(frames))`."""
        mel, frames = self.mel, spectrum.shape[2]
        summed = conv_transpose1d(spectrum * self.weights, kernel, stride=mel.hop_length)
        squares = self.window.square()[None, None]
        envelope = conv_transpose1d(torch.ones_like(spectrum[:1, :1]), squares, stride=mel.hop_length)
        inside = slice(mel.padding, mel.padding + mel.num_samples(frames))
        return summed[:, 0, inside] / envelope[:, 0, inside].clamp(min=1e-8)
