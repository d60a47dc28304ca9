"""Autoguidance: away from a weaker model, in every mode that the model itself has."""

import itertools
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from latent_diffusion.conditioning import Condition
from latent_diffusion.config import LatentDiffusionConfig
from latent_diffusion.guidance import GuidanceConfig, Mixture, Prediction, guided_field
from latent_diffusion.guide import with_guide
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.sampling import SamplerConfig, _jumped
from latent_diffusion.style import Style
from latent_diffusion.warm_start import warm_weights
from pipelines.bundle import Defaults
from pipelines.provenance import NEUTRAL
from pipelines.request import Request
from pipelines.settling import settle
from tests.diffusion_doubles import COSINE, FLOW, TINY, spec, stage
from training.checkpoint import StageRecord, load_stage, load_weights, save_stage

VELOCITY = Prediction(FLOW, "velocity")
SMALLER = replace(TINY, width=16, depth=2, hidden=24, modulation_rank=4)


def noise(rows: int, frames: int) -> Tensor:
    return torch.randn(rows, 6, frames, generator=torch.Generator().manual_seed(7))


def sampler(auto: float, scale: float = 1.0, solver: str | None = None) -> SamplerConfig:
    return SamplerConfig(solver, 4, guidance=GuidanceConfig(scale, auto=auto))


def guided(model: LatentDiffusion, weaker: LatentDiffusion) -> LatentDiffusion:
    """The stage with another one as its guide."""
    record, weights = with_guide(
        StageRecord("latent_diffusion", model.to_config()),
        model.state_dict(),
        StageRecord("latent_diffusion", weaker.to_config()),
        weaker.state_dict(),
    )
    both = LatentDiffusion(LatentDiffusionConfig.from_dict(record.config))
    load_weights(both, weights, Path("both"))
    return both.eval()


def told(mel) -> LatentDiffusion:
    """A stage that knows which frames are known and how many follow."""
    model = LatentDiffusion(replace(stage(mel).config, network=replace(TINY, ending=True, known=True)))
    model.preconditioner.assume_white()
    for parameter in model.parameters():
        if parameter.abs().max() == 0.0:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def smaller(mel) -> LatentDiffusion:
    model = LatentDiffusion(replace(stage(mel).config, network=SMALLER))
    model.preconditioner.assume_white()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


def said(model: LatentDiffusion, rows: int) -> Condition:
    numbers = [{"pitch": 40.0 + row, "seconds": 1.0} for row in range(rows)]
    return model.encode_conditions(["a bell"] * rows, ["kick", None, "bell"][:rows], numbers)


def test_a_field_is_led_away_from_the_weaker_one_and_by_the_prompt() -> None:
    rows = Condition(torch.zeros(2, 1, 4), torch.ones(2, 1, dtype=torch.bool), torch.zeros(2, 4))
    strong = Condition(rows.tokens, rows.mask, rows.vector + 1.0, for_guide=replace(rows, vector=rows.vector + 10.0))
    nothing = replace(rows, vector=rows.vector - 1.0)

    def field(latents: Tensor, _time: Tensor, own: Condition) -> Tensor:
        return latents * 0.0 + own.vector[:, :1, None]

    at = torch.tensor(0.5)
    for scale, auto, wanted in (
        (1.0, 1.0, 1.0),
        (1.0, 1.5, 1.0 + 0.5 * (1 - 10)),
        (2.0, 1.5, 3.0 - 4.5),
        (2.0, 1.0, 3.0),
    ):
        made = guided_field(field, strong, nothing, GuidanceConfig(scale, auto=auto), VELOCITY, weaker=field)
        assert torch.allclose(made(noise(2, 3), at), torch.full((2, 6, 3), wanted)), (scale, auto)
    # The interval is that of the prompt.
    early = GuidanceConfig(2.0, (0.0, 0.2), auto=1.5)
    made = guided_field(field, strong, nothing, early, VELOCITY, weaker=field)(noise(2, 3), at)
    assert torch.allclose(made, torch.full((2, 6, 3), 1.0 - 4.5))
    # And it has one of its own.
    late = GuidanceConfig(2.0, auto=1.5, auto_interval=(0.5, 1.0))
    for time, wanted in ((0.4, 3.0), (0.5, 3.0 - 4.5), (1.0, 3.0 - 4.5)):
        made = guided_field(field, strong, nothing, late, VELOCITY, weaker=field)(noise(2, 3), torch.tensor(time))
        assert torch.allclose(made, torch.full((2, 6, 3), wanted)), time
    with pytest.raises(ValueError, match="autoguidance_interval: expected two rising times"):
        GuidanceConfig(auto_interval=(0.5, 0.5))
    # Of a mixture the weaker one hears the same mixture.
    other = replace(strong, vector=strong.vector + 1.0, for_guide=replace(rows, vector=rows.vector + 20.0))
    mixture = Mixture((strong, other), (torch.tensor(0.25), torch.tensor(0.75)))
    made = guided_field(field, mixture, nothing, GuidanceConfig(auto=3.0), VELOCITY, weaker=field)(noise(2, 3), at)
    assert torch.allclose(made, torch.full((2, 6, 3), 1.75 + 2.0 * (1.75 - 17.5)))
    for weaker, own in ((None, strong), (field, rows)):
        with pytest.raises(ValueError, match="autoguidance: "):
            guided_field(field, own, nothing, GuidanceConfig(auto=2.0), VELOCITY, weaker=weaker)
    with pytest.raises(ValueError, match="autoguidance: expected 0 to 100"):
        GuidanceConfig(auto=float("nan"))


def test_a_solver_that_remembers_forgets_where_autoguidance_begins() -> None:
    late = GuidanceConfig(2.0, auto=1.5, auto_interval=(0.5, 1.0))
    times = [torch.tensor(time) for time in (0.3, 0.4, 0.6, 0.7)]
    found = [bool(_jumped(late, None, before, now)) for before, now in itertools.pairwise(times)]
    assert found == [False, True, False]
    assert not any(bool(_jumped(GuidanceConfig(2.0), None, before, now)) for before, now in itertools.pairwise(times))


def test_a_guide_that_is_no_weaker_changes_nothing_in_any_mode(mel) -> None:
    """So it is asked of the same frames, in the same windows, told the same."""
    model = told(mel)
    both = guided(model, model)
    own = said(both, 2)
    long = both.window_frames + 9
    kept = torch.zeros(2, 8)
    kept[:, :3] = 1.0
    modes = {
        "rows of their own lengths": (8, {"valid_frames": torch.tensor([8, 5])}),
        "a loop": (8, {"loop": True}),
        "a long loop": (long, {"loop": True}),
        "windows": (long, {}),
        "what follows": (8, {"after": 5}),
        "kept": (8, {"start": noise(2, 8), "kept": kept}),
        "a variation": (8, {"start": noise(2, 8), "start_time": 0.4}),
        "a style": (8, {"style": Style(noise(1, 6), torch.zeros(6), 0.3)}),
        "ancestral": (8, {}),
        "what is not wanted": (8, {"negative": both.null_condition(2)}),
    }
    for name, (frames, settings) in modes.items():
        solver = name if name in both.solver_names() else None
        made = [both.sample(noise(2, frames), own, sampler(auto, 2.0, solver), **settings) for auto in (1.0, 3.0)]
        assert torch.allclose(*made, atol=1e-3), name
    # A guide that does not hear of what is known, or of how much follows, is another.
    for deaf in ("known", "ending"):
        network = replace(told(mel).config.network, **{deaf: False})
        other = LatentDiffusion(replace(model.config, network=network))
        other.load_state_dict(model.state_dict(), strict=False)
        settings = {"start": noise(2, 8), "kept": kept, "after": 5}
        made = [guided(model, other.eval()).sample(noise(2, 8), own, sampler(auto), **settings) for auto in (1.0, 3.0)]
        assert not torch.allclose(*made, atol=1e-2), deaf


def test_a_weaker_guide_changes_what_is_made_and_costs_nothing_when_off(mel) -> None:
    model = stage(mel)
    both = guided(model, smaller(mel))
    start, own = noise(3, 8), said(both, 3)
    off = both.sample(start, own, sampler(1.0, 2.0))
    assert torch.equal(off, model.sample(start, said(model, 3), sampler(1.0, 2.0)))
    on = both.sample(start, own, sampler(1.5, 2.0))
    assert (on - off).abs().max() > 0.05
    # A row alone is the row in its batch.
    alone = both.sample(start[:1], said(both, 1), sampler(1.5, 2.0))
    assert torch.allclose(alone, on[:1], atol=1e-4)
    with pytest.raises(ValueError, match="this model holds no weaker one"):
        model.sample(start, said(model, 3), sampler(1.5))


def test_a_stage_with_a_guide_is_stored_and_read_and_its_guide_replaced(mel, tmp_path) -> None:
    model, weaker = stage(mel), smaller(mel)
    record = StageRecord("latent_diffusion", model.to_config(), licences=["MIT"]).sealed(model.state_dict())
    other = StageRecord("latent_diffusion", weaker.to_config(), licences=["CC0-1.0"]).sealed(weaker.state_dict())
    joined, weights = with_guide(record, model.state_dict(), other, weaker.state_dict())
    assert joined.licences == ["CC0-1.0", "MIT"]
    assert joined.lineage["guide"] == other.fingerprint
    assert joined.fingerprint not in (record.fingerprint, other.fingerprint)
    save_stage(tmp_path / "both.safetensors", joined, weights, torch.float32)
    read = LatentDiffusion.from_checkpoint(tmp_path / "both.safetensors")
    assert read.guide is not None
    assert read.guide.config.network == SMALLER
    assert read.guide.guide is None
    start = noise(2, 8)
    expected = guided(model, weaker).sample(start, said(read, 2), sampler(2.0))
    assert torch.allclose(read.sample(start, said(read, 2), sampler(2.0)), expected, atol=1e-5)
    # Another guide takes its place; training goes on from the model alone.
    again, replaced = with_guide(
        *load_stage(tmp_path / "both.safetensors", "latent_diffusion"), record, model.state_dict()
    )
    assert LatentDiffusionConfig.from_dict(again.config).guide == TINY
    assert set(replaced) == set(model.state_dict()) | {f"guide.{name}" for name in model.state_dict()}
    assert set(warm_weights(model, joined, dict(weights))) == set(model.state_dict())


def test_a_guide_of_other_latents_or_words_is_refused(mel) -> None:
    model = stage(mel)
    record = StageRecord("latent_diffusion", model.to_config())
    for changed, words in (
        ({"latents": replace(spec(mel), encoder_fingerprint="fedcba9876543210")}, "latents"),
        ({"path": COSINE, "prediction": "v"}, "path and prediction"),
        ({"conditioning": replace(model.config.conditioning, labels=("bell",))}, "conditioning"),
    ):
        other = StageRecord("latent_diffusion", replace(model.config, **changed).to_dict())
        with pytest.raises(ValueError, match=f"guide: differs from the model in {words}; train both"):
            with_guide(record, model.state_dict(), other, model.state_dict())


def test_the_bundle_says_how_much_where_the_model_holds_a_guide() -> None:
    defaults = replace(Defaults(), autoguidance=1.5)

    def settled(guide: object, **asked: float) -> float:
        diffusion = SimpleNamespace(solver_names=lambda: ("euler",), guide=guide)
        given = settle(Request(("x",), seed=0, **asked), defaults, diffusion, torch.float32)  # type: ignore[arg-type]
        return float(given["autoguidance"])

    assert settled(object()) == 1.5
    assert settled(object(), autoguidance=2.0) == 2.0
    assert settled(None) == settled(None, autoguidance=1.0) == 1.0
    assert NEUTRAL["autoguidance"] == 1.0
    with pytest.raises(ValueError, match="autoguidance: this model holds no weaker one"):
        settled(None, autoguidance=2.0)
