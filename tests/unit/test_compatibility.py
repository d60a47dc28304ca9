"""Which vocoder fits which model: equal mels, a higher floor, and a way out for all others."""

from dataclasses import replace

import pytest
import torch

from audio.contract import convert_log_mel
from pipelines.compatibility import check_vocoder


def test_equal_mels_and_a_higher_floor_fit(mel):
    check_vocoder(mel, mel)
    check_vocoder(mel, replace(mel, log_floor=1e-4))


def test_another_family_is_refused_with_its_fields_and_the_way_out(presets):
    with pytest.raises(ValueError, match="mel adapter") as caught:
        check_vocoder(presets["bigvgan_44khz"], presets["vocos_24khz"])
    told = str(caught.value)
    for text in ("sample_rate: 44100 != 24000", "mel_scale: slaney != htk", "framing: same != centred"):
        assert text in told
    assert "win" in told
    assert "python -m vocoder.adapter fit" in told
    assert "vocoder.adapter.AdaptedVocoder" in told
    assert "\n" not in told


def test_only_what_differs_is_named(presets):
    other = replace(presets["bigvgan_44khz"], f_max=20000.0)
    with pytest.raises(ValueError, match=r"differ: f_max: 22050\.0 != 20000\.0; train a mel adapter"):
        check_vocoder(presets["bigvgan_44khz"], other)


def test_of_a_lower_floor_the_two_are_named_and_no_adapter_that_could_not_help(mel):
    with pytest.raises(ValueError, match=r"the vocoder's, 1e-07, is lower than the model's, 1e-05") as caught:
        check_vocoder(mel, replace(mel, log_floor=1e-7))
    told = str(caught.value)
    assert "adapter" not in told
    assert "python -m vocoder fit" in told
    assert "convert_log_mel(log_mel, model_mel, vocoder_mel, allow_inexact=True)" in told
    assert "\n" not in told
    # What it names for Python works.
    lowered = convert_log_mel(torch.full((1, mel.n_mels, 3), -9.0), mel, replace(mel, log_floor=1e-7), True)
    assert float(lowered.min()) == -9.0


def test_a_lower_floor_of_another_family_still_needs_the_adapter(presets):
    with pytest.raises(ValueError, match=r"f_max: .*log_floor: .*train a mel adapter"):
        check_vocoder(presets["bigvgan_44khz"], replace(presets["bigvgan_44khz"], f_max=2e4, log_floor=1e-7))
