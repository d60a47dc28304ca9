"""Duplicates: the same recording in disguise is found, its neighbours are not."""

import numpy as np
import pytest

from audio.files import resample
from evaluation.duplicates import (
    FINGERPRINT_SIZE,
    candidate_pairs,
    find_duplicates,
    fingerprint,
    sample_digest,
    waveform_similarity,
)

RATE = 44100


def stroke(seed: int, pitch: float = 180.0) -> np.ndarray:
    """A drum: one mode, and noise of its own."""
    time = np.arange(RATE // 2) / RATE
    noise = np.random.default_rng(seed).standard_normal(len(time))
    mode = np.sin(2 * np.pi * pitch * time) * np.exp(-10 * time)
    return (0.4 * mode + 0.1 * noise * np.exp(-20 * time)).astype(np.float32)


DISGUISES = {
    "gain": lambda clip: (-0.2 * clip, RATE),
    "resampled": lambda clip: (resample(clip, RATE, 24000), 24000),
    "trimmed": lambda clip: (clip[37:], RATE),
    "late": lambda clip: (np.pad(clip, (1105, 0)), RATE),
    "rounded": lambda clip: ((np.round(clip * 500) / 500).astype(np.float32), RATE),
}


def pairs_of(clips, groups=None):
    prints = np.stack([fingerprint(*clip) for clip in clips])
    digests = [sample_digest(*clip) for clip in clips]
    return find_duplicates(prints, digests, groups or [""] * len(clips), lambda i: clips[i], [False] * len(clips))


@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguised_copy_is_found_and_other_strokes_are_not(name):
    clips = [(stroke(0), RATE), (stroke(1), RATE), (stroke(2), RATE), DISGUISES[name](stroke(1))]
    found = pairs_of(clips)
    assert [(pair.first, pair.second, pair.exact) for pair in found] == [(1, 3, False)]
    assert found[0].similarity > 0.96


def test_equal_samples_are_exact_and_known_groups_are_left_alone():
    clips = [(stroke(0), RATE), (stroke(0), RATE), (stroke(5, 300.0), RATE)]
    assert [(pair.first, pair.second, pair.exact) for pair in pairs_of(clips)] == [(0, 1, True)]
    assert pairs_of(clips, ["drum", "drum", ""]) == []
    assert len(pairs_of(clips, ["drum", "other", ""])) == 1


def test_the_digest_sees_the_sixteen_bits_and_the_rate():
    clip = stroke(0)
    assert sample_digest(clip, RATE) == sample_digest((np.round(clip * 32767) / 32767).astype(np.float32), RATE)
    assert sample_digest(clip, RATE) != sample_digest(clip, 48000)
    assert sample_digest(clip, RATE) != sample_digest(clip[:-1], RATE)


def test_the_similarity_of_a_shift_by_half_a_sample_is_one():
    spectrum = np.fft.rfft(np.random.default_rng(3).standard_normal(8000))
    frequencies = np.fft.rfftfreq(8000)
    spectrum[frequencies > 0.4] = 0
    first = np.fft.irfft(spectrum)
    second = np.fft.irfft(spectrum * np.exp(-2j * np.pi * frequencies * 20.5))
    assert waveform_similarity(first.astype(np.float32), second.astype(np.float32)) > 0.985
    assert waveform_similarity(first.astype(np.float32), (-first).astype(np.float32)) == pytest.approx(1.0)
    other = np.random.default_rng(4).standard_normal(8000).astype(np.float32)
    assert waveform_similarity(first.astype(np.float32), other) < 0.1


def test_fingerprints_are_normalised_and_silence_is_near_nothing():
    print_ = fingerprint(stroke(0), RATE)
    assert print_.shape == (FINGERPRINT_SIZE,)
    assert np.linalg.norm(print_) == pytest.approx(1.0, abs=1e-5)
    silence = fingerprint(np.zeros(2000, dtype=np.float32), RATE)
    assert candidate_pairs(np.stack([silence, silence]), ["", ""]) == []
