"""The vocoders of a comparison: what the words of the command line mean, made, and checked against the model's mel.

A word is `bundle`, an entry of the YAML, a checkpoint, or an import path. The YAML maps names of the user's choice to a
class (or a checkpoint) and its arguments, so that one class may stand in a comparison twice:

    short griffin-lim: {class: vocoder.griffin_lim.GriffinLim, iterations: 8}
    long griffin-lim: {class: vocoder.griffin_lim.GriffinLim, iterations: 200}
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from audio.contract import convert_log_mel
from audio.mel import MelConfig
from pipelines.compatibility import check_vocoder
from vocoder.base import Vocoder
from vocoder.checked import decode_checked
from vocoder.entries import read_mapping, split_entry
from vocoder.loading import is_checkpoint_name, load_vocoder

BUNDLE = "bundle"
# Names of the report itself.
RESERVED = ("real",)


@dataclass(frozen=True)
class Recipe:
    """What a word of the command line means.

    Args:
        name: as it stands in the report.
        target: a checkpoint or an import path.
        arguments: of the class.
    """

    name: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Contestant:
    """A vocoder that takes part.

    Args:
        recipe: how it is made.
        vocoder: ready to decode.
        mel: contract of the log-mels that it is given, the model's.
        device: where it decodes.
    """

    recipe: Recipe
    vocoder: Vocoder
    mel: MelConfig
    device: torch.device

    @property
    def name(self) -> str:
        """As it stands in the report."""
        return self.recipe.name

    @property
    def parameters(self) -> int:
        """Numbers that it learned; 0 without a network."""
        vocoder: object = self.vocoder
        # Of a class that only holds networks, each of them.
        parts = [vocoder] if isinstance(vocoder, nn.Module) else [*getattr(vocoder, "__dict__", {}).values()]
        modules = [part for part in parts if isinstance(part, nn.Module)]
        return sum(parameter.numel() for module in modules for parameter in module.parameters())

    @property
    def adapter_loss(self) -> float | None:
        """What its mel adapter loses, in nats; None without one."""
        loss = getattr(self.vocoder, "adapter_loss", None)
        return None if loss is None else float(loss)

    @torch.inference_mode()
    def decode(self, log_mel: Tensor) -> tuple[Tensor, float]:
        """A clip, and the seconds that it took.

        Args:
            log_mel: of the model's contract, `(1, n_mels, frames)`.

        Returns:
            `(1, samples)` on the CPU, float32, and seconds.

        Raises:
            ValueError: it fails, or answers with something else than a clip of the right length.
        """
        asked = convert_log_mel(log_mel.clamp(min=self.mel.log_mel_floor), self.mel, self.vocoder.mel)
        wait(self.device)
        start = time.perf_counter()
        waveform = decode_checked(self.vocoder, asked, self.name)
        wait(self.device)
        seconds = time.perf_counter() - start
        return waveform.float().cpu(), seconds


def wait(device: torch.device) -> None:
    """Let a GPU finish, so that a clock tells the truth."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def read_recipes(names: Sequence[str], config: Path | None, bundled: Path) -> list[Recipe]:
    """What the words of the command line mean.

    Args:
        names: `bundle`, entries of the YAML, checkpoints or import paths.
        config: YAML of named vocoders.
        bundled: the bundle's own vocoder.

    Raises:
        ValueError: no names, one name twice, or a YAML of another form.
    """
    if not names:
        raise ValueError("vocoders: expected at least one, such as --vocoders bundle vocoder.griffin_lim.GriffinLim")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"vocoders: expected different names, got '{twice[0]}' twice; --config names one class twice")
    reserved = [name for name in names if name in RESERVED or not name.strip()]
    if reserved:
        raise ValueError(f"vocoders: '{reserved[0]}' cannot be a vocoder's name here")
    entries = read_config(config) if config is not None else {}
    known = {BUNDLE: Recipe(BUNDLE, str(bundled))} | entries
    for name in names:
        if name not in known and "." not in name and not is_checkpoint_name(name):
            raise ValueError(
                f"vocoders: expected one of {', '.join(known)}, a checkpoint or an import path such as "
                f"vocoder.griffin_lim.GriffinLim, got '{name}'"
            )
    return [known.get(name) or Recipe(name, name) for name in names]


def read_config(path: Path) -> dict[str, Recipe]:
    """The named vocoders of a YAML file.

    Raises:
        ValueError: unreadable, no mapping of names to mappings, or an entry without a class.
    """
    try:
        values = read_mapping(path, "names of vocoders, each with a class and its arguments,")
    except ValueError as error:
        raise ValueError(f"config: {error}") from error
    recipes = {}
    for key, entry in values.items():
        name = str(key)
        if name in (BUNDLE, *RESERVED):
            raise ValueError(f"config: '{name}' in '{path}' is taken; choose another name")
        recipes[name] = Recipe(name, *split_entry(entry, f"config: '{name}' in '{path}'"))
    return recipes


def enter(recipe: Recipe, mel: MelConfig, device: torch.device) -> Contestant:
    """Make a vocoder and let it take part.

    Args:
        recipe: what to make.
        mel: the model's contract.
        device: where to decode.

    Raises:
        ValueError: it cannot be made, or its mel is of another family; the differing fields are named.
    """
    try:
        vocoder = load_vocoder(recipe.target, mel, dict(recipe.arguments))
        check_vocoder(mel, vocoder.mel)
    except ValueError as error:
        text = str(error)
        raise ValueError(text if f"'{recipe.name}'" in text else f"vocoder '{recipe.name}': {text}") from error
    if isinstance(vocoder, nn.Module):
        vocoder = vocoder.to(device).eval()
    return Contestant(recipe, vocoder, mel, device)
