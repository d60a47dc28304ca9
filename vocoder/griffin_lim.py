"""Griffin-Lim as a vocoder: no training, no weights, and the baseline of every other vocoder's numbers.

    magnitude = max(0, pinv(filterbank) exp(log_mel)),   then 64 projections with momentum 0.99 from seeded phases

(Griffin, Lim, "Signal estimation from modified short-time Fourier transform", 1984; Perraudin, Balazs, Sondergaard,
"A fast Griffin-Lim algorithm", WASPAA 2013.) Without momentum it is the plain algorithm of 1984. It hears the whole
clip at once, so its receptive field grows with the iterations and its first phases depend on the number of frames.
"""

import torch
from torch import Tensor

from audio.inversion import griffin_lim, pseudo_inverse_magnitude
from audio.mel import MelConfig
from training.checkpoint import weights_fingerprint
from vocoder.base import check_log_mel

BASELINE_ITERATIONS = 64
BASELINE_MOMENTUM = 0.99


class GriffinLim:
    """The `Vocoder` without a network.

    Args:
        mel: the contract to decode.
        iterations: projections.
        momentum: in [0, 1).
        seed: of the first phases.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        mel: MelConfig,
        iterations: int = BASELINE_ITERATIONS,
        momentum: float = BASELINE_MOMENTUM,
        seed: int = 0,
    ) -> None:
        if iterations < 1:
            raise ValueError(f"iterations: expected at least 1, got {iterations}")
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"momentum: expected 0 <= momentum < 1, got {momentum}")
        self.mel = mel
        self.iterations = iterations
        self.momentum = momentum
        self.seed = seed

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits of the mel and the arguments."""
        arguments = {"iterations": self.iterations, "momentum": self.momentum, "seed": self.seed}
        return weights_fingerprint({}, {"mel": self.mel.to_dict(), **arguments})

    @torch.no_grad()
    def decode(self, log_mel: Tensor) -> Tensor:
        """Make sound.

        Args:
            log_mel: `(batch, n_mels, frames)`, natural log.

        Returns:
            waveform `(batch, mel.num_samples(frames))`, the same for the same seed.

        Raises:
            ValueError: not a log-mel of this contract, or too few frames for its framing.
        """
        check_log_mel(log_mel, self.mel)
        magnitude = pseudo_inverse_magnitude(log_mel, self.mel)
        return griffin_lim(magnitude, self.mel, self.iterations, self.momentum, self.seed)


class PlainGriffinLim(GriffinLim):
    """The algorithm of 1984: no momentum, slower to converge.

    Args:
        mel: the contract to decode.
        iterations: projections.
        seed: of the first phases.

    Raises:
        ValueError: iterations below 1.
    """

    def __init__(self, mel: MelConfig, iterations: int = BASELINE_ITERATIONS, seed: int = 0) -> None:
        super().__init__(mel, iterations, momentum=0.0, seed=seed)
