"""A blind A/B/X listening test: which sounds are heard, in which order, and the key that tells afterwards.

In a trial A and B are one clip twice: two vocoders' renderings, or the real clip and a rendering. X is A or B again.
Whoever hears a difference finds X more often than every second time (Clark, "High-resolution subjective testing using
a double-blind comparator", 1982). Which is A, which is X, and the order of the trials are drawn from a seed.

Every sound of a trial gets noise of its own of one step of 16 bits, so that no two of them are equal in the page; a
reader who measures them can still find out, and so cheat.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from audio.files import flac_bytes
from audio.measures import Waveform
from evaluation.page import save_json
from pipelines.comparison_decoding import GENERATED, Kept

KEY_FORMAT = 1
KEY_KIND = "listening key"
REAL_CLIP = "real"
LONGEST_SECONDS = 4.0
PEAK = 0.9
STEP = 2.0**-15

Side = Literal["A", "B"]


@dataclass(frozen=True)
class Trial:
    """One question.

    Args:
        number: from 1, in the order of listening.
        clip: which of the kept ones.
        a: a vocoder's name, or `real`.
        b: another one.
        x: which of them X is.
    """

    number: int
    clip: int
    a: str
    b: str
    x: Side


@dataclass(frozen=True)
class ListeningTest:
    """All trials of a report.

    Args:
        report: identity that answers and key must share.
        source: of the mels that were rendered.
        trials: in the order of listening.
        clips: names of the clips, by their number.
        sounds: what is heard as A, B and X in each trial, as FLAC files.
    """

    report: str
    source: str
    trials: Sequence[Trial]
    clips: Mapping[int, str]
    sounds: Mapping[int, Mapping[str, bytes]]

    def save_key(self, path: Path) -> None:
        """Write what the page does not tell.

        Raises:
            ValueError: the file cannot be written.
        """
        save_json(path, {"format": KEY_FORMAT, "kind": KEY_KIND, "report": self.report, **self._values()})

    def _values(self) -> dict[str, Any]:
        return _plain(self.source, self.trials, self.clips)


def pairs_to_hear(vocoders: Sequence[str], source: str) -> list[tuple[str, str]]:
    """Who is held against whom: the real clip against every vocoder, and the first vocoder against the others."""
    real = [] if source == GENERATED else [(REAL_CLIP, name) for name in vocoders]
    return real + [(vocoders[0], name) for name in vocoders[1:]]


def draw_trials(
    vocoders: Sequence[str],
    source: str,
    kept: Mapping[int, Kept],
    trials: int,
    seed: int,
    facts: Mapping[str, object],
    sample_rate: int,
) -> ListeningTest:
    """Draw the questions; the report's identity is a hash of them, of all that is heard and of the facts.

    Args:
        vocoders: their names, the first one first.
        source: of the mels that are heard.
        kept: the clips to choose from.
        trials: for each pair.
        seed: of all draws.
        facts: whatever else tells this report from others.
        sample_rate: in Hz.
    """
    random = np.random.default_rng(seed)
    clips = sorted(kept)
    drawn: list[tuple[int, str, str, Side]] = []
    for first, second in pairs_to_hear(vocoders, source):
        order = [clips[place] for place in random.permutation(len(clips))]
        for number in range(trials):
            a, b = (first, second) if random.random() < 0.5 else (second, first)
            drawn.append((order[number % len(order)], a, b, "A" if random.random() < 0.5 else "B"))
    order = random.permutation(len(drawn)).tolist()
    questions = [Trial(number, *drawn[place]) for number, place in enumerate(order, 1)]
    names = {number: kept[number].clip.path.name for number in clips}
    sounds = {trial.number: _encoded(trial, kept[trial.clip], source, sample_rate, seed) for trial in questions}
    # Two reports of the same names and questions are two where a vocoder sounds otherwise.
    heard = [hashlib.sha256(sound).hexdigest() for trial in sounds.values() for sound in trial.values()]
    told = {name: str(value) for name, value in facts.items()}
    text = json.dumps([_plain(source, questions, names), told, heard, seed], sort_keys=True)
    return ListeningTest(hashlib.sha256(text.encode()).hexdigest()[:16], source, questions, names, sounds)


def trial_sounds(trial: Trial, kept: Kept, source: str, sample_rate: int, seed: int) -> dict[str, Waveform]:
    """What is heard as A, B and X: the first seconds, at one common level that clips neither.

    Args:
        trial: the question.
        kept: its clip.
        source: of the mels.
        sample_rate: in Hz.
        seed: of the noise.
    """
    heard = {side: _rendering(kept, name, source) for side, name in (("A", trial.a), ("B", trial.b))}
    samples = min(round(LONGEST_SECONDS * sample_rate), *(len(sound) for sound in heard.values()))
    gain = PEAK / max(PEAK, *(float(sound.abs().max()) for sound in heard.values()))
    heard["X"] = heard[trial.x]
    random = np.random.default_rng([seed, trial.number])
    return {
        side: np.asarray(gain * sound[:samples].numpy() + STEP * random.triangular(-1.0, 0.0, 1.0, samples), np.float32)
        for side, sound in heard.items()
    }


def _encoded(trial: Trial, kept: Kept, source: str, sample_rate: int, seed: int) -> dict[str, bytes]:
    sounds = trial_sounds(trial, kept, source, sample_rate, seed)
    return {side: flac_bytes(sound, sample_rate) for side, sound in sounds.items()}


def _rendering(kept: Kept, name: str, source: str) -> Tensor:
    waveform = kept.real if name == REAL_CLIP else kept.made[name, source]
    return torch.as_tensor(waveform[0]).float()


def _plain(source: str, trials: Sequence[Trial], clips: Mapping[int, str]) -> dict[str, Any]:
    rows = [{"trial": t.number, "clip": clips[t.clip], "a": t.a, "b": t.b, "x": t.x} for t in trials]
    return {"source": source, "trials": rows}
