"""What is measured on stored clips, and the adjectives that follow: every adjective is true of its clip.

"Bright" means brighter than most of its own family, at its own pitch: a high note is not bright for being high. The
thresholds are quantiles over the training clips of a family.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from audio.measures import Waveform, brightness_hz, loudness_db
from pipelines.recipes.clips import SAMPLE_RATE, STRUCK_FAMILIES, Clip

ENVELOPE_SECONDS = 0.005
FEWEST_TO_COMPARE = 8
BRIGHT = ("bright", "crisp")
DARK = ("dark", "warm", "muffled")
DEEP = ("deep", "dark", "boomy")
DEEP_FAMILIES = frozenset({"kick", "tom", "bass"})


@dataclass(frozen=True)
class Traits:
    """Measured on a stored clip.

    Attributes:
        seconds: length.
        loudness: dBFS of the loudest 50 ms.
        brightness: spectral centroid, in Hz.
        attack: seconds until the envelope first reaches nine tenths of its top.
        decay: seconds from the top until the envelope stays below a tenth of it.
        sustain: level at three quarters of the clip relative to the top, in dB.
    """

    seconds: float
    loudness: float
    brightness: float
    attack: float
    decay: float
    sustain: float


def measure(waveform: Waveform) -> Traits:
    """Measure a stored clip (44.1 kHz, mono)."""
    block = round(ENVELOPE_SECONDS * SAMPLE_RATE)
    padded = np.pad(waveform, (0, -len(waveform) % block)).astype(np.float64)
    # Three blocks together, so that one cycle of a low note is no dip.
    energy = np.convolve(np.square(padded).reshape(-1, block).mean(axis=1), np.ones(3) / 3, mode="same")
    envelope = np.sqrt(energy)
    top = float(envelope.max())
    above = np.flatnonzero(envelope >= 0.1 * top)
    highest = int(np.argmax(envelope))
    late = envelope[int(0.75 * len(envelope))]
    return Traits(
        seconds=round(len(waveform) / SAMPLE_RATE, 6),
        loudness=round(loudness_db(waveform, SAMPLE_RATE), 3),
        brightness=round(brightness_hz(waveform, SAMPLE_RATE), 2),
        attack=round(float(np.argmax(envelope >= 0.9 * top)) * ENVELOPE_SECONDS, 4),
        decay=round(float(above[-1] - highest) * ENVELOPE_SECONDS, 4),
        sustain=round(20 * float(np.log10(max(late, 1e-9) / max(top, 1e-9))), 2),
    )


@dataclass(frozen=True)
class Scale:
    """A family's own scale of brightness and length.

    Attributes:
        slope: octaves of brightness per semitone of pitch.
        dark: a third of the family lies below, in octaves at pitch 60.
        bright: a third lies above.
        short: seconds; a quarter is shorter.
        long: seconds; a quarter is longer.
    """

    slope: float
    dark: float
    bright: float
    short: float
    long: float

    def octaves(self, clip: Clip, traits: Traits) -> float:
        """Brightness in octaves, with the share of pitch taken out."""
        raw = float(np.log2(max(traits.brightness, 20.0)))
        return raw if clip.pitch is None else raw - self.slope * (clip.pitch - 60.0)


def family_scales(clips: Iterable[tuple[Clip, Traits]]) -> dict[str, Scale]:
    """The scale of each family that is large enough to have one; measured on training clips."""
    families: dict[str, list[tuple[Clip, Traits]]] = defaultdict(list)
    for clip, traits in clips:
        if clip.split == "train":
            families[clip.family].append((clip, traits))
    return {name: _scale(members) for name, members in families.items() if len(members) >= FEWEST_TO_COMPARE}


def adjectives(clip: Clip, traits: Traits, scales: dict[str, Scale]) -> tuple[list[str], list[str]]:
    """True adjectives of a clip: those of its tone (synonyms), and those of its course in time."""
    tone: list[str] = []
    course: list[str] = []
    scale = scales.get(clip.family)
    if scale is not None:
        octaves = scale.octaves(clip, traits)
        if octaves > scale.bright:
            tone = list(BRIGHT)
        elif octaves < scale.dark:
            tone = list(DEEP if clip.family in DEEP_FAMILIES and clip.pitch is None else DARK)
        if traits.seconds < min(scale.short, 0.6):
            course += ["short", "tight"] if clip.family in STRUCK_FAMILIES else ["short"]
        elif traits.seconds > max(scale.long, 1.0):
            course += ["long"]
    if clip.family in STRUCK_FAMILIES and traits.attack <= 0.02 and 0.02 < traits.decay < 0.3:
        course += ["punchy"] if clip.family in ("kick", "tom", "snare") else []
    if clip.pitch is not None and traits.attack > 0.25:
        course += ["slow-attack", "swelling"]
    if clip.pitch is not None and traits.seconds > 1.2:
        course += ["sustained"] if traits.sustain > -9.0 else ["decaying"] if traits.sustain < -24.0 else []
    return tone, course


def _scale(members: Sequence[tuple[Clip, Traits]]) -> Scale:
    octaves = np.log2([max(traits.brightness, 20.0) for _, traits in members])
    pitched = [(clip.pitch, value) for (clip, _), value in zip(members, octaves, strict=True) if clip.pitch is not None]
    slope = 0.0
    if len(pitched) >= FEWEST_TO_COMPARE:
        pitches, values = np.array(pitched, dtype=np.float64).T
        slope = float(np.polyfit(pitches, values, 1)[0])
    plain = Scale(slope, 0.0, 0.0, 0.0, 0.0)
    levels = [plain.octaves(clip, traits) for clip, traits in members]
    seconds = [traits.seconds for _, traits in members]
    dark, bright = np.quantile(levels, (0.33, 0.67))
    short, long = np.quantile(seconds, (0.25, 0.75))
    return Scale(slope, float(dark), float(bright), float(short), float(long))
