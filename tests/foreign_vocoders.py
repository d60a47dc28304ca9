"""Published vocoders in small: seeded random weights by the original packages, in their files, keys and configs."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch
import yaml

VOCOS = {
    "feature_extractor": {
        "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
        "init_args": {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100, "padding": "center"},
    },
    "backbone": {
        "class_path": "vocos.models.VocosBackbone",
        "init_args": {"input_channels": 100, "dim": 48, "intermediate_dim": 96, "num_layers": 2},
    },
    "head": {
        "class_path": "vocos.heads.ISTFTHead",
        "init_args": {"dim": 48, "n_fft": 1024, "hop_length": 256, "padding": "center"},
    },
}
# As published with the first version (bigvgan_24khz_100band), in small.
BIGVGAN_V1 = {
    "resblock": "1",
    "num_gpus": 0,
    "batch_size": 32,
    "learning_rate": 0.0001,
    "upsample_rates": [4, 4, 2, 2, 2, 2],
    "upsample_kernel_sizes": [8, 8, 4, 4, 4, 4],
    "upsample_initial_channel": 64,
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3], [1, 3]],
    "activation": "snakebeta",
    "snake_logscale": True,
    "num_mels": 100,
    "num_freq": 1025,
    "n_fft": 1024,
    "hop_size": 256,
    "win_size": 1024,
    "sampling_rate": 24000,
    "fmin": 0,
    "fmax": 12000,
    "fmax_for_loss": None,
}
# As published with the second (bigvgan_v2_44khz_128band_512x), in small.
BIGVGAN_V2 = {
    **BIGVGAN_V1,
    "upsample_rates": [8, 4, 2, 2, 2, 2],
    "upsample_kernel_sizes": [16, 8, 4, 4, 4, 4],
    "use_tanh_at_final": False,
    "use_bias_at_final": False,
    "use_cqtd_instead_of_mrd": True,
    "use_multiscale_melloss": True,
    "num_mels": 128,
    "num_freq": 2049,
    "n_fft": 2048,
    "hop_size": 512,
    "win_size": 2048,
    "sampling_rate": 44100,
    "fmax": None,
}
AUDIOLDM = {
    "model_in_dim": 64,
    "sampling_rate": 16000,
    "upsample_initial_channel": 64,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7],
    "resblock_dilation_sizes": [[1, 3], [1, 3]],
    "leaky_relu_slope": 0.1,
    "normalize_before": False,
}
SPEECHT5 = {
    **AUDIOLDM,
    "model_in_dim": 80,
    "upsample_rates": [4, 4, 4, 4],
    "upsample_kernel_sizes": [8, 8, 8, 8],
    "upsample_initial_channel": 32,
    "normalize_before": True,
}
WAVERNN = {
    "upsample_scales": [5, 5, 11],
    "n_classes": 256,
    "hop_length": 275,
    "n_res_block": 2,
    "n_rnn": 24,
    "n_fc": 20,
    "kernel_size": 5,
    "n_freq": 80,
    "n_hidden": 16,
    "n_output": 12,
}


def make_vocos(folder: Path, config: dict[str, Any] | None = None) -> Any:
    """A Vocos as charactr publishes it; returned as the package reads it."""
    from vocos import Vocos

    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config or VOCOS))
    model = Vocos.from_hparams(str(folder / "config.yaml")).eval()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return model


def make_bigvgan(folder: Path, config: dict[str, Any], folded: bool = False) -> Any:
    """A BigVGAN as NVIDIA publishes it; weight norm is kept, or folded into the weights."""
    from bigvgan.bigvgan import BigVGAN
    from bigvgan.env import AttrDict

    torch.manual_seed(0)
    folder.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = BigVGAN(AttrDict(dict(config))).eval()
    for parameter in model.parameters():
        # The published initialisation is nearly silent.
        parameter.data += 0.05 * torch.randn_like(parameter)
    if folded:
        model.remove_weight_norm()
    torch.save({"generator": model.state_dict()}, folder / "bigvgan_generator.pt")
    (folder / "config.json").write_text(json.dumps(config, indent=4))
    return model


def make_hifigan(folder: Path, config: dict[str, Any], safe: bool = True) -> Any:
    """A HiFi-GAN as Transformers saves it, as safetensors or as a pickle."""
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(0)
    model = SpeechT5HifiGan(SpeechT5HifiGanConfig(**config)).eval()
    for parameter in model.parameters():
        # The published initialisation is nearly silent.
        spread = 0.05 if parameter.dim() == 1 else 0.6 / parameter[0].numel() ** 0.5
        parameter.data = spread * torch.randn_like(parameter)
    if config["normalize_before"]:
        model.mean.copy_(torch.randn(config["model_in_dim"]))
        model.scale.copy_(torch.rand(config["model_in_dim"]) + 0.5)
    model.save_pretrained(folder)
    if not safe:
        (folder / "model.safetensors").unlink()
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return model


def make_wavernn(path: Path) -> Any:
    """A WaveRNN's state dict, as torchaudio's pipelines fetch it."""
    from torchaudio.models import WaveRNN

    torch.manual_seed(0)
    model = WaveRNN(**WAVERNN).eval()
    torch.save(model.state_dict(), path)
    return model
