"""The upsampling generator: what reaches a sample, where sound lies in time, aliases, silence, sizes."""

from dataclasses import replace

import pytest
import torch

from audio.distances import multi_scale_mel_distance
from audio.mel import LogMelSpectrogram
from tests.vocoder_runs import MEL
from training.checkpoint import StageRecord, save_stage
from vocoder.generators import load_generator
from vocoder.upsampling import AliasFree, Snake, UpsamplingConfig, UpsamplingGenerator
from vocoder.vocos import PriorVocos, VocosConfig

CENTRED = replace(MEL, framing="centred")
SMALL = UpsamplingConfig(rates=(8, 4, 2), channels=16, residual_kernels=(3, 5), dilations=(1, 3))
CONFIGS = [SMALL, replace(SMALL, kernel_sizes=(10, 4, 6), paired=False), replace(SMALL, rates=(64,), kernel_sizes=())]


def generator(config=SMALL, mel=MEL):
    torch.manual_seed(0)
    return UpsamplingGenerator(mel, config).eval()


def log_mels(frames, mel=MEL):
    return torch.randn(1, mel.n_mels, frames, generator=torch.Generator().manual_seed(7)) - 4.0


@pytest.mark.parametrize("mel", [MEL, CENTRED], ids=["same", "centred"])
@pytest.mark.parametrize("config", CONFIGS)
def test_a_sample_depends_on_its_receptive_field_and_no_more(config, mel):
    model = generator(config, mel)
    field, hop = model.receptive_field(), mel.hop_length
    frames = 2 * field + 6
    log_mel = log_mels(frames, mel).requires_grad_()
    waveform = model(log_mel)
    assert waveform.shape == (1, mel.num_samples(frames))
    shift = 0.5 if mel is MEL else 0.0
    farthest = 0.0
    for sample in range((field + 2) * hop, (field + 3) * hop, 7):
        (gradient,) = torch.autograd.grad(waveform[0, sample], log_mel, retain_graph=True)
        heard = gradient.abs().sum(dim=1)[0].nonzero().flatten()
        # Middles of frames lie half a hop later in framing "same".
        distances = (heard + shift - sample / hop).abs()
        farthest = max(farthest, float(distances.max()))
    assert farthest <= field / 2
    # No idle bound: kernels end with small weights, but the field is not a frame wider on either side than it need be.
    assert field / 2 - farthest <= 2.0


def test_both_framings_hear_the_same_network_half_a_hop_apart():
    same, centred = generator(), generator(mel=CENTRED)
    log_mel = log_mels(20)
    half = MEL.hop_length // 2
    assert torch.equal(centred.decode(log_mel), same.decode(log_mel)[:, half:-half])


def test_a_mel_moved_by_a_frame_is_a_sound_moved_by_a_hop():
    model, log_mel = generator(), log_mels(60)
    edge = model.receptive_field() * MEL.hop_length
    whole, cut = model.decode(log_mel), model.decode(log_mel[:, :, 1:])
    assert torch.allclose(whole[:, MEL.hop_length :][:, edge:-edge], cut[:, edge:-edge], atol=1e-6)


def test_a_row_of_a_batch_is_the_row_alone():
    model = generator()
    log_mel = torch.cat([log_mels(20), log_mels(20) + 1.0])
    assert torch.allclose(model.decode(log_mel)[1:], model.decode(log_mel[1:]), atol=1e-6)


def test_overtones_beyond_the_rate_do_not_come_back_as_aliases():
    """Of a tone at 0.33 of the rate the sine makes one at 0.66: an alias at 0.34, unless it is filtered out.

    Twelve taps leave a quarter of it.
    """
    tone = torch.sin(2 * torch.pi * 0.33 * torch.arange(1000))[None, None]
    snake = Snake(1, SMALL)
    aliases = []
    for act in (snake, AliasFree(snake)):
        with torch.no_grad():
            spectrum = torch.fft.rfft(act(tone)[0, 0, 100:900] * torch.hann_window(800)).abs()
        aliases.append(float(spectrum[272 - 3 : 272 + 4].max() / spectrum[264 - 3 : 264 + 4].max()))
    assert aliases[0] > 0.3
    assert aliases[1] < 0.3 * aliases[0]


def test_a_slow_signal_passes_the_filters_as_it_is():
    """Below a quarter of the rate, up and down again is the activation itself."""
    slow = torch.sin(2 * torch.pi * 0.01 * torch.arange(600))[None, None]
    snake = Snake(1, SMALL)
    with torch.no_grad():
        assert torch.allclose(AliasFree(snake)(slow)[..., 20:-20], snake(slow)[..., 20:-20], atol=5e-3)


def test_gradients_are_finite_on_digital_silence():
    model, silence = generator(), torch.zeros(1, 6400)
    multi_scale_mel_distance(model(LogMelSpectrogram(MEL)(silence)), silence, MEL.sample_rate).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_state_holds_no_constants():
    assert not [name for name in generator().state_dict() if "filter" in name]


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(lambda: generator(), id="upsampling"),
        pytest.param(lambda: PriorVocos(MEL, VocosConfig(dim=16, intermediate_dim=32, num_layers=1)), id="vocos"),
        pytest.param(lambda: PriorVocos(MEL, VocosConfig(16, 32, 1, prior=False)), id="plain"),
    ],
)
def test_any_generator_is_found_again_by_its_record(tmp_path, network):
    torch.manual_seed(1)
    model = network().eval()
    path = tmp_path / "v.safetensors"
    record = StageRecord("vocoder", model.to_config()).sealed(dict(model.state_dict()))
    save_stage(path, record, dict(model.state_dict()), torch.float32)
    loaded = load_generator(path)
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    assert loaded.record.fingerprint == record.fingerprint
    assert torch.equal(loaded.decode(log_mels(20)), model.decode(log_mels(20)))


def test_another_class_and_an_unknown_kind_are_refused(tmp_path):
    model = generator()
    path = tmp_path / "v.safetensors"
    save_stage(path, StageRecord("vocoder", model.to_config()), dict(model.state_dict()), torch.float32)
    with pytest.raises(ValueError, match="lacks mel or network"):
        PriorVocos.from_checkpoint(path)
    record = StageRecord("vocoder", {**model.to_config(), "generator": "wavenet"})
    save_stage(path, record, dict(model.state_dict()), torch.float32)
    with pytest.raises(ValueError, match="holds a generator 'wavenet'"):
        load_generator(path)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"kernel_sizes": (16, 8)}, r"kernel_sizes: expected one for each rate"),
        ({"kernel_sizes": (15, 8, 4)}, "of its parity"),
        ({"kernel_sizes": (6, 8, 4)}, "at least the rate"),
        ({"residual_kernels": (4,)}, r"residual_kernels: expected odd sizes, got \(4,\)"),
        ({"residual_kernels": ()}, "residual_kernels"),
        ({"dilations": (0,)}, "dilations: expected numbers of at least 1"),
        ({"channels": 7}, "channels: expected at least 8"),
        ({"activation": "relu"}, "snakebeta or snake, got 'relu'"),
    ],
)
def test_sizes_are_checked(values, says):
    with pytest.raises(ValueError, match=says):
        replace(SMALL, **values)


def test_rates_must_make_the_hop():
    with pytest.raises(ValueError, match=r"hop_length 64, got \(8, 4\), whose product is 32"):
        generator(UpsamplingConfig(rates=(8, 4), channels=16))
