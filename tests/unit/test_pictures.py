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


def test_a_picture_has_no_more_columns_than_it_shows_and_keeps_its_seconds(mel, monkeypatch) -> None:
    monkeypatch.setattr(pictures, "MOST_COLUMNS", 10)
    frames = np.arange(25, dtype=np.float32)[None].repeat(mel.n_mels, axis=0)
    image = pictures.log_mel_figure(frames, mel).axes[0].images[0]
    drawn = np.asarray(image.get_array())
    assert drawn.shape == (mel.n_mels, 9)
    # Means of three frames, the last of one.
    assert drawn[0].tolist() == [1.0, 4.0, 7.0, 10.0, 13.0, 16.0, 19.0, 22.0, 24.0]
    assert image.get_extent()[1] == 25 / mel.frame_rate
