"""The constant-Q listener: hears pitch where it is, tells detuned from tuned, bears silence, keeps no constants."""

from pathlib import Path

import pytest
import torch
import yaml

from training.game import discriminator_hinge
from vocoder.cqt_discriminator import CqtDiscriminator, longest_atom
from vocoder.discriminators import Discriminators, GanConfig, check_crops

RATE = 16000
CONFIG = GanConfig(1, periods=(), fft_sizes=(), cqt_bins=(12, 24), cqt_octaves=5, cqt_hop_length=256, cqt_channels=4)


def tones(pitches, samples=4096):
    """Sums of three harmonics with random phases, one row a pitch in Hz."""
    time = torch.arange(samples) / RATE
    parts = [
        torch.sin(2 * torch.pi * (pitches[:, None] * number * time + torch.rand(len(pitches), 1))) / number
        for number in (1, 2, 3)
    ]
    return 0.3 * sum(parts)


def test_a_tone_lies_at_its_pitch_at_every_time():
    listener = CqtDiscriminator(RATE, bins_per_octave=12, octaves=5, hop_length=256, channels=2)
    lowest = RATE / 2**6
    for bin_number in (7, 20, 41):
        tone = torch.sin(2 * torch.pi * lowest * 2 ** (bin_number / 12) * torch.arange(8192) / RATE)[None]
        power = listener.spectrum(tone).square().sum(dim=1)[0]
        assert power.shape == (8192 // 256 + 1, 60)
        # All columns but those whose atoms reach beyond the ends.
        assert (power[8:-8].argmax(dim=1) == bin_number).all()


def test_any_length_is_heard():
    listener = CqtDiscriminator(RATE, 12, 5, 256, 2)
    for samples in (700, 1001, 4097):
        assert listener.spectrum(torch.randn(2, samples)).shape[2] == -(-samples // 256) + 1


def test_it_learns_to_tell_detuned_from_tuned():
    """Notes of the scale against notes a quarter of a tone off: after training, new notes are told apart."""
    torch.manual_seed(0)
    players = Discriminators(CONFIG, RATE)
    optimiser = torch.optim.AdamW(players.parameters(), 5e-3, betas=(0.8, 0.99))

    def notes(count, detune):
        steps = torch.randint(0, 24, (count,)) + detune
        return tones(220.0 * 2.0 ** (steps / 12.0))

    for _ in range(60):
        loss = discriminator_hinge(players(notes(8, 0.0)), players(notes(8, 0.5)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        real, fake = players(notes(32, 0.0)), players(notes(32, 0.5))
    for first, second in zip(real.scores, fake.scores, strict=True):
        tuned, detuned = first.mean(dim=(1, 2, 3)), second.mean(dim=(1, 2, 3))
        assert float((tuned[:, None] > detuned[None]).float().mean()) > 0.95


def test_gradients_are_finite_on_digital_silence():
    torch.manual_seed(0)
    players = Discriminators(CONFIG, RATE)
    silence = torch.zeros(2, 3000, requires_grad=True)
    judgement = players(silence)
    discriminator_hinge(judgement, judgement).backward()
    assert silence.grad is not None
    assert silence.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in players.parameters())


def test_kernels_are_constants_and_nothing_is_printed(capsys):
    players = Discriminators(CONFIG, RATE)
    before = set(players.state_dict())
    players(torch.randn(1, 3000))
    assert set(players.state_dict()) == before
    assert all(name.endswith(("original0", "original1", "bias")) for name in before)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"cqt_hop_length": 100}, r"gan.cqt_hop_length: expected a multiple of 16 for 5 octaves, got 100"),
        ({"cqt_bins": (0,)}, "cqt_bins, cqt_octaves and cqt_channels of at least 1"),
        ({"cqt_bins": ()}, "at least one of periods, fft_sizes and cqt_bins"),
        ({"game": "chess"}, "gan.game: expected hinge or least_squares, got 'chess'"),
    ],
)
def test_numbers_are_checked(values, says):
    fields = {name: getattr(CONFIG, name) for name in CONFIG.__dataclass_fields__}
    with pytest.raises(ValueError, match=says):
        GanConfig(**{**fields, **values})


def test_it_needs_the_sample_rate():
    with pytest.raises(ValueError, match="sample_rate"):
        Discriminators(CONFIG)


@pytest.mark.parametrize(("bins", "octaves"), [(12, 5), (24, 4)])
def test_the_longest_atom_is_as_long_as_that_of_the_transform(bins, octaves):
    listener = CqtDiscriminator(RATE, bins, octaves, 256, 2)
    transform = listener._nnaudio(torch.device("cpu"))
    # Kernels are those of the top octave; the lowest octave is computed at a rate that was halved for each one above.
    kernel = (transform.cqt_kernels_real.square() + transform.cqt_kernels_imag.square())[0, 0]
    lasting = int((kernel > 0).sum()) / RATE * 2 ** (octaves - 1)
    assert longest_atom(RATE, bins, octaves) == pytest.approx(lasting, rel=0.05)


def test_crops_shorter_than_the_longest_atom_are_refused():
    lasting = longest_atom(44100, 48, 8)
    assert lasting == pytest.approx(0.798, abs=0.001)
    config = GanConfig(1, cqt_bins=(24, 48))
    with pytest.raises(ValueError, match=r"gan\.cqt_octaves: .* lasts 0\.798 s, .* data\.segment_seconds, got 0\.500"):
        check_crops(config, 22050, 44100)
    check_crops(config, 36000, 44100)
    check_crops(GanConfig(1), 2048, 44100)


def test_the_config_that_ships_fits_its_crops():
    page = yaml.safe_load(Path("configs/oneshots/vocoder_gan.yaml").read_text())
    gan = GanConfig(**{key: tuple(v) if isinstance(v, list) else v for key, v in page["model"]["gan"].items()})
    check_crops(gan, round(44100 * page["data"]["segment_seconds"]), 44100)
