"""Plain Vocos and the period discriminators are the vocos package's, weight for weight."""

from pathlib import Path

import pytest
import torch
from vocos.discriminators import DiscriminatorP
from vocos.feature_extractors import MelSpectrogramFeatures
from vocos.heads import ISTFTHead
from vocos.loss import DiscriminatorLoss, FeatureMatchingLoss, GeneratorLoss
from vocos.models import VocosBackbone
from vocos.pretrained import Vocos

from audio.files import list_audio_files, read_audio
from audio.mel import LogMelSpectrogram, MelConfig
from training.game import (
    Judgement,
    discriminator_hinge,
    discriminator_least_squares,
    feature_matching,
    generator_hinge,
    generator_least_squares,
)
from vocoder.discriminators import PeriodDiscriminator
from vocoder.vocos import PriorVocos, VocosConfig

MEL = MelConfig.from_yaml(Path("configs/mel/vocos_24khz.yaml"))


@pytest.fixture
def package_model():
    torch.manual_seed(0)
    model = Vocos(
        MelSpectrogramFeatures(sample_rate=24000, n_fft=1024, hop_length=256, n_mels=100, padding="center"),
        VocosBackbone(100, 48, 96, 3),
        ISTFTHead(48, 1024, 256, padding="center"),
    )
    return model.eval()


def test_plain_vocos_decodes_real_audio_like_the_package(package_model, sonic_pi_folder):
    waveform, _ = read_audio(list_audio_files(sonic_pi_folder)[0], MEL.sample_rate, seconds=1.0)
    waveform = torch.from_numpy(waveform)[None]
    ours = PriorVocos(MEL, VocosConfig(dim=48, intermediate_dim=96, num_layers=3, prior=False)).eval()
    state = {key: value for key, value in package_model.state_dict().items() if not key.startswith("feature_extractor")}
    ours.load_state_dict(state, strict=True)
    with torch.no_grad():
        expected = package_model.decode(package_model.feature_extractor(waveform))
    found = ours.decode(LogMelSpectrogram(MEL)(waveform))
    assert found.shape == expected.shape
    # The mels differ by float32 rounding, the largest difference of a sample stays far below 16-bit resolution.
    assert torch.allclose(found, expected, atol=1e-5)


def test_plain_vocos_is_exact_on_the_same_mel(package_model):
    log_mel = torch.randn(2, 100, 20)
    ours = PriorVocos(MEL, VocosConfig(dim=48, intermediate_dim=96, num_layers=3, prior=False)).eval()
    ours.load_state_dict({k: v for k, v in package_model.state_dict().items() if not k.startswith("feature")})
    with torch.no_grad():
        assert torch.equal(ours.decode(log_mel), package_model.decode(log_mel))


@pytest.mark.parametrize("samples", [3000, 3001])
def test_period_discriminator_with_hifi_gan_widths_is_the_package_one(samples):
    torch.manual_seed(0)
    theirs = DiscriminatorP(period=3)
    ours = PeriodDiscriminator(3, (32, 128, 512, 1024, 1024))
    their_layers = [*theirs.convs, theirs.conv_post]
    for layer, other in zip([*ours.layers, ours.score], their_layers, strict=True):
        parametrised = layer.parametrizations.weight
        parametrised.original0.data, parametrised.original1.data = other.weight_g.data, other.weight_v.data
        layer.bias.data = other.bias.data
    waveform = torch.randn(2, samples) * 0.1
    with torch.no_grad():
        score, features = ours(waveform)
        expected, expected_features = theirs(waveform)
    assert torch.allclose(score.flatten(1), expected, atol=1e-6)
    # The package leaves its first layer out of the features and adds the score.
    for found, wanted in zip(features[1:], expected_features[:-1], strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)


def test_hinge_losses_are_the_package_ones_averaged():
    torch.manual_seed(0)
    real = Judgement([torch.randn(2, 9) for _ in range(3)], [torch.randn(2, 4, 5) for _ in range(6)])
    fake = Judgement([torch.randn(2, 9) for _ in range(3)], [torch.randn(2, 4, 5) for _ in range(6)])
    expected, _, _ = DiscriminatorLoss()(real.scores, fake.scores)
    assert torch.isclose(discriminator_hinge(real, fake), expected[0] / 3)
    expected, _ = GeneratorLoss()(fake.scores)
    assert torch.isclose(generator_hinge(fake), expected[0] / 3)
    expected = FeatureMatchingLoss()([real.features], [fake.features])
    assert torch.isclose(feature_matching(real, fake), expected[0] / 6)


def test_least_squares_losses_are_those_of_the_bigvgan_package_averaged():
    from bigvgan.loss import discriminator_loss, generator_loss

    torch.manual_seed(0)
    real = Judgement([torch.randn(2, 9) for _ in range(3)], [])
    fake = Judgement([torch.randn(2, 9) for _ in range(3)], [])
    expected, _, _ = discriminator_loss(real.scores, fake.scores)
    assert torch.isclose(discriminator_least_squares(real, fake), expected / 3)
    expected, _ = generator_loss(fake.scores)
    assert torch.isclose(generator_least_squares(fake), expected / 3)
