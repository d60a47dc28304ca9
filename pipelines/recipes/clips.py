"""A clip as the recipes know it before it exists, and the form in which a clip is stored.

Every source is brought to one form: 44.1 kHz, mono, silence trimmed at both ends, peak 0.9. Level is thereby taken
out of the waveform (the sources spread over 30 dB); how hard something was struck survives in the clip's velocity and
captions.
"""

from dataclasses import dataclass

import numpy as np

from audio.measures import Waveform, peak

SAMPLE_RATE = 44_100
STRUCK_FAMILIES = frozenset({"kick", "snare", "hihat", "tom", "cymbal", "clap_and_snap", "percussion"})
STORED_PEAK = 0.9
SILENT_PEAK = 1e-4  # -80 dBFS: below this a file or a render holds no sound
HEAD_DB = -60.0
TAIL_DB = -70.0
HEAD_SECONDS = 0.003
TAIL_SECONDS = 0.01
CUT_FADE_SECONDS = 0.4
SHORTEST_SECONDS = 0.01
LONGEST_SECONDS = 6.0


@dataclass(frozen=True)
class Clip:
    """What is known of a clip without listening to it.

    Attributes:
        file_name: path inside the built folder, with forward slashes.
        label: fine class, such as "kick" or "acoustic grand piano".
        family: coarse class, such as "kick" or "piano".
        names: what people call it, the most exact name first.
        words: true context words, such as "808" or "acoustic".
        pitch: MIDI note number, of tuned clips only.
        velocity: 0 to 1 where it is known.
        dynamics: "soft", "loud", ... only where the sound itself differs, not merely its level.
        group: clips of one group stay on one side of the split.
        recording: what counts as the recording.
        licence: SPDX identifier.
        source: package and kit, or the font.
        rendered: true for a soundfont render.
        split: "train", "validation" or "test"; empty until it is assigned.
        longest_seconds: of a recording: where it is let go.
        further: came after the others; what is bright or short for its family follows from those alone.
    """

    file_name: str
    label: str
    family: str
    names: tuple[str, ...]
    words: tuple[str, ...]
    pitch: float | None
    velocity: float | None
    dynamics: str | None
    group: str
    recording: str
    licence: str
    source: str
    rendered: bool
    split: str = ""
    longest_seconds: float = LONGEST_SECONDS
    further: bool = False


def store_form(waveform: Waveform, longest_seconds: float) -> Waveform | None:
    """Trim, fade and normalise samples at 44.1 kHz; None where there is nothing to hear.

    Args:
        waveform: samples, mono, 44.1 kHz.
        longest_seconds: where a longer clip is cut, after a fade of 0.4 s.
    """
    top = peak(waveform)
    if top < SILENT_PEAK or not np.isfinite(waveform).all():
        return None
    level = np.abs(waveform)
    start = int(np.argmax(level > top * 10 ** (HEAD_DB / 20))) - round(HEAD_SECONDS * SAMPLE_RATE)
    start = max(0, start)
    loud = np.flatnonzero(level > top * 10 ** (TAIL_DB / 20))
    end = min(len(waveform), int(loud[-1]) + 1 + round(TAIL_SECONDS * SAMPLE_RATE))
    longest = round(longest_seconds * SAMPLE_RATE)
    cut = end - start > longest
    end = min(end, start + longest)
    clip = np.array(waveform[start:end], dtype=np.float32)
    if len(clip) < SHORTEST_SECONDS * SAMPLE_RATE or peak(clip) < SILENT_PEAK:
        return None
    # A cut through a sounding tail is heard, and a model learns to cut: it is let go as a hand would do it.
    fade = min(len(clip) // 4, round((CUT_FADE_SECONDS if cut else TAIL_SECONDS) * SAMPLE_RATE))
    clip[len(clip) - fade :] *= np.square(np.cos(np.linspace(0.0, np.pi / 2, fade, dtype=np.float32)))
    return np.asarray(clip * np.float32(STORED_PEAK / peak(clip)), dtype=np.float32)
