"""What is made around a recording is brought below full scale where it was made, and nowhere else."""

import pytest
import torch

from pipelines.guarding import PEAK_LIMIT, Zone, lowered, zones_of
from pipelines.shaping import finish

RATE = 44_100


def tone(samples: int, level: float) -> torch.Tensor:
    return level * torch.sin(torch.arange(samples) * 0.3)


def test_zones_lie_around_what_was_made_and_those_that_overlap_are_one() -> None:
    assert zones_of([(300, 400)], 50, 1000) == (Zone(250, 300, 400, 450),)
    # Where the clip begins or ends nothing is kept: there is nothing to lead over to.
    assert zones_of([(900, 1000), (0, 100)], 50, 1000) == (Zone(0, 0, 100, 150), Zone(850, 900, 1000, 1000))
    assert zones_of([(300, 400), (480, 500)], 50, 1000) == (Zone(250, 300, 500, 550),)
    assert zones_of([(30, 980)], 50, 1000) == (Zone(0, 0, 1000, 1000),)
    assert zones_of([], 50, 1000) == ()


@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_kept_stays_to_the_bit_and_what_was_made_is_below_full_scale(channels) -> None:
    sound = tone(4000, 0.5).repeat(2, channels, 1).squeeze(1)
    sound[0, ..., 1500:2000] *= 5.0
    zones = zones_of([(1500, 2000)], 600, 4000)
    made = sound.clone()
    assert lowered(made, zones) == (True, False)
    assert torch.equal(made[1], sound[1])
    assert torch.equal(made[0, ..., :900], sound[0, ..., :900])
    assert torch.equal(made[0, ..., 2600:], sound[0, ..., 2600:])
    assert float(made[0].abs().max()) == pytest.approx(PEAK_LIMIT, abs=1e-5)
    gain = (made[0] / sound[0]).reshape(-1, 4000)[0, 1:]
    # One level for all that was made, and no step on the way to it.
    assert float(gain[1500:1999].std()) < 1e-6
    assert float(gain.diff().abs().max()) < 2.0 * (1.0 - float(gain.min())) / 600
    assert bool((gain[:1500].diff() <= 1e-6).all())


def test_a_loud_sample_within_reach_is_below_full_scale_too() -> None:
    sound = tone(4000, 0.5)[None]
    sound[0, 1000], sound[0, 2590] = 1.5, -1.2
    assert lowered(sound, zones_of([(1500, 2000)], 600, 4000)) == (True,)
    assert float(sound.abs().max()) <= PEAK_LIMIT + 1e-6


@pytest.mark.parametrize("place", [900, 901, 1300, 1500, 2590, 2599])
def test_a_level_never_jumps_wherever_the_loud_sample_lies(place: int) -> None:
    sound = torch.full((1, 4000), 0.5)
    sound[0, place] = 1.9
    made = sound.clone()
    assert lowered(made, zones_of([(1500, 2000)], 600, 4000)) == (True,)
    gain = made[0] / sound[0]
    assert float(gain.diff().abs().max()) < 0.002
    assert float(made.abs().max()) <= PEAK_LIMIT + 1e-6


def test_what_is_kept_and_too_loud_itself_lowers_all_of_a_clip() -> None:
    sound = tone(4000, 0.5)[None]
    sound[0, 100] = 2.0
    made = sound.clone()
    assert lowered(made, zones_of([(1500, 2000)], 600, 4000)) == (True,)
    assert torch.allclose(made, sound * (PEAK_LIMIT / 2.0))


def test_a_clip_of_which_nothing_is_kept_is_lowered_as_a_whole() -> None:
    sound = tone(4000, 2.0)[None]
    made = finish(sound.clone(), RATE, fade_out=False, zones=zones_of([(100, 3900)], 600, 4000))
    assert torch.allclose(made.waveforms, finish(sound.clone(), RATE, fade_out=False).waveforms)
    assert made.guarded == (True,)
