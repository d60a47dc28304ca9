"""Which vocoder fits which model: equal mels, a higher floor, and a way out for all others."""

from dataclasses import replace

import pytest

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


def test_a_lower_floor_is_refused_without_naming_an_option_that_commands_lack(mel):
    with pytest.raises(
        ValueError, match="cannot be lowered to 1e-07, what lay below is lost; train a mel adapter"
    ) as c:
        check_vocoder(mel, replace(mel, log_floor=1e-7))
    assert "allow_inexact" not in str(c.value)
