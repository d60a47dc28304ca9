"""Crops of clips: where they begin, and what is silence."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio.dataset import AudioFolder
from training.data import LONGEST_LEAD, AudioData, AudioSegments

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


def frequencies(folder: AudioFolder, transpose: float, random_crop: bool = True) -> list[float]:
    """Of 100 crops, the loudest frequency of each in Hz."""
    segments = AudioSegments(folder.clips, RATE, RATE // 2, random_crop=random_crop, transpose=transpose)
    found = []
    for seed in range(100):
        item = segments[0, seed]
        assert len(item["waveform"]) == RATE // 2
        assert int(item["valid_samples"]) >= RATE // 2 - 1
        spectrum = np.abs(np.fft.rfft(item["waveform"].numpy() * np.hanning(RATE // 2), 16 * RATE))
        found.append(float(spectrum.argmax()) / 16.0)
    return found


def test_half_of_the_crops_are_transposed_by_no_more_than_asked(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2.0 * np.pi * 440.0 * np.arange(2 * RATE) / RATE)
    soundfile.write(tmp_path / "tone.wav", tone.astype(np.float32), RATE, subtype="FLOAT")
    folder = AudioFolder.scan(tmp_path)
    semitones = 12.0 * np.log2(np.array(frequencies(folder, 5.0)) / 440.0)
    moved = np.abs(semitones) > 0.1
    assert 30 < moved.sum() < 70
    assert np.abs(semitones).max() < 5.3
    assert semitones.min() < -3.0
    assert semitones.max() > 3.0
    # Validation hears what was recorded, and so does training that asks for nothing.
    for plain in (frequencies(folder, 5.0, random_crop=False), frequencies(folder, 0.0)):
        assert np.abs(12.0 * np.log2(np.array(plain) / 440.0)).max() < 0.05


def test_a_transposition_that_no_one_means_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.transpose: expected 0 to 24 semitones, got 30"):
        AudioData(tmp_path, RATE, transpose=30.0)
