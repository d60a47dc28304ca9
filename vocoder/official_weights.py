"""Published weights as the start of a training: official files to our networks' sizes, tensors and mel.

Nothing is converted but names: BigVGAN's `weight_g` and `weight_v`, magnitude and direction of each kernel, are what
torch calls `original0` and `original1` today; files whose norms were folded in are taken apart again. The sinc filters
in them are constants and left out. A Vocos is backbone and head, tensor by tensor.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from audio.mel import MelConfig
from vocoder.bigvgan import bigvgan_mel
from vocoder.official_vocos import OfficialVocos
from vocoder.sources import config_value, find_file, read_config, read_weights
from vocoder.upsampling import UpsamplingConfig
from vocoder.vocos import VocosConfig

DIRECTION, MAGNITUDE = "parametrizations.weight.original1", "parametrizations.weight.original0"
FILTER = ".filter"
EMBEDDING, EXPANSION, BLOCKS = "backbone.embed.weight", "backbone.convnext.0.pwconv1.weight", "backbone.convnext."


@dataclass(frozen=True)
class Published:
    """A published vocoder, in our words.

    Args:
        mel: its contract.
        network: its sizes.
        weights: by our networks' names.
    """

    mel: MelConfig
    network: VocosConfig | UpsamplingConfig
    weights: dict[str, Tensor]


def published_vocos(source: str) -> Published:
    """Read an official Vocos of mels.

    Args:
        source: a folder with config.yaml and pytorch_model.bin, or a hub name.

    Raises:
        ValueError: files that are missing, of another kind or backbone, or that contradict each other.
    """
    official = OfficialVocos(source)
    weights = dict(official.state_dict())
    if EMBEDDING not in weights or EXPANSION not in weights:
        raise ValueError(f"'{source}': expected the ConvNeXt backbone of Vocos, got another one")
    blocks = {name.removeprefix(BLOCKS).split(".")[0] for name in weights if name.startswith(BLOCKS)}
    size = VocosConfig(weights[EMBEDDING].shape[0], weights[EXPANSION].shape[0], len(blocks), prior=False)
    return Published(official.mel, size, weights)


def published_bigvgan(source: str) -> Published:
    """Read an official BigVGAN, either version.

    Args:
        source: a folder with config.json and bigvgan_generator.pt, or a hub name.

    Raises:
        ValueError: files that are missing, of another kind, or sizes that our network cannot have.
    """
    config_path = find_file(source, "config.json")
    config = read_config(config_path)
    weights = read_weights(find_file(source, "bigvgan_generator.pt", "g_*"), key="generator")
    return Published(bigvgan_mel(config, config_path), _sizes(config, config_path), rename(weights))


def rename(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Official tensors of BigVGAN by the names of `UpsamplingGenerator`."""
    renamed: dict[str, Tensor] = {}
    for name, value in weights.items():
        layer, _, last = name.rpartition(".")
        if name.endswith(FILTER):
            continue
        if last == "weight_g":
            renamed[f"{layer}.{MAGNITUDE}"] = value
        elif last == "weight_v":
            renamed[f"{layer}.{DIRECTION}"] = value
        elif last == "weight":
            renamed[f"{layer}.{MAGNITUDE}"] = value.norm(dim=(1, 2), keepdim=True)
            renamed[f"{layer}.{DIRECTION}"] = value
        else:
            renamed[name] = value
    return renamed


def _sizes(config: dict[str, Any], path: Path) -> UpsamplingConfig:
    def value(name: str) -> Any:  # noqa: ANN401
        return config_value(config, name, path)

    dilations = {tuple(row) for row in value("resblock_dilation_sizes")}
    if len(dilations) != 1:
        raise ValueError(f"'{path}': resblock_dilation_sizes: expected the same for every kernel, got {dilations}")
    return UpsamplingConfig(
        rates=tuple(value("upsample_rates")),
        kernel_sizes=tuple(value("upsample_kernel_sizes")),
        channels=value("upsample_initial_channel"),
        residual_kernels=tuple(value("resblock_kernel_sizes")),
        dilations=dilations.pop(),
        paired=str(value("resblock")) == "1",
        activation=value("activation"),
        log_scale=value("snake_logscale"),
        # The first version says nothing of these two, and means true.
        final_bias=config.get("use_bias_at_final", True),
        final_tanh=config.get("use_tanh_at_final", True),
    )
