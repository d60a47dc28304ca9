"""A field seen through windows: every frame is asked for once, with its neighbours, wherever the cuts lie."""

import pytest
import torch

from latent_diffusion.conditioning import Condition
from latent_diffusion.windows import cut_line, cuts_at, line_margin, looped_field, windowed_field
from tests.diffusion_doubles import condition, sampler, stage


def blur(latents: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
    """A field that hears two frames to either side."""
    assert len(latents) == len(time) == len(condition)
    return torch.nn.functional.avg_pool1d(latents, 5, 1, 2, count_include_pad=False) + condition.vector[:, :1, None]


def rows(count: int) -> Condition:
    return Condition(torch.zeros(count, 1, 2), torch.ones(count, 1, dtype=torch.bool), torch.arange(count)[:, None] / 7)


def drawn(count: int, frames: int) -> torch.Tensor:
    return torch.randn(count, 3, frames, generator=torch.Generator().manual_seed(frames))


@pytest.mark.parametrize("frames", [21, 33, 40, 64, 200])
def test_a_field_that_hears_no_further_than_the_margin_is_the_same_through_windows(frames) -> None:
    latents = drawn(2, frames)
    for time in torch.linspace(0.0, 1.0, 23):
        at = time.expand(2)
        windowed = windowed_field(blur, 20, 4)(latents, at, rows(2))
        assert torch.allclose(windowed, blur(latents, at, rows(2)), atol=1e-6)


@pytest.mark.parametrize("frames", [3, 12, 20, 21, 47, 90])
def test_a_loop_has_no_place_where_it_is_cut(frames) -> None:
    latents = drawn(2, frames)
    around = torch.cat([latents[..., -2:], latents, latents[..., :2]], dim=-1) if frames > 2 else latents
    wanted = blur(around, torch.zeros(2), rows(2))[..., 2:-2]
    for time in torch.linspace(0.0, 1.0, 23):
        made = looped_field(blur, 20, 4)(latents, time.expand(2), rows(2))
        assert torch.allclose(made, wanted, atol=1e-6)


@pytest.mark.parametrize("frames", [3, 12, 20, 21, 47, 90])
def test_no_piece_of_a_loop_is_longer_than_what_the_network_sees(frames) -> None:
    seen = []

    def field(latents: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
        seen.append(latents.shape[-1])
        return latents

    looped_field(field, 20, 4)(drawn(1, frames), torch.full((1,), 0.4), rows(1))
    assert max(seen) <= 20


@pytest.mark.parametrize("turned", [0.0, 0.01, 0.5, 0.999])
def test_pieces_cover_the_line_and_lie_inside_their_windows(turned) -> None:
    for frames in range(21, 120):
        pieces = list(cut_line(frames, 20, 4, turned))
        assert [start for start, _, _ in pieces] == [0, *(end for _, end, _ in pieces)][:-1]
        assert pieces[-1][1] == frames
        for start, end, begin in pieces:
            assert 0 <= begin <= max(0, start - (4 if start else 0)) or begin == frames - 20
            assert begin <= start < end <= begin + 20 <= frames
            # A neighbour is heard unless there is none.
            assert start - begin >= 4 or start == 0
            assert begin + 20 - end >= 4 or end == frames


def test_cuts_lie_elsewhere_at_every_step() -> None:
    seen = set()

    def looking(latents: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
        seen.update(float(frame) for frame in latents[:, 0, 0])
        return latents

    counting = torch.arange(400.0).expand(1, 3, -1)
    for time in torch.linspace(0.0, 1.0, 32):
        windowed_field(looking, 20, 4)(counting, time[None], rows(1))
    # With cuts that stay where they are, 34 windows would be all there are.
    assert len(seen) > 3 * 34


@pytest.mark.parametrize("frames", [16, 40, 97])
def test_cuts_are_told_where_they_lie(frames) -> None:
    def numbered(latents: torch.Tensor, time: torch.Tensor, condition: Condition) -> torch.Tensor:
        return torch.arange(float(len(latents)))[:, None, None].expand_as(latents)

    for time in torch.linspace(0.0, 1.0, 23):
        made = windowed_field(numbered, 16, line_margin(16))(drawn(1, frames), time[None], rows(1))
        assert (1 + made[0, 0].diff().nonzero()[:, 0]).tolist() == cuts_at(frames, 16, float(time))


def test_a_stage_makes_more_frames_than_it_was_trained_on_and_holds_what_is_kept(mel) -> None:
    model = stage(mel)
    frames = 2 * model.window_frames + 5
    noise = torch.randn(1, 6, frames, generator=torch.Generator().manual_seed(1))
    given = model.spec.unwhiten(torch.randn(1, 6, frames, generator=torch.Generator().manual_seed(2)))
    kept = torch.arange(frames)[None] < frames // 2
    made = model.sample(noise, condition(model, 1), sampler(2.0, None, 4), None, None, given, 0.0, kept)
    assert made.shape == noise.shape
    assert bool(made.isfinite().all())
    assert torch.allclose(made[..., : frames // 2], given[..., : frames // 2], atol=1e-4)
    with pytest.raises(ValueError, match="rows of one length"):
        model.sample(noise, condition(model, 1), valid_frames=torch.tensor([frames - 1]))
