"""Distances and losses against closed forms and independent implementations."""

import math
from pathlib import Path

import pytest
import torch

from audio.distances import (
    envelope_distance,
    mean_absolute_error,
    mean_squared_error,
    multi_resolution_stft,
    multi_scale_mel_distance,
    normalise_peak,
    partials_distance,
    spectral_convergence,
)
from audio.files import read_audio


@pytest.fixture(scope="module")
def drum(sonic_pi_folder: Path) -> torch.Tensor:
    return torch.from_numpy(read_audio(sonic_pi_folder / "drum_snare_hard.flac", 44100)[0])[None, :20480]


def test_elementwise_errors() -> None:
    first, second = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 0.0, 1.0])
    assert mean_squared_error(first, second) == pytest.approx(13 / 3)
    assert mean_absolute_error(first, second) == pytest.approx(5 / 3)


def test_all_are_zero_at_the_target_and_positive_elsewhere(drum: torch.Tensor) -> None:
    for distance in (
        spectral_convergence,
        multi_resolution_stft,
        lambda a, b: multi_scale_mel_distance(a, b, 44100),
        lambda a, b: envelope_distance(a, b, 44100),
    ):
        assert float(distance(drum, drum)) == 0.0
        assert float(distance(0.9 * drum, drum)) > 0.01


def test_spectral_convergence_of_a_gain_is_that_gain(drum: torch.Tensor) -> None:
    assert float(spectral_convergence(0.75 * drum, drum)) == pytest.approx(0.25, abs=1e-4)


def test_the_yardstick_is_what_design_says(drum: torch.Tensor) -> None:
    """Written again with torchaudio's own MelSpectrogram."""
    from torchaudio.transforms import MelSpectrogram

    other = drum + 0.05 * torch.randn(drum.shape, generator=torch.Generator().manual_seed(0))
    expected = 0.0
    for n_fft, hop, bins in ((2048, 512, 128), (1024, 256, 64), (512, 128, 32)):
        transform = MelSpectrogram(
            44100, n_fft=n_fft, hop_length=hop, n_mels=bins, power=1, norm="slaney", mel_scale="slaney"
        )
        first, second = (transform(x).clamp(min=1e-5) for x in (other, drum))
        expected += float((first.log() - second.log()).abs().mean() + (first - second).abs().mean())
    assert float(multi_scale_mel_distance(other, drum, 44100)) == pytest.approx(expected, rel=1e-4)


def test_an_offset_of_half_a_hop_is_heard(drum: torch.Tensor) -> None:
    """Why the baseline must lie sample on sample."""
    shifted = torch.roll(drum, 256, dims=1)
    assert float(multi_scale_mel_distance(shifted, drum, 44100)) > 0.1


def test_gradients_are_finite_on_silence() -> None:
    silent = torch.zeros(1, 8192, requires_grad=True)
    target = torch.zeros(1, 8192)
    (multi_scale_mel_distance(silent, target, 44100) + multi_resolution_stft(silent, target)).backward()
    assert silent.grad is not None
    assert torch.isfinite(silent.grad).all()


def test_peaks_are_normalised_row_by_row() -> None:
    rows = torch.tensor([[0.0, 0.3], [-2.0, 1.0], [0.0, 0.0]])
    assert torch.allclose(normalise_peak(rows), torch.tensor([[0.0, 0.9], [-0.9, 0.45], [0.0, 0.0]]))


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="one shape"):
        multi_scale_mel_distance(torch.zeros(1, 5000), torch.zeros(1, 5001), 44100)


def test_the_envelope_distance_of_constants_is_closed_form() -> None:
    first, second = torch.full((1, 4410), 0.25), torch.full((1, 4410), 0.5)
    expected = 20.0 * 0.5 + math.log(0.51 / 0.26)
    assert float(envelope_distance(first, second, 44100)) == pytest.approx(expected, rel=1e-4)


def test_a_late_attack_is_far_in_envelope(drum: torch.Tensor) -> None:
    """Five milliseconds late is farther than a decibel louder."""
    late = torch.cat([torch.zeros(1, 220), drum[:, :-220]], dim=1)
    louder = drum * 1.1
    assert float(envelope_distance(late, drum, 44100)) > 3.0 * float(envelope_distance(louder, drum, 44100))


def test_partials_are_far_where_a_low_note_is_out_of_tune_and_near_where_it_is_louder() -> None:
    time = torch.arange(44_100, dtype=torch.float64) / 44_100

    def note(pitch: float) -> torch.Tensor:
        return sum(torch.sin(2.0 * math.pi * pitch * number * time) / number for number in range(1, 12))[None].float()

    tuned = 0.1 * note(65.4)
    assert float(partials_distance(tuned, tuned, 44100)) == 0.0
    flat, louder = partials_distance(0.1 * note(63.5), tuned, 44100), partials_distance(1.2 * tuned, tuned, 44100)
    assert float(flat) > 3.0 * float(louder)
    assert float(louder) == pytest.approx(math.log(1.2), rel=0.05)
    high = 0.1 * torch.sin(2.0 * math.pi * 5000.0 * time)[None].float()
    # What lies above its band is not heard.
    assert float(partials_distance(tuned + high, tuned, 44100)) < 0.03
