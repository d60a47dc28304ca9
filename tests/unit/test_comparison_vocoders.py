"""What the words of `--vocoders` mean, who is refused, and what a vocoder must answer."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from pipelines.comparison_decoding import turns
from pipelines.comparison_memory import measure_here, peak_memory
from pipelines.comparison_vocoders import Contestant, Recipe, enter, read_recipes
from vocoder.griffin_lim import GriffinLim

CPU = torch.device("cpu")
GRIFFIN_LIM = "vocoder.griffin_lim.GriffinLim"


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "vocoders.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_class_may_appear_under_two_names(tmp_path, mel) -> None:
    path = config(
        tmp_path,
        f"short one: {{class: {GRIFFIN_LIM}, iterations: 2}}\nlong: {{class: {GRIFFIN_LIM}, iterations: 5, seed: 3}}\n",
    )
    recipes = read_recipes(["bundle", "long", "short one", GRIFFIN_LIM], path, Path("v.safetensors"))
    assert [recipe.name for recipe in recipes] == ["bundle", "long", "short one", GRIFFIN_LIM]
    assert recipes[0] == Recipe("bundle", "v.safetensors", {})
    made = [enter(recipe, mel, CPU).vocoder for recipe in recipes[1:]]
    assert [(item.iterations, item.seed) for item in made] == [(5, 3), (2, 0), (64, 0)]


BAD_NAMES = {
    "expected at least one": [],
    "expected different names, got 'bundle' twice": ["bundle", "bundle"],
    "expected one of bundle, named, a checkpoint or an import path": ["nmaed"],
    "'real' cannot be a vocoder's name": ["real"],
}


@pytest.mark.parametrize("text", BAD_NAMES)
def test_bad_names_are_refused(text, tmp_path) -> None:
    path = config(tmp_path, f"named: {{class: {GRIFFIN_LIM}}}")
    with pytest.raises(ValueError, match=text):
        read_recipes(BAD_NAMES[text], path, Path("v.safetensors"))


BAD_CONFIGS = {
    "expected names of vocoders": "- a\n- b\n",
    "'a' in .* expects a 'class'": "a: {iterations: 3}\n",
    "'b' in .* expects a 'class'": "b: vocoder.griffin_lim.GriffinLim\n",
    "'bundle' in .* is taken": "bundle: {class: x.Y}\n",
    "cannot read": "a: {class: [\n",
}


@pytest.mark.parametrize("text", BAD_CONFIGS)
def test_bad_configs_are_refused(text, tmp_path) -> None:
    with pytest.raises(ValueError, match=f"config: .*{text}|config: {text}") as caught:
        read_recipes(["a"], config(tmp_path, BAD_CONFIGS[text]), Path("v.safetensors"))
    assert "\n" not in str(caught.value)


def test_a_vocoder_of_another_family_is_refused_by_its_fields(mel, presets) -> None:
    recipe = Recipe("other", GRIFFIN_LIM, {"mel": "configs/mel/bigvgan_24khz.yaml"})
    with pytest.raises(ValueError, match=r"'other'.*sample_rate: 44100 != 24000") as caught:
        enter(recipe, mel, CPU)
    assert "n_mels: 128 != 100" in str(caught.value)


def test_a_higher_floor_is_converted(mel) -> None:
    floor = 1e-3
    heard = []

    class Listener(GriffinLim):
        def decode(self, log_mel):
            heard.append(log_mel)
            return super().decode(log_mel)

    contestant = Contestant(Recipe("x", "x"), Listener(replace(mel, log_floor=floor), iterations=1), mel, CPU)
    contestant.decode(torch.full((1, mel.n_mels, 40), -20.0))
    assert float(heard[0].min()) == pytest.approx(torch.tensor(floor).log().item())


class Answers:
    def __init__(self, mel, answer) -> None:
        self.mel, self.answer = mel, answer

    def decode(self, log_mel):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(log_mel, self.mel)


BAD_ANSWERS = {
    r"expected a waveform of shape \(1, 20480\), got \(1, 20479\)": lambda log_mel, mel: torch.zeros(1, 20479),
    r"expected a waveform of shape \(1, 20480\), got list": lambda log_mel, mel: [0.0],
    "expected finite samples": lambda log_mel, mel: torch.full((1, 20480), float("nan")),
    "failed: RuntimeError: no room": RuntimeError("no room\nat all"),
}


@pytest.mark.parametrize("text", BAD_ANSWERS)
def test_bad_answers_are_one_line(text, mel) -> None:
    contestant = Contestant(Recipe("mine", "x.Y"), Answers(mel, BAD_ANSWERS[text]), mel, CPU)
    assert mel.num_samples(40) == 20480
    with pytest.raises(ValueError, match=f"vocoder 'mine'.*{text}") as caught:
        contestant.decode(torch.zeros(1, mel.n_mels, 40))
    assert "\n" not in str(caught.value)


class Learned(nn.Module):
    def __init__(self, mel) -> None:
        super().__init__()
        self.mel, self.layer, self.adapter_loss = mel, nn.Linear(3, 4), 0.25


class Holder:
    def __init__(self, mel) -> None:
        self.mel, self.inner = mel, nn.Linear(2, 2)


def test_parameters_and_adapter_loss(mel) -> None:
    entered = [Contestant(Recipe("x", "x"), kind(mel), mel, CPU) for kind in (Learned, Holder, GriffinLim)]
    assert [item.parameters for item in entered] == [16, 6, 0]
    assert [item.adapter_loss for item in entered] == [0.25, None, None]


def test_everyone_begins_in_turn(mel) -> None:
    entered = [Contestant(Recipe(name, name), GriffinLim(mel), mel, CPU) for name in "abc"]
    firsts = []
    for number in range(3):
        order = list(turns(entered, ("real", "decoded"), number))
        assert [source for _, source in order] == ["real"] * 3 + ["decoded"] * 3
        assert {item.name for item, _ in order[:3]} == set("abc")
        firsts.append(order[0][0].name)
    assert firsts == ["a", "b", "c"]


HUNGRY = """
import torch
from audio.mel import MelConfig

class Hungry:
    def __init__(self, mel: MelConfig, mebibytes: int = 0, fails: bool = False) -> None:
        print("a vocoder that talks")
        self.mel, self.mebibytes, self.fails = mel, mebibytes, fails

    def decode(self, log_mel):
        eaten = torch.ones(self.mebibytes * 2**18)
        if self.fails:
            raise RuntimeError("no room")
        return torch.zeros(len(log_mel), self.mel.num_samples(log_mel.shape[-1])) + 0 * eaten[:1].sum()
"""


def test_memory_is_measured_in_a_process_of_its_own(tmp_path, monkeypatch, mel) -> None:
    """A class of the current folder that takes 200 MiB takes 200 MiB, whatever the parent holds."""
    (tmp_path / "hungry_vocoder.py").write_text(HUNGRY)
    monkeypatch.chdir(tmp_path)
    # A child must not inherit the parent's peak.
    _ = torch.ones(600 * 2**18).sum()
    log_mel = torch.zeros(1, mel.n_mels, 40)
    recipe = Recipe("hungry", "hungry_vocoder.Hungry", {"mebibytes": 200})
    assert 195.0 <= peak_memory(enter(recipe, mel, CPU), log_mel).mebibytes <= 260.0


def test_a_vocoder_that_fails_in_its_process_has_a_reason(tmp_path, monkeypatch, mel) -> None:
    (tmp_path / "failing_vocoder.py").write_text(HUNGRY)
    monkeypatch.chdir(tmp_path)
    save_file({"log_mel": torch.zeros(1, mel.n_mels, 40)}, tmp_path / "clip.safetensors")
    order = {"name": "hungry", "target": "failing_vocoder.Hungry", "arguments": {"fails": True}, "mel": mel.to_dict()}
    order |= {"device": "cpu", "threads": 1, "clip": str(tmp_path / "clip.safetensors")}
    memory = measure_here(order)
    assert memory.mebibytes is None
    assert "no room" in memory.reason
