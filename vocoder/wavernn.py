"""torchaudio's WaveRNN: one sample after the other, each drawn from what the network expects.

    level    = clamp(1 + 20 log10(exp(log_mel)) / 100, 0, 1)       decibels, silence 0, full scale 1
    code_t   ~ softmax(network(code_<t, level))                    one of n_classes mu-law codes
    waveform = mu-law decoding of the codes

(Kalchbrenner et al., "Efficient Neural Audio Synthesis", ICML 2018, section 2.) The scaling is that of torchaudio's
Tacotron2-WaveRNN pipelines, and so is the mel: 22.05 kHz, 80 Slaney bins from 40 Hz, window 1,100 in an n_fft of 2,048,
hop 275, centred. A file's tensors tell all sizes, so a state dict is enough.

It is slow: 22,050 passes of two recurrent layers for a second of sound, one after the other. Expect one or two minutes
of computing for every second on a CPU.
"""

import math
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchaudio.functional import mu_law_decoding

from audio.mel import MelConfig
from training.checkpoint import load_weights, weights_fingerprint
from vocoder.base import check_log_mel
from vocoder.sources import read_weights

MEL = MelConfig(22050, 2048, 1100, 275, 80, 40.0, 11025.0, "slaney", "slaney", "centred", 0.0, 1e-5)
BUNDLES = ("TACOTRON2_WAVERNN_CHAR_LJSPEECH", "TACOTRON2_WAVERNN_PHONE_LJSPEECH")
LOWEST_DECIBELS = -100.0
PREFIX = "_model."
FIRST = "upsample.resnet.melresnet_model.0.weight"
SMOOTHING = r"upsample\.upsample_layers\.(\d+)\.weight$"
RESIDUAL = r"upsample\.resnet\.melresnet_model\.(\d+)\."


class WaveRNN(nn.Module):
    """A WaveRNN of torchaudio.

    Args:
        source: a file with its state dict, or the name of a bundle of torchaudio (fetched once):
            TACOTRON2_WAVERNN_CHAR_LJSPEECH or TACOTRON2_WAVERNN_PHONE_LJSPEECH.
        mel: what it was trained on; that of torchaudio's pipelines by default.
        seed: of the drawing.

    Raises:
        ValueError: no such file or bundle, a file of another kind, or a mel that is not the network's.
    """

    def __init__(self, source: str, mel: MelConfig = MEL, seed: int = 0) -> None:
        super().__init__()
        from torchaudio.models import WaveRNN as Network

        weights, path = _weights_of(source)
        self.mel = mel
        self.seed = seed
        sizes = _sizes_of(weights, path)
        for name, found in (("n_mels", sizes["n_freq"]), ("hop_length", sizes["hop_length"])):
            if getattr(self.mel, name) != found:
                raise ValueError(f"mel: not that of '{path}': {name}: {getattr(self.mel, name)} != {found}")
        self.network = Network(**sizes)
        load_weights(self.network, weights, path)
        self.eval()

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits of weights, mel and seed."""
        return weights_fingerprint(self.state_dict(), {"mel": self.mel.to_dict(), "seed": self.seed})

    @torch.no_grad()
    def decode(self, log_mel: Tensor) -> Tensor:
        """Make sound, clip by clip: every clip draws from the seed afresh, so it is the same alone or in a batch.

        Args:
            log_mel: `(batch, n_mels, frames)` of contract `mel`, natural log.

        Returns:
            waveform `(batch, mel.num_samples(frames))`, float32; the last centred frame's hop lies behind the clip's
            end and is cut off.

        Raises:
            ValueError: not a log-mel of this contract.
        """
        check_log_mel(log_mel, self.mel)
        decibels = log_mel.float() * (20.0 / math.log(10.0))
        level = (1.0 - decibels / LOWEST_DECIBELS).clamp(0.0, 1.0)
        waveform = torch.cat([self._draw(clip[None]) for clip in level])
        return waveform[:, : self.mel.num_samples(log_mel.shape[2])]

    def _draw(self, level: Tensor) -> Tensor:
        """Waveform `(1, samples)` of one clip `(1, n_mels, frames)`."""
        devices = [level.device] if level.device.type == "cuda" else []
        # torch.multinomial inside knows no generator; whoever else draws numbers must not notice.
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(self.seed)
            drawn, _ = self.network.infer(level)
        classes = self.network.n_classes
        # The network draws whole numbers and reports them in [-1, 1]. torchaudio cuts off where rounding would be
        # right, so that a quarter of the codes come out one too low; done as it does, to sound as it sounds.
        codes = ((drawn + 1.0) * (2**self.network.n_bits - 1) / 2).int()
        waveform: Tensor = mu_law_decoding(codes, classes)
        return waveform[:, 0].float()


def _weights_of(source: str) -> tuple[dict[str, Tensor], Path]:
    if Path(source).is_file():
        return read_weights(Path(source)), Path(source)
    if source not in BUNDLES:
        raise ValueError(f"source: expected a file with a state dict or one of {', '.join(BUNDLES)}, got '{source}'")
    import torchaudio.pipelines

    try:
        # Passed on to torch.hub: nothing but weights is read.
        vocoder = getattr(torchaudio.pipelines, source).get_vocoder(dl_kwargs={"weights_only": True, "progress": False})
    except Exception as error:
        raise ValueError(f"source: the weights of {source} cannot be fetched ({type(error).__name__})") from error
    return {name.removeprefix(PREFIX): value for name, value in vocoder.state_dict().items()}, Path(source)


def _sizes_of(weights: dict[str, Tensor], path: Path) -> dict[str, Any]:
    """The network's arguments, read off its tensors' shapes.

    Raises:
        ValueError: names a tensor that a WaveRNN has and this file has not, or has in another number of dimensions.
    """

    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        if name not in weights:
            raise ValueError(f"'{path}' is not a WaveRNN of torchaudio: weight {name} is missing")
        found = tuple(weights[name].shape)
        if len(found) != dimensions:
            raise ValueError(
                f"'{path}' is not a WaveRNN of torchaudio: weight {name}: expected {dimensions} dimensions, got shape "
                f"{found}"
            )
        return found

    def numbers(pattern: str) -> list[int]:
        return sorted(int(found[1]) for found in map(re.compile(pattern).match, weights) if found)

    # Each stretch by s is smoothed over 2 s + 1 samples.
    smoothings = [f"upsample.upsample_layers.{number}.weight" for number in numbers(SMOOTHING)]
    scales = [(shape(name, 4)[-1] - 1) // 2 for name in smoothings]
    n_hidden, n_freq, kernel_size = shape(FIRST, 3)
    # Three layers before the blocks, one after them.
    last = numbers(RESIDUAL)[-1]
    return {
        "upsample_scales": scales,
        "n_classes": shape("fc3.weight", 2)[0],
        "hop_length": math.prod(scales),
        "n_res_block": last - 3,
        "n_rnn": shape("fc.weight", 2)[0],
        "n_fc": shape("fc1.weight", 2)[0],
        "kernel_size": kernel_size,
        "n_freq": n_freq,
        "n_hidden": n_hidden,
        "n_output": shape(f"upsample.resnet.melresnet_model.{last}.weight", 3)[0],
    }
