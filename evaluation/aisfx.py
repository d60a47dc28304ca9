"""The ear that leads: aiSFX, a network that learned the classes of nine libraries of sound effects.

A. B. Ma, A. Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries", ISMIR 2022; weights
CC-BY-4.0. The network is the nine-layer CNN of Kong et al., "DCASE 2018 Challenge Surrey Cross-Task CNN Baseline"
(arXiv:1808.00773). Front end as in the paper (not as in the package's librosa stand-in, which hands the network its
picture turned by 90 degrees): 96 triangles on the HTK mel scale whose weights sum to one, on the power spectrum of
symmetric Hann windows, log10(1 + 10000 x), divided by the largest value of the training data.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from audio.measures import Waveform
from evaluation.weights import EARS, fingerprint, read_ear

SAMPLE_RATE = 44100
WINDOW, HOP, BANDS = 2048, 1024, 96
LARGEST = 9.457798957824707
BLOCK_FRAMES, BLOCK_HOP = 100, 50
BLOCKS_AT_ONCE = 4
WIDTHS = (64, 128, 256, 512)
EPSILON = 1e-5


class AisfxNetwork(nn.Module):
    """Four blocks of two 3x3 convolutions; the first three halve time and frequency. Batch norms are folded in.

    Args:
        tensors: the pretrained ones.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        channels = 1
        for block, width in enumerate(WIDTHS, 1):
            for layer in (1, 2):
                name = f"conv_block{block}"
                norm = {
                    key: tensors[f"{name}.bn{layer}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")
                }
                self.layers.append(folded(tensors[f"{name}.conv{layer}.weight"], norm, channels, width))
                channels = width
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Blocks `(blocks, frames, bands)` to embeddings `(blocks, 512)`."""
        features = pictures[:, None].contiguous(memory_format=torch.channels_last)
        for number, layer in enumerate(self.layers):
            features = layer(features).relu_()
            if number in (1, 3, 5):
                features = nn.functional.max_pool2d(features, 2)
        # Mean over frequency, then the loudest moment of each feature.
        return features.mean(dim=3).amax(dim=2)


class AisfxEmbedder:
    """aiSFX as an `Embedder`.

    Raises:
        ValueError: its weights are not installed.
    """

    name = "aisfx"
    sample_rate = SAMPLE_RATE
    width = WIDTHS[-1]

    def __init__(self) -> None:
        ear = EARS["aisfx"]
        self.fingerprint = fingerprint(ear, "essentia-like mel96, blocks of 100 frames, hop 50, mean; 1")
        self.network = AisfxNetwork(read_ear(ear)).to(memory_format=torch.channels_last)
        self.window = torch.from_numpy(np.hanning(WINDOW)).float()
        self.bands = mel_triangles()

    @torch.inference_mode()
    def embed(self, waveform: Waveform) -> Tensor:
        """Mono samples at 44.1 kHz, one or more, to `(512,)`: the mean over blocks of 2.3 s."""
        blocks = in_blocks(self.picture(waveform))
        parts = [self.network(part) for part in torch.split(blocks, BLOCKS_AT_ONCE)]
        return torch.cat(parts).mean(dim=0)

    def picture(self, waveform: Waveform) -> Tensor:
        """The front end: `(frames, bands)`; frames are centred, the last one beyond the end."""
        samples = torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
        frames = 1 + -(-len(samples) // HOP)
        padded = nn.functional.pad(samples, (WINDOW // 2, frames * HOP - len(samples)))
        spectrum = torch.fft.rfft(padded.unfold(0, WINDOW, HOP)[:frames] * self.window)
        power = spectrum.real.square() + spectrum.imag.square()
        picture: Tensor = torch.log10(1.0 + 1e4 * (power @ self.bands.T)) / LARGEST
        return picture


def in_blocks(picture: Tensor) -> Tensor:
    """`(frames, bands)` to `(blocks, 100, bands)`: half overlapping; a last part is dropped, a short clip padded."""
    if len(picture) < BLOCK_FRAMES:
        return nn.functional.pad(picture, (0, 0, 0, BLOCK_FRAMES - len(picture)))[None]
    return picture.unfold(0, BLOCK_FRAMES, BLOCK_HOP).transpose(1, 2).contiguous()


def mel_triangles() -> Tensor:
    """`(96, 1025)`: triangles whose flanks are straight in mel (not in Hz), each row summing to one."""
    edges = np.linspace(0.0, _mel(np.array(SAMPLE_RATE / 2)), BANDS + 2)
    bins = _mel(np.linspace(0.0, SAMPLE_RATE / 2, WINDOW // 2 + 1))
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return torch.from_numpy(triangles / triangles.sum(axis=1, keepdims=True)).float()


def folded(weight: Tensor, norm: Mapping[str, Tensor], channels: int, width: int) -> nn.Conv2d:
    """A convolution without bias and the batch norm behind it, as one convolution."""
    layer = nn.Conv2d(channels, width, 3, padding=1)
    scale = norm["weight"] / torch.sqrt(norm["running_var"] + EPSILON)
    bias = norm["bias"] - norm["running_mean"] * scale
    layer.load_state_dict({"weight": weight * scale[:, None, None, None], "bias": bias})
    return layer


def _mel(hertz: np.ndarray) -> np.ndarray:
    return 2595.0 * np.log10(1.0 + hertz / 700.0)
