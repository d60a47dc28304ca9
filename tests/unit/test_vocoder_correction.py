"""Corrections lead a sound to the mel that was asked for, and ask for no more than it lacks."""

import math
from dataclasses import replace

import torch

from audio.mel import LogMelSpectrogram, mel_filterbank
from tests.unit.test_vocoder_network import SAME, SMALL, network
from vocoder.correction import LIMIT, STEP, correction_gains, filter_shares


def test_corrections_bring_the_mel_of_the_sound_to_the_one_asked_for():
    sound = 0.3 * torch.randn(1, 6400, generator=torch.Generator().manual_seed(2))
    sound = sound * torch.linspace(0.0, 1.0, 6400).square()
    front_end = LogMelSpectrogram(SAME)
    wanted = front_end(sound)
    far = []
    for corrections in (0, 1, 2, 4):
        model = network(config=replace(SMALL, corrections=corrections))
        far.append(float((front_end(model.decode(wanted)) - wanted).abs().mean()))
    assert far[0] > far[1] > far[2] > far[3]
    assert far[2] < 0.6 * far[0]


def test_a_correction_asks_each_bin_for_the_mean_of_what_its_filters_lack_and_no_more_than_its_limit():
    shares = filter_shares(SAME)
    assert torch.allclose(shares.sum(dim=0), torch.ones(SAME.n_fft // 2 + 1))
    power = torch.rand(1, SAME.n_fft // 2 + 1, 5, generator=torch.Generator().manual_seed(3)) + 0.1
    own = (mel_filterbank(SAME) @ (power + SAME.magnitude_epsilon).sqrt()).log()
    assert torch.allclose(correction_gains(power, own, SAME), torch.ones_like(power), atol=1e-4)
    assert torch.allclose(correction_gains(power, own + 0.2, SAME), torch.full_like(power, math.exp(STEP * 0.2)))
    assert correction_gains(power, own + 50.0, SAME).max() <= math.exp(STEP * LIMIT) * 1.0001
    # What lies below the floor on both sides is as it should be.
    faint = torch.full_like(power, 1e-16)
    assert torch.allclose(correction_gains(faint, own * 0.0 - 40.0, SAME), torch.ones_like(power), atol=1e-3)
