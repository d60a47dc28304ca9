"""Frames that are known beforehand: which ones training draws, and what the network is told of them."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from audio.latents import LatentFile
from latent_diffusion.conditioning import Condition, ConditionInputs
from latent_diffusion.data import LatentClips, Wording, collate
from latent_diffusion.flow import TimeConfig, draw_times, mix, target
from latent_diffusion.known import KINDS, LATEST, Known, draw_known, known_frames, split_known, told_field
from latent_diffusion.loading import LatentData
from latent_diffusion.model import LatentDiffusion
from latent_diffusion.network import DiffusionTransformer
from latent_diffusion.training import LatentDiffusionTraining
from latent_diffusion.windows import looped_field, windowed_field
from tests.diffusion_doubles import FLOW, LABELS, TINY, condition, latent_file, sampler, stage
from tests.learning.test_diffusion_learning import fit

STEPS = 300


def drawn(share: float, frames: int = 20, sound: int = 30, count: int = 400) -> list[Known]:
    return [draw_known(share, sound, frames, torch.Generator().manual_seed(seed)) for seed in range(count)]


def test_so_many_rows_as_asked_have_known_frames_and_never_all_of_them() -> None:
    some = [row for row in drawn(0.5) if bool(row.kept.any())]
    assert 160 < len(some) < 240
    assert not any(bool(row.kept.all()) for row in some)
    assert not any(bool(row.kept.any()) or row.offset for row in drawn(0.0))
    assert not any(bool(row.kept.any()) for row in drawn(1.0, frames=1))
    assert all(0 < int(row.kept.sum()) < 2 for row in drawn(1.0, frames=2))


def test_all_kinds_come_and_only_those_that_know_their_beginning_begin_within() -> None:
    rows = drawn(1.0)
    ends = {(bool(row.kept[0]), bool(row.kept[-1])) for row in rows}
    assert ends == {(True, False), (False, True), (True, True), (False, False)}
    within = [row for row in rows if row.offset]
    assert len(rows) / len(KINDS) * 0.8 < len(within) < len(rows) / len(KINDS) * 1.7
    assert all(bool(row.kept[0]) and row.offset < LATEST * 30 for row in within)
    # They end where their clip does at the latest, with a frame to make at least.
    assert all(2 <= len(row.kept) == min(20, 30 - row.offset) for row in within)
    assert all(len(row.kept) == 20 for row in rows if not row.offset)
    assert min(len(row.kept) for row in drawn(1.0, frames=40, sound=3)) >= 2
    again = drawn(1.0)
    assert all(
        torch.equal(one.kept, two.kept) and one.offset == two.offset for one, two in zip(rows, again, strict=True)
    )


def test_a_row_that_begins_within_its_clip_holds_what_is_there(mel, tmp_path) -> None:
    file = LatentFile.load(latent_file(tmp_path / "latents.safetensors", mel))
    file = replace(file, std=torch.zeros_like(file.std))
    captions = sorted({caption for clip in file.clips for caption in clip.captions})
    items = LatentClips(file, file.clips, LABELS, Wording(captions), known=1.0)
    clip, found = file.clips[2], 0
    whole = file.spec.whiten(file.mean[None, :, clip.start : clip.start + clip.frames].float())[0]
    silence = file.spec.whiten(torch.tensor(file.spec.silence)[None, :, None])[0]
    for seed in range(60):
        item = items[2, seed, 9]
        total = item["latents"].shape[1]
        offset = next(at for at in range(clip.frames) if torch.allclose(item["latents"][:, 0], whole[:, at]))
        found += offset > 0
        expected = torch.cat([whole[:, offset : offset + total], silence.expand(-1, total)], dim=1)[:, :total]
        assert torch.allclose(item["latents"], expected)
        assert float(item["after"]) == max(0, clip.frames - offset - total)
        assert item["kept"].shape == (total,)
        # No silence that the clip does not have, and the length that is said is the whole clip's.
        assert total == min(9, clip.frames - offset)
        assert float(item["numbers"][3]) == pytest.approx(clip.frames / file.spec.latent_rate)
    assert found > 5
    batch = collate([items[2, 0, 9], items[2, 1, 5]])
    longest = int(batch["valid_frames"].max())
    assert batch["kept"].shape == (2, longest)
    assert not bool(batch["kept"][1, int(batch["valid_frames"][1]) :].any())
    assert not bool(LatentClips(file, file.clips, LABELS, Wording(captions))[2, 0, 9]["kept"].any())


def test_a_young_network_hears_nothing_of_it_and_a_grown_one_does(mel) -> None:
    torch.manual_seed(0)
    network = DiffusionTransformer(6, replace(TINY, known=True)).eval()
    torch.nn.init.normal_(network.output.weight, std=0.2)
    latents, time, said = torch.randn(1, 6, 12), torch.tensor([0.5]), condition(stage(mel), 1)
    known = known_frames(torch.randn(1, 6, 12), torch.arange(12)[None] < 4)
    with torch.no_grad():
        before, young = network(latents, time, said), network(latents, time, said, known=known)
        torch.nn.init.normal_(network.known.weight, std=0.2)
        grown, nothing = network(latents, time, said, known=known), network(latents, time, said, known=0.0 * known)
    assert torch.equal(before, young)
    assert torch.equal(before, nothing)
    assert float((grown - before).abs().max()) > 1e-3


def test_windows_circles_and_guidance_cut_what_is_known_as_they_cut_what_is_noisy() -> None:
    line = torch.arange(50.0).expand(1, 1, 50)
    known = known_frames(line, torch.ones(1, 50, dtype=torch.bool))

    def field(latents: Tensor, time: Tensor, said: Condition) -> Tensor:
        noisy, beside = split_known(latents, 1)
        assert beside is not None
        assert torch.equal(noisy, beside[:, :1])
        assert bool((beside[:, 1] == 1.0).all())
        return noisy

    said = Condition(torch.zeros(1, 1, 4), torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 4))
    for whole in (windowed_field(field, 16, 4), looped_field(field, 16, 4)):
        # Twice the rows, as guidance asks for them.
        made = told_field(whole, known)(line.repeat(2, 1, 1), torch.full((2,), 0.3), Condition.join(said, said))
        assert torch.equal(made, line.repeat(2, 1, 1))
    assert split_known(line, 1)[1] is None


def continuing(mel, known: bool) -> float:
    """Train on rows that stay where they begin, and return how far from its beginning what goes on is."""
    torch.manual_seed(0)
    plain = stage(mel)
    model = LatentDiffusion(replace(plain.config, network=replace(TINY, known=known))).train()
    model.preconditioner.assume_white()
    inputs = ConditionInputs.nothing(64, 384)
    kept = torch.arange(10)[None].expand(64, 10) < 5
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, betas=(0.9, 0.98))
    for _ in range(STEPS):
        data, noise = torch.randn(64, 6, 1).expand(-1, -1, 10), torch.randn(64, 6, 10)
        time = draw_times(64, FLOW, TimeConfig())
        told = known_frames(data, kept) if known else None
        predicted = model(mix(data, noise, time, FLOW), time, model.conditioner(inputs), None, told)
        error = (predicted - target(data, noise, time, FLOW, "velocity")) * ~kept[:, None]
        optimiser.zero_grad()
        error.square().mean().backward()
        optimiser.step()
    model.eval()
    data = torch.randn(64, 6, 1).expand(-1, -1, 10)
    start = model.spec.unwhiten(data)
    made = model.sample(
        torch.randn(64, 6, 10), model.null_condition(64), sampler(1.0, "euler", 20), start=start, kept=kept
    )
    assert torch.allclose(made[..., :5], start[..., :5], atol=1e-3)
    return float((model.spec.whiten(made) - data)[..., 5:].square().mean().sqrt())


def test_a_network_that_is_told_goes_on_where_one_that_is_not_told_departs(mel) -> None:
    told, untold = continuing(mel, True), continuing(mel, False)
    assert told < 0.35
    assert told < 0.7 * untold


def test_what_is_known_is_not_asked_for(mel, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path / "cache"))
    file = latent_file(tmp_path / "latents.safetensors", mel)
    training = LatentDiffusionTraining(file, 0.05, 0.6, replace(TINY, known=True))
    latents = LatentFile.load(file)
    captions = sorted({caption for clip in latents.clips for caption in clip.captions})
    items = LatentClips(latents, latents.clips, LABELS, Wording(captions))
    batch = collate([items[index, 0, 8] for index in range(4)])
    noise, time = torch.randn(4, 4, 8), torch.full((4,), 0.5)
    inputs = ConditionInputs.nothing(4, 384)
    batch["kept"] = torch.ones(4, 8, dtype=torch.bool)
    assert float(training._errors(batch, noise, time, inputs).detach().abs().max()) == 0.0
    batch["kept"][:, -1] = False
    assert float(training._errors(batch, noise, time, inputs).detach().min()) > 0.0


def test_a_network_that_cannot_hear_of_known_frames_is_not_trained_on_them(tmp_path, mel, monkeypatch, capsys) -> None:
    monkeypatch.setenv("MELISMA_CACHE", str(tmp_path / "cache"))
    latents = latent_file(tmp_path / "latents.safetensors", mel)
    options = ("--data.known", "0.3", "--trainer.max_steps", "3")
    assert fit(monkeypatch, latents, tmp_path / "run", *options) == 2
    assert "data.known 0.3 goes with model.network.known true, got false" in capsys.readouterr().err
    assert fit(monkeypatch, latents, tmp_path / "run", *options, "--model.network.known", "true") == 0
    with pytest.raises(ValueError, match=r"data\.known: expected 0 to 1, got 1\.5"):
        LatentData(latents, known=1.5)
