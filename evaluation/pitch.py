"""Which note a one-shot sounds, and how far that is from the note that was asked for.

CREPE reads the first second after the onset; the note is the median over its frames, each weighing as much as it is
sure and loud. A clip has one note here: a glissando gets one of its pitches, a chord one of its notes.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from audio.files import resample
from audio.measures import SILENCE_DB, Waveform, loudness_db
from evaluation.crepe import FRAME, SAMPLE_RATE, CrepeNetwork, read_pitch
from evaluation.weights import EARS, fingerprint, read_ear

HOP = 512
SECONDS = 1.0
ONSET_BLOCK_SECONDS = 0.01
ONSET_BELOW_PEAK_DB = 30.0
SILENT_BELOW_DB = -70.0
# Against 0.3, on the validation split of data/oneshots: 1.4 % fewer right readings of clips with a note, and a note for
# 47 % instead of 72 % of those without (kicks, snares, cymbals).
LEAST_CONFIDENCE = 0.5
# Note names C1 and B6: the network's own range, 31.7 Hz to 2,006 Hz, in whole semitones.
LOWEST_MIDI, HIGHEST_MIDI = 24.0, 95.0


@dataclass(frozen=True)
class PitchReading:
    """What was heard of a clip.

    Args:
        midi: note number, with fractions of a semitone; None for silence, for sounds without a clear pitch and for
            pitches out of the estimator's range.
        confidence: from 0 to 1; how clearly the frames have a pitch.
    """

    midi: float | None
    confidence: float


class PitchEstimator:
    """CREPE ("tiny") for one-shots, on the CPU.

    It hears notes from `lowest_midi` (C1, 32.7 Hz) to `highest_midi` (B6, 1,976 Hz): clips whose wanted note lies
    outside are to be left out of a comparison.

    Args:
        network: with pretrained weights.
        weights_fingerprint: sixteen hex digits of weights and method.
    """

    sample_rate = SAMPLE_RATE
    lowest_midi = LOWEST_MIDI
    highest_midi = HIGHEST_MIDI

    def __init__(self, network: CrepeNetwork, weights_fingerprint: str) -> None:
        self.network = network
        self.fingerprint = weights_fingerprint

    def midi(self, waveform: Waveform, sample_rate: int) -> PitchReading:
        """The note of one clip.

        Args:
            waveform: samples, mono.
            sample_rate: in Hz.
        """
        if loudness_db(waveform, sample_rate) <= max(SILENT_BELOW_DB, SILENCE_DB):
            return PitchReading(None, 0.0)
        notes, sure, loud = self.frames(after_onset(waveform, sample_rate), sample_rate)
        confidence = float((sure * loud).sum() / loud.sum())
        midi = weighted_median(notes, sure * loud)
        heard = confidence >= LEAST_CONFIDENCE and LOWEST_MIDI - 0.5 <= midi <= HIGHEST_MIDI + 0.5
        return PitchReading(midi if heard else None, confidence)

    @torch.inference_mode()
    def frames(self, waveform: Waveform, sample_rate: int) -> tuple[Tensor, Tensor, Tensor]:
        """Pitches frame by frame, every 32 ms.

        Args:
            waveform: samples, mono.
            sample_rate: in Hz.

        Returns:
            MIDI note numbers, confidences in [0, 1] and square roots of the frames' levels, all `(frames,)`.
        """
        clip = torch.from_numpy(resample(waveform, sample_rate, SAMPLE_RATE))
        frames = 1 + (len(clip) - 1) // HOP
        # The first frame is centred on the first sample, as in the paper.
        frames_of_clip = torch.nn.functional.pad(clip, (FRAME // 2, FRAME // 2 + HOP)).unfold(0, FRAME, HOP)[:frames]
        notes, confidences = read_pitch(self.network(frames_of_clip))
        # Beside a loud attack a quiet tail still counts: the root takes half of its decibels away.
        loudness = frames_of_clip.square().mean(dim=1).sqrt().sqrt().clamp(min=1e-6)
        return notes, confidences, loudness


def load_pitch_estimator() -> PitchEstimator:
    """The installed estimator.

    Raises:
        ValueError: its weights are not installed.
    """
    ear = EARS["crepe"]
    method = hashlib.sha256(repr((HOP, SECONDS, ONSET_BELOW_PEAK_DB, LEAST_CONFIDENCE)).encode()).hexdigest()
    return PitchEstimator(CrepeNetwork(read_ear(ear)), fingerprint(ear, f"weighted median; {method}; 1"))


def cents(estimated_midi: float, wanted_midi: float) -> float:
    """How far a note is from the wanted one, in hundredths of a semitone; an octave too high is +1,200."""
    return 100.0 * (estimated_midi - wanted_midi)


def after_onset(waveform: Waveform, sample_rate: int) -> Waveform:
    """The first second from where a clip is within 30 dB of its loudest 10 ms.

    Args:
        waveform: samples, mono, not all zero.
        sample_rate: in Hz.
    """
    block = max(1, round(ONSET_BLOCK_SECONDS * sample_rate))
    count = -(-len(waveform) // block)
    padded = np.zeros(count * block)
    padded[: len(waveform)] = waveform
    power = np.square(padded).reshape(count, block).mean(axis=1)
    start = block * int(np.argmax(power >= power.max() * 10.0 ** (-ONSET_BELOW_PEAK_DB / 10.0)))
    return waveform[start : start + round(SECONDS * sample_rate)]


def weighted_median(values: Tensor, weights: Tensor) -> float:
    """The value at which half of the weight is reached; both `(n,)`, weights not negative."""
    order = values.argsort()
    reached = weights[order].cumsum(dim=0)
    return float(values[order][int((reached >= reached[-1] / 2.0).nonzero()[0])])
