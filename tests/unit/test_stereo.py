"""Two channels from one: both together are the one, each sounds like it, and the bass stays in the middle."""

import math

import pytest
import torch

from pipelines import stereo
from pipelines.shaping import finish
from pipelines.stereo import band_coherence, mono_of, side_response, widen

RATE = 44_100


@pytest.fixture(scope="module")
def noise() -> torch.Tensor:
    return torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("width", [0.0, 0.3, 1.0])
def test_both_channels_together_are_the_one(noise: torch.Tensor, width: float) -> None:
    wide = widen(noise, RATE, width)
    assert wide.shape == (2, 2, RATE)
    assert (wide.mean(dim=1) - noise).abs().max() < 1e-5
    assert torch.equal(mono_of(noise[0]), noise[0])


def test_no_channel_is_louder_or_coloured(noise: torch.Tensor) -> None:
    """Both channels have one spectrum, and it follows the clip's: an echo as side would make a comb of them."""
    whole = torch.fft.rfft(noise[0]).abs()
    left, right = torch.fft.rfft(widen(noise[0], RATE, 0.5, circular=True)).abs()
    assert (20.0 * torch.log10(left / right))[1:-1].abs().max() < 1e-3
    lifted = 20.0 * torch.log10(left / whole)
    assert lifted[1:].min() > -1e-3
    assert lifted.max() < 0.98  # 20 log10 sqrt(1 + 0.5^2)


def test_width_is_what_coherence_says_and_bass_stays_alike(noise: torch.Tensor) -> None:
    found = [band_coherence(widen(noise[0], RATE, width), RATE) for width in (0.1, 0.5, 1.0)]
    for bass, middle, high in found:
        assert bass > 0.99
        assert middle > high - 0.05
    highs = [high for _, _, high in found]
    assert highs[0] > 0.95
    assert 0.6 < highs[1] < 0.8
    assert highs[2] < 0.3


def test_the_side_leans_neither_way() -> None:
    """Its sign alternates: over an octave as much of it leads as lags."""
    response = side_response(RATE, RATE).imag
    for low in (500, 1000, 2000, 4000, 8000):
        octave = torch.arange(low, 2 * low)
        share = (response[octave] / octave).sum() / (response[octave].abs() / octave).sum()
        assert share.abs() < 0.35
        assert (response[octave].sign().diff() != 0).sum() >= 2


def test_sides_lie_close_around_a_click() -> None:
    click = torch.zeros(RATE)
    click[5000] = 1.0
    left, right = widen(click, RATE, 1.0)
    energy = ((left - right) / 2.0).square()
    for milliseconds, share in ((2, 0.05), (5, 0.005), (20, 1e-4)):
        reach = round(RATE * milliseconds / 1000)
        assert energy[: 5000 - reach].sum() + energy[5000 + reach :].sum() < share * energy.sum()
    # A clip that ends is filtered as if silence followed, not as if it began anew.
    click[:] = 0.0
    click[-10] = 1.0
    assert widen(click, RATE, 1.0)[..., : RATE // 2].abs().max() < 1e-3


def test_a_loop_stays_a_loop(noise: torch.Tensor) -> None:
    wide, moved = (widen(clip, RATE, 0.7, circular=True) for clip in (noise[0], noise[0].roll(777)))
    assert (wide.roll(777, dims=-1) - moved).abs().max() < 1e-5


@pytest.mark.parametrize("circular", [False, True])
def test_a_long_clip_is_widened_piece_by_piece_as_it_is_whole(
    noise: torch.Tensor, monkeypatch: pytest.MonkeyPatch, circular: bool
) -> None:
    # No sound of ours reaches up to half its rate, where a filter with a phase rings for ever.
    spectrum = torch.fft.rfft(noise.repeat(1, 3)[:, : 2 * RATE + 777])
    spectrum[:, -spectrum.shape[1] // 20 :] = 0.0
    clips = torch.fft.irfft(spectrum, n=2 * RATE + 777)
    whole = widen(clips, RATE, 0.7, circular)
    alike = band_coherence(whole[0], RATE)
    monkeypatch.setattr(stereo, "PIECE_SECONDS", 0.6)
    pieces = widen(clips, RATE, 0.7, circular)
    assert pieces.shape == whole.shape
    assert not torch.equal(pieces, whole)
    assert (pieces - whole).abs().max() < 1e-4 * whole.abs().max()
    assert band_coherence(whole[0], RATE) == pytest.approx(alike, abs=0.01)


def test_a_peak_beyond_full_scale_lowers_both_channels(noise: torch.Tensor) -> None:
    loud = noise * 0.3 / noise.abs().amax(dim=1, keepdim=True) * torch.tensor([[1.0], [3.3]])
    made, guarded, *_ = finish(loud.clone(), RATE, stereo=1.0)
    assert made.shape == (2, 2, RATE)
    assert guarded == (False, True)
    assert made.abs().max() <= 0.9901
    inside = slice(0, RATE - 500)
    ratio = mono_of(made[1])[inside] / loud[1, inside]
    assert ratio.std() < 1e-3


@pytest.mark.parametrize("width", [-0.1, 1.01, math.nan])
def test_a_width_that_is_none_is_refused(noise: torch.Tensor, width: float) -> None:
    with pytest.raises(ValueError, match="stereo: expected 0"):
        widen(noise, RATE, width)
