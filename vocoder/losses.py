"""What the vocoder is trained on: a weighted sum of distances and, once discriminators play, of the game."""

from dataclasses import dataclass, fields

from torch import Tensor

from audio.distances import (
    envelope_distance,
    mean_absolute_error,
    multi_resolution_stft,
    multi_scale_mel_distance,
    partials_distance,
    spectral_convergence,
)


@dataclass(frozen=True)
class VocoderLosses:
    """Weight of each term; 0 leaves it out.

    Args:
        multi_scale_mel: the yardstick itself (`audio.distances.multi_scale_mel_distance`).
        multi_resolution_stft: convergence and log magnitudes on three resolutions.
        spectral_convergence: relative error of the magnitudes on one resolution.
        waveform_l1: mean absolute difference of samples; it asks for phases that a mel does not tell.
        envelope: of a millisecond (`audio.distances.envelope_distance`), for attacks.
        partials: of low partials under long windows (`audio.distances.partials_distance`), for pitch.
        adversarial: the game of `gan.game` against the discriminators, once they play.
        feature_matching: of the discriminators' layers, once they play.

    Raises:
        ValueError: a negative weight, or none above 0.
    """

    multi_scale_mel: float = 1.0
    multi_resolution_stft: float = 0.0
    spectral_convergence: float = 0.0
    waveform_l1: float = 0.0
    envelope: float = 0.0
    partials: float = 0.0
    adversarial: float = 0.1
    feature_matching: float = 0.2

    def __post_init__(self) -> None:
        """Check the weights."""
        weights = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, weight in weights.items():
            if not 0.0 <= weight < float("inf"):
                raise ValueError(f"losses.{name}: expected a weight of at least 0, got {weight}")
        if not any(weight for name, weight in weights.items() if name not in ("adversarial", "feature_matching")):
            raise ValueError("losses: expected at least one reconstruction term with a weight above 0")


def reconstruction_terms(
    estimate: Tensor, target: Tensor, sample_rate: int, weights: VocoderLosses
) -> dict[str, Tensor]:
    """The distances that have a weight, unweighted.

    Args:
        estimate: `(batch, samples)`.
        target: `(batch, samples)`, aligned to the sample.
        sample_rate: in Hz.
        weights: which ones.
    """
    terms: dict[str, Tensor] = {}
    if weights.multi_scale_mel:
        terms["multi_scale_mel"] = multi_scale_mel_distance(estimate, target, sample_rate)
    if weights.multi_resolution_stft:
        terms["multi_resolution_stft"] = multi_resolution_stft(estimate, target)
    if weights.spectral_convergence:
        terms["spectral_convergence"] = spectral_convergence(estimate, target)
    if weights.waveform_l1:
        terms["waveform_l1"] = mean_absolute_error(estimate, target)
    if weights.envelope:
        terms["envelope"] = envelope_distance(estimate, target, sample_rate)
    if weights.partials:
        terms["partials"] = partials_distance(estimate, target, sample_rate)
    return terms
