"""Paths between noise and data, what a network may predict on them, and how its errors are weighed.

Time runs from noise (t = 0) to data (t = 1). On a path

    x_t = alpha(t) data + sigma(t) noise

a pair (data, noise) can be read from x_t and any one of

    noise     = epsilon
    v         = alpha noise - sigma data
    velocity  = dx_t / dt = data - noise                   (rectified flow)

so all predictions carry the same information, and everything after the network works with the pair. Rectified flow is
Liu, Gong, Liu, "Flow Straight and Fast", 2022, equation 1, with alpha = t and sigma = 1 - t; v is Salimans, Ho,
"Progressive Distillation", 2022, section 4 (there without our t reversed).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from audio.latents import LatentSpec
from latent_diffusion.paths import PathConfig, alpha_sigma, log_snr

Prediction = Literal["velocity", "noise", "v"]
PREDICTIONS: dict[str, tuple[str, ...]] = {"rectified_flow": ("velocity",), "variance_preserving": ("noise", "v")}
# Keeps u and 1 - u away from 0, where the quantile of a normal distribution is infinite.
QUANTILE_MARGIN = 1e-4


@dataclass(frozen=True)
class TimeConfig:
    """Which times are trained, and how much each weighs.

    Args:
        distribution: logit_normal or uniform; auto is logit_normal for the flow and uniform for variance-preserving
            diffusion, as in the papers.
        mean: of the logit of t.
        std: of the logit of t.
        weighting: uniform, or min_snr (variance-preserving only).
        min_snr_gamma: signal-to-noise ratio beyond which min_snr stops to grow.
    """

    distribution: Literal["auto", "logit_normal", "uniform"] = "auto"
    mean: float = 0.0
    std: float = 1.0
    weighting: Literal["uniform", "min_snr"] = "uniform"
    min_snr_gamma: float = 5.0


def check_prediction(prediction: str, path: PathConfig) -> None:
    """Refuse a prediction that the path does not know.

    Raises:
        ValueError: with the list that fits.
    """
    if prediction not in PREDICTIONS[path.name]:
        fitting = ", ".join(PREDICTIONS[path.name])
        raise ValueError(f"prediction: path '{path.name}' takes {fitting}, got {prediction!r}")


def per_row(values: Tensor, like: Tensor) -> Tensor:
    """`(batch,)` with trailing axes of length one, so that it multiplies `like`; a single number stays one."""
    return values if values.dim() == 0 else values.reshape(-1, *[1] * (like.dim() - 1))


def mix(data: Tensor, noise: Tensor, time: Tensor, path: PathConfig) -> Tensor:
    """The point x_t of the path.

    Args:
        data: `(batch, channels, latent_frames)`, whitened.
        noise: the same shape, standard normal.
        time: `(batch,)` in [0, 1].
        path: which path.
    """
    alpha, sigma = (per_row(value, data).to(data) for value in alpha_sigma(path, time))
    return alpha * data + sigma * noise


def target(data: Tensor, noise: Tensor, time: Tensor, path: PathConfig, prediction: str) -> Tensor:
    """What the network should have said at x_t.

    Args:
        data: whitened latents.
        noise: the same shape.
        time: `(batch,)`.
        path: which path.
        prediction: velocity, noise or v.

    Raises:
        ValueError: a prediction that the path does not know.
    """
    check_prediction(prediction, path)
    if prediction == "velocity":
        return data - noise
    if prediction == "noise":
        return noise
    alpha, sigma = (per_row(value, data).to(data) for value in alpha_sigma(path, time))
    return alpha * noise - sigma * data


def data_and_noise(
    prediction_value: Tensor, latents: Tensor, time: Tensor, path: PathConfig, prediction: str
) -> tuple[Tensor, Tensor]:
    """The pair that a prediction at x_t stands for; the inverse of `target`.

    Args:
        prediction_value: what the network said.
        latents: x_t, the same shape.
        time: `(batch,)`, or one number.
        path: which path.
        prediction: velocity, noise or v.

    Returns:
        estimates of data and noise.

    Raises:
        ValueError: a prediction that the path does not know.
    """
    check_prediction(prediction, path)
    alpha, sigma = (per_row(value, latents).to(latents) for value in alpha_sigma(path, time))
    if prediction == "velocity":
        return latents + sigma * prediction_value, latents - alpha * prediction_value
    if prediction == "noise":
        return (latents - sigma * prediction_value) / alpha, prediction_value
    return alpha * latents - sigma * prediction_value, sigma * latents + alpha * prediction_value


def data_slope(time: Tensor, path: PathConfig, prediction: str) -> Tensor:
    """By how much a prediction at x_t changes with the data that it stands for; the shape of `time`, float64.

    At the end of a path, where x_t is the data, it is as large as at 0.001 before: what it multiplies must be 0 there.

    Args:
        time: in [0, 1].
        path: which path.
        prediction: velocity, noise or v.

    Raises:
        ValueError: a prediction that the path does not know.
    """
    check_prediction(prediction, path)
    alpha, sigma = alpha_sigma(path, time)
    # alpha^2 + sigma^2 = 1 where the prediction is v.
    signs = {"velocity": torch.ones_like(alpha), "noise": -alpha, "v": -torch.ones_like(alpha)}
    return signs[prediction] / sigma.clamp(min=1e-3)


def gaussian_prediction(
    variance: Tensor, time: Tensor, path: PathConfig, prediction: str
) -> tuple[Tensor, Tensor, Tensor]:
    """The best prediction at x_t when data are Gaussian, number by number: what is left for a network is of unit size.

    Data of N(0, variance) make x_t of variance scale^2 = alpha^2 variance + sigma^2, and a prediction p data + q noise

        prediction = share x_t + spread z,    share = (p alpha variance + q sigma) / scale^2,
                                              spread = |p sigma - q alpha| sqrt(variance) / scale

    with z of unit variance and independent of x_t. (Karras et al., "Elucidating the Design Space of Diffusion-Based
    Generative Models", 2022, appendix B.6, asks the same of its preconditioning: c_skip is share, c_out is spread,
    c_in is 1 / scale; there for one variance and one prediction.)

    Args:
        variance: of whitened data, `(channels,)`, positive.
        time: `(batch,)`.
        path: between noise and data.
        prediction: velocity, noise or v.

    Returns:
        scale, share and spread, each `(batch, channels, 1)`, float32.

    Raises:
        ValueError: a prediction that the path does not know.
    """
    check_prediction(prediction, path)
    alpha, sigma = (value[:, None, None] for value in alpha_sigma(path, time))
    variance = variance.to(alpha)[None, :, None]
    one, zero = torch.ones_like(alpha), torch.zeros_like(alpha)
    of_data, of_noise = {"velocity": (one, -one), "noise": (zero, one), "v": (-sigma, alpha)}[prediction]
    power = alpha.square() * variance + sigma.square()
    share = (of_data * alpha * variance + of_noise * sigma) / power
    spread = (of_data * sigma - of_noise * alpha).abs() * (variance / power).sqrt()
    return power.sqrt().float(), share.float(), spread.float()


def time_quantile(position: Tensor, path: PathConfig, config: TimeConfig) -> Tensor:
    """Times of the training distribution, from positions in (0, 1).

    Logit-normal times: Esser et al., "Scaling Rectified Flow Transformers", 2024, equation 19.

    Args:
        position: any shape.
        path: decides what `auto` means.
        config: the distribution.
    """
    uniform = config.distribution == "uniform" or (config.distribution == "auto" and path.name != "rectified_flow")
    if uniform:
        return position
    normal = torch.special.ndtri(position.clamp(QUANTILE_MARGIN, 1.0 - QUANTILE_MARGIN))
    return torch.sigmoid(config.mean + config.std * normal)


def draw_times(batch: int, path: PathConfig, config: TimeConfig) -> Tensor:
    """Random times `(batch,)`, one from each of `batch` equal slices of the distribution, in random order.

    Slices make the mean loss of a batch less noisy than independent draws do, and change no expectation.
    """
    position = (torch.randperm(batch) + torch.rand(batch)) / batch
    return time_quantile(position, path, config)


def fixed_times(index: Tensor, path: PathConfig, config: TimeConfig) -> Tensor:
    """Times that never change, for validation: multiples of the golden ratio fill the distribution evenly.

    Args:
        index: whole numbers, `(batch,)`.
        path: decides what `auto` means.
        config: the distribution.
    """
    golden = (math.sqrt(5.0) - 1.0) / 2.0
    return time_quantile(((index.double() + 0.5) * golden).remainder(1.0), path, config).float()


def loss_weights(time: Tensor, path: PathConfig, prediction: str, config: TimeConfig) -> Tensor:
    """How much the squared error at each time counts, `(batch,)`.

    min_snr is Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", 2023, equation 8: an error of
    the data estimate weighs min(SNR, gamma), here divided by what the prediction's own error already holds of it.

    Raises:
        ValueError: min_snr on a rectified flow.
    """
    if config.weighting == "uniform":
        return torch.ones_like(time)
    if path.name != "variance_preserving":
        raise ValueError("times.weighting: min_snr fits path 'variance_preserving' only, use uniform")
    ratio = log_snr(path, time).exp().clamp(max=1e12)
    weight = ratio.clamp(max=config.min_snr_gamma)
    return (weight / (ratio if prediction == "noise" else ratio + 1.0)).to(time)


def channel_weights(spec: LatentSpec, power: float) -> Tensor | None:
    """How much the squared error of each channel counts, `(channels,)` with mean 1; None where all count alike.

    White latents are all of unit size, whatever they are worth: one channel may move the log-mel by nats, another by
    hundredths. The best prediction is the same under any weights; what a small network spends itself on is not.

    Args:
        spec: holds the channels' gains.
        power: 0 is none, 2 is the squared error of the decoded log-mel as far as channels act alone.

    Raises:
        ValueError: a power outside [0, 2], or latents whose gains were not measured.
    """
    if not 0.0 <= power <= 2.0:
        raise ValueError(f"channel_weighting: expected 0 to 2, got {power}")
    if power == 0.0:
        return None
    if not spec.gains:
        raise ValueError("channel_weighting: these latents hold no gains; encode them again, or set it to 0")
    weights = torch.tensor(spec.gains) ** power
    return weights / weights.mean()


def masked_mean_square(error: Tensor, valid_frames: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean of the squared error over the valid frames of each row, `(batch,)`.

    Args:
        error: `(batch, channels, latent_frames)`.
        valid_frames: `(batch,)`, at least 1.
        weights: of each channel, `(channels,)` with mean 1; all alike when left out.
    """
    mask = frame_mask(valid_frames, error.shape[-1])[:, None]
    weighed = error.square() * mask if weights is None else error.square() * mask * weights.to(error)[:, None]
    return weighed.sum(dim=(1, 2)) / (valid_frames * error.shape[1])


def frame_mask(valid_frames: Tensor, frames: int) -> Tensor:
    """True where a frame is part of its row: `(batch, frames)`."""
    return torch.arange(frames, device=valid_frames.device)[None] < valid_frames[:, None]
