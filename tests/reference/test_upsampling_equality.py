"""Official files in our networks: the upsampling generator is BigVGAN and plain Vocos is Vocos, weight for weight."""

import pytest
import torch

from tests.foreign_vocoders import BIGVGAN_V1, BIGVGAN_V2, VOCOS, make_bigvgan, make_vocos
from vocoder.official_weights import published_bigvgan, published_vocos
from vocoder.upsampling import UpsamplingGenerator, low_pass_filter
from vocoder.vocos import PriorVocos

VARIANTS = {
    "v1": BIGVGAN_V1,
    "v2": BIGVGAN_V2,
    "snake, linear, block 2": {**BIGVGAN_V2, "activation": "snake", "snake_logscale": False, "resblock": "2"},
}


@pytest.mark.parametrize("folded", [False, True], ids=["norms", "folded"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_official_bigvgan_weights_sound_alike(tmp_path, variant, folded):
    theirs = make_bigvgan(tmp_path / "bigvgan", VARIANTS[variant], folded)
    published = published_bigvgan(str(tmp_path / "bigvgan"))
    ours = UpsamplingGenerator(published.mel, published.network).eval()
    ours.load_state_dict(published.weights, strict=True)
    log_mel = torch.randn(2, published.mel.n_mels, 24) - 2.0
    with torch.no_grad():
        expected = theirs(log_mel)[:, 0]
    found = ours.decode(log_mel)
    assert float(expected.std()) > 1e-3
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.shape == (2, published.mel.num_samples(24))


def test_the_sinc_filter_is_the_package_one(tmp_path):
    theirs = make_bigvgan(tmp_path / "bigvgan", BIGVGAN_V2)
    filters = [value for name, value in theirs.state_dict().items() if name.endswith(".filter")]
    assert filters
    assert all(torch.allclose(value[0, 0], low_pass_filter(), atol=1e-7) for value in filters)


def test_official_vocos_weights_are_a_plain_vocos(tmp_path):
    theirs = make_vocos(tmp_path / "vocos", VOCOS)
    published = published_vocos(str(tmp_path / "vocos"))
    ours = PriorVocos(published.mel, published.network).eval()
    ours.load_state_dict(published.weights, strict=True)
    log_mel = torch.randn(1, 100, 20)
    with torch.no_grad():
        assert torch.equal(ours.decode(log_mel), theirs.decode(log_mel))


def test_another_backbone_and_other_dilations_are_refused(tmp_path):
    backbone = {"class_path": "vocos.models.VocosResNetBackbone"}
    backbone["init_args"] = {"input_channels": 100, "dim": 48, "num_blocks": 1}
    make_vocos(tmp_path / "vocos", {**VOCOS, "backbone": backbone})
    with pytest.raises(ValueError, match="expected the ConvNeXt backbone"):
        published_vocos(str(tmp_path / "vocos"))
    make_bigvgan(tmp_path / "bigvgan", {**BIGVGAN_V2, "resblock_dilation_sizes": [[1, 3], [1, 5]]})
    with pytest.raises(ValueError, match="the same for every kernel"):
        published_bigvgan(str(tmp_path / "bigvgan"))
