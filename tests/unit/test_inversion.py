"""Back from the mel: exact where it can be, aligned, seeded."""

from pathlib import Path

import pytest
import torch

from audio.distances import multi_scale_mel_distance
from audio.files import read_audio
from audio.inversion import (
    forward_stft,
    griffin_lim,
    griffin_lim_from_log_mel,
    inverse_stft,
    pseudo_inverse_magnitude,
)
from audio.mel import LogMelSpectrogram, MelConfig, mel_filterbank


@pytest.fixture(scope="module")
def loop(sonic_pi_folder: Path) -> torch.Tensor:
    return torch.from_numpy(read_audio(sonic_pi_folder / "loop_amen.flac", 24000)[0])[None, :24000]


@pytest.mark.parametrize("name", ["bigvgan_44khz", "bigvgan_24khz", "vocos_24khz", "hifigan_22khz"])
def test_the_stft_is_inverted_exactly_in_both_framings(
    name: str, loop: torch.Tensor, presets: dict[str, MelConfig]
) -> None:
    config = presets[name]
    rebuilt = inverse_stft(forward_stft(loop, config), config)
    assert rebuilt.shape[1] == config.num_samples(config.num_frames(loop.shape[1]))
    assert (rebuilt - loop[:, : rebuilt.shape[1]]).abs().max() < 1e-5


def test_the_pseudo_inverse_is_non_negative_and_keeps_the_mel(loop: torch.Tensor, mel: MelConfig) -> None:
    log_mel = LogMelSpectrogram(mel)(loop)
    magnitude = pseudo_inverse_magnitude(log_mel, mel)
    assert float(magnitude.min()) >= 0.0
    again = (mel_filterbank(mel) @ magnitude).clamp(min=mel.log_floor).log()
    assert (again - log_mel).abs().mean() < 0.35


@pytest.mark.parametrize("name", ["bigvgan_24khz", "vocos_24khz"])
def test_griffin_lim_improves_is_seeded_and_aligned(
    name: str, loop: torch.Tensor, presets: dict[str, MelConfig]
) -> None:
    config = presets[name]
    log_mel = LogMelSpectrogram(config)(loop)
    magnitude = forward_stft(loop, config).abs()
    few, many = griffin_lim(magnitude, config, 2), griffin_lim(magnitude, config, 32)
    target = loop[:, : few.shape[1]]

    def distance(estimate: torch.Tensor) -> float:
        return float(multi_scale_mel_distance(estimate, target, 24000))

    assert distance(many) < 0.7 * distance(few)
    assert torch.equal(griffin_lim(magnitude, config, 2), few)
    assert not torch.allclose(griffin_lim(magnitude, config, 2, seed=1), few)
    baseline = griffin_lim_from_log_mel(log_mel, config, 32)
    assert distance(baseline) < distance(torch.roll(baseline, config.hop_length // 2, dims=1))


def test_rows_do_not_touch_each_other(loop: torch.Tensor, presets: dict[str, MelConfig]) -> None:
    config = presets["bigvgan_24khz"]
    magnitude = forward_stft(torch.cat([loop, loop.flip(1)]), config).abs()
    together = griffin_lim(magnitude, config, 4)
    assert torch.allclose(griffin_lim(magnitude[1:], config, 4)[0], together[1], atol=1e-4)


def test_wrong_numbers_are_refused(presets: dict[str, MelConfig]) -> None:
    config = presets["bigvgan_24khz"]
    with pytest.raises(ValueError, match="iterations"):
        griffin_lim(torch.ones(1, 513, 20), config, 0)
    with pytest.raises(ValueError, match="too few"):
        griffin_lim(torch.ones(1, 513, 1), config)
