"""The mel front end: torch's STFT and nnAudio's, beside torchaudio's MelSpectrogram of the same sizes."""

import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from audio.mel import LogMelSpectrogram, MelConfig
from benchmarks.conftest import Bench

GROUP = "mel front end, a training batch of 16 x 0.75 s at 44.1 kHz"


@pytest.mark.parametrize("backend", ["torch", "nnaudio"])
def test_front_end(backend: str, bench: Bench, mel: MelConfig) -> None:
    waveform = 0.1 * torch.randn(16, round(0.75 * mel.sample_rate))
    ours = LogMelSpectrogram(mel, backend)
    peer = MelSpectrogram(
        mel.sample_rate,
        mel.n_fft,
        hop_length=mel.hop_length,
        n_mels=mel.n_mels,
        norm="slaney",
        mel_scale="slaney",
        power=1,
    )
    with torch.inference_mode():
        rounds = bench.measure(
            lambda: ours(waveform), {"torchaudio": lambda: peer(waveform).clamp(min=1e-5).log()}, rounds=15
        )
    bench.report(
        GROUP, f"ours, {backend} path", rounds.seconds, f"{rounds.speed('torchaudio'):.2f} x the speed of torchaudio"
    )
