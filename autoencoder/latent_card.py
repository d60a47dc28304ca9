"""What a folder's latents are like, channel by channel: one pass over the clips, in memory that does not grow.

The posterior of a latent number z given its sound x is N(m(x), s(x)^2). Over all latent frames x of a folder, the
variance of z splits into signal, var m, and noise, mean s^2; most of what the card says is read from these two. Sums of
powers are kept in float64 around the first clip's mean, so that the fourth moment loses no digits to a large mean.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ACTIVE_ABOVE = 0.01
DEAD_BELOW = 0.01
SEGMENT = 32
FEWEST_CLIPS = 10
FEWEST_SEGMENTS = 30
FRAMES_PER_CHANNEL = 10
NOTHING = 1e-12


@dataclass(frozen=True)
class LatentSpectrum:
    """How fast the posterior means move along latent time.

    Args:
        frequencies: `(bins,)`, in Hz, from 0 to half the latent rate.
        power: `(channels, bins)`, over the channel's own average: white noise is 1 everywhere; NaN if it never moves.
        segments: how many stretches of `SEGMENT` latent frames were averaged.
    """

    frequencies: Array
    power: Array
    segments: int

    @property
    def flatness(self) -> Array:
        """Spectral flatness per channel: geometric over arithmetic mean of the power.

        It is the share of the variance that the past does not foretell (Kolmogorov's formula): 1 for white noise,
        1 - a^2 for an autoregression x_t = a x_(t-1) + noise, near 0 for a smooth curve.
        """
        return np.asarray(np.exp(self._mean(np.log(np.maximum(self.power, NOTHING)))) / self._mean(self.power))

    @property
    def fast_above_hz(self) -> float:
        """Where a stretch begins to tell change from level: the window spreads a constant over the first two bins."""
        return float(1.5 * self.frequencies[1])

    @property
    def fast_share(self) -> float:
        """Share of the power above `fast_above_hz`, mean of the channels that move; NaN if none does.

        White noise has 29/32 there.
        """
        moving = self.power[np.isfinite(self.power).all(axis=1)] * self._weights()
        return float((moving[:, 2:].sum(axis=1) / moving.sum(axis=1)).mean()) if len(moving) else float("nan")

    def _mean(self, values: Array) -> Array:
        return np.asarray(np.average(values, axis=1, weights=self._weights()))

    def _weights(self) -> Array:
        """Each bin stands for two frequencies, save the first and the last."""
        weights = np.full(len(self.frequencies), 2.0)
        weights[[0, -1]] = 1.0
        return weights


@dataclass(frozen=True)
class LatentCard:
    """Numbers per channel, `(channels,)` each, over all latent frames of all clips; None where the clips are too few.

    Args:
        clips: how many.
        latent_frames: of all clips together.
        mean: of the posterior means.
        std: of the posterior means.
        noise_variance: mean of the posterior variances.
        kl: divergence of the posterior from N(0, 1), in nats per latent number.
        excess_kurtosis: of the posterior means, 0 for a Gaussian; NaN for a channel that never moves.
        correlation: `(channels, channels)`, of the posterior means; NaN for a channel that never moves.
        effective_dimensions: participation ratio of the covariance of the posterior means.
        spectrum: of the posterior means along time.
    """

    clips: int
    latent_frames: int
    mean: Array
    std: Array
    noise_variance: Array
    kl: Array
    excess_kurtosis: Array | None
    correlation: Array | None
    effective_dimensions: float | None
    spectrum: LatentSpectrum | None

    @property
    def channels(self) -> int:
        """Numbers per latent frame."""
        return len(self.mean)

    @property
    def enough(self) -> bool:
        """Whether there are clips enough to speak of channels as dead, Gaussian or correlated."""
        return self.correlation is not None

    @property
    def noise_share(self) -> Array:
        """Share of each channel's variance that is the posterior's noise, between 0 and 1."""
        return np.asarray(self.noise_variance / np.maximum(self.noise_variance + self.std**2, NOTHING))

    @property
    def signal_to_noise_db(self) -> Array:
        """Variance of the posterior mean over the mean posterior variance, in dB; -inf if the mean never moves."""
        signal = np.where(self.std**2 > NOTHING, self.std**2, 0.0)
        with np.errstate(divide="ignore"):
            return np.asarray(10.0 * np.log10(signal / np.maximum(self.noise_variance, NOTHING)))

    @property
    def active(self) -> NDArray[np.bool_]:
        """Channels whose posterior mean has a variance above 0.01.

        (Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", 2016.)
        """
        return np.asarray(self.std**2 > ACTIVE_ABOVE)

    @property
    def dead(self) -> NDArray[np.bool_]:
        """Channels whose signal is below a hundredth of their noise.

        For a collapsed posterior, whose noise is 1, this is `~active`; unlike it, it does not ask the latents to be of
        any scale: with a small KL weight a channel may be small and clean.
        """
        return np.asarray((self.std**2 < DEAD_BELOW * self.noise_variance) | (self.std**2 <= NOTHING))

    def strongest_correlation(self) -> tuple[int, int, float] | None:
        """The two channels that are most alike, and their correlation; None if there is no such pair."""
        if self.correlation is None:
            return None
        upper = np.abs(np.triu(np.nan_to_num(self.correlation), 1))
        row, column = np.unravel_index(int(upper.argmax()), upper.shape)
        return (int(row), int(column), float(self.correlation[row, column])) if upper.max() > 0.0 else None


class LatentStatistics:
    """Sums over the posteriors of clips, from which a `LatentCard` is made.

    Args:
        channels: numbers per latent frame.
        latent_rate: latent frames per second.
    """

    def __init__(self, channels: int, latent_rate: float) -> None:
        self.latent_rate = latent_rate
        self.clips = 0
        self.frames = 0
        self._origin: Array | None = None
        self._powers = np.zeros((4, channels))
        self._products = np.zeros((channels, channels))
        self._noise = np.zeros(channels)
        self._kl = np.zeros(channels)
        # The periodic Hann window: a constant leaks into the first two bins alone.
        self._window = np.hanning(SEGMENT + 1)[:-1]
        self._segments = 0
        self._power = np.zeros((channels, SEGMENT // 2 + 1))
        self._transform = np.zeros((channels, SEGMENT // 2 + 1), dtype=np.complex128)

    def add(self, mean: NDArray[np.floating], variance: NDArray[np.floating], kl: NDArray[np.floating]) -> None:
        """Take in a clip.

        Args:
            mean: of the posterior, `(channels, latent_frames)`.
            variance: of the posterior, the same shape.
            kl: divergence from N(0, 1) in nats, element by element, the same shape.

        Raises:
            ValueError: other shapes, or no frame.
        """
        channels = len(self._noise)
        if not (
            mean.ndim == 2 and len(mean) == channels and mean.shape[1] and mean.shape == variance.shape == kl.shape
        ):
            raise ValueError(
                f"mean, variance, kl: expected three of ({channels}, latent_frames), "
                f"got {mean.shape}, {variance.shape}, {kl.shape}"
            )
        values = mean.astype(np.float64)
        if self._origin is None:
            self._origin = values.mean(axis=1, keepdims=True)
        values = values - self._origin
        self.clips += 1
        self.frames += values.shape[1]
        self._powers += np.stack([(values**exponent).sum(axis=1) for exponent in (1, 2, 3, 4)])
        self._products += values @ values.T
        self._noise += variance.sum(axis=1, dtype=np.float64)
        self._kl += kl.sum(axis=1, dtype=np.float64)
        if values.shape[1] >= SEGMENT:
            segments = np.lib.stride_tricks.sliding_window_view(values, SEGMENT, axis=1)[:, :: SEGMENT // 2]
            transform = np.fft.rfft(segments * self._window)
            self._segments += segments.shape[1]
            self._power += np.square(np.abs(transform)).sum(axis=1)
            self._transform += transform.sum(axis=1)

    def card(self) -> LatentCard:
        """The numbers of all clips so far.

        Raises:
            ValueError: there was none.
        """
        if self._origin is None:
            raise ValueError("LatentStatistics: expected at least one clip, got none")
        first, second, third, fourth = self._powers / self.frames
        covariance = self._products / self.frames - np.outer(first, first)
        variance = np.maximum(np.diag(covariance), 0.0)
        moving = np.where(variance > NOTHING, variance, np.nan)
        fourth_central = fourth - 4.0 * first * third + 6.0 * first**2 * second - 3.0 * first**4
        enough = self.clips >= FEWEST_CLIPS and self.frames >= FRAMES_PER_CHANNEL * len(variance)
        return LatentCard(
            clips=self.clips,
            latent_frames=self.frames,
            mean=self._origin[:, 0] + first,
            std=np.sqrt(variance),
            noise_variance=self._noise / self.frames,
            kl=self._kl / self.frames,
            excess_kurtosis=fourth_central / moving**2 - 3.0 if enough else None,
            correlation=covariance / np.sqrt(np.outer(moving, moving)) if enough else None,
            effective_dimensions=participation_ratio(covariance) if enough else None,
            spectrum=self._spectrum(first, moving) if self._segments >= FEWEST_SEGMENTS else None,
        )

    def _spectrum(self, mean: Array, variance: Array) -> LatentSpectrum:
        """Welch's average, with the mean of all frames taken off after the fact.

        The transform F is linear: |F(w (x - m))|^2 = |F(w x)|^2 - 2 m Re(F(w)* F(w x)) + m^2 |F(w)|^2.
        """
        window = np.fft.rfft(self._window)
        power = self._power - 2.0 * mean[:, None] * np.real(np.conj(window) * self._transform)
        frequencies = np.arange(SEGMENT // 2 + 1, dtype=np.float64) * self.latent_rate / SEGMENT
        power = np.maximum(power + self._segments * np.square(mean[:, None] * np.abs(window)), 0.0)
        spectrum = LatentSpectrum(frequencies, power, self._segments)
        average = np.where(np.isnan(variance), np.nan, spectrum._mean(power))
        return LatentSpectrum(spectrum.frequencies, power / average[:, None], self._segments)


def participation_ratio(covariance: Array) -> float:
    """Effective dimensions: (sum of eigenvalues)^2 / sum of squared eigenvalues; 0 for no variance at all.

    It is n for n equal, uncorrelated channels and 1 if one direction has all the variance. (Gao et al., "A theory of
    multineuronal dimensionality, dynamics and measurement", 2017.)
    """
    squares = float(np.square(covariance).sum())
    return float(np.trace(covariance)) ** 2 / squares if squares > 0.0 else 0.0
