"""The VAE's promises: finite reach, rows alone, lengths, losses that look inside the clip."""

import math

import pytest
import torch

from audio.mel import LogMelSpectrogram, MelConfig
from autoencoder.losses import (
    MelVAELoss,
    attack_log_mel,
    attack_weights,
    frame_weights,
    log_mel_error,
    multi_scale_log_mel,
    steady_log_mel,
    vae_loss,
)
from autoencoder.model import MelVAE, MelVAEConfig, Posterior
from autoencoder.training import NATS_PER_DB, MelVAETraining, equalised


@pytest.fixture
def network(mel: MelConfig) -> MelVAE:
    torch.manual_seed(0)
    config = MelVAEConfig(latent_channels=8, width=32, encoder_blocks=(1, 2), decoder_blocks=(2, 1))
    return MelVAE(mel, config).eval()


def test_latents_are_at_most_a_quarter_of_the_mels_numbers(mel: MelConfig) -> None:
    config = MelVAEConfig()
    per_frame = config.latent_channels / config.frames_per_latent
    assert per_frame <= mel.n_mels / 4


@pytest.mark.parametrize("frames", [2, 3, 40, 41])
def test_any_length_comes_back_with_its_length(frames: int, network: MelVAE) -> None:
    log_mel = torch.randn(1, 128, frames)
    estimate, posterior = network(log_mel)
    assert estimate.shape == log_mel.shape
    assert posterior.mean.shape == (1, 8, math.ceil(frames / 2))


def test_a_row_of_a_batch_is_the_row_alone(network: MelVAE) -> None:
    log_mel = torch.randn(5, 128, 30)
    together, _ = network(log_mel)
    for row in range(5):
        assert torch.allclose(network(log_mel[row : row + 1])[0][0], together[row], atol=1e-5)


def test_the_encoder_sees_exactly_as_far_as_it_says(network: MelVAE) -> None:
    log_mel = torch.randn(1, 128, 200)
    before = network.encode(log_mel).mean
    touched = log_mel.clone()
    touched[..., 100] += 5.0
    changed = (network.encode(touched).mean - before).abs().sum(dim=(0, 1)) > 1e-7
    latent_frames = changed.nonzero()[:, 0].tolist()
    reach = network.encoder_reach()
    first, last = (100 - reach - 1) // 2 + 1, (100 + reach) // 2
    assert latent_frames[0] >= first - 1
    assert latent_frames[-1] <= last
    # The printed reach is no idle bound: the change comes within one latent frame of it.
    assert latent_frames[-1] >= last - 1


def test_the_decoder_reaches_exactly_as_far_as_it_says(network: MelVAE) -> None:
    latents = torch.randn(1, 8, 100)
    touched = latents.clone()
    touched[..., 50] += 5.0
    changed = (network.decode(touched) - network.decode(latents)).abs().sum(dim=(0, 1)) > 1e-7
    frames = changed.nonzero()[:, 0].tolist()
    assert frames[0] == 100 - network.decoder_reach()
    assert frames[-1] == 101 + network.decoder_reach()


def test_what_lies_beyond_the_reach_changes_nothing(network: MelVAE) -> None:
    log_mel = torch.randn(1, 128, 300)
    short = network.encode(log_mel[..., :200]).mean
    long = network.encode(log_mel).mean
    safe = (200 - network.encoder_reach()) // 2 - 1
    assert torch.allclose(short[..., :safe], long[..., :safe], atol=1e-5)
    assert not torch.allclose(short[..., -1], long[..., 99], atol=1e-5)


def test_kl_is_the_closed_form() -> None:
    mean, std = torch.tensor([[[0.0, 1.0, -2.0]]]), torch.tensor([[[1.0, 0.5, 2.0]]])
    got = Posterior(mean, 2.0 * std.log()).kl()
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, std), torch.distributions.Normal(0.0, 1.0)
    )
    assert torch.allclose(got, expected, atol=1e-6)


def test_the_error_leaves_padding_out() -> None:
    target = torch.zeros(2, 128, 10)
    estimate = target.clone()
    estimate[0, :, 5:] = 100.0
    estimate[1, :, :5] = 0.5
    assert torch.allclose(log_mel_error(estimate, target, torch.tensor([5, 10])), torch.tensor([0.0, 0.25]))


def test_losses_are_zero_only_for_the_target_and_follow_their_weights() -> None:
    torch.manual_seed(0)
    target = torch.randn(2, 128, 16) * 3 - 6
    posterior = Posterior(torch.zeros(2, 8, 8), torch.zeros(2, 8, 8))
    weights = frame_weights(torch.tensor([16, 8]), 16)
    everything = MelVAELoss(l1=1.0, mse=1.0, perceptual=1.0, kl=1.0)
    assert float(vae_loss(target, target, posterior, weights, everything)[0]) == 0.0
    worse, terms = vae_loss(target + 0.5, target, posterior, weights, everything)
    assert set(terms) == {"kl", "l1", "mse", "perceptual"}
    assert float(terms["l1"]) == pytest.approx(0.5, abs=1e-5)
    assert float(terms["mse"]) == pytest.approx(0.25, abs=1e-5)
    only_l1, _ = vae_loss(target + 0.5, target, posterior, weights, MelVAELoss(l1=2.0, perceptual=0.0, kl=0.0))
    assert float(only_l1) == pytest.approx(1.0, abs=1e-5)
    assert float(worse) > float(only_l1) - 1.0


def test_the_steady_loss_hears_what_lasts_and_not_what_scatters() -> None:
    target = torch.zeros(1, 4, 64)
    weights = frame_weights(torch.tensor([64]), 64)
    lasting, scattered = target + 0.5, target + 0.5 * (-1.0) ** torch.arange(64)
    assert float(steady_log_mel(target, target, weights)) == 0.0
    assert float(steady_log_mel(lasting, target, weights)) == pytest.approx(1.0, abs=1e-4)
    assert float(steady_log_mel(scattered, target, weights)) < 1e-4
    # A crop that is shorter than its windows says nothing and breaks nothing.
    assert float(steady_log_mel(lasting[..., :4], target[..., :4], weights[..., :4])) == 0.0
    _, terms = vae_loss(lasting, target, Posterior(target, target), weights, MelVAELoss(steady=1.0))
    assert float(terms["steady"]) == pytest.approx(1.0, abs=1e-4)


def test_the_attack_loss_hears_attacks_and_nothing_else() -> None:
    target = torch.full((1, 4, 64), -8.0)
    target[..., 30:] = 0.0
    weights = frame_weights(torch.tensor([64]), 64)
    assert attack_weights(target).flatten().nonzero().flatten().tolist() == [27, 28, 29, 30, 31, 32, 33]
    elsewhere, there = target.clone(), target.clone()
    elsewhere[..., :20] += 1.0
    elsewhere[..., 40:] += 1.0
    there[..., 30:34] += 1.0
    assert float(attack_log_mel(elsewhere, target, weights)) == 0.0
    assert float(attack_log_mel(there, target, weights)) > 1.0
    smeared = target.clone()
    smeared[..., 29] = -3.0
    assert float(attack_log_mel(smeared, target, weights)) > 0.5
    _, terms = vae_loss(there, target, Posterior(target, target), weights, MelVAELoss(attack=1.0))
    assert float(terms["attack"]) == pytest.approx(float(attack_log_mel(there, target, weights)))


def test_an_attack_loss_without_an_attack_is_nothing() -> None:
    target = torch.full((1, 4, 64), -11.5)
    assert float(attack_log_mel(target + 1.0, target, torch.ones(1, 1, 64))) == 0.0


def test_the_perceptual_loss_hears_a_blurred_attack_that_l1_hardly_sees() -> None:
    target = torch.full((1, 128, 32), -8.0)
    target[..., 16:] = 0.0
    late = torch.roll(target, 1, dims=-1)
    late[..., :1] = -8.0
    level = target + (late - target).abs().mean()
    ones = torch.ones(1, 1, 32)
    assert (level - target).abs().mean() == pytest.approx(float((late - target).abs().mean()), abs=1e-5)
    assert multi_scale_log_mel(late, target, ones) > 1.5 * multi_scale_log_mel(level, target, ones)


def test_gradients_are_finite_on_digital_silence(network: MelVAE, mel: MelConfig) -> None:
    log_mel = LogMelSpectrogram(mel)(torch.zeros(1, 20480))
    estimate, posterior = network.train()(log_mel)
    loss, _ = vae_loss(estimate, log_mel, posterior, frame_weights(torch.tensor([40]), 40), MelVAELoss())
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters() if parameter.grad is not None)


@pytest.mark.parametrize(
    ("field", "value"), [("latent_channels", 0), ("kernel_size", 4), ("encoder_blocks", (1,)), ("width", -1)]
)
def test_wrong_sizes_are_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        MelVAEConfig(**{field: value})


def test_misshapen_tensors_are_refused(network: MelVAE) -> None:
    with pytest.raises(ValueError, match=r"\(batch, 128, frames\)"):
        network.encode(torch.zeros(1, 80, 10))
    with pytest.raises(ValueError, match=r"\(batch, 8, frames\)"):
        network.decode(torch.zeros(1, 9, 10))


def test_an_equaliser_is_a_smooth_filter_of_each_row_and_leaves_silence_alone(mel: MelConfig) -> None:
    torch.manual_seed(0)
    log_mel = torch.randn(16, 128, 10) - 3.0
    log_mel[..., 5:] = mel.log_mel_floor
    changed = equalised(log_mel, mel.log_mel_floor, 6.0)
    assert torch.equal(changed[..., 5:], log_mel[..., 5:])
    curve = (changed - log_mel)[..., :5]
    assert torch.allclose(curve, curve[..., :1].expand_as(curve), atol=1e-5)
    assert float(curve.abs().max()) <= 6.0 * NATS_PER_DB + 1e-5
    assert float(curve.abs().amax(dim=(1, 2)).median()) > 1.0 * NATS_PER_DB
    # Neighbouring bins move together, rows do not.
    assert float(curve.diff(dim=1).abs().max()) < 1.5 * NATS_PER_DB
    assert float((curve[0] - curve[1]).abs().max()) > 0.5 * NATS_PER_DB
    assert float(equalised(torch.full((1, 128, 4), mel.log_mel_floor + 0.01), mel.log_mel_floor, 6.0).min()) >= (
        mel.log_mel_floor
    )


def test_an_equaliser_out_of_range_is_refused(mel: MelConfig) -> None:
    with pytest.raises(ValueError, match=r"model\.equaliser_db: expected 0 to 24, got -1"):
        MelVAETraining(mel, equaliser_db=-1.0)
