"""Identities that hold on every path at every time."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audio.mel import MelConfig
from latent_diffusion.flow import (
    TimeConfig,
    channel_weights,
    check_prediction,
    data_and_noise,
    draw_times,
    fixed_times,
    frame_mask,
    gaussian_prediction,
    loss_weights,
    masked_mean_square,
    mix,
    target,
    time_quantile,
)
from latent_diffusion.paths import PathConfig, alpha_sigma, discrete_betas, log_snr
from tests.diffusion_doubles import COSINE, FLOW, LINEAR
from tests.diffusion_doubles import spec as latent_spec

CASES = [(FLOW, "velocity"), (LINEAR, "noise"), (LINEAR, "v"), (COSINE, "noise"), (COSINE, "v")]
TIMES = torch.linspace(0.0, 1.0, 1001, dtype=torch.float64)


@pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_variance_is_preserved(path: PathConfig) -> None:
    alpha, sigma = alpha_sigma(path, TIMES)
    assert torch.allclose(alpha**2 + sigma**2, torch.ones_like(TIMES), atol=1e-12)


@pytest.mark.parametrize("path", [FLOW, LINEAR, COSINE], ids=["flow", "linear", "cosine"])
def test_paths_rise_from_noise_to_data(path: PathConfig) -> None:
    alpha, sigma = alpha_sigma(path, TIMES)
    assert (alpha.diff() > 0.0).all()
    assert (sigma.diff() < 0.0).all()
    assert (log_snr(path, TIMES[1:-1]).diff() > 0.0).all()
    assert float(alpha[0]) < 0.007
    assert float(alpha[-1]) == pytest.approx(1.0, abs=1e-12)
    assert float(sigma[0]) > 0.9999
    assert float(sigma[-1]) == 0.0


@pytest.mark.parametrize("path", [LINEAR, COSINE], ids=["linear", "cosine"])
def test_betas_grow_and_stay_probabilities(path: PathConfig) -> None:
    betas = discrete_betas(path)
    assert (betas > 0.0).all()
    assert (betas < 1.0).all()
    assert (betas.diff() > 0.0).all()


@pytest.mark.parametrize(("path", "prediction"), CASES)
@pytest.mark.parametrize("time", [0.05, 0.5, 0.9])
def test_gaussian_prediction_leaves_unit_noise(path: PathConfig, prediction: str, time: float) -> None:
    """What it leaves has unit variance and knows nothing of x_t: no linear prediction is better."""
    torch.manual_seed(0)
    variance = torch.tensor([0.01, 1.0, 9.0])
    data = torch.randn(1, 3, 200_000, dtype=torch.float64) * variance.sqrt()[:, None]
    noise, times = torch.randn_like(data), torch.tensor([time], dtype=torch.float64)
    x = mix(data, noise, times, path)
    scale, share, spread = gaussian_prediction(variance, times, path, prediction)
    left = (target(data, noise, times, path, prediction) - share * x) / spread
    assert scale.shape == share.shape == spread.shape == (1, 3, 1)
    assert torch.allclose((x / scale).var(dim=2), torch.ones(1, 3, dtype=torch.float64), atol=0.02)
    assert torch.allclose(left.var(dim=2), torch.ones(1, 3, dtype=torch.float64), atol=0.02)
    assert float((left * x / scale).mean(dim=2).abs().max()) < 0.02


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 4), st.floats(0.002, 1.0), st.integers(0, 2**31))
def test_predictions_and_pairs_are_inverse_to_each_other(case: int, time: float, seed: int) -> None:
    path, prediction = CASES[case]
    generator = torch.Generator().manual_seed(seed)
    data, noise = torch.randn(2, 3, 2, 5, generator=generator, dtype=torch.float64)
    times = torch.full((3,), time, dtype=torch.float64)
    noisy = mix(data, noise, times, path)
    said = target(data, noise, times, path, prediction)
    found = data_and_noise(said, noisy, times, path, prediction)
    assert torch.allclose(found[0], data, atol=1e-8)
    assert torch.allclose(found[1], noise, atol=1e-8)
    # And the other way: a pair read from any prediction gives that prediction, and the point, again.
    guess = torch.randn(3, 2, 5, generator=generator, dtype=torch.float64)
    pair = data_and_noise(guess, noisy, times, path, prediction)
    assert torch.allclose(target(*pair, times, path, prediction), guess, atol=1e-8)
    assert torch.allclose(mix(*pair, times, path), noisy, atol=1e-8)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_noise_and_v_predictions_say_the_same(time: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    data, noise = torch.randn(2, 2, 3, 4, generator=generator, dtype=torch.float64)
    times = torch.full((2,), time, dtype=torch.float64)
    noisy = mix(data, noise, times, COSINE)
    first = data_and_noise(target(data, noise, times, COSINE, "noise"), noisy, times, COSINE, "noise")
    second = data_and_noise(target(data, noise, times, COSINE, "v"), noisy, times, COSINE, "v")
    assert torch.allclose(first[0], second[0], atol=1e-8)


def test_velocity_is_the_derivative_of_the_flow() -> None:
    data, noise = torch.randn(2, 4, 2, 3, dtype=torch.float64)
    time = torch.tensor([0.1, 0.4, 0.6, 0.9], dtype=torch.float64)
    slope = (mix(data, noise, time + 1e-5, FLOW) - mix(data, noise, time - 1e-5, FLOW)) / 2e-5
    assert torch.allclose(slope, target(data, noise, time, FLOW, "velocity"), atol=1e-8)


def test_logit_normal_times_have_the_distribution_of_their_name() -> None:
    config = TimeConfig(distribution="logit_normal", mean=-0.4, std=0.8)
    logits = torch.logit(time_quantile(torch.linspace(0.0005, 0.9995, 4000).double(), FLOW, config))
    assert float(logits.mean()) == pytest.approx(-0.4, abs=0.01)
    assert float(logits.std()) == pytest.approx(0.8, abs=0.01)


def test_drawn_times_fill_every_slice_once() -> None:
    times = draw_times(16, COSINE, TimeConfig())
    assert sorted((times * 16).floor().long().tolist()) == list(range(16))
    assert times.tolist() != sorted(times.tolist())


def test_fixed_times_never_change_and_spread_evenly() -> None:
    times = fixed_times(torch.arange(400), LINEAR, TimeConfig())
    assert torch.equal(times, fixed_times(torch.arange(400), LINEAR, TimeConfig()))
    counts = torch.histc(times, bins=10, min=0.0, max=1.0)
    assert counts.min() >= 38
    assert counts.max() <= 42


def test_min_snr_weights_are_capped() -> None:
    config = TimeConfig(weighting="min_snr", min_snr_gamma=5.0)
    time = torch.tensor([0.05, 0.5, 0.99])
    ratio = log_snr(COSINE, time).exp()
    assert torch.allclose(loss_weights(time, COSINE, "noise", config).double(), ratio.clamp(max=5.0) / ratio, rtol=1e-5)
    assert torch.allclose(
        loss_weights(time, COSINE, "v", config).double(), ratio.clamp(max=5.0) / (ratio + 1.0), rtol=1e-5
    )
    with pytest.raises(ValueError, match="min_snr fits path 'variance_preserving' only"):
        loss_weights(time, FLOW, "velocity", config)


def test_masked_mean_square_does_not_see_padding() -> None:
    error = torch.randn(3, 4, 10)
    frames = torch.tensor([3, 10, 1])
    spoilt = torch.where(frame_mask(frames, 10)[:, None], error, 1e6)
    expected = [float(error[row, :, : int(count)].square().mean()) for row, count in enumerate(frames)]
    assert masked_mean_square(spoilt, frames).tolist() == pytest.approx(expected, rel=1e-5)


def test_channels_weigh_what_they_are_worth(mel: MelConfig) -> None:
    spec = replace(latent_spec(mel, 3), gains=(4.0, 1.0, 0.25))
    assert channel_weights(spec, 0.0) is None
    for power in (0.5, 1.0, 2.0):
        weights = channel_weights(spec, power)
        assert weights is not None
        assert weights.mean() == pytest.approx(1.0)
        assert weights[0] / weights[1] == pytest.approx(4.0**power)
        assert weights[1] / weights[2] == pytest.approx(4.0**power)
    error = torch.randn(2, 3, 5)
    weights = torch.tensor([2.0, 1.0, 0.0])
    expected = [float((2.0 * row[0, :n].square().mean() + row[1, :n].square().mean()) / 3.0) for row, n in
                zip(error, (5, 2), strict=True)]  # fmt: skip
    assert masked_mean_square(error, torch.tensor([5, 2]), weights).tolist() == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="hold no gains"):
        channel_weights(latent_spec(mel, 3), 1.0)
    with pytest.raises(ValueError, match="channel_weighting: expected 0 to 2, got 3"):
        channel_weights(spec, 3.0)


@pytest.mark.parametrize(("path", "prediction"), [(FLOW, "noise"), (FLOW, "v"), (COSINE, "velocity"), (LINEAR, "x")])
def test_predictions_that_do_not_fit_are_refused(path: PathConfig, prediction: str) -> None:
    with pytest.raises(ValueError, match=f"prediction: path '{path.name}' takes"):
        check_prediction(prediction, path)


def test_unknown_paths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"path\.name: expected rectified_flow"):
        PathConfig("optimal_transport")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"path\.schedule: expected linear or cosine"):
        PathConfig("variance_preserving", "sigmoid")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="only variance_preserving has betas"):
        discrete_betas(FLOW)
