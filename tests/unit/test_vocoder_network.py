"""What holds of the network whatever its weights: lengths, rows, reach, the prior, silence."""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from audio.distances import multi_scale_mel_distance
from audio.inversion import forward_stft, inverse_stft, pseudo_inverse_magnitude
from audio.mel import LogMelSpectrogram, MelConfig
from vocoder.attack import AttackGain
from vocoder.base import check_log_mel
from vocoder.griffin_lim import GriffinLim
from vocoder.vocos import SOFTNESS, PriorVocos, VocosConfig

SAME = MelConfig(16000, 256, 256, 64, 40, 0.0, 8000.0, "slaney", "slaney", "same", 1e-9, 1e-5)
CENTRED = replace(SAME, framing="centred")
SHORT_WINDOW = replace(SAME, win_length=192)
SMALL = VocosConfig(dim=24, intermediate_dim=48, num_layers=2, refinements=1, clock=(2, 4))


def network(mel=SAME, config=SMALL, seed=0):
    """A network with random weights everywhere, the zero-initialised residual too."""
    torch.manual_seed(seed)
    model = PriorVocos(mel, config).eval()
    if config.prior:
        torch.nn.init.normal_(model.head.out.weight, std=0.1)
    if model.attack:
        torch.nn.init.normal_(model.attack.last.weight, std=0.3)
    return model


def log_mels(batch, frames, mel=SAME):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(batch, mel.n_mels, frames, generator=generator) - 4.0


CONFIGS = [
    SMALL,
    replace(SMALL, refinements=0, clock=()),
    replace(SMALL, refinements=3, clock=(3, 4)),
    replace(SMALL, prior=False),
    replace(SMALL, attack=4),
    replace(SMALL, refinements=3, momentum=0.9),
    replace(SMALL, corrections=2),
    replace(SMALL, corrections=2, attack=4, ramp_bins=8),
]


@pytest.mark.parametrize("mel", [SAME, CENTRED, SHORT_WINDOW])
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("frames", [2, 3, 5, 40])
def test_decoded_length_is_the_contracts(mel, config, frames):
    if not config.prior and mel is SHORT_WINDOW:
        with pytest.raises(ValueError, match="win_length"):
            network(mel, config)
        return
    waveform = network(mel, config).decode(log_mels(2, frames))
    assert waveform.shape == (2, mel.num_samples(frames))
    assert waveform.dtype == torch.float32
    assert waveform.isfinite().all()


@pytest.mark.parametrize("config", CONFIGS)
def test_a_row_of_a_batch_is_the_row_alone(config):
    model, log_mel = network(config=config), log_mels(3, 30)
    together = model.decode(log_mel)
    for row in range(3):
        assert torch.allclose(together[row : row + 1], model.decode(log_mel[row : row + 1]), atol=1e-5)


@pytest.mark.parametrize("mel", [SAME, CENTRED])
@pytest.mark.parametrize("config", CONFIGS)
def test_a_frame_reaches_its_receptive_field_and_no_further(mel, config):
    model = network(mel, config)
    field = model.receptive_field()
    frames, at = 3 * field, 3 * field // 2
    log_mel = log_mels(1, frames)
    changed = log_mel.clone()
    changed[:, :, at] += 2.0
    moved = (model.decode(changed) - model.decode(log_mel)).abs()[0]
    touched = moved.nonzero().flatten()
    # A frame's window begins `padding` samples before the frame's hop.
    windows = -(-mel.n_fft // mel.hop_length)
    reach = (field - windows) // 2
    first = (at - reach) * mel.hop_length - mel.padding
    last = (at + reach) * mel.hop_length - mel.padding + mel.n_fft
    assert touched.min() >= first
    assert touched.max() < last
    # The claim is no idle upper bound: the field is used up to where windows taper to nothing on either side.
    assert touched.min() <= first + 3 * mel.hop_length
    assert touched.max() >= last - 3 * mel.hop_length


@pytest.mark.parametrize("config", CONFIGS)
def test_padding_changes_nothing(config):
    model, log_mel = network(config=config), log_mels(1, 60)
    silence = torch.full((1, SAME.n_mels, 40), float(torch.tensor(SAME.log_floor).log()))
    alone, padded = model.decode(log_mel), model.decode(torch.cat([log_mel, silence], dim=2))
    inside = SAME.num_samples(60 - model.receptive_field())
    assert torch.allclose(alone[:, :inside], padded[:, :inside], atol=1e-5)


@pytest.mark.parametrize("mel", [SAME, CENTRED])
def test_at_initialisation_the_magnitude_is_the_pseudo_inverse(mel):
    model = PriorVocos(mel, SMALL)
    log_mel = log_mels(2, 20) - 2.0
    prior = pseudo_inverse_magnitude(log_mel, mel)
    features = torch.randn(2, 20, SMALL.dim)
    magnitude, _ = model.head.polar(features, prior.clamp(min=SMALL.magnitude_floor).log())
    assert torch.allclose(magnitude, prior.clamp(min=SMALL.magnitude_floor), rtol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
def test_moving_a_mel_by_its_alignment_moves_the_sound(config):
    model, log_mel = network(config=config), log_mels(1, 90)
    shift = model.frame_alignment
    assert shift == (12 if config.clock == (3, 4) else 4 if config.clock and config.prior else 1)
    whole, cut = model.decode(log_mel), model.decode(log_mel[:, :, shift:])
    edge = SAME.num_samples(model.receptive_field())
    moved = whole[:, SAME.num_samples(shift) :]
    assert torch.allclose(cut[:, edge:-edge], moved[:, edge:-edge], atol=1e-5)


def test_the_clock_makes_pitches_denser():
    """On a stationary mel the sound repeats every hop without a clock, every four hops with one of four frames."""
    stationary = torch.full((1, SAME.n_mels, 80), -2.0)
    for clock, period in ((), 1), ((4,), 4):
        middle = network(config=replace(SMALL, clock=clock)).decode(stationary)[0, 1600:3600]
        hop = SAME.hop_length
        assert torch.allclose(middle[: -period * hop], middle[period * hop :], atol=1e-4)
        if period > 1:
            assert not torch.allclose(middle[:-hop], middle[hop:], atol=1e-2)


def test_zero_phase_is_a_click_in_the_middle_of_the_frame():
    model = PriorVocos(SAME, replace(SMALL, refinements=0))
    torch.nn.init.zeros_(model.head.out.weight)
    torch.nn.init.zeros_(model.head.out.bias)
    log_prior = torch.full((1, 129, 9), -20.0)
    log_prior[:, :, 4] = 0.0
    waveform = model.head(torch.zeros(1, 9, 24), log_prior, log_mels(1, 9))[0]
    # Frame 4 of framing "same" has its middle at 4.5 hops.
    assert abs(int(waveform.abs().argmax()) - 4.5 * SAME.hop_length) <= 1


def test_a_refinement_is_one_projection_of_griffin_lim():
    plain, refined = (network(config=replace(SMALL, refinements=count, clock=())) for count in (0, 1))
    refined.load_state_dict(plain.state_dict())
    log_mel = log_mels(1, 30) + 4.0
    prior = pseudo_inverse_magnitude(log_mel, SAME).clamp(min=SMALL.magnitude_floor).log()
    with torch.no_grad():
        features = plain.backbone((log_mel + 5.0) / 3.0)
        magnitude, _ = plain.head.polar(features, prior)
        rebuilt = forward_stft(plain.head(features, prior, log_mel), SAME)
        hard = torch.polar(magnitude, rebuilt.angle())
        trusted = (rebuilt.abs() / magnitude).square()
        expected = inverse_stft(hard * (trusted / (trusted + SOFTNESS**2)).sqrt(), SAME)
    assert torch.allclose(refined.decode(log_mel), expected, atol=1e-4)


@pytest.mark.parametrize("mel", [SAME, CENTRED])
def test_a_young_attack_gain_changes_nothing_and_a_grown_one_only_multiplies(mel):
    with_gain = PriorVocos(mel, replace(SMALL, attack=8)).eval()
    without = PriorVocos(mel, SMALL).eval()
    without.load_state_dict({k: v for k, v in with_gain.state_dict().items() if not k.startswith("attack.")})
    log_mel = log_mels(2, 20)
    assert torch.equal(with_gain.decode(log_mel), without.decode(log_mel))
    torch.nn.init.normal_(with_gain.attack.last.weight, std=2.0)
    gains = with_gain.attack(log_mel, (log_mel + 5.0) / 3.0)
    assert gains.shape == (2, mel.num_samples(20))
    assert 1.0 < float(gains.max() / gains.min()) <= math.exp(6.0)
    assert torch.allclose(with_gain.decode(log_mel), without.decode(log_mel) * gains, atol=1e-6)


@pytest.mark.parametrize("mel", [SAME, CENTRED])
def test_a_gain_lies_where_its_frame_lies(mel):
    """With kernels that pass one bin through, a single loud frame moves the gain around its own middle."""
    gain = AttackGain(mel, 4, width=1, layers=0)
    torch.nn.init.zeros_(gain.first.weight)
    with torch.no_grad():
        gain.first.weight[0, 0, 1] = 1.0
        gain.last.weight.fill_(1.0)
    quiet = torch.full((1, mel.n_mels, 21), -30.0)
    loud = quiet.clone()
    loud[0, 0, 10] = 2.0
    moved = (gain(loud, loud) - gain(quiet, quiet))[0].abs()
    middle = 10 * mel.hop_length + (0 if mel.framing == "centred" else mel.hop_length / 2)
    places = moved.nonzero().flatten().float()
    assert float((moved * torch.arange(len(moved))).sum() / moved.sum()) == pytest.approx(middle - 0.5, abs=1.0)
    assert float((places - middle).abs().max()) <= mel.hop_length


def test_what_goes_on_or_dies_away_is_no_attack():
    gain = AttackGain(SAME, 4)
    levels = torch.tensor([-4.0] * 6 + [-4.5, -6.0, -9.0, -9.0, -8.8, -8.0, -2.0, -2.0, -2.0, -2.0])
    rising = gain.rising(levels.expand(1, SAME.n_mels, -1))[0, 0]
    # The first two frames follow silence; eight decibels to come are a little of an attack, fifty all of one.
    assert rising[:2].tolist() == [1.0, 1.0]
    assert rising[2:10].tolist() == [0.0] * 8
    assert float(rising[10]) == pytest.approx(0.3 / 1.4, abs=1e-4)
    assert rising[11:14].tolist() == [1.0] * 3
    assert rising[14:].tolist() == [0.0] * 2


@pytest.mark.parametrize(
    ("change", "says"),
    [({"attack": -1}, "got -1"), ({"attack": 4, "prior": False}, "prior: true"), ({"attack": 7}, "divisor of the hop")],
)
def test_attack_gains_that_cannot_be(change, says):
    with pytest.raises(ValueError, match=says):
        PriorVocos(SAME, replace(SMALL, **change))


def test_momentum_is_that_of_the_fast_algorithm():
    """Nothing hides behind the softness where bins agree: two steps, written out."""
    plain, one, two = (
        network(config=replace(SMALL, refinements=count, clock=(), momentum=0.99)) for count in (0, 1, 2)
    )
    for model in (one, two):
        model.load_state_dict(plain.state_dict())
    log_mel = log_mels(1, 30) + 4.0
    prior = pseudo_inverse_magnitude(log_mel, SAME).clamp(min=SMALL.magnitude_floor).log()
    with torch.no_grad():
        magnitude, _ = plain.head.polar(plain.backbone((log_mel + 5.0) / 3.0), prior)
        first, second = forward_stft(plain.decode(log_mel), SAME), forward_stft(one.decode(log_mel), SAME)
        pushed = second - 0.99 / 1.99 * first
        trusted = (pushed.abs() / magnitude).square()
        expected = inverse_stft(
            torch.polar(magnitude, pushed.angle()) * (trusted / (trusted + SOFTNESS**2)).sqrt(), SAME
        )
    assert torch.allclose(two.decode(log_mel), expected, atol=1e-4)
    with pytest.raises(ValueError, match="momentum: expected 0 to less than 1, got 1"):
        VocosConfig(momentum=1.0)


@pytest.mark.parametrize("config", CONFIGS)
def test_gradients_are_finite_on_digital_silence(config):
    model = network(config=config)
    silence = torch.zeros(2, 6400)
    estimate = model(LogMelSpectrogram(SAME)(silence))
    multi_scale_mel_distance(estimate, silence, SAME.sample_rate).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_an_absurd_mel_stays_finite():
    model = network()
    assert model.decode(torch.full((1, SAME.n_mels, 20), 60.0)).isfinite().all()
    assert model.decode(torch.full((1, SAME.n_mels, 20), -60.0)).isfinite().all()


@pytest.mark.parametrize(
    ("log_mel", "says"),
    [
        (torch.zeros(40, 10), r"got shape \(40, 10\)"),
        (torch.zeros(1, 10, 40), "frames and bins are swapped"),
        (torch.zeros(1, 39, 10), r"expected \(batch, 40 bins, frames\), got shape \(1, 39, 10\)"),
        (torch.zeros(1, 40, 0), "at least one clip"),
        (torch.zeros(0, 40, 10), "at least one clip"),
        (torch.full((1, 40, 10), float("nan")), "NaN or infinity"),
        (torch.full((1, 40, 10), float("inf")), "NaN or infinity"),
        (torch.zeros(1, 40, 10, dtype=torch.int64), "floating-point values, got torch.int64"),
    ],
)
def test_what_is_no_log_mel_is_refused(log_mel, says):
    with pytest.raises(ValueError, match=says) as caught:
        check_log_mel(log_mel, SAME)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="log_mel"):
        network().decode(log_mel)
    with pytest.raises(ValueError, match="log_mel"):
        GriffinLim(SAME).decode(log_mel)


def test_one_centred_frame_holds_no_sound():
    with pytest.raises(ValueError, match="one hop of sound"):
        check_log_mel(torch.zeros(1, 40, 1), CENTRED)


@pytest.mark.parametrize("field", ["dim", "intermediate_dim", "num_layers"])
def test_sizes_are_checked(field):
    with pytest.raises(ValueError, match=f"{field}.*got 0"):
        VocosConfig(**{field: 0})


def test_loading_a_vocoder_imports_neither_lightning_nor_vocos_too_early():
    code = (
        "import sys, vocoder, vocoder.loading, vocoder.vocos, vocoder.griffin_lim, vocoder.judging;"
        "bad = {'lightning', 'vocos', 'encodec', 'transformers', 'tensorboard'} & set(sys.modules);"
        "sys.exit(str(bad) if bad else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
