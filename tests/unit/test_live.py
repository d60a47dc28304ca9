"""A clip as it is made: its noise and stretches depend on nothing but numbers, and no gain ever makes a step."""

import itertools

import numpy as np
import pytest
import soundfile
import torch

from audio.comments import read_comment, wav_header
from audio.files import write_audio
from latent_diffusion.guidance import Mixture
from pipelines.editing import Edit
from pipelines.live import LET_GO_FROM, Guard, _held, _part, check_live, frame_noise, pcm, stretches
from pipelines.request import Request

RATE = 44_100


def test_the_noise_of_a_frame_depends_on_its_number_alone() -> None:
    whole = frame_noise(3, 0, 5, 0, 400)
    assert whole.shape == (5, 400)
    for start, end in ((0, 64), (63, 65), (130, 400), (399, 400)):
        assert torch.equal(frame_noise(3, 0, 5, start, end), whole[:, start:end])
    assert not torch.equal(frame_noise(4, 0, 5, 0, 400), whole)
    assert not torch.equal(frame_noise(3, 1, 5, 0, 400), whole)
    assert whole.std() == pytest.approx(1.0, abs=0.1)
    assert abs(np.corrcoef(whole[0, :128], whole[0, 128:256])[0, 1]) < 0.4


@pytest.mark.parametrize(("settled", "ahead", "frames"), [(5, 4, 12), (5, 4, 9), (3, 0, 8)])
def test_what_lay_beyond_a_border_is_let_go_by_and_by(settled: int, ahead: int, frames: int) -> None:
    before, beyond = torch.randn(1, 3, settled), torch.randn(1, 3, ahead)
    given, until = _held(before, beyond, frames)
    assert given.shape == (1, 3, frames)
    assert until.shape == (1, frames)
    assert torch.equal(given[..., : settled + ahead], torch.cat([before, beyond], dim=-1))
    assert bool((until[:, :settled] == 1.0).all())
    assert not until[:, settled + ahead :].any()
    soft = until[0, settled : settled + ahead]
    assert not ahead or (float(soft[0]) == pytest.approx(LET_GO_FROM) and bool((soft.diff() < 0.0).all()))
    assert bool((soft > 0.0).all())


@pytest.mark.parametrize("seconds", [0.3, 2.0, 3.0, 14.0, 61.7, 600.0])
def test_stretches_cover_the_clip_once_and_stay_short(seconds: float) -> None:
    rate = 43.07
    total = max(1, round(seconds * rate))
    plan = list(stretches(total, rate))
    assert plan[0][0] == 0
    assert plan[-1][1] == total
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(plan))
    lengths = [end - start for start, end in plan]
    assert min(lengths) > 0
    assert max(lengths) <= 17.1 * rate
    # The first sound does not wait for a long stretch.
    assert lengths[0] <= 2.1 * rate


def test_a_stream_stays_below_full_scale_without_a_step() -> None:
    time = torch.arange(3 * RATE) / RATE
    tone = torch.sin(2 * torch.pi * 100.0 * time) * torch.tensor([0.5, 1.5, 0.4]).repeat_interleave(RATE)
    pieces = list(Guard(RATE, len(tone)).run(iter(tone.split(RATE))))
    made = torch.cat(pieces)
    assert len(made) == len(tone)
    assert made.abs().max() <= 0.9901
    assert made[1 * RATE + 100 : 2 * RATE - 100].abs().max() == pytest.approx(0.99, abs=1e-3)
    # Before the loud part the level is the given one, then it leads over, and it never rises again.
    early = slice(0, RATE - 3000)
    assert torch.allclose(made[early], tone[early])
    late = slice(2 * RATE + 100, 3 * RATE - 1000)
    assert torch.allclose(made[late], tone[late] * 0.66, atol=1e-3)
    gain = (made / tone)[tone.abs() > 0.2][: 2 * RATE]
    assert gain.diff().abs().max() < 0.02
    assert made[-1].abs() < 1e-6


def test_a_quiet_stream_is_left_alone_and_cut_at_its_length() -> None:
    sound = 0.1 * torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    for size in (100, 3000, 10_000):
        made = torch.cat(list(Guard(RATE, 9000).run(iter(sound.split(size)))))
        assert len(made) == 9000
        assert torch.equal(made[:8500], sound[:8500])
    short = torch.cat(list(Guard(RATE, 50).run(iter([sound]))))
    assert len(short) == 50


def test_a_header_is_a_wav_that_tells(tmp_path) -> None:
    sound = 0.5 * torch.sin(torch.arange(1001) / 9.0)
    path = tmp_path / "a.wav"
    path.write_bytes(wav_header(22_050, 1001, "odd text ä") + pcm(sound))
    read, rate = soundfile.read(path)
    assert rate == 22_050
    assert np.abs(read - sound.numpy()).max() < 1e-4
    assert read_comment(path) == "odd text ä"
    write_audio(tmp_path / "b.wav", sound.numpy(), 22_050)
    assert np.array_equal(soundfile.read(tmp_path / "b.wav")[0], read)


def test_weights_that_change_along_time_are_cut_and_others_are_not() -> None:
    class Rows:
        def __len__(self) -> int:
            return 1

    said = Mixture((Rows(), Rows()), (torch.arange(10.0), torch.tensor(0.3)))  # type: ignore[arg-type]
    part = _part(said, 2, 5)
    assert part.weights[0].tolist() == [2.0, 3.0, 4.0]
    assert part.weights[1].ndim == 0


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"loop": True}, "loop"), ({"best_of": 2}, "best_of"), ({"num_clips": 2}, "num_clips"),
     ({"stereo": 0.5}, "stereo"), ({"morph_clips": 3}, "morph"), ({"prompts": ("a", "b")}, "several prompts")],
)  # fmt: skip
def test_what_needs_the_whole_clip_is_refused(settings, name) -> None:
    with pytest.raises(ValueError, match=f"stream and {name} contradict"):
        check_live(Request(**{"prompts": ("a",), **settings}))
    check_live(Request(prompts=("a", "b"), glide=True))


def test_an_edit_that_is_refused_is_named_by_its_option(tmp_path) -> None:
    first, second = tmp_path / "a.wav", tmp_path / "b.wav"
    with pytest.raises(ValueError, match="stream and init_audio contradict"):
        check_live(Request(edit=Edit(first)))
    with pytest.raises(ValueError, match="stream and morph contradict"):
        check_live(Request(edit=Edit(first, toward=second), morph_clips=3))
