"""Does a vocoder keep pitch and voicing? Heard frame by frame, in what it made and in the real clip.

After M. Morrison, R. Kumar, K. Kumar, P. Seetharaman, A. Courville, Y. Bengio, "Chunked Autoregressive GAN for
Conditional Waveform Synthesis", ICLR 2022 (its objective metrics): root mean square pitch difference in cents where
both are voiced, root mean square difference of periodicity, and F1 of the decision voiced or not. The ear is CREPE in
its smallest size without a Viterbi path, every 32 ms, so the numbers are not those of papers.
"""

from dataclasses import dataclass
from math import nan
from typing import Protocol

import torch
from torch import Tensor

from audio.measures import Waveform
from evaluation.pitch import LEAST_CONFIDENCE

# Quieter frames are unvoiced, whatever the network sees in them.
SILENT_FRAME_DB = -60.0


class FrameEar(Protocol):
    """Hears pitches frame by frame; `evaluation.pitch.PitchEstimator` does."""

    def frames(self, waveform: Waveform, sample_rate: int) -> tuple[Tensor, Tensor, Tensor]:
        """MIDI note numbers, confidences in [0, 1], square roots of the frames' levels, all `(frames,)`."""
        ...


@dataclass(frozen=True)
class Voicing:
    """What was heard of a clip.

    Args:
        midi: note numbers, `(frames,)`.
        periodicity: in [0, 1], `(frames,)`; 0 in silence.
    """

    midi: Tensor
    periodicity: Tensor

    @property
    def voiced(self) -> Tensor:
        """Which frames have a pitch, `(frames,)`, booleans."""
        return self.periodicity >= LEAST_CONFIDENCE


@dataclass(frozen=True)
class VoicingError:
    """Two clips compared.

    Args:
        pitch_cents: root mean square over frames voiced in both; not a number where there are none.
        voiced_f1: of the decisions; not a number where neither clip is ever voiced.
        periodicity: root mean square difference.
    """

    pitch_cents: float
    voiced_f1: float
    periodicity: float


def hear_voicing(ear: FrameEar, waveform: Waveform, sample_rate: int) -> Voicing:
    """Listen to a whole clip.

    Args:
        ear: such as `evaluation.pitch.PitchEstimator`.
        waveform: samples, mono.
        sample_rate: in Hz.
    """
    midi, periodicity, loudness = ear.frames(waveform, sample_rate)
    silent = 20.0 * loudness.square().log10() < SILENT_FRAME_DB
    return Voicing(midi, periodicity.masked_fill(silent, 0.0))


def compare_voicing(estimate: Voicing, target: Voicing) -> VoicingError:
    """Errors of one clip against another of the same length.

    Raises:
        ValueError: other numbers of frames.
    """
    if estimate.midi.shape != target.midi.shape:
        raise ValueError(f"voicing: expected {len(target.midi)} frames, got {len(estimate.midi)}")
    both = estimate.voiced & target.voiced
    difference = 100.0 * (estimate.midi - target.midi)[both].double()
    either = int(estimate.voiced.sum()) + int(target.voiced.sum())
    periodicity = (estimate.periodicity - target.periodicity).double()
    return VoicingError(
        pitch_cents=_root_mean_square(difference) if len(difference) else nan,
        voiced_f1=2.0 * int(both.sum()) / either if either else nan,
        periodicity=_root_mean_square(periodicity),
    )


def _root_mean_square(values: Tensor) -> float:
    return float(torch.sqrt(values.square().mean()))
