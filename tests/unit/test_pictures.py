"""Pictures of long clips: piece by piece, and the same."""

import numpy as np
import torch

from audio.mel import LogMelSpectrogram
from evaluation import pictures


def test_a_long_clip_is_drawn_in_pieces_and_looks_the_same(mel, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(pictures, "log_mel_figure", lambda log_mel, *_: drawn.append(log_mel))
    monkeypatch.setattr(pictures, "PIECE_FRAMES", 40)
    waveform = np.random.default_rng(0).standard_normal(3 * mel.sample_rate).astype(np.float32)
    for longest in (60.0, 1.0):
        monkeypatch.setattr(pictures, "WHOLE_SECONDS", longest)
        pictures.spectrogram_figure(waveform, mel)
    whole, pieces = drawn
    assert whole.shape == pieces.shape
    assert np.abs(whole - pieces).max() < 1e-3
    assert np.abs(whole - LogMelSpectrogram(mel)(torch.from_numpy(waveform)[None])[0].numpy()).max() < 1e-3
