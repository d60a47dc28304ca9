"""Where a training begins: weights of ours or of others, discriminators, and what the optimisers remember.

A checkpoint of ours holds two sets of weights: the averaged ones, which are better to listen to, and the ones that were
being trained, to which the optimisers' moments belong. A new run starts from the first with fresh optimisers, or, when
it is asked to take the optimisers along, from the second: it then does what the old run would have done next.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from audio.contract import check_same_mel
from audio.mel import MelConfig
from training.checkpoint import WEIGHTS_PREFIX, load_checkpoint, load_stage, load_weights
from vocoder.generator import KIND, Generator
from vocoder.upsampling import UpsamplingGenerator

if TYPE_CHECKING:
    from vocoder.official_weights import Published

ATTACK_PREFIX = "attack."
DISCRIMINATOR_PREFIX = "discriminators."
LIVE_WEIGHTS = "current_model_state"
CHECKPOINT_SUFFIXES = (".ckpt", ".safetensors")
PUBLISHED_CONFIGS = ("config.yaml", "config.json")
# Of a Vocos these decide the shapes; the rest belongs to training, or to the prior.
VOCOS_SIZES = ("dim", "intermediate_dim", "num_layers")
PLAYERS = ("the vocoder's optimiser", "the discriminators' optimiser")


@dataclass
class Start:
    """What a new run took over.

    Args:
        discriminators: whether they came along.
        optimiser_states: of each player that has one to take, by its number.
        taken: what was taken over, in words.
        left: what was not, and why.
    """

    discriminators: bool = False
    optimiser_states: dict[int, dict[int, Any]] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def line(self, source: Path) -> str:
        """All of it on one line."""
        left = f"; left: {', '.join(self.left)}" if self.left else ""
        return f"starting from '{source}': took {', '.join(self.taken)}{left}"

    def recall(self, optimisers: Iterable[torch.optim.Optimizer]) -> None:
        """Give new optimisers what the old ones remembered; rates and decays stay those of the new run."""
        for player, optimiser in enumerate(optimisers):
            if player in self.optimiser_states:
                state = optimiser.state_dict()
                optimiser.load_state_dict({**state, "state": self.optimiser_states.pop(player)})


def start_from(
    source: Path,
    generator: Generator,
    discriminators: nn.Module | None,
    optimisers: list[torch.optim.Optimizer],
    take_optimisers: bool,
    game: str,
) -> Start:
    """Load what a source holds into fresh players.

    Args:
        source: a checkpoint of ours, or folder or hub name of an official Vocos or BigVGAN.
        generator: receives the weights.
        discriminators: receive theirs where both sides have the same.
        optimisers: of the players, to compare with the stored ones.
        take_optimisers: look for the optimisers' memory too.
        game: that this run plays; discriminators of another one are taken, and it is said.

    Raises:
        ValueError: no such source, another mel, or other sizes.
    """
    if source.suffix not in CHECKPOINT_SUFFIXES:
        _load_published(source, generator)
        return Start(taken=["published weights"], left=_absent(discriminators, take_optimisers, "not published"))
    record, weights = load_stage(source, KIND)
    mel = MelConfig.from_dict(record.config["mel"])
    check_same_mel(mel, generator.mel, f"init_from '{source}'", "this run")
    fresh = _without_attack(generator, weights)
    _check_kind_and_sizes(source, record.config, weights | fresh, generator)
    taken = ["weights"] + (["no attack gain (it has none: it starts at 1)"] if fresh else [])
    if source.suffix == ".safetensors":
        load_weights(generator, weights | fresh, source)
        return Start(taken=taken, left=_absent(discriminators, take_optimisers, "a released file has none"))
    checkpoint = load_checkpoint(source)
    state = checkpoint.get(LIVE_WEIGHTS, checkpoint["state_dict"]) if take_optimisers else checkpoint["state_dict"]
    load_weights(generator, _named(state, WEIGHTS_PREFIX) | fresh, source)
    start = Start(taken=taken)
    if discriminators is not None:
        _load_discriminators(start, discriminators, _named(state, DISCRIMINATOR_PREFIX))
        before = checkpoint.get("progress", {}).get("game", game)
        if start.discriminators and before != game:
            start.taken[-1] += f" (of the game {before}; this run plays {game})"
    if take_optimisers:
        _find_optimisers(start, checkpoint.get("optimizer_states", []), optimisers)
    else:
        start.left.append("optimisers (init_optimisers: false)")
    return start


def _without_attack(generator: Generator, stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The attack gain's first weights, where the network has one and the source has none."""
    if any(key.startswith(ATTACK_PREFIX) for key in stored):
        return {}
    return {key: value for key, value in generator.state_dict().items() if key.startswith(ATTACK_PREFIX)}


def _load_published(source: Path, generator: Generator) -> None:
    # Slow to import, and needed here alone.
    from vocoder.official_weights import published_bigvgan, published_vocos

    name = source.as_posix()
    if isinstance(generator, UpsamplingGenerator):
        found = _read_published(published_bigvgan, source)
    elif generator.to_config()["network"]["prior"]:
        raise ValueError(
            f"init_from '{name}': published weights fit a Vocos without a prior (network.prior: false) or an "
            "upsampling generator, this network has prior: true"
        )
    else:
        found = _read_published(published_vocos, source)
    check_same_mel(found.mel, generator.mel, f"init_from '{name}'", "this run")
    ours = generator.to_config()["network"]
    names = [key for key in ours if isinstance(generator, UpsamplingGenerator) or key in VOCOS_SIZES]
    _refuse_other_sizes(source, asdict(found.network), ours, names)
    load_weights(generator, found.weights, source)


def _read_published(reader: "Callable[[str], Published]", source: Path) -> "Published":
    try:
        return reader(source.as_posix())
    except ValueError as error:
        # Such a folder is what was meant: its reader knows best what is wrong with it.
        if any((source / name).is_file() for name in PUBLISHED_CONFIGS):
            raise
        raise ValueError(
            f"init_from '{source}': expected a checkpoint ({' or '.join(CHECKPOINT_SUFFIXES)}), a folder of published "
            f"weights ({' or '.join(PUBLISHED_CONFIGS)}) or a hub name (owner/name), got none of them: {error}"
        ) from error


def _check_kind_and_sizes(
    source: Path, config: dict[str, Any], weights: dict[str, Tensor], generator: Generator
) -> None:
    """Where the weights do not fit, say which sizes differ: a clearer word than the first tensor's name."""
    ours = generator.to_config()
    kinds = [values.get("generator", "vocos") for values in (config, ours)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"init_from '{source}': it holds a generator '{kinds[0]}', this run trains '{kinds[1]}'")
    shapes = {name: value.shape for name, value in weights.items()}
    if shapes != {name: value.shape for name, value in generator.state_dict().items()}:
        _refuse_other_sizes(source, config["network"], ours["network"], list(ours["network"]))


def _refuse_other_sizes(source: Path, theirs: dict[str, Any], ours: dict[str, Any], names: list[str]) -> None:
    pairs = [(name, _plain(theirs.get(name)), _plain(ours[name])) for name in names]
    differences = [f"{name}: {first} != {second}" for name, first, second in pairs if first != second]
    if differences:
        raise ValueError(f"the sizes of init_from '{source}' and this run differ: " + "; ".join(differences))


def _plain(value: Any) -> Any:  # noqa: ANN401
    return list(value) if isinstance(value, tuple) else value


def _absent(discriminators: nn.Module | None, take_optimisers: bool, why: str) -> list[str]:
    left = [f"discriminators ({why})"] if discriminators is not None else []
    return left + ([f"optimisers ({why})"] if take_optimisers else [])


def _named(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _load_discriminators(start: Start, discriminators: nn.Module, stored: dict[str, Tensor]) -> None:
    own = {key: value.shape for key, value in discriminators.state_dict().items()}
    if not stored:
        start.left.append("discriminators (the old run had none)")
    elif {key: value.shape for key, value in stored.items()} != own:
        start.left.append("discriminators (gan has other shapes)")
    else:
        discriminators.load_state_dict(stored)
        start.discriminators = True
        start.taken.append("discriminators")


def _find_optimisers(start: Start, stored: list[dict[str, Any]], optimisers: list[torch.optim.Optimizer]) -> None:
    for player, (name, optimiser) in enumerate(zip(PLAYERS, optimisers, strict=False)):
        if player >= len(stored):
            start.left.append(f"{name} (the old run had none)")
        elif player and not start.discriminators:
            start.left.append(f"{name} (the discriminators were left)")
        elif not fits(optimiser, stored[player]):
            start.left.append(f"{name} (another optimiser, or other parameters)")
        else:
            start.optimiser_states[player] = stored[player]["state"]
            start.taken.append(name)


def fits(optimiser: torch.optim.Optimizer, stored: dict[str, Any]) -> bool:
    """Whether a stored state belongs to such an optimiser of such parameters."""
    own = optimiser.state_dict()["param_groups"]
    if [group["params"] for group in own] != [group["params"] for group in stored["param_groups"]]:
        return False
    if [set(group) - {"initial_lr"} for group in own] != [
        set(group) - {"initial_lr"} for group in stored["param_groups"]
    ]:
        return False
    shapes = [parameter.shape for group in optimiser.param_groups for parameter in group["params"]]
    return all(
        not isinstance(moment, Tensor) or moment.dim() == 0 or moment.shape == shapes[index]
        for index, moments in stored["state"].items()
        for moment in moments.values()
    )
