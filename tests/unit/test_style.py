"""A style moves the mean of what sounds, and nothing else."""

import pytest
import torch

from latent_diffusion.flow import data_and_noise
from latent_diffusion.guidance import Prediction
from latent_diffusion.style import Style, styled_field
from tests.diffusion_doubles import COSINE, FLOW, condition, sampler, stage

SILENCE = torch.tensor([-1.0, 0.0, 0.5])


def drawn(frames: int, seed: int, rows: int = 1, channels: int = 3) -> torch.Tensor:
    return torch.randn(rows, channels, frames, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("path", "name"), [(FLOW, "velocity"), (COSINE, "noise"), (COSINE, "v")])
def test_at_full_strength_the_mean_of_what_sounds_is_that_of_the_reference(path, name) -> None:
    reference, prediction = drawn(20, 1) + 2.0, Prediction(path, name)
    style = Style(reference, SILENCE, 1.0)
    latents, answer, time = drawn(12, 2, rows=2), drawn(12, 3, rows=2), torch.tensor(0.4)
    made = styled_field(lambda *_: answer, style, prediction)(latents, time)
    data, _ = data_and_noise(made, latents, time, path, name)
    before, _ = data_and_noise(answer, latents, time, path, name)
    counts, own = style.mean(before)
    _, wanted = style.mean(reference)
    assert torch.allclose(data - before, counts * (wanted - own), atol=1e-4)
    # Frames that count fully have moved all the way.
    assert torch.allclose(
        (counts * data).sum(-1) / counts.sum(-1), (own + (wanted - own) * share(counts))[..., 0], atol=1e-4
    )


def share(counts: torch.Tensor) -> torch.Tensor:
    return counts.square().sum(-1, keepdim=True) / counts.sum(-1, keepdim=True)


def test_silence_counts_for_nothing_and_stays() -> None:
    sounding, quiet = drawn(8, 1) + 3.0, SILENCE[None, :, None].expand(1, 3, 8)
    style = Style(sounding, SILENCE, 1.0)
    both = torch.cat([sounding, quiet], dim=-1)
    counts, mean = style.mean(both)
    assert (counts[..., 8:] == 0.0).all()
    assert counts[..., :8].min() > 0.0
    # What lies behind the end of a row is silence too.
    _, masked = style.mean(torch.cat([both, 9.0 * torch.ones(1, 3, 4)], dim=-1), torch.arange(20)[None] < 16)
    assert torch.allclose(mean, masked)
    time, field = torch.tensor(0.5), Prediction(FLOW, "velocity")
    moved = styled_field(lambda *_: both - both.flip(1), Style(drawn(9, 4), SILENCE, 0.5), field)
    plain = both - both.flip(1)
    noisy = 0.5 * both
    data = data_and_noise(plain, noisy, time, FLOW, "velocity")[0]
    still = Style(drawn(9, 4), SILENCE, 0.5).mean(data)[0] == 0.0
    assert torch.equal((moved(noisy, time) == plain).all(dim=1, keepdim=True), still)


def test_a_model_takes_a_style_on_every_path_and_none_at_strength_nought(mel) -> None:
    for path, name in ((FLOW, "velocity"), (COSINE, "v")):
        model = stage(mel, path, name)
        silence = model.spec.whiten(torch.tensor(model.spec.silence)[None, :, None])[0, :, 0]
        reference = drawn(10, 5, channels=6) + 1.0
        noise = drawn(10, 1, rows=2, channels=6)
        plain, none, some, all_of_it = (
            model.sample(noise, condition(model, 2), sampler(2.0, None, 6), style=style)
            for style in (None, *(Style(reference, silence, value) for value in (0.0, 0.2, 1.0)))
        )
        assert torch.allclose(plain, none, atol=1e-5)
        style = Style(reference, silence, 1.0)
        wanted = style.mean(reference)[1]
        far = [float((style.mean(model.spec.whiten(one))[1] - wanted).abs().mean()) for one in (plain, some, all_of_it)]
        assert far[0] > far[1] > far[2]


def test_solvers_that_ask_at_the_end_agree_with_those_that_do_not(mel) -> None:
    model = stage(mel, FLOW, "velocity")
    silence = model.spec.whiten(torch.tensor(model.spec.silence)[None, :, None])[0, :, 0]
    style = Style(drawn(10, 5, channels=6) + 1.0, silence, 0.15)
    noise = drawn(10, 1, rows=2, channels=6)
    made = [
        model.spec.whiten(model.sample(noise, condition(model, 2), sampler(1.0, solver, 64), style=style))
        for solver in ("midpoint", "heun")
    ]
    assert float((made[0] - made[1]).abs().mean()) < 0.2 * float(made[0].std())


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_is_a_share(strength) -> None:
    with pytest.raises(ValueError, match="style_strength: expected 0 to 1"):
        Style(drawn(4, 1), SILENCE, strength)
