"""What the VAE is asked for, as functions and weights: an ablation is a YAML diff.

    loss = l1 |x' - x| + mse (x' - x)^2 + perceptual P(x', x) + steady S(x', x) + attack A(x', x) + kl KL

and, once discriminators play, adversarial and feature_matching of `training.game`.

All are means per element, in nats. So is the KL: published weights are not comparable because their reductions differ.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool1d, avg_pool2d, max_pool1d, pad

from autoencoder.model import Posterior
from training.game import weighted_sum

PADDING_WEIGHT = 0.1
# 93 and 186 ms at 86 frames a second: below and about the time in which a low note's pitch is heard.
STEADY_FRAMES = (8, 16)
# Nats by which loudness must rise within a frame to be an attack at all (6 dB), and to be one entirely (18 dB).
ATTACK_RISE = (0.7, 2.1)
# Frames on either side that belong to an attack: a window of the mel overlaps three others.
ATTACK_FRAMES = 3


@dataclass(frozen=True)
class MelVAELoss:
    """Weights of the terms; 0 leaves a term out.

    Args:
        l1: mean absolute log-mel difference.
        mse: mean squared log-mel difference.
        perceptual: `multi_scale_log_mel`.
        steady: `steady_log_mel`.
        attack: `attack_log_mel`.
        kl: divergence of the posterior from N(0, 1), in nats per latent number.
        adversarial: the game of `gan.game` against the discriminators, once they play.
        feature_matching: of the discriminators' layers, once they play.
    """

    l1: float = 1.0
    mse: float = 0.0
    perceptual: float = 0.5
    steady: float = 0.0
    attack: float = 0.0
    kl: float = 0.003
    adversarial: float = 1.0
    feature_matching: float = 1.0


def frame_weights(valid_frames: Tensor, frames: int) -> Tensor:
    """`(batch, 1, frames)`: 1 inside the clip, a tenth on its padding (which must be learned, not dominate)."""
    inside = torch.arange(frames, device=valid_frames.device)[None] < valid_frames[:, None]
    return torch.where(inside, 1.0, PADDING_WEIGHT)[:, None]


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Mean over all elements of `(batch, bins, frames)` with one weight per frame."""
    weights = weights.expand_as(values)
    return (values * weights).sum() / weights.sum().clamp(min=1e-8)


def audibility(target: Tensor, weights: Tensor) -> Tensor:
    """Weights of all elements: louder parts of the target count up to five times as much as silent ones."""
    return weights * (0.25 + torch.sigmoid(0.5 * (target + 6.0)))


def multi_scale_log_mel(estimate: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """A perceptual distance of log-mels: coarse shape, attacks and partials, louder parts first.

    The mean absolute difference of (1) the mels averaged over 2 x 2 and 4 x 4 tiles, (2) their differences from frame
    to frame (attacks) and from bin to bin (partials), each weighted by how loud the target is there.

    Args:
        estimate: `(batch, n_mels, frames)`, nats.
        target: the same shape.
        weights: `(batch, 1, frames)`.
    """
    audible = audibility(target, weights)
    difference = estimate - target
    total = weighted_mean_full(difference[..., 1:] - difference[..., :-1], audible[..., 1:])
    total = total + weighted_mean_full(difference[:, 1:] - difference[:, :-1], audible[:, 1:])
    for tile in (2, 4):
        if min(difference.shape[-2:]) >= tile:
            total = total + weighted_mean_full(avg_pool2d(difference, tile), avg_pool2d(audible, tile))
    return total


def steady_log_mel(estimate: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """What is wrong with a sound that lasts: its error averaged over time, bin by bin, louder parts first.

    The mel of a steady tone scatters from frame to frame, and no decoder can tell how; but which of two neighbouring
    bins is the louder one on average is what tells a low note from its neighbour, and a plain mean of absolute
    differences hardly asks for it.

    Args:
        estimate: `(batch, n_mels, frames)`, nats.
        target: the same shape.
        weights: `(batch, 1, frames)`.
    """
    audible = audibility(target, weights)
    difference = estimate - target
    total = difference.new_zeros(())
    for window in (frames for frames in STEADY_FRAMES if difference.shape[-1] >= frames):
        step = window // 2
        total = total + weighted_mean_full(
            avg_pool1d(difference * audible, window, step) / avg_pool1d(audible, window, step),
            avg_pool1d(audible, window, step),
        )
    return total


def attack_weights(target: Tensor) -> Tensor:
    """Which frames belong to an attack, `(batch, 1, frames)`, from 0 to 1; a crop may begin loud without one."""
    loudness = target.exp().mean(dim=1, keepdim=True).clamp(min=1e-8).log()
    low, high = ATTACK_RISE
    rising = ((pad(loudness.diff(), (1, 0)) - low) / (high - low)).clamp(0.0, 1.0)
    return max_pool1d(rising, 2 * ATTACK_FRAMES + 1, 1, ATTACK_FRAMES)


def attack_log_mel(estimate: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """What is wrong around attacks: bin by bin, louder parts first, and in the loudness of whole frames.

    Attacks are a few frames of a clip, so a mean over all frames hardly asks for them, and a vocoder takes the slope
    of an attack from how loud neighbouring frames are.

    Args:
        estimate: `(batch, n_mels, frames)`, nats.
        target: the same shape.
        weights: `(batch, 1, frames)`.
    """
    inside = weights * attack_weights(target)
    difference = estimate - target
    loudness = torch.logsumexp(estimate, dim=1, keepdim=True) - torch.logsumexp(target, dim=1, keepdim=True)
    return weighted_mean_full(difference, audibility(target, inside)) + weighted_mean_full(loudness, inside)


def weighted_mean_full(values: Tensor, weights: Tensor) -> Tensor:
    """Mean of absolute values with one weight per element."""
    return (values.abs() * weights).sum() / weights.sum().clamp(min=1e-8)


def vae_loss(
    estimate: Tensor, target: Tensor, posterior: Posterior, weights: Tensor, loss: MelVAELoss
) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, and its terms by name.

    Args:
        estimate: decoded log-mel `(batch, n_mels, frames)`.
        target: log-mel, the same shape.
        posterior: of the target.
        weights: `(batch, 1, frames)`.
        loss: weights of the terms.
    """
    terms = {"kl": posterior.kl().mean()}
    if loss.l1:
        terms["l1"] = weighted_mean((estimate - target).abs(), weights)
    if loss.mse:
        terms["mse"] = weighted_mean((estimate - target).square(), weights)
    if loss.perceptual:
        terms["perceptual"] = multi_scale_log_mel(estimate, target, weights)
    if loss.steady:
        terms["steady"] = steady_log_mel(estimate, target, weights)
    if loss.attack:
        terms["attack"] = attack_log_mel(estimate, target, weights)
    return weighted_sum(terms, loss), terms


def log_mel_error(estimate: Tensor, target: Tensor, valid_frames: Tensor) -> Tensor:
    """Mean absolute difference in nats over the frames inside the clips, one number per clip.

    Args:
        estimate: `(batch, n_mels, frames)`.
        target: the same shape.
        valid_frames: `(batch,)`; what lies beyond is padding and left out.
    """
    inside = (torch.arange(target.shape[-1], device=target.device)[None] < valid_frames[:, None])[:, None]
    errors = (estimate - target).abs() * inside
    return errors.sum(dim=(1, 2)) / (inside.sum(dim=(1, 2)).clamp(min=1) * target.shape[1])
