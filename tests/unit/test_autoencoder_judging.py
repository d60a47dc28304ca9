"""Clips are judged as they are decoded where sound is made: behind the lead, where there is one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from audio.dataset import Clip
from audio.files import read_audio, write_audio
from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.judging import decoded
from autoencoder.model import MelVAE, MelVAEConfig

MEL = MelConfig(44100, 2048, 2048, 512, 128, 0.0, 22050.0, "slaney", "slaney", "same", 1e-9, 1e-5)


@pytest.mark.parametrize("lead", [0, 1])
@torch.inference_mode()
def test_what_is_decoded_lies_over_what_was_there(lead: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = MelVAE(
        MEL, MelVAEConfig(latent_channels=4, width=16, encoder_blocks=(1, 1), decoder_blocks=(1, 1), lead=lead)
    )
    path = tmp_path / "a.wav"
    write_audio(path, 0.1 * np.random.default_rng(0).standard_normal(9000).astype(np.float32), 44100)
    clip = Clip(path, ("noise",), 9000 / 44100, -20.0, 10_000.0)
    waveform = torch.from_numpy(read_audio(path, 44100)[0])[None]
    front_end = LogMelSpectrogram(MEL)
    ((_, target, estimate, posterior),) = decoded(network.eval(), [clip])
    assert target.shape == estimate.shape == front_end(waveform)[0].shape
    assert torch.allclose(posterior.mean, network.encode(front_end(waveform)).mean)
    # Away from the beginning the target is the clip's own mel; at it, silence lies ahead instead of a reflection.
    own = front_end(waveform)[0].numpy()
    assert np.allclose(target[:, 3:], own[:, 3:], atol=1e-4)
    assert np.allclose(target[:, 0], own[:, 0], atol=1e-4) == (lead == 0)
    whole = network.decode(network.led(posterior.mean))[0, :, 2 * lead :].detach().numpy()
    assert np.allclose(estimate, whole[:, : estimate.shape[1]], atol=1e-5)
