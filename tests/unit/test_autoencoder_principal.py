"""The linear start of the VAE against scikit-free closed forms: it is the best linear autoencoder there is."""

import pytest
import torch

from audio.mel import MelConfig
from autoencoder.model import MelVAE, MelVAEConfig
from autoencoder.principal import START_STD, BlockMoments, frame_blocks, start_at_principal_components

SIZES = {"width": 16, "encoder_blocks": (1, 1), "decoder_blocks": (1, 1), "linear_path": True}


def low_rank_mel(mel: MelConfig, rank: int, rows: int = 6, frames: int = 40) -> torch.Tensor:
    """Log-mels of which blocks of two frames lie in a space of few dimensions."""
    generator = torch.Generator().manual_seed(1)
    axes = torch.randn(rank, 2 * mel.n_mels, generator=generator)
    blocks = torch.randn(rows, frames // 2, rank, generator=generator) @ axes - 4.0
    return blocks.reshape(rows, frames // 2, 2, mel.n_mels).permute(0, 3, 1, 2).reshape(rows, mel.n_mels, frames)


def started(mel: MelConfig, channels: int, log_mel: torch.Tensor, valid: torch.Tensor) -> MelVAE:
    network = MelVAE(mel, MelVAEConfig(latent_channels=channels, **SIZES)).eval()
    moments = BlockMoments(2 * mel.n_mels)
    for row in range(len(log_mel)):
        moments.add(frame_blocks(network, log_mel[row : row + 1], valid[row : row + 1]))
    start_at_principal_components(network, moments)
    return network


@torch.no_grad()
def test_what_lies_in_few_dimensions_comes_back_before_any_training(mel: MelConfig) -> None:
    log_mel = low_rank_mel(mel, rank=8)
    network = started(mel, 8, log_mel, torch.full((6,), 40))
    estimate, posterior = network(log_mel)
    assert (estimate - log_mel).abs().max() < 1e-3
    latents = posterior.mean.permute(1, 0, 2).reshape(8, -1)
    assert torch.allclose(torch.cov(latents, correction=0), torch.eye(8), atol=1e-3)
    assert torch.allclose(posterior.std, torch.full_like(posterior.std, START_STD))


@torch.no_grad()
def test_the_error_of_the_start_is_the_variance_that_is_left(mel: MelConfig) -> None:
    log_mel = low_rank_mel(mel, rank=8)
    network = started(mel, 5, log_mel, torch.full((6,), 40))
    estimate, _ = network(log_mel)
    blocks = frame_blocks(network, log_mel, torch.full((6,), 40)).double()
    left = torch.linalg.eigvalsh(torch.cov(blocks.T, correction=0)).flip(0)[5:].sum() / blocks.shape[1]
    error = ((estimate - log_mel) / network.config.mel_std).square().mean()
    assert float(error) == pytest.approx(float(left), rel=1e-3)


def test_padding_is_not_measured(mel: MelConfig) -> None:
    log_mel = low_rank_mel(mel, rank=8)
    network = MelVAE(mel, MelVAEConfig(latent_channels=4, **SIZES))
    padded = torch.cat([log_mel, torch.full((6, mel.n_mels, 10), 50.0)], dim=2)
    assert torch.equal(
        frame_blocks(network, padded, torch.full((6,), 40)), frame_blocks(network, log_mel, torch.full((6,), 41))
    )


def test_a_network_without_a_linear_path_is_refused(mel: MelConfig) -> None:
    network = MelVAE(mel, MelVAEConfig(latent_channels=4, width=16))
    with pytest.raises(ValueError, match="the network has no linear path"):
        start_at_principal_components(network, BlockMoments(2 * mel.n_mels))
    linear = MelVAE(mel, MelVAEConfig(latent_channels=4, **SIZES))
    with pytest.raises(ValueError, match="fewer than two blocks"):
        start_at_principal_components(linear, BlockMoments(2 * mel.n_mels))


def test_gradients_reach_network_and_linear_path(mel: MelConfig) -> None:
    log_mel = low_rank_mel(mel, rank=12)
    network = started(mel, 4, log_mel, torch.full((6,), 40)).train()
    estimate, posterior = network(log_mel)
    ((estimate - log_mel).square().mean() + posterior.kl().mean()).backward()
    for part in (network.encoder, network.decoder):
        assert part.linear.mix.weight.grad.abs().sum() > 0
        assert part[part.depth - 1].weight.grad.abs().sum() > 0
