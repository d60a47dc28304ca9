"""What is measured of each clip that a vocoder makes, and how the clips of a set are summed up.

Means where numbers are tame, medians over recordings where single clips run away (`evaluation.medians`), and rates of
what seldom happens, whose interval is kept back until it happened in eight recordings.
"""

from dataclasses import dataclass, field
from functools import cached_property
from math import inf, nan
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from audio.dataset import Clip
from audio.distances import multi_scale_mel_distance
from audio.measures import Waveform
from audio.mel import LogMelSpectrogram
from evaluation.clicks import added_clicks, click_times
from evaluation.intervals import FEWEST_UNITS, Interval, distinct, mean_interval
from evaluation.medians import median_interval
from evaluation.onsets import onset_rise_ms
from evaluation.pitch import PitchEstimator
from evaluation.spectra import log_mel_error, log_spectral_distance
from evaluation.speech_quality import missing_packages, speech_quality
from evaluation.voicing import Voicing, compare_voicing, hear_voicing

SPEECH_WORDS = ("speech", "spoken")


@dataclass(frozen=True)
class Measure:
    """A column of the report; no number of it is negative.

    Args:
        name: of the column.
        meaning: for people.
        better: which way; `neither` gets no word.
        summary: of the clips.
        most: that it can be; an interval does not go beyond.
    """

    name: str
    meaning: str
    better: Literal["lower", "higher", "neither"] = "lower"
    summary: Literal["mean", "median", "rate"] = "mean"
    most: float = inf

    def interval(self, values: Tensor, units: Tensor) -> Interval:
        """The clips summed up, or their differences; `(clips,)` each, at least one."""
        if self.summary == "median":
            return median_interval(values, units)
        found = mean_interval(values, units)
        happened = len(distinct(units[values != 0.0]))
        if self.summary == "rate" and happened < FEWEST_UNITS:
            return Interval(found.value, reason=f"in {happened} recordings alone, {FEWEST_UNITS} are enough")
        if bool((values == values[0]).all()):
            return Interval(found.value, reason="all clips measure the same")
        return found

    def within(self, found: Interval) -> Interval:
        """The interval of the clips themselves, cut to what the measure can be."""
        if found.low is None or found.high is None:
            return found
        return Interval(found.value, max(0.0, found.low), min(self.most, found.high), found.reason)


MEASURES = (
    Measure("multi_scale_mel_distance", "the yardstick: log and linear mels on three scales, held against the clip"),
    Measure("real_time_factor", "seconds of decoding for a second of sound", summary="median"),
    Measure("log_spectral_distance", "dB between spectra, floored 80 dB below the loudest bin"),
    Measure("mel_consistency", "nats between the mel asked for and the mel of what came out"),
    Measure("pesq", "wide-band PESQ, 1 to 4.64", "higher", most=4.65),
    Measure("stoi", "intelligibility, 0 to 1", "higher", most=1.0),
    Measure("pitch_error_cents", "root mean square over frames voiced in both", summary="median"),
    Measure("voiced_f1", "agreement on which frames are voiced, 0 to 1", "higher", most=1.0),
    Measure("periodicity_error", "root mean square difference of CREPE's confidence", most=1.0),
    Measure("onset_rise_ms", "10 to 90 % rise of the 1 ms RMS envelope; the real clips' is right", "neither", "median"),
    Measure("onset_rise_ratio", "the same over the real clip's; 1 is right", "neither", "median"),
    Measure("clicks_per_second", "all sudden bends, the music's own too; the real clips' are right", "neither", "rate"),
    Measure("added_clicks_per_second", "those that the real clip lacks", summary="rate"),
)


@dataclass(frozen=True)
class Ears:
    """What listens.

    Args:
        front_end: of the model's mel.
        pitch: hears notes; None where it is not installed.
        speech: whether all clips are speech; None asks their metadata.
    """

    front_end: LogMelSpectrogram
    pitch: PitchEstimator | None = None
    speech: bool | None = None

    @property
    def sample_rate(self) -> int:
        """Of all clips, in Hz."""
        return self.front_end.config.sample_rate

    def is_speech(self, clip: Clip) -> bool:
        """Whether PESQ and STOI are asked of a clip."""
        if missing_packages():
            return False
        words = f"{clip.family} {clip.label}".lower()
        return any(word in words for word in SPEECH_WORDS) if self.speech is None else self.speech

    def is_pitched(self, clip: Clip) -> bool:
        """Whether a clip sounds a note that the ear can hear."""
        if self.pitch is None or clip.pitch is None:
            return False
        return self.pitch.lowest_midi <= clip.pitch <= self.pitch.highest_midi


@dataclass(frozen=True)
class Reference:
    """A real clip, measured once for all vocoders.

    Args:
        clip: which one.
        waveform: `(1, samples)`, peak-normalised, on the CPU.
        ears: that listen.
    """

    clip: Clip
    waveform: Tensor
    ears: Ears = field(repr=False)

    @cached_property
    def samples(self) -> Waveform:
        """The same, for ears."""
        return samples_of(self.waveform)

    @cached_property
    def onset_rise(self) -> float:
        """In ms."""
        return onset_rise_ms(self.samples, self.ears.sample_rate)

    @cached_property
    def clicks(self) -> NDArray[np.float64]:
        """When it clicks by itself, in seconds."""
        return click_times(self.samples, self.ears.sample_rate)

    @cached_property
    def voicing(self) -> Voicing | None:
        """None where the clip has no note."""
        if self.ears.pitch is None or not self.ears.is_pitched(self.clip):
            return None
        return hear_voicing(self.ears.pitch, self.samples, self.ears.sample_rate)

    @torch.inference_mode()
    def compare(self, made: Tensor) -> dict[str, float]:
        """All measures that hold a clip against this one.

        Args:
            made: `(1, samples)`, as many as the real clip has.
        """
        rate, samples = self.ears.sample_rate, samples_of(made)
        rise = onset_rise_ms(samples, rate)
        added = added_clicks(click_times(samples, rate), self.clicks)
        values = {
            "multi_scale_mel_distance": float(multi_scale_mel_distance(made, self.waveform, rate)),
            "log_spectral_distance": log_spectral_distance(made, self.waveform),
            "onset_rise_ratio": rise / self.onset_rise if self.onset_rise > 0.0 else nan,
            "added_clicks_per_second": added * rate / len(samples),
        }
        if self.ears.is_speech(self.clip):
            values["pesq"], values["stoi"] = speech_quality(samples, self.samples, rate)
        if self.voicing is not None and self.ears.pitch is not None:
            error = compare_voicing(hear_voicing(self.ears.pitch, samples, rate), self.voicing)
            values["pitch_error_cents"], values["voiced_f1"] = error.pitch_cents, error.voiced_f1
            values["periodicity_error"] = error.periodicity
        return values


@torch.inference_mode()
def measure_alone(made: Tensor, asked: Tensor, ears: Ears, lead: int = 0) -> dict[str, float]:
    """All measures that need no real clip.

    Args:
        made: `(1, samples)`, whole, on the CPU.
        asked: the log-mel that it was made from, `(1, n_mels, frames)`.
        ears: that listen.
        lead: samples at its beginning that nobody hears.
    """
    samples, rate = samples_of(made[:, lead:]), ears.sample_rate
    came = ears.front_end(made.to(asked.device))
    return {
        "mel_consistency": log_mel_error(came, asked, ears.front_end.config.log_mel_floor),
        "onset_rise_ms": onset_rise_ms(samples, rate),
        "clicks_per_second": len(click_times(samples, rate)) * rate / len(samples),
    }


def samples_of(waveform: Tensor) -> Waveform:
    """Samples of `(1, samples)`."""
    return np.asarray(waveform[0].float().cpu().numpy(), dtype=np.float32)
