"""A new run goes on where an old one was: weights, discriminators, optimisers, official files."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from audio.contract import mel_differences
from tests.foreign_vocoders import BIGVGAN_V2, VOCOS, make_bigvgan, make_vocos
from tests.vocoder_runs import GAN, MEL, NETWORK, UPSAMPLING, fit, run, write_config, write_tones
from training.checkpoint import StageRecord, load_checkpoint, save_stage
from training.schedule import OptimiserConfig
from vocoder.bigvgan import BigVGAN
from vocoder.discriminators import GanConfig
from vocoder.official_vocos import OfficialVocos
from vocoder.training import VocoderTraining
from vocoder.upsampling import UpsamplingConfig
from vocoder.vocos import PriorVocos, VocosConfig

# One clip, whole, in every row of every batch: all batches are the same.
SAME_BATCH = {"segment_seconds": 0.25, "steps_per_epoch": 1}
CONFIG = VocosConfig(**NETWORK)
SMALL_GAN = GanConfig(**{key: tuple(value) if isinstance(value, list) else value for key, value in GAN.items()})
LIVE = "current_model_state"


@pytest.fixture(scope="module")
def one_clip(tmp_path_factory):
    return write_tones(tmp_path_factory.mktemp("one"), 1)


@pytest.fixture(scope="module")
def old_run(one_clip, tmp_path_factory):
    """Four steps, the last two with discriminators; then a fifth."""
    out = tmp_path_factory.mktemp("old")
    gan = {**GAN, "start_batch": 2}
    fit(one_clip, out / "four", {"max_steps": 4}, SAME_BATCH, gan=gan)
    five = fit(one_clip, out / "five", {"max_steps": 5}, SAME_BATCH, gan=gan)
    return out / "four" / "run" / "last.ckpt", five


def largest_difference(first, second):
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def test_a_step_of_a_fine_tuning_is_the_next_step_of_the_old_run(old_run, one_clip, tmp_path, capsys):
    path, five = old_run
    model = {"gan": {**GAN, "start_batch": 1}, "init_from": str(path), "init_optimisers": True}
    tuned = fit(one_clip, tmp_path, {"max_steps": 1}, SAME_BATCH, **model)
    assert tuned["progress"]["batches_done"] == 1
    assert largest_difference(five[LIVE], tuned[LIVE]) < 1e-6
    for mine, other in zip(five["optimizer_states"], tuned["optimizer_states"], strict=True):
        for index, moments in mine["state"].items():
            assert torch.allclose(moments["exp_avg"], other["state"][index]["exp_avg"], atol=1e-7)
            assert moments["step"] == other["state"][index]["step"]
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("starting from")]
    assert said == [
        f"starting from '{path}': took weights, discriminators, the vocoder's optimiser, the discriminators' optimiser"
    ]


def test_without_the_optimisers_it_is_another_step(old_run, one_clip, tmp_path, capsys):
    path, five = old_run
    model = {"gan": {**GAN, "start_batch": 1}, "init_from": str(path)}
    tuned = fit(one_clip, tmp_path, {"max_steps": 1}, SAME_BATCH, **model)
    assert largest_difference(five[LIVE], tuned[LIVE]) > 1e-4
    assert "took weights, discriminators; left: optimisers (init_optimisers: false)" in capsys.readouterr().err


def test_the_averaged_weights_are_the_start_unless_the_optimisers_come_along(old_run):
    path, _ = old_run
    stored = load_checkpoint(path)
    for take, key in ((False, "state_dict"), (True, LIVE)):
        module = VocoderTraining(MEL, CONFIG, gan=SMALL_GAN, init_from=path, init_optimisers=take)
        own = module.model.state_dict()
        assert all(torch.equal(own[name], stored[key][f"model.{name}"]) for name in own)


@pytest.mark.parametrize(
    ("gan", "optimiser", "says"),
    [
        (GanConfig(), None, "took weights, the vocoder's optimiser\n"),
        (replace(SMALL_GAN, periods=(2,)), None, "left: discriminators (gan has other shapes), the discriminators' "),
        (
            SMALL_GAN,
            "sgd",
            "left: the vocoder's optimiser (another optimiser, or other parameters), the ",
        ),
    ],
)
def test_what_is_left_is_named(old_run, capsys, gan, optimiser, says):
    path, _ = old_run
    optimiser = OptimiserConfig(name=optimiser or "adamw")
    VocoderTraining(MEL, CONFIG, gan=gan, optimiser=optimiser, init_from=path, init_optimisers=True)
    assert says in capsys.readouterr().err


def test_a_released_file_brings_weights_alone(tmp_path, capsys):
    torch.manual_seed(3)
    model = PriorVocos(MEL, CONFIG)
    path = tmp_path / "v.safetensors"
    save_stage(path, StageRecord("vocoder", model.to_config()), dict(model.state_dict()), torch.float32)
    module = VocoderTraining(MEL, CONFIG, gan=SMALL_GAN, init_from=path, init_optimisers=True)
    assert torch.equal(module.model.head.out.weight, model.head.out.weight)
    assert "left: discriminators (a released file has none), optimisers (a released" in capsys.readouterr().err
    assert module.gan_start == SMALL_GAN.start_batch


def test_official_vocos_is_fine_tuned(tmp_path):
    make_vocos(tmp_path / "vocos", VOCOS)
    official = OfficialVocos(str(tmp_path / "vocos"))
    size = VocosConfig(dim=48, intermediate_dim=96, num_layers=2, prior=False)
    module = VocoderTraining(official.mel, size, init_from=tmp_path / "vocos")
    log_mel = torch.randn(1, 100, 20)
    assert torch.equal(module.model.decode(log_mel), official.decode(log_mel))
    with pytest.raises(ValueError, match=r"sizes of init_from .* differ: dim: 48 != 32; num_layers: 2 != 1") as caught:
        VocoderTraining(official.mel, replace(size, dim=32, num_layers=1), init_from=tmp_path / "vocos")
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"network\.prior: false"):
        VocoderTraining(official.mel, replace(size, prior=True), init_from=tmp_path / "vocos")
    with pytest.raises(ValueError, match="differ: log_floor: 1e-07 != 1e-05"):
        VocoderTraining(replace(official.mel, log_floor=1e-5), size, init_from=tmp_path / "vocos")


def test_official_bigvgan_is_fine_tuned(tmp_path):
    make_bigvgan(tmp_path / "bigvgan", BIGVGAN_V2)
    official = BigVGAN(str(tmp_path / "bigvgan"))
    size = UpsamplingConfig(rates=(8, 4, 2, 2, 2, 2), channels=64, residual_kernels=(3, 7), dilations=(1, 3))
    module = VocoderTraining(official.mel, upsampling=size, init_from=tmp_path / "bigvgan")
    log_mel = torch.randn(1, 128, 12)
    assert torch.allclose(module.model.eval().decode(log_mel), official.decode(log_mel), atol=1e-5)
    with pytest.raises(ValueError, match=r"residual_kernels: \[3, 7\] != \[3\]"):
        VocoderTraining(official.mel, upsampling=replace(size, residual_kernels=(3,)), init_from=tmp_path / "bigvgan")
    with pytest.raises(ValueError, match="f_max"):
        VocoderTraining(replace(official.mel, f_max=2e4), upsampling=size, init_from=tmp_path / "bigvgan")


def test_another_mel_other_sizes_or_another_generator_are_refused(old_run):
    path, _ = old_run
    other = replace(MEL, f_min=20.0)
    with pytest.raises(ValueError, match=r"differ: f_min: 0.0 != 20.0$"):
        VocoderTraining(other, CONFIG, init_from=path)
    assert mel_differences(MEL, other) == ["f_min: 0.0 != 20.0"]
    with pytest.raises(ValueError, match=r"differ: dim: 16 != 24$"):
        VocoderTraining(MEL, replace(CONFIG, dim=24), init_from=path)
    size = UpsamplingConfig(**{key: tuple(v) if isinstance(v, list) else v for key, v in UPSAMPLING.items()})
    with pytest.raises(ValueError, match="holds a generator 'vocos', this run trains 'upsampling'"):
        VocoderTraining(MEL, upsampling=size, init_from=path)


def test_a_run_that_goes_on_needs_no_start(old_run, one_clip, tmp_path, capsys):
    """The start is gone after the first part; discriminators that came along play on at once."""
    start = tmp_path / "start of it.ckpt"
    start.write_bytes(old_run[0].read_bytes())
    model = {"gan": {**GAN, "start_batch": 1000}, "init_from": str(start), "init_optimisers": True}
    whole = fit(one_clip, tmp_path / "whole", {"max_steps": 3}, SAME_BATCH, **model)
    fit(one_clip, tmp_path / "parts", {"max_steps": 1}, SAME_BATCH, **model)
    start.unlink()
    capsys.readouterr()
    parts = fit(one_clip, tmp_path / "parts", {"max_steps": 3}, SAME_BATCH, **model)
    assert "starting from" not in capsys.readouterr().err
    assert parts["progress"]["batches_done"] == 3
    assert largest_difference(parts["state_dict"], whole["state_dict"]) == 0.0
    assert any(not torch.equal(whole["state_dict"][name], value) for name, value in named_discriminators(old_run[0]))
    assert parts["stage_record"]["training"]["init_from"] == str(start)
    kept = yaml.safe_load((tmp_path / "parts" / "run" / "config.yaml").read_text())
    assert kept["model"]["init_from"] == str(start)
    assert run(tmp_path / "parts" / "c.yaml", "--resume", "false") == 2
    assert "start of it.ckpt' does not exist" in capsys.readouterr().err


def named_discriminators(path):
    """The discriminators' weights of a checkpoint."""
    state = load_checkpoint(path)["state_dict"]
    return [(name, value) for name, value in state.items() if name.startswith("discriminators.")]


def test_discriminators_of_another_game_are_told(old_run, capsys):
    VocoderTraining(MEL, CONFIG, gan=replace(SMALL_GAN, game="least_squares"), init_from=old_run[0])
    assert "discriminators (of the game hinge; this run plays least_squares)" in capsys.readouterr().err
    VocoderTraining(MEL, CONFIG, gan=SMALL_GAN, init_from=old_run[0])
    assert "took weights, discriminators;" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "mispelt name", "vocoder.ckp"])
def test_what_is_no_start_is_told_with_what_one_is(tmp_path, name):
    with pytest.raises(
        ValueError, match=r"init_from .* a checkpoint \(\.ckpt or \.safetensors\), a folder of pub"
    ) as seen:
        VocoderTraining(MEL, replace(CONFIG, prior=False), init_from=tmp_path / name)
    assert "or a hub name (owner/name)" in str(seen.value)
    assert "\n" not in str(seen.value)


def test_crops_too_short_for_the_mel_or_the_listeners_are_named(one_clip, tmp_path, capsys):
    assert run(write_config(one_clip, tmp_path / "a", {}, {"segment_seconds": 0.005}, {})) == 2
    assert "data.segment_seconds: expected at least" in capsys.readouterr().err
    cqt = {"cqt_bins": [24], "cqt_octaves": 7, "cqt_hop_length": 64, "cqt_channels": 2}
    assert run(write_config(one_clip, tmp_path / "b", {}, {}, {"gan": {**GAN, **cqt}})) == 2
    assert "the longest atom lasts" in capsys.readouterr().err


def test_the_next_command_quotes_its_paths(one_clip, tmp_path, capsys):
    clips = tmp_path / "my clips"
    clips.mkdir()
    for path in one_clip.iterdir():
        (clips / path.name).write_bytes(path.read_bytes())
    fit(clips, tmp_path / "a run", {"max_steps": 1}, SAME_BATCH)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("next: "))
    best = str(tmp_path / "a run" / "run" / "best.ckpt")
    assert shlex.split(line)[4:] == ["--checkpoint", best, "--audio", str(clips)]


@pytest.mark.parametrize("source", ["no/such.ckpt", "no_such_folder"])
def test_a_missing_start_is_one_line(one_clip, tmp_path, capsys, source):
    config = write_config(one_clip, tmp_path, {}, {}, {"init_from": source, "network": {**NETWORK, "prior": False}})
    assert run(config) == 2
    error = capsys.readouterr().err.strip()
    assert Path(source).name in error
    assert "\n" not in error


def test_an_attack_gain_is_put_on_a_vocoder_without_one_and_learns_alone(old_run, one_clip, tmp_path, capsys):
    path, _ = old_run
    network = {**NETWORK, "attack": 8}
    tuned = fit(
        one_clip, tmp_path, {"max_steps": 3}, {**SAME_BATCH, "beginnings": 1.0}, network=network,
        init_from=str(path), train_parts=["attack"], losses={"multi_scale_mel": 1.0, "envelope": 1.0},
    )  # fmt: skip
    assert "took weights, no attack gain (it has none: it starts at 1)" in capsys.readouterr().err
    start = load_checkpoint(path)["state_dict"]
    kept = {name: value for name, value in tuned[LIVE].items() if name in start}
    gains = {name: value for name, value in tuned[LIVE].items() if name.startswith("model.attack.")}
    assert largest_difference(kept, start) == 0.0
    assert float(gains["model.attack.last.weight"].abs().max()) > 0.0
    # What has one already brings it along.
    again = VocoderTraining(MEL, VocosConfig(**network), init_from=tmp_path / "run" / "last.ckpt")
    brought = again.model.attack.last.weight.detach()
    assert torch.equal(
        brought, load_checkpoint(tmp_path / "run" / "last.ckpt")["state_dict"]["model.attack.last.weight"]
    )


@pytest.mark.parametrize(
    ("model", "data", "says"),
    [
        ({"train_parts": ["atack"]}, {}, "train_parts: this network has backbone, head, got 'atack'"),
        ({"train_parts": ["head"]}, {}, "model.train_parts: needs model.init_from, the checkpoint whose other parts"),
        ({}, {"beginnings": 1.5}, "data.beginnings: expected 0 to 1, got 1.5"),
        ({"network": {**NETWORK, "attack": 7}}, {}, "attack: expected a divisor of the hop 64, got 7"),
    ],
)
def test_parts_and_beginnings_that_cannot_be(one_clip, tmp_path, capsys, model, data, says):
    assert run(write_config(one_clip, tmp_path, {}, {**SAME_BATCH, **data}, model)) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert says in told[0]
