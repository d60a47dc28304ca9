"""Crops of clips: where they begin, and what is silence."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.dataset import AudioFolder
from training.data import LONGEST_LEAD, AudioSegments

RATE = 8000


@pytest.fixture
def ramp(tmp_path: Path) -> AudioFolder:
    """A second of samples that tell their place."""
    soundfile.write(tmp_path / "ramp.wav", np.linspace(0.1, 0.9, RATE, dtype=np.float32), RATE, subtype="FLOAT")
    return AudioFolder.scan(tmp_path)


def beginnings(folder: AudioFolder, share: float) -> list[tuple[int, float]]:
    """Of 200 crops, the samples of silence before each and its first sample that is none."""
    segments = AudioSegments(folder.clips, RATE, RATE // 4, beginnings=share)
    found = []
    for seed in range(200):
        waveform = segments[0, seed]["waveform"]
        lead = int((waveform > 0.0).nonzero()[0])
        assert len(waveform) == RATE // 4
        found.append((lead, float(waveform[lead])))
    return found


def test_beginnings_come_as_often_as_asked_after_a_short_silence(ramp: AudioFolder) -> None:
    found = beginnings(ramp, 0.5)
    starts = [lead for lead, first in found if first == pytest.approx(0.1, abs=1e-4)]
    assert 70 < len(starts) < 130
    assert max(starts) <= LONGEST_LEAD * RATE
    assert len(set(starts)) > 40
    assert all(lead == 0 for lead, first in found if first > 0.11)


def test_without_them_crops_are_what_they_were(ramp: AudioFolder) -> None:
    plain = AudioSegments(ramp.clips, RATE, RATE // 4)
    assert beginnings(ramp, 0.0) == [(0, float(plain[0, seed]["waveform"][0])) for seed in range(200)]
