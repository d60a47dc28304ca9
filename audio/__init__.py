"""What sound and its mel are."""

from audio.mel import LogMelSpectrogram, MelConfig

__all__ = ["LogMelSpectrogram", "MelConfig"]
