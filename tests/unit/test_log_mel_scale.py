"""Decibels and decimal logarithms are named; nats pass, however loud, quiet, stationary or sketchily decoded."""

import math
from dataclasses import replace

import pytest
import torch

from audio.files import list_audio_files, read_audio
from audio.mel import LogMelSpectrogram
from vocoder.base import check_log_mel
from vocoder.griffin_lim import GriffinLim

DECIBELS, DECIMAL = 20.0 / math.log(10.0), 1.0 / math.log(10.0)
PRESETS = ("bigvgan_44khz", "vocos_24khz")


@pytest.fixture(scope="module")
def waveforms(sonic_pi_folder):
    """Sixty real clips, ending in a moment of digital silence, by sample rate."""
    paths = list_audio_files(sonic_pi_folder)[::3][:60]
    rates = (24000, 44100)
    read = {rate: [torch.from_numpy(read_audio(path, rate, seconds=1.0)[0])[None] for path in paths] for rate in rates}
    return {rate: [torch.nn.functional.pad(clip, (0, rate // 4)) for clip in clips] for rate, clips in read.items()}


@pytest.mark.parametrize("name", PRESETS)
def test_real_clips_pass_in_nats_and_are_refused_in_other_logarithms(name, presets, waveforms):
    mel = presets[name]
    front_end = LogMelSpectrogram(mel)
    for waveform in waveforms[mel.sample_rate]:
        log_mel = front_end(waveform)
        check_log_mel(log_mel, mel)
        check_log_mel(log_mel + math.log(2.0), mel)
        with pytest.raises(ValueError, match=r"look like decibels; multiply by ln\(10\) / 20"):
            check_log_mel(log_mel * DECIBELS, mel)
        with pytest.raises(ValueError, match=r"look like decimal logarithms; multiply by ln\(10\)"):
            check_log_mel(log_mel * DECIMAL, mel)


def test_decimal_logarithms_that_never_reach_their_floor_are_known_by_their_range(presets, sonic_pi_folder):
    """No silence at the end, drones and loops among them: half are known at least, and none is misjudged in nats."""
    mel = presets["bigvgan_44khz"]
    front_end = LogMelSpectrogram(mel)
    known = []
    for path in list_audio_files(sonic_pi_folder)[1::3][:40]:
        waveform = torch.from_numpy(read_audio(path, mel.sample_rate, seconds=1.0)[0])[None]
        if waveform.shape[1] < mel.sample_rate // 4:
            continue
        log_mel = front_end(waveform)
        check_log_mel(log_mel, mel)
        try:
            check_log_mel((log_mel * DECIMAL).clamp(min=-4.99), mel)
            known.append(False)
        except ValueError as error:
            known.append("decimal" in str(error))
    assert sum(known) >= 0.5 * len(known)


@pytest.mark.parametrize("floor", [1e-10, 1e-7, 1e-4])
def test_decimal_logarithms_of_another_floor_are_known_by_it(mel, floor):
    quiet = torch.rand(1, mel.n_mels, 20, generator=torch.Generator().manual_seed(0)) * 8.0 - 11.0
    with pytest.raises(ValueError, match="decimal logarithms"):
        check_log_mel(quiet.clamp(min=math.log10(floor)), mel)


def test_a_lower_floor_or_power_is_not_called_decibels(mel):
    log_mel = torch.rand(1, mel.n_mels, 20, generator=torch.Generator().manual_seed(0)) * 25.0 - 23.0
    with pytest.raises(ValueError, match=r"another floor \(clamp them at -11\.5\), or are logarithms of power"):
        check_log_mel(log_mel, mel)


@pytest.mark.parametrize("name", PRESETS)
def test_noise_and_tones_of_any_level_pass_moving_or_still(name, presets):
    mel = presets[name]
    front_end = LogMelSpectrogram(mel)
    white = torch.randn(1, mel.sample_rate // 4, generator=torch.Generator().manual_seed(0))
    tone = torch.sin(torch.arange(white.shape[1]) * 0.3)[None]
    for sound in (white, white.cumsum(1) / 50.0, tone):
        for level in range(-120, 10, 2):
            log_mel = front_end(sound * 10.0 ** (level / 20.0))
            check_log_mel(log_mel, mel)
            check_log_mel(log_mel.mean(dim=2, keepdim=True).expand_as(log_mel), mel)


def test_noise_that_bottoms_out_where_decimal_logarithms_do_is_not_misjudged(mel):
    noise = torch.randn(1, 22050, generator=torch.Generator().manual_seed(1))
    log_mel = LogMelSpectrogram(mel)(noise)
    check_log_mel(log_mel - log_mel.min() + math.log10(mel.log_floor), mel)
    still = log_mel.mean(dim=2, keepdim=True).expand_as(log_mel)
    check_log_mel(still - still.min() + math.log10(mel.log_floor), mel)


@pytest.mark.parametrize("value", [-5.0, -11.5, 0.0, 8.0])
def test_one_value_all_over_says_nothing(mel, value):
    check_log_mel(torch.full((2, mel.n_mels, 4), value), mel)


def test_what_an_autoencoder_paints_below_the_floor_passes(mel):
    log_mel = torch.full((1, mel.n_mels, 20), mel.log_mel_floor) - 2.0 * torch.rand(1, mel.n_mels, 20)
    log_mel[:, :64] += 8.0
    check_log_mel(log_mel, mel)
    # A few stray cells are not a scale.
    log_mel[0, 0, :3] = -40.0
    check_log_mel(log_mel, mel)


def test_the_floor_of_the_contract_decides(mel):
    log_mel = torch.rand(1, mel.n_mels, 20) * 2.0 - 20.0
    with pytest.raises(ValueError, match=r"end at ln\(1e-05\) = -11\.5, got values from -20\.0 to -18"):
        check_log_mel(log_mel, mel)
    check_log_mel(log_mel, replace(mel, log_floor=1e-10))


def test_loud_decibels_are_named_although_nothing_in_them_lies_far_below_the_floor(mel):
    log_mel = 50.0 * torch.rand(1, mel.n_mels, 20, generator=torch.Generator().manual_seed(0)) - 15.0
    with pytest.raises(ValueError, match="look like decibels"):
        check_log_mel(log_mel, mel)


@pytest.mark.parametrize("framing", ["same", "centred"])
def test_one_frame_is_refused_by_every_framing(mel, framing):
    mel = replace(mel, framing=framing)
    with pytest.raises(ValueError, match=r"at least one clip of 2 frames .* got shape \(1, 128, 1\)") as caught:
        GriffinLim(mel, iterations=1).decode(torch.zeros(1, mel.n_mels, 1))
    assert "\n" not in str(caught.value)
    check_log_mel(torch.zeros(1, mel.n_mels, 2), mel)
