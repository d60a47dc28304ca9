"""Where a sound ends: every frame is told how many follow it, in a batch, in windows and in a stream."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from audio.latents import LatentFile
from latent_diffusion.conditioning import Condition
from latent_diffusion.data import LatentClips, Wording, validation_draws
from latent_diffusion.lengths import LengthConfig
from latent_diffusion.network import FARTHEST, DiffusionTransformer, frames_to_come
from latent_diffusion.windows import ENDLESS, looped_field, windowed_field
from tests.diffusion_doubles import TINY, condition, latent_file, stage


def told(rows: int, after: list[float] | None = None) -> Condition:
    tokens, mask = torch.zeros(rows, 1, TINY.width), torch.ones(rows, 1, dtype=torch.bool)
    return Condition(tokens, mask, torch.zeros(rows, TINY.width), None if after is None else torch.tensor(after))


def network() -> DiffusionTransformer:
    torch.manual_seed(0)
    made = DiffusionTransformer(6, replace(TINY, ending=True))
    for parameter in made.parameters():
        if parameter.abs().max() == 0.0:
            torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def test_frames_are_counted_from_the_end_of_their_own_row() -> None:
    mask = torch.arange(6)[None] < torch.tensor([[6], [4]])
    places = torch.arange(6)
    assert frames_to_come(places, told(2), mask).tolist() == [[5, 4, 3, 2, 1, 0], [3, 2, 1, 0, 0, 0]]
    assert frames_to_come(places, told(2, [0.0, 10.0])).tolist() == [[5, 4, 3, 2, 1, 0], [15, 14, 13, 12, 11, 10]]
    assert (frames_to_come(places, told(1, [ENDLESS])) == FARTHEST).all()


def test_a_young_ending_changes_nothing_and_a_grown_one_hears_the_end() -> None:
    torch.manual_seed(0)
    young = DiffusionTransformer(6, replace(TINY, ending=True)).eval()
    assert float(young.ending.layer.weight.detach().abs().max()) == 0.0
    grown, latents, time = network(), torch.randn(1, 6, 12), torch.tensor([0.5])
    with torch.no_grad():
        here, later = grown(latents, time, told(1)), grown(latents, time, told(1, [30.0]))
    assert (here - later).abs().max() > 1e-3


def test_a_row_in_a_padded_batch_ends_where_it_ends_alone() -> None:
    grown, latents, time = network(), torch.randn(1, 6, 8), torch.tensor([0.5])
    longer = torch.cat([latents, torch.randn(1, 6, 5)], dim=2)
    mask = torch.arange(13)[None] < 8
    with torch.no_grad():
        alone, padded = grown(latents, time, told(1)), grown(longer, time, told(1), mask)
    assert torch.allclose(alone, padded[..., :8], atol=1e-5)


def heard(after: list[Tensor]):
    """A field that writes down what it is told follows its windows."""

    def field(latents: Tensor, time: Tensor, condition: Condition) -> Tensor:
        after.append(condition.frames_after() + latents.shape[-1])
        return latents

    return field


def test_windows_are_told_what_of_the_line_follows_them_and_a_circle_has_no_end() -> None:
    for beyond in (0, 7):
        seen: list[Tensor] = []
        line = torch.arange(50.0).expand(2, 1, 50)
        made = windowed_field(heard(seen), 16, 4, beyond)(line, torch.full((2,), 0.3), told(2))
        assert torch.equal(made, line)
        # Frames seen, and those that follow, reach from where a window begins to the end: both rows are told alike.
        left = torch.cat(seen)
        assert float(left.max()) == 50.0 + beyond
        assert float(left.min()) == 16.0 + beyond
    seen = []
    short = torch.zeros(1, 1, 10)
    windowed_field(heard(seen), 16, 4, 5)(short, torch.zeros(1), told(1))
    assert seen[0].tolist() == [15.0]
    seen = []
    looped_field(heard(seen), 16, 4)(torch.zeros(1, 1, 20), torch.zeros(1), told(1))
    assert float(torch.cat(seen).min()) >= ENDLESS


def test_conditions_are_joined_with_what_follows_each() -> None:
    joined = Condition.join(told(1, [3.0]), told(2))
    assert joined.frames_after().tolist() == [3.0, 0.0, 0.0]
    assert Condition.join(told(1), told(1)).after is None
    assert joined.repeated(2).frames_after().tolist() == [3.0, 0.0, 0.0] * 2
    assert joined.padded(4).frames_after().tolist() == [3.0, 0.0, 0.0]


def test_a_clip_that_is_cut_says_how_much_is_missing_and_how_long_it_is(mel, tmp_path) -> None:
    file = LatentFile.load(latent_file(tmp_path / "latents.safetensors", mel))
    clips = file.clips
    items = LatentClips(file, clips, (), Wording(sorted({caption for clip in clips for caption in clip.captions})))
    own = clips[0].frames
    for total, after, whole in ((own - 3, 3.0, own), (own, 0.0, own), (own + 4, 0.0, own + 4)):
        item = items[0, 1, total]
        assert item["latents"].shape[1] == total
        assert float(item["after"]) == after
        assert float(item["numbers"][3]) == pytest.approx(whole / file.spec.latent_rate)


def test_the_silence_behind_a_sound_is_not_part_of_it(mel, tmp_path) -> None:
    file = LatentFile.load(latent_file(tmp_path / "latents.safetensors", mel))
    rate = file.spec.latent_rate
    clip = replace(file.clips[0], numbers={"seconds": (file.clips[0].frames - 2.5) / rate})
    own = clip.frames - 2
    assert clip.sound_frames(rate) == own
    assert replace(clip, numbers={}).sound_frames(rate) == clip.frames
    items = LatentClips(file, [clip], (), Wording(sorted(clip.captions)))
    for total, after, whole in ((own, 0.0, own), (own - 1, 1.0, own), (own + 2, 0.0, own + 2)):
        item = items[0, 1, total]
        assert item["latents"].shape[1] == total
        assert float(item["after"]) == after
        assert float(item["numbers"][3]) == pytest.approx(whole / rate)
    # Draws that keep a clip's own length keep that of the sound.
    draws = validation_draws([clip], 4, LengthConfig(0.01, 60.0, own=1.0, cut=0.0), rate)
    assert {total for _, _, total in draws} == {own}


def test_a_model_without_an_ending_does_not_care_what_follows(mel) -> None:
    model = stage(mel)
    noise = torch.randn(1, 6, 10, generator=torch.Generator().manual_seed(1))
    plain, followed = (model.sample(noise, condition(model, 1), after=after) for after in (0, 20))
    assert torch.allclose(plain, followed)
    with pytest.raises(ValueError, match="expected rows of one length"):
        model.sample(noise, condition(model, 1), valid_frames=torch.tensor([8]), after=3)
