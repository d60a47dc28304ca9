"""Stage 3: a log-mel to its waveform."""

from vocoder.base import Vocoder
from vocoder.loading import load_vocoder

__all__ = ["Vocoder", "load_vocoder"]
