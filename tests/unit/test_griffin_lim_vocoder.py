"""The baseline: better than random phase, seeded, aligned to the sample."""

from dataclasses import replace

import pytest
import torch

from audio.distances import multi_scale_mel_distance, normalise_peak
from audio.files import read_audio
from audio.inversion import inverse_stft, pseudo_inverse_magnitude
from audio.mel import LogMelSpectrogram
from vocoder.griffin_lim import GriffinLim


@pytest.fixture(scope="module")
def clip(sonic_pi_folder, mel):
    waveform, _ = read_audio(sonic_pi_folder / "bd_808.flac", mel.sample_rate, seconds=0.6)
    return normalise_peak(torch.from_numpy(waveform)[None])


def decode(clip, mel, **arguments):
    log_mel = LogMelSpectrogram(mel)(clip)
    waveform = GriffinLim(mel, **arguments).decode(log_mel)
    return waveform, clip[:, : waveform.shape[1]]


@pytest.mark.parametrize("framing", ["same", "centred"])
def test_iterations_beat_random_phase_by_far(clip, mel, framing):
    mel = replace(mel, framing=framing)
    log_mel = LogMelSpectrogram(mel)(clip)
    magnitude = pseudo_inverse_magnitude(log_mel, mel)
    phase = torch.rand(magnitude.shape, generator=torch.Generator().manual_seed(0)) * 6.2832
    waveform, target = decode(clip, mel, iterations=32)
    random = inverse_stft(torch.polar(magnitude, phase), mel)
    found, before = (multi_scale_mel_distance(w, target, mel.sample_rate) for w in (waveform, random))
    assert found < 0.6 * before
    few = multi_scale_mel_distance(decode(clip, mel, iterations=2)[0], target, mel.sample_rate)
    assert found < few


def test_same_seed_same_sound(clip, mel):
    first, second, other = (decode(clip, mel, iterations=3, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.allclose(first, other, atol=1e-3)


@pytest.mark.parametrize("framing", ["same", "centred"])
def test_an_attack_comes_out_where_it_went_in(mel, framing):
    mel = replace(mel, framing=framing)
    clip = torch.zeros(1, 22050)
    at = 9000
    clip[0, at : at + 4000] = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 0.2
    waveform, target = decode(clip, mel)
    # The energy before the attack is small, and the envelope lines up to a fraction of a hop.
    envelope = torch.nn.functional.avg_pool1d(waveform.abs()[None], 129, 1, 64)[0, 0]
    wanted = torch.nn.functional.avg_pool1d(target.abs()[None], 129, 1, 64)[0, 0]
    scores = [float((envelope.roll(shift) * wanted).sum()) for shift in range(-512, 513, 32)]
    assert abs(range(-512, 513, 32)[int(torch.tensor(scores).argmax())]) <= 64
