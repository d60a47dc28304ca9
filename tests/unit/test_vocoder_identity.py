"""Two vocoders that sound different have different names in reports; the licences of both come along."""

import json
from dataclasses import replace

import pytest
import torch

from pipelines.clips import write_clips
from pipelines.request import Request
from pipelines.text_to_audio import TextToAudioPipeline
from tests.foreign_vocoders import BIGVGAN_V2, SPEECHT5, make_bigvgan, make_hifigan, make_vocos, make_wavernn
from training.checkpoint import StageRecord, load_stage, save_stage
from vocoder.adapter import AdaptedVocoder, MelAdapter
from vocoder.adapter.model import KIND, MelAdapterConfig
from vocoder.base import identity, licences_of
from vocoder.bigvgan import BigVGAN
from vocoder.griffin_lim import GriffinLim, PlainGriffinLim
from vocoder.hifigan import HiFiGAN
from vocoder.loading import load_vocoder
from vocoder.official_vocos import OfficialVocos
from vocoder.wavernn import WaveRNN

GRIFFIN_LIM = "vocoder.griffin_lim.GriffinLim"


def nudge(path, key=None):
    """Move one weight of a published file by a little."""
    weights = torch.load(path, weights_only=True)
    # The last of them: first ones may be constants of a front end.
    name = [name for name, value in (weights[key] if key else weights).items() if value.is_floating_point()][-1]
    (weights[key] if key else weights)[name].view(-1)[0] += 0.01
    torch.save(weights, path)


@pytest.mark.parametrize("kind", ["bigvgan", "vocos", "hifigan", "wavernn"])
def test_a_moved_weight_gives_another_name_and_the_same_file_the_same(kind, tmp_path):
    folder = tmp_path / kind
    make, load, name, key = {
        "bigvgan": (lambda: make_bigvgan(folder, BIGVGAN_V2, True), BigVGAN, "bigvgan_generator.pt", "generator"),
        "vocos": (lambda: make_vocos(folder), OfficialVocos, "pytorch_model.bin", None),
        "hifigan": (lambda: make_hifigan(folder, SPEECHT5, safe=False), HiFiGAN, "pytorch_model.bin", None),
        "wavernn": (lambda: make_wavernn(folder), WaveRNN, None, None),
    }[kind]
    make()
    first, again = load(str(folder)), load(str(folder))
    nudge(folder / name if name else folder, key)
    moved = load(str(folder))
    assert identity(first) == identity(again) != identity(moved)
    prefix, _, digits = identity(first).partition(" ")
    assert prefix == f"{load.__module__}.{load.__name__}"
    assert len(digits) == 16
    int(digits, 16)


def test_settings_that_are_heard_are_in_the_name(tmp_path, presets):
    make_hifigan(tmp_path / "hifigan", SPEECHT5)
    make_wavernn(tmp_path / "wavernn")
    mel = presets["vocos_24khz"]
    vocoders = [
        HiFiGAN(str(tmp_path / "hifigan")),
        HiFiGAN(str(tmp_path / "hifigan"), log_scale="natural"),
        WaveRNN(str(tmp_path / "wavernn")),
        WaveRNN(str(tmp_path / "wavernn"), seed=1),
        GriffinLim(mel),
        GriffinLim(presets["bigvgan_24khz"]),
        GriffinLim(mel, iterations=8),
        GriffinLim(mel, momentum=0.5),
        GriffinLim(mel, seed=1),
        PlainGriffinLim(mel),
    ]
    assert len({identity(vocoder) for vocoder in vocoders}) == len(vocoders)
    assert identity(GriffinLim(mel)) == identity(GriffinLim(mel))


def test_a_class_that_tells_nothing_is_named_by_itself(mel):
    class Silent:
        def __init__(self):
            self.mel = mel
            self.record = "mine, no stage record"

    assert identity(Silent()).endswith("Silent")
    assert licences_of(Silent()) == []


@pytest.fixture
def adapters(presets, tmp_path):
    """Two untrained adapters from the bundle's mel to Vocos', made from sounds of different licences."""
    paths = []
    for number, licence in enumerate(("CC-BY-4.0", "CC0-1.0")):
        torch.manual_seed(number)
        adapter = MelAdapter(presets["bigvgan_44khz"], presets["vocos_24khz"], MelAdapterConfig(8, 1, 3))
        record = StageRecord(KIND, adapter.to_config(), licences=[licence]).sealed(adapter.state_dict())
        paths.append(tmp_path / f"adapter {number}.safetensors")
        save_stage(paths[-1], record, dict(adapter.state_dict()), torch.float32)
    return paths


def test_an_adapted_vocoder_is_named_after_both(adapters, tmp_path):
    make_vocos(tmp_path / "vocos")
    vocoders = [
        AdaptedVocoder(adapters[0], GRIFFIN_LIM),
        AdaptedVocoder(adapters[1], GRIFFIN_LIM),
        AdaptedVocoder(adapters[0], GRIFFIN_LIM, iterations=8),
        AdaptedVocoder(adapters[0], "vocoder.official_vocos.OfficialVocos", source=str(tmp_path / "vocos")),
    ]
    assert len({identity(vocoder) for vocoder in vocoders}) == len(vocoders)
    assert identity(vocoders[0]) == identity(AdaptedVocoder(adapters[0], GRIFFIN_LIM))


def test_clips_made_through_an_adapter_name_it_and_its_licences(adapters, small_bundle, stage_files, tmp_path):
    chosen = {"adapter": str(adapters[0]), "vocoder": GRIFFIN_LIM, "iterations": "2"}
    name = "vocoder.adapter.AdaptedVocoder"
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, name, chosen, device="cpu")
    assert set(pipeline.licences) == {"CC0-1.0", "CC-BY-3.0", "CC-BY-4.0"}
    output = pipeline.run(Request(prompts=("x",), seconds=0.2, solver_steps=1))
    (clip,) = write_clips(output, pipeline, tmp_path, "wav", plot=False)
    page = json.loads(clip.audio.with_suffix(".json").read_text(encoding="utf-8"))
    assert page["licences"] == ["CC-BY-3.0", "CC-BY-4.0", "CC0-1.0"]
    assert page["stages"]["vocoder"] == identity(load_vocoder(name, None, chosen))
    stages = (stage_files["autoencoder"], stage_files["latent_diffusion"])
    assert TextToAudioPipeline.from_stages(*stages, name, chosen).licences == ("CC-BY-4.0", "CC0-1.0")


def test_a_checkpoint_in_the_place_of_the_bundles_vocoder_brings_its_licences(small_bundle, stage_files, tmp_path):
    record, weights = load_stage(stage_files["vocoder"], "vocoder")
    save_stage(tmp_path / "v.safetensors", replace(record, licences=["CC-BY-SA-4.0"]), weights, torch.float32)
    pipeline = TextToAudioPipeline.from_pretrained(small_bundle, str(tmp_path / "v.safetensors"), device="cpu")
    assert "CC-BY-SA-4.0" in pipeline.licences
    assert pipeline.fingerprints["vocoder"] == record.fingerprint
