"""Our vocoders as an exported file computes them: real numbers, convolutions, any batch and any length.

`RealVocos` mirrors `vocoder.vocos.PriorVocos`: backbone, clock and prior are its own, head and refinements are written
out in real and imaginary parts over `vocoder.onnx_transforms`. The upsampling generator is convolutions already.
"""

from typing import cast

import torch
from torch import Tensor, nn

from audio.inversion import inverse_filterbank
from vocoder.base import Vocoder
from vocoder.correction import correction_gains
from vocoder.generator import Generator
from vocoder.onnx_transforms import RealSTFT
from vocoder.vocos import LOG_MEL_MEAN, LOG_MEL_STD, SOFTNESS, TINY_POWER, PriorHead, PriorVocos

# The vocos package cuts its magnitudes here.
PLAIN_CEILING = 1e2


class RealVocos(nn.Module):
    """A `PriorVocos` without complex numbers.

    Args:
        vocoder: whose weights it shares.
    """

    inverse: Tensor

    def __init__(self, vocoder: PriorVocos) -> None:
        super().__init__()
        self.vocoder = vocoder
        self.transform = RealSTFT(vocoder.mel)
        self.register_buffer("inverse", inverse_filterbank(vocoder.mel), persistent=False)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Waveform `(batch, samples)` of `(batch, n_mels, frames)`."""
        kernel = self.transform.kernel()
        if not self.vocoder.config.prior:
            return self._plain(log_mel, kernel)
        magnitude, angles = self._polar(log_mel)
        waveform = self.transform.inverse_stft(magnitude.repeat(1, 2, 1) * angles, kernel)
        refined, before = waveform, None
        for _ in range(self.vocoder.config.refinements):
            refined, before = self._refine(refined, before, magnitude, kernel)
        for _ in range(self.vocoder.config.corrections):
            rebuilt = self.transform.forward_stft(refined, kernel)
            real, imaginary = rebuilt.chunk(2, dim=1)
            gain = correction_gains(real.square() + imaginary.square(), log_mel, self.vocoder.mel)
            refined = self.transform.inverse_stft(gain.repeat(1, 2, 1) * rebuilt, kernel)
        # What is too short to be reflected is left as it is, as in `PriorHead`; a file asks while it runs.
        whole = torch.where(waveform.new_ones(waveform.shape[1]).sum() >= self._minimum(), refined, waveform)
        attack = self.vocoder.attack
        return whole if attack is None else whole * attack(log_mel, (log_mel - LOG_MEL_MEAN) / LOG_MEL_STD)

    def _minimum(self) -> float:
        return float(self.vocoder.mel.minimum_samples)

    def _polar(self, log_mel: Tensor) -> tuple[Tensor, Tensor]:
        """Magnitude `(batch, bins, frames)`, and cosine then sine of the phase `(batch, 2 bins, frames)`."""
        model = self.vocoder
        prior = torch.matmul(self.inverse, log_mel.exp()).clamp(min=model.config.magnitude_floor)
        features = model.backbone(model._with_clock((log_mel - LOG_MEL_MEAN) / LOG_MEL_STD))
        head = cast(PriorHead, model.head)
        magnitude, phase = head.polar(features, prior.log())
        return magnitude, torch.cat([phase.cos(), phase.sin()], dim=1) * head.signs.repeat(1, 2, 1)

    def _refine(
        self, waveform: Tensor, before: Tensor | None, magnitude: Tensor, kernel: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One projection, and the spectrum whose momentum the next one feels; see `PriorHead.forward`."""
        rebuilt = self.transform.forward_stft(waveform, kernel)
        angle = rebuilt if before is None else rebuilt - cast(PriorHead, self.vocoder.head).pull * before
        real, imaginary = angle.chunk(2, dim=1)
        power = real.square() + imaginary.square() + (SOFTNESS * magnitude).square()
        scale = magnitude * (power + TINY_POWER).rsqrt()
        return self.transform.inverse_stft(scale.repeat(1, 2, 1) * angle, kernel), rebuilt

    def _plain(self, log_mel: Tensor, kernel: Tensor) -> Tensor:
        """The vocos package's head."""
        out = cast(nn.Linear, self.vocoder.head.out)
        hidden = out(self.vocoder.backbone(log_mel)).transpose(1, 2)
        magnitude, phase = hidden.chunk(2, dim=1)
        angles = torch.cat([phase.cos(), phase.sin()], dim=1)
        magnitude = magnitude.exp().clamp(max=PLAIN_CEILING)
        return self.transform.inverse_stft(magnitude.repeat(1, 2, 1) * angles, kernel)


def exportable(vocoder: Vocoder) -> nn.Module:
    """A vocoder as a module of real operations, log-mel to waveform.

    Raises:
        ValueError: a vocoder that is none of ours.
    """
    if isinstance(vocoder, PriorVocos):
        return RealVocos(vocoder).eval()
    if isinstance(vocoder, Generator):
        return vocoder.eval()
    raise ValueError(
        f"vocoder {type(vocoder).__name__} cannot be exported: only those trained by `python -m vocoder fit` can"
    )
