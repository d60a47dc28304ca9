"""Where frames and levels of one mel lie in another; what the adapter starts from; the vocoder behind it."""

import itertools
from dataclasses import replace

import pytest
import torch

from audio.files import read_audio, resample_tensor
from audio.mel import LogMelSpectrogram
from training.checkpoint import StageRecord, save_stage
from vocoder.adapter import AdaptedVocoder, MelAdapter
from vocoder.adapter.affine import AffineFix
from vocoder.adapter.grids import frame_neighbours, nearest_bands, same_numbers, target_frames
from vocoder.adapter.model import KIND, MelAdapterConfig
from vocoder.griffin_lim import GriffinLim
from vocoder.loading import load_vocoder

NAMES = ("bigvgan_24khz", "bigvgan_44khz", "hifigan_22khz", "vocos_24khz")
PAIRS = list(itertools.permutations(NAMES, 2))
TINY = MelAdapterConfig(width=16, blocks=1, kernel_size=3)


def both_mels(waveform, rate, source, target):
    """Log-mels of `(batch, samples)` in two contracts."""
    return [LogMelSpectrogram(mel)(resample_tensor(waveform, rate, mel.sample_rate)) for mel in (source, target)]


@pytest.fixture(scope="module")
def drum(sonic_pi_folder):
    """A second of a drum loop, 44.1 kHz, at its own level."""
    waveform, _ = read_audio(sonic_pi_folder / "loop_amen.flac", 44100, seconds=1.0)
    return torch.from_numpy(waveform)[None]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_decoded_target_is_long_enough_and_by_no_hop_too_long(presets, first, second):
    source, target = presets[first], presets[second]
    for frames in (2, 3, 57, 1000):
        wanted = source.num_samples(frames) / source.sample_rate
        made = target.num_samples(target_frames(frames, source, target)) / target.sample_rate
        # Two frames are the fewest that a vocoder takes.
        spare = 2 if target_frames(frames, source, target) == 2 else 1
        assert wanted <= made + 1e-9 < wanted + (spare * target.hop_length + 1) / target.sample_rate


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_click_keeps_its_time(presets, first, second):
    """Half a hop between the framings is 5 ms; the middle of the energy moves by less than 1."""
    source, target = presets[first], presets[second]
    waveform = torch.zeros(1, 44100)
    waveform[:, 22050] = 1.0
    log_mel, wanted = both_mels(waveform, 44100, source, target)
    prior = MelAdapter(source, target, TINY).prior(log_mel)

    def middle(mel):
        energy = mel.exp().square().sum(dim=1)[0]
        energy = energy * (energy > 1e-4 * energy.max())
        at = torch.arange(len(energy)) + (0.5 if target.framing == "same" else 0.0)
        return float((at * energy).sum() / energy.sum()) * target.hop_length / target.sample_rate

    assert middle(wanted) == pytest.approx(0.5, abs=1e-3)
    assert middle(prior) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_noise_keeps_its_level(presets, first, second):
    """Filter norms, window lengths and rates differ: the levels of the presets lie up to 5 nats apart."""
    source, target = presets[first], presets[second]
    waveform = 0.1 * torch.randn(1, 44100, generator=torch.Generator().manual_seed(0))
    log_mel, wanted = both_mels(waveform, 44100, source, target)
    prior = MelAdapter(source, target, TINY).prior(log_mel)[..., : wanted.shape[-1]]
    bins = torch.arange(target.n_mels)
    # Where the source hears at all, and lines of the transform are closer than bands.
    heard = bins[(bins > target.n_mels // 2) & (bins < target.n_mels * (3 if "hifigan" in first else 4) // 5)]
    heard = heard if "hifigan" not in first else heard[:10]
    assert float((prior - wanted)[:, heard, 5:-5].mean().abs()) < 0.12


def test_times_stay_exact_far_out(presets):
    """Whole-number arithmetic: after ten hours too, the place between two frames is the true one."""
    source, target = presets["bigvgan_44khz"], presets["vocos_24khz"]
    wanted = 36_000 * 24000 // 256
    before, _, share = frame_neighbours(10**8, wanted, source, target, torch.device("cpu"))
    exact = (wanted - 1) * 256 * 44100 / (24000 * 512) - 0.5
    assert int(before[-1]) + float(share[-1]) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_one_contract_twice_is_nearly_the_identity(presets, drum, name):
    mel = presets[name]
    log_mel, _ = both_mels(drum, 44100, mel, mel)
    adapter = MelAdapter(mel, mel)
    assert adapter.adapt(log_mel).shape == log_mel.shape
    assert float((adapter.adapt(log_mel) - log_mel).abs().mean()) < 0.005
    # Without the refinements it would not be.
    assert float((MelAdapter(mel, mel, MelAdapterConfig(refinements=0)).prior(log_mel) - log_mel).abs().mean()) > 0.05


@pytest.mark.parametrize("first", ["bigvgan_24khz", "bigvgan_44khz"])
def test_the_start_is_better_than_the_best_gain_and_offset_per_band(presets, drum, first):
    """Fitted to this very clip, to bands of the nearest frequency: what no gain and offset can do better."""
    source, target = presets[first], presets["vocos_24khz"]
    log_mel, wanted = both_mels(drum, 44100, source, target)
    prior = MelAdapter(source, target, TINY).prior(log_mel)[..., : wanted.shape[-1]]
    wanted = wanted[..., : prior.shape[-1]]
    fix = AffineFix(source, target, nearest_bands(source, target))
    fix.add(log_mel, wanted, torch.ones(1, wanted.shape[-1], dtype=torch.bool))
    errors = [float((value - wanted).abs().mean()) for value in (prior, fix(log_mel, wanted.shape[-1]))]
    assert errors[0] < errors[1], errors
    if same_numbers(source, target) is not None:
        fix = AffineFix(source, target, same_numbers(source, target))
        fix.add(log_mel, wanted, torch.ones(1, wanted.shape[-1], dtype=torch.bool))
        assert errors[0] < 0.5 * float((fix(log_mel, wanted.shape[-1]) - wanted).abs().mean())


def test_the_affine_fix_finds_what_was_done(presets):
    mel = presets["vocos_24khz"]
    generator = torch.Generator().manual_seed(0)
    log_mel = torch.randn(2, 100, 40, generator=generator)
    gain, offset = torch.rand(100, 1, generator=generator) + 0.5, torch.randn(100, 1, generator=generator)
    inside = torch.ones(2, 40, dtype=torch.bool)
    inside[1, 20:] = False
    target = gain * log_mel + offset
    target[1, :, 20:] = 100.0
    fix = AffineFix(mel, mel, torch.arange(100))
    fix.add(log_mel, target, inside)
    assert torch.allclose(fix(log_mel, 40)[0], target[0], atol=1e-4)


def test_nothing_is_heard_beyond_the_receptive_field(presets):
    source, target = presets["bigvgan_24khz"], presets["vocos_24khz"]
    torch.manual_seed(0)
    adapter = MelAdapter(source, target, TINY)
    torch.nn.init.normal_(adapter.out.weight)
    log_mel = torch.randn(1, 100, 60) - 5.0
    other = log_mel.clone()
    other[..., 30] += 1.0
    changed = (adapter(log_mel) != adapter(other)).any(dim=1)[0].nonzero()[:, 0]
    # Source frame 30 stands beside target frames 30 and 31.
    assert int(changed.max() - changed.min()) + 1 == adapter.receptive_field() + 1
    assert int(changed.min()) == 30 - adapter.receptive_field() // 2


@pytest.fixture
def adapter_file(presets, tmp_path):
    """An untrained adapter from the bundle's mel to Vocos', as a released file."""
    adapter = MelAdapter(presets["bigvgan_44khz"], presets["vocos_24khz"], TINY)
    record = StageRecord(KIND, adapter.to_config(), training={"validation/log_mel_error": 0.25})
    path = tmp_path / "adapter.safetensors"
    save_stage(path, record.sealed(adapter.state_dict()), dict(adapter.state_dict()), torch.float32)
    return path


def test_an_adapted_vocoder_speaks_at_the_rate_and_length_of_its_source(presets, adapter_file, drum):
    arguments = {"adapter": str(adapter_file), "vocoder": "vocoder.griffin_lim.GriffinLim", "iterations": "8"}
    vocoder = load_vocoder("vocoder.adapter.AdaptedVocoder", presets["bigvgan_44khz"], arguments)
    assert vocoder.mel == presets["bigvgan_44khz"]
    assert vocoder.adapter_loss == 0.25
    assert vocoder.vocoder.mel == presets["vocos_24khz"]
    assert vocoder.vocoder.iterations == 8
    log_mel, _ = both_mels(drum, 44100, vocoder.mel, vocoder.mel)
    waveform = vocoder.decode(log_mel)
    assert waveform.shape == (1, vocoder.mel.num_samples(log_mel.shape[-1]))
    # The same sound at the same time: loudness over 10 ms goes up and down as the clip's.
    loud, wanted = (value[0, :43659].unfold(0, 441, 441).square().mean(dim=1).sqrt() for value in (waveform, drum))
    assert float(torch.corrcoef(torch.stack([loud, wanted]))[0, 1]) > 0.9


def test_misfits_are_refused_and_named(presets, adapter_file, stage_files):
    with pytest.raises(ValueError, match=r"differ: .*sample_rate: 24000 != 44100.*mel_scale: htk != slaney"):
        AdaptedVocoder(adapter_file, str(stage_files["vocoder"]))
    with pytest.raises(ValueError, match="checkpoint of stage 'vocoder', expected 'mel_adapter'"):
        AdaptedVocoder(stage_files["vocoder"], "vocoder.griffin_lim.GriffinLim")
    with pytest.raises(ValueError, match="has no argument 'iteration'"):
        AdaptedVocoder(adapter_file, "vocoder.griffin_lim.GriffinLim", iteration=3)
    with pytest.raises(ValueError, match="kernel_size: expected an odd number, got 4"):
        MelAdapterConfig(kernel_size=4)


def test_the_inner_mel_comes_from_the_adapter(presets, adapter_file):
    """A vocoder that would take any mel gets the adapter's target, never the bundle's."""
    inner = AdaptedVocoder(adapter_file, "vocoder.griffin_lim.GriffinLim").vocoder
    assert isinstance(inner, GriffinLim)
    assert inner.mel == presets["vocos_24khz"] != replace(presets["vocos_24khz"], log_floor=1e-5)
