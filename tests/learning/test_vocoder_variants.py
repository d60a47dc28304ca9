"""Every generator and game trains by YAML, resumes exactly, and uses the mels that its data bring."""

import pytest
import torch

from audio.mel import LogMelSpectrogram
from tests.vocoder_runs import GAN, MEL, NETWORK, UPSAMPLING, fit, run, write_config, write_tones
from vocoder.curves import read_run
from vocoder.data import VocoderData
from vocoder.generators import load_generator
from vocoder.judging import clip_and_mel
from vocoder.training import VocoderTraining
from vocoder.upsampling import UpsamplingGenerator
from vocoder.validation import _given_pair


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tones(tmp_path_factory.mktemp("clips"))


def test_the_upsampling_generator_trains_and_resumes_exactly(folder, tmp_path):
    whole = fit(folder, tmp_path / "whole", upsampling=UPSAMPLING)
    fit(folder, tmp_path / "parts", {"max_steps": 4}, upsampling=UPSAMPLING)
    parts = fit(folder, tmp_path / "parts", upsampling=UPSAMPLING)
    assert parts["progress"]["batches_done"] == 6
    for key in ("state_dict", "current_model_state"):
        assert all(torch.equal(value, parts[key][name]) for name, value in whole[key].items())
    loaded = load_generator(tmp_path / "parts" / "run" / "best.ckpt")
    assert isinstance(loaded, UpsamplingGenerator)
    assert loaded.config.rates == (8, 4, 2)
    assert whole["progress"]["cpu_seconds_done"] > 0.0
    points = read_run(tmp_path / "parts" / "run")
    assert [point.step for point in points] == [1, 3, 5]
    assert 0.0 < points[0].minutes < points[1].minutes < points[2].minutes
    assert 0.0 < points[0].cpu_minutes < points[1].cpu_minutes < points[2].cpu_minutes


def test_the_game_of_the_yaml_is_played(folder, tmp_path):
    """From the batch on which discriminators play, other games lead elsewhere."""
    ends = {}
    for game in ("hinge", "least_squares"):
        gan = {**GAN, "cqt_bins": [6], "cqt_octaves": 3, "cqt_hop_length": 64, "cqt_channels": 2, "game": game}
        ends[game] = fit(folder, tmp_path / game, gan=gan)["current_model_state"]
    first, second = ends["hinge"], ends["least_squares"]
    assert any("bands" in name for name in first)
    assert any(not torch.equal(first[name], second[name]) for name in first if name.startswith("model."))


class PairedData(VocoderData):
    """Batches bring a mel of their own: that of the clip, four nats lower."""

    @staticmethod
    def pair(dataset):
        front_end = LogMelSpectrogram(MEL)
        items = []
        for index in range(len(dataset)):
            item = dataset[index]
            log_mel = front_end(item["waveform"][None])[0] - 4.0
            items.append({**item, "log_mel": log_mel.clamp(min=MEL.log_mel_floor)})
        return items

    def training_items(self):
        dataset, weights = super().training_items()
        return _ByIndex(self.pair(dataset)), weights

    def validation_items(self):
        return _ByIndex(self.pair(super().validation_items()))


class _ByIndex(torch.utils.data.Dataset):
    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, item):
        return self.items[item[0] if isinstance(item, tuple) else item]


def test_mels_that_come_with_the_data_are_used_in_training_and_validation(folder, tmp_path, monkeypatch):
    heard = {True: [], False: []}
    plain = torch.nn.Module.__call__

    def spy(self, *arguments, **options):
        if hasattr(self, "receptive_field"):
            heard[self.training].append(arguments[0].detach().clone())
        return plain(self, *arguments, **options)

    monkeypatch.setattr(torch.nn.Module, "__call__", spy)
    data = {"segment_seconds": 0.25, "validation_seconds": 0.25}
    fit(folder, tmp_path / "paired", {"max_steps": 2}, data, PairedData)
    paired = heard
    heard = {True: [], False: []}
    fit(folder, tmp_path / "plain", {"max_steps": 2}, data)
    for training in (True, False):
        assert len(paired[training]) == len(heard[training]) > 0
        for with_mel, without in zip(paired[training], heard[training], strict=True):
            loud = without > MEL.log_mel_floor + 5.0
            lowered = (without - with_mel)[loud]
            # In validation the front end hears the clip at its peak; a mel that came is taken as it is.
            wanted = torch.tensor(4.0) if training else lowered.median()
            assert torch.allclose(lowered, wanted.expand_as(lowered), atol=1e-2)
            assert wanted >= 4.0 - 1e-2


def test_validation_takes_a_given_mel_and_its_clip_as_they_are(mel):
    """Exported pairs are at one level; a mel that the front end made of such a clip gives the same judgement."""
    front_end = LogMelSpectrogram(mel)
    waveform = 0.05 * torch.sin(torch.arange(20001) * 0.05) * torch.linspace(1.0, 0.2, 20001)
    target, log_mel = clip_and_mel(waveform, front_end)
    peaked = waveform * (0.9 / waveform.abs().max())
    given_target, given = _given_pair(peaked, front_end(peaked[None])[0], mel)
    assert torch.allclose(given_target, target, atol=1e-6)
    assert torch.allclose(given, log_mel, atol=1e-3)
    silent_target, silent = _given_pair(torch.zeros(20001), torch.full((mel.n_mels, 39), -11.5), mel)
    assert not silent_target.any()
    assert torch.equal(silent, torch.full((1, mel.n_mels, 39), -11.5))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"upsampling": {**UPSAMPLING, "rats": [8]}}, "rats"),
        ({"upsampling": {**UPSAMPLING, "rates": [8, 4]}}, "hop_length 64, got (8, 4)"),
        ({"upsampling": {**UPSAMPLING, "activation": "relu"}}, "activation"),
        ({"network": {**NETWORK, "dims": 3}}, "dims"),
        ({"gan": {**GAN, "cqt_binz": [3]}}, "cqt_binz"),
        ({"gan": {**GAN, "game": "chess"}}, "chess"),
        ({"init_optimizers": True}, "init_optimizers"),
    ],
)
def test_a_typo_is_one_line_that_names_it(folder, tmp_path, capsys, model, says):
    assert run(write_config(folder, tmp_path, {}, {}, model)) == 2
    error = capsys.readouterr().err.strip()
    assert says in error
    assert "\n" not in error
    assert "Union" not in error


def test_a_run_of_another_generator_is_not_resumed(folder, tmp_path, capsys):
    fit(folder, tmp_path, {"max_steps": 2})
    assert run(write_config(folder, tmp_path, {}, {}, {"upsampling": UPSAMPLING})) == 2
    assert "generator: None != upsampling" in capsys.readouterr().err


def test_the_training_module_names_its_parts():
    module = VocoderTraining(MEL)
    assert module.stage_config() == module.model.to_config()
    assert "generator" not in module.stage_config()
