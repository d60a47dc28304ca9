"""The latent card against closed forms: known moments, planted channels, autoregressions, planted errors."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from audio.mel import MelConfig
from autoencoder.latent_card import SEGMENT, LatentCard, LatentStatistics, participation_ratio
from autoencoder.mel_bands import BandErrors, mel_bands
from autoencoder.model import MelVAE, MelVAEConfig, Posterior
from autoencoder.reach import Reach, measured_decoder_reach, measured_encoder_reach
from evaluation.pictures import bin_centres

RATE = 40.0


def card_of(values: np.ndarray, variance: float | np.ndarray = 0.01, clips: int = 20) -> LatentCard:
    """The card of `(channels, frames)`, cut into clips of unequal length."""
    statistics = LatentStatistics(len(values), RATE)
    noise = np.broadcast_to(np.reshape(variance, (-1, 1)), values.shape)
    cuts = np.sort(np.random.default_rng(9).choice(np.arange(1, values.shape[1]), clips - 1, replace=False))
    for mean, spread in zip(np.split(values, cuts, axis=1), np.split(noise, cuts, axis=1), strict=True):
        posterior = Posterior(torch.from_numpy(mean.copy()), torch.from_numpy(np.log(spread)))
        statistics.add(mean, spread, posterior.kl().numpy())
    return statistics.card()


def autoregression(past: float, frames: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(frames) * np.sqrt(1.0 - past**2)
    values = np.zeros(frames)
    values[0] = noise[0] / np.sqrt(1.0 - past**2)
    for index in range(1, frames):
        values[index] = past * values[index - 1] + noise[index]
    return values


def test_moments_are_those_of_all_frames_laid_end_to_end_even_far_from_zero():
    rng = np.random.default_rng(0)
    frames = 40_000
    values = np.stack([rng.normal(1000.0, 0.1, frames), rng.uniform(-1, 1, frames), rng.laplace(-3.0, 2.0, frames)])
    card = card_of(values)
    assert card.latent_frames == frames
    np.testing.assert_allclose(card.mean, values.mean(axis=1), rtol=1e-10)
    np.testing.assert_allclose(card.std, values.std(axis=1), rtol=1e-9)
    np.testing.assert_allclose(card.excess_kurtosis, scipy.stats.kurtosis(values, axis=1), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(card.correlation, np.corrcoef(values), atol=1e-8)
    # The closed forms themselves, within five standard errors or so.
    np.testing.assert_allclose(card.std, [0.1, 1 / np.sqrt(3), 2 * np.sqrt(2)], rtol=0.03)
    assert (np.abs(card.excess_kurtosis - [0.0, -1.2, 3.0]) < [0.13, 0.05, 0.8]).all()


def test_nats_noise_and_signal_have_their_closed_forms():
    values = np.random.default_rng(1).standard_normal((2, 50_000)) * [[2.0], [1.0]]
    card = card_of(values, variance=np.array([1.0, 0.01]))
    np.testing.assert_allclose(card.noise_share, [1 / 5, 0.01 / 1.01], rtol=0.03)
    np.testing.assert_allclose(card.signal_to_noise_db, [10 * np.log10(4.0), 20.0], atol=0.15)
    # KL(N(m, s^2) | N(0, 1)) = (m^2 + s^2 - 1 - log s^2) / 2, in expectation over m.
    np.testing.assert_allclose(card.kl, [2.0, 0.5 * (1.0 + 0.01 - 1.0 - np.log(0.01))], rtol=0.03)


def test_a_dead_channel_is_found_and_a_small_clean_one_is_not_called_dead():
    rng = np.random.default_rng(2)
    collapsed, constant, small = np.zeros(4000), np.full(4000, 3.3), 0.05 * rng.standard_normal(4000)
    alive = rng.standard_normal(4000)
    whisper = 0.05 * rng.standard_normal(4000)
    card = card_of(
        np.stack([collapsed, constant, small, alive, whisper]), variance=np.array([1.0, 1e-5, 1e-5, 0.01, 1.0])
    )
    assert card.dead.tolist() == [True, True, False, False, True]
    assert card.active.tolist() == [False, False, False, True, False]
    assert card.noise_share[0] == 1.0
    assert card.signal_to_noise_db[:2].tolist() == [-np.inf, -np.inf]
    assert card.kl[0] == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(card.excess_kurtosis).tolist() == [True, True, False, False, False]
    assert np.isnan(card.correlation[0]).all()
    assert np.isfinite(card.correlation[2:, 2:]).all()
    assert np.isnan(card.spectrum.flatness).tolist() == [True, True, False, False, False]


def test_a_planted_correlation_is_found_and_lowers_the_effective_dimensions():
    rng = np.random.default_rng(3)
    white = rng.standard_normal((6, 60_000))
    assert card_of(white).effective_dimensions == pytest.approx(6.0, rel=0.01)
    related = white.copy()
    related[4] = -0.8 * white[1] + 0.6 * white[4]
    card = card_of(related)
    first, second, value = card.strongest_correlation()
    assert (first, second) == (1, 4)
    assert value == pytest.approx(-0.8, abs=0.01)
    # Eigenvalues 1.8, 0.2 and four ones.
    assert card.effective_dimensions == pytest.approx(36.0 / (1.8**2 + 0.2**2 + 4.0), rel=0.01)


def test_participation_ratio_counts_directions():
    assert participation_ratio(np.eye(7)) == pytest.approx(7.0)
    assert participation_ratio(np.ones((7, 7))) == pytest.approx(1.0)
    assert participation_ratio(np.zeros((3, 3))) == 0.0


@pytest.mark.parametrize("past", [0.0, 0.5, 0.9, -0.5])
def test_spectrum_of_an_autoregression(past):
    # A large mean must not look like power at low frequencies.
    card = card_of(50.0 + autoregression(past, 120_000)[None])
    spectrum = card.spectrum
    omega = 2 * np.pi * spectrum.frequencies / RATE
    # What Welch's average expects: the autocovariance, weighted by the window's own.
    window = np.hanning(SEGMENT + 1)[:-1]
    lags = np.arange(1, SEGMENT)
    overlap = np.array([(window[lag:] * window[:-lag]).sum() for lag in lags]) / (window**2).sum()
    expected = 1.0 + 2.0 * (past**lags * overlap * np.cos(np.outer(omega, lags))).sum(axis=1)
    np.testing.assert_allclose(spectrum.power[0], expected, rtol=0.1)
    assert spectrum.frequencies[-1] == RATE / 2
    assert spectrum.flatness[0] == pytest.approx(1.0 - past**2, rel=0.08)
    weights = np.array([1.0] + [2.0] * (SEGMENT // 2 - 1) + [1.0])
    slow = (weights * expected)[:2].sum() / (weights * expected).sum()
    assert spectrum.fast_above_hz == 1.5 * RATE / SEGMENT
    assert spectrum.fast_share == pytest.approx(1.0 - slow, rel=0.02)
    if past == 0.0:
        assert spectrum.fast_share == pytest.approx(29 / 32, rel=0.02)


def test_too_little_is_not_computed_rather_than_guessed():
    values = np.random.default_rng(4).standard_normal((3, 1000))
    few = card_of(values, clips=9)
    assert not few.enough
    assert few.excess_kurtosis is few.correlation is few.effective_dimensions is few.strongest_correlation() is None
    assert card_of(values, clips=10).enough
    assert not card_of(values[:, :29], clips=10).enough
    assert card_of(values[:, :30], clips=10).enough
    assert card_of(values[:, : SEGMENT * 10], clips=10).spectrum is None


def test_other_shapes_and_no_clip_are_refused():
    statistics = LatentStatistics(3, RATE)
    with pytest.raises(ValueError, match="at least one clip"):
        statistics.card()
    good = np.ones((3, 5))
    for bad in (np.ones((2, 5)), np.ones((3, 0)), np.ones(3)):
        with pytest.raises(ValueError, match=r"expected three of \(3, latent_frames\)"):
            statistics.add(bad, bad, bad)
    with pytest.raises(ValueError, match="got"):
        statistics.add(good, good, good[:, :4])


def test_memory_does_not_grow_with_the_clips():
    statistics = LatentStatistics(4, RATE)
    clip = np.random.default_rng(5).standard_normal((4, 100)).astype(np.float32)
    statistics.add(clip, np.exp(clip), clip)
    before = len(pickle.dumps(statistics))
    for _ in range(500):
        statistics.add(clip, np.exp(clip), clip)
    assert len(pickle.dumps(statistics)) < before + 100


def test_bands_hold_every_bin_once_and_in_the_band_of_its_name(presets):
    for mel in presets.values():
        bands = mel_bands(mel)
        covered = [index for band in bands for index in range(band.bins.start, band.bins.stop)]
        assert covered == list(range(mel.n_mels))
    mel = presets["bigvgan_44khz"]
    by_name = {band.name: bin_centres(mel)[band.bins] for band in mel_bands(mel)}
    assert by_name["below 200 Hz"].max() < 200
    assert by_name["above 12 kHz"].min() >= 12_000
    assert 1000 <= by_name["1 kHz to 2 kHz"].min() < by_name["1 kHz to 2 kHz"].max() < 2000
    narrow = mel_bands(presets["hifigan_22khz"])
    assert narrow[-1].name == "above 4 kHz"


def test_a_planted_error_is_found_in_its_band_and_its_family(mel: MelConfig):
    errors = BandErrors(mel)
    target = np.zeros((mel.n_mels, 7), dtype=np.float32)
    broken = target.copy()
    broken[bin_centres(mel) >= 12_000] -= 2.0
    assert errors.add("bells", target, target) == 0.0
    share = float((bin_centres(mel) >= 12_000).mean())
    assert errors.add("kicks", broken, target) == pytest.approx(2.0 * share)
    # A longer clip does not weigh more.
    errors.add("bells", np.tile(target, 50), np.tile(target, 50))
    assert errors.worst_band() == "above 12 kHz"
    assert errors.by_band()["above 12 kHz"] == pytest.approx(2.0 / 3.0)
    assert errors.bias_by_band()["above 12 kHz"] == pytest.approx(-2.0 / 3.0)
    assert errors.by_family()["kicks"]["above 12 kHz"] == pytest.approx(2.0)
    assert list(errors.by_family()) == ["bells", "kicks"]
    assert set(errors.by_family()["bells"].values()) == {0.0}
    with pytest.raises(ValueError, match="estimate, target"):
        errors.add("kicks", target[:, :3], target)


def network_of(mel: MelConfig, **sizes: object) -> MelVAE:
    torch.manual_seed(0)
    return MelVAE(mel, replace(MelVAEConfig(latent_channels=4, width=16), **sizes)).eval()


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"frames_per_latent": 1},
        {"frames_per_latent": 4, "kernel_size": 5},
        {"encoder_blocks": (0, 0), "decoder_blocks": (0, 0)},
        {"encoder_blocks": (2, 1), "decoder_blocks": (1, 3), "frames_per_latent": 3},
    ],
)
def test_stated_reach_is_the_reach_of_the_gradients_and_of_perturbation(mel: MelConfig, sizes: dict):
    network = network_of(mel, **sizes)
    reach = Reach.of(network)
    assert (reach.measured_encoder, reach.measured_decoder) == (reach.encoder, reach.decoder)
    assert reach.holds
    network.double()  # what arrives at the far end is small: float32 would round it away
    factor, middle = network.config.frames_per_latent, 30
    log_mel = torch.randn(1, mel.n_mels, factor * 61, dtype=torch.float64)
    before = network.encode(log_mel).mean[..., middle]
    for beyond, changes in ((reach.encoder + 1, False), (reach.encoder, True)):
        touched = log_mel.clone()
        touched[..., : middle * factor - beyond + 1] += 30.0 * torch.randn(mel.n_mels, 1, dtype=torch.float64)
        assert torch.equal(network.encode(touched).mean[..., middle], before) != changes
    latents = torch.randn(1, 4, 61, dtype=torch.float64)
    touched = latents.clone()
    touched[..., middle] += 30.0
    moved = (network.decode(touched) - network.decode(latents)).abs().sum(dim=(0, 1)).nonzero()[:, 0]
    assert moved.min() == middle * factor - reach.decoder
    assert moved.max() == middle * factor + factor - 1 + reach.decoder


def test_a_norm_over_time_is_caught(mel: MelConfig):
    network = network_of(mel)
    network.encoder.insert(1, nn.GroupNorm(1, 16))
    network.decoder.insert(1, nn.GroupNorm(1, 16))
    assert measured_encoder_reach(network) > network.encoder_reach()
    assert measured_decoder_reach(network) > network.decoder_reach()
    assert not Reach.of(network).holds
