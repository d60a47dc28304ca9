"""`python -m pipelines.average --checkpoints NEW OLD --shares 0.6 0.4 --out stage.safetensors`: between trainings.

Trainings of which one began with the weights of the other, or all with those of a third, often lie in one valley: the
average of their weights is a model too, and may keep what the later one forgot (Wortsman et al., "Model soups:
averaging weights of multiple fine-tuned models improves accuracy without increasing inference time", 2022, and "Robust
fine-tuning of zero-shot models", 2022). Of trainings that began apart the average is noise. Stage 2 shows it, for each
training measures directions of its own, and the others do not: measure what comes of it.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from autoencoder.model import MelVAE
from latent_diffusion.guide import GUIDE, SHARED
from latent_diffusion.model import LatentDiffusion
from pipelines.clips import check_writable
from training.checkpoint import StageRecord, config_differences, read_stage, save_stage
from training.command import answer, run_command, say
from vocoder.generator import Generator
from vocoder.generators import load_generator

Stage = tuple[StageRecord, dict[str, Tensor]]
# Of a config: what goes in and out, and what it means.
MEANING = ("mel", *SHARED)
NETWORKS: dict[str, Callable[[Path], MelVAE | LatentDiffusion | Generator]] = {
    "autoencoder": MelVAE.from_checkpoint,
    "latent_diffusion": LatentDiffusion.from_checkpoint,
    "vocoder": load_generator,
}


def average(checkpoints: list[Path], out: Path, shares: list[float] | None = None) -> None:
    """Average the weights of several trainings of one stage.

    Args:
        checkpoints: two or more, of the same stage and sizes, stage 2 on the same latents; what is said of the training
            comes from the first.
        out: file to write, .safetensors, float32; every command takes it where it takes a checkpoint.
        shares: of each checkpoint, adding up to 1; all alike when left out.

    Raises:
        ValueError: fewer than two checkpoints, shares that do not fit, or stages that do not fit.
    """
    parts = check_shares(shares, len(checkpoints))
    if out.suffix != ".safetensors":
        raise ValueError(f"out: expected the name of a .safetensors file to write, got '{out}'")
    if out.is_dir():
        raise ValueError(f"out: expected the name of a file to write, got the folder '{out}'")
    stages = [read_alone(path) for path in checkpoints]
    for path, stage in zip(checkpoints[1:], stages[1:], strict=True):
        check_alike(stages[0], stage, path)
    record, weights = averaged(stages, parts)
    check_writable(out.parent, 4 * sum(value.numel() for value in weights.values()))
    save_stage(out, record, weights, torch.float32)
    for path, (own, _), share in zip(checkpoints, stages, parts, strict=True):
        say(f"{share:.3g} of {path} ({own.fingerprint})")
    answer(f"average: {out} ({record.kind} {record.fingerprint})")


def check_shares(shares: Sequence[float] | None, count: int) -> list[float]:
    """The shares themselves.

    Raises:
        ValueError: fewer than two checkpoints, or numbers that are no shares of so many.
    """
    if count < 2:
        raise ValueError(f"checkpoints: expected two or more, got {count}")
    if shares is None:
        return [1.0 / count] * count
    told = " ".join(f"{share:g}" for share in shares)
    if len(shares) != count:
        raise ValueError(f"shares: expected one for each of {count} checkpoints, got {told}")
    if not (all(0.0 <= share <= 1.0 for share in shares) and abs(sum(shares) - 1.0) <= 1e-6):
        raise ValueError(f"shares: expected numbers from 0 to 1 that add up to 1, got {told}")
    return list(shares)


def read_alone(path: Path) -> Stage:
    """A stage, its config filled in as this version knows it; a guiding model, which has its own training, left out.

    Raises:
        ValueError: no checkpoint of a stage of ours.
    """
    record, _ = read_stage(path)
    if record.kind not in NETWORKS:
        raise ValueError(f"'{path}' is a checkpoint of stage '{record.kind}', expected one of {', '.join(NETWORKS)}")
    network = NETWORKS[record.kind](path)
    config = network.to_config()
    if config.pop("guide", None) is not None:
        say(f"the guiding model of {path} is left out: give it to python -m pipelines.bundle --guide")
    lineage = {name: value for name, value in record.lineage.items() if name != "guide"}
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith(GUIDE)}
    return replace(record, config=config, lineage=lineage), weights


def check_alike(first: Stage, other: Stage, path: Path) -> None:
    """Refuse stages of which there is no average; what else differs is as in the first, and said.

    Raises:
        ValueError: another kind, another meaning of what goes in and out, other sizes, or other directions of latents.
    """
    (record, weights), (theirs, further) = first, other
    if theirs.kind != record.kind:
        raise ValueError(f"'{path}' is a checkpoint of stage '{theirs.kind}', the first one of '{record.kind}'")
    differing = [line.split(":")[0] for line in config_differences(theirs.config, record.config)]
    meaning = [name for name in differing if name.split(".")[0] in MEANING]
    if meaning:
        raise ValueError(
            f"'{path}' differs from the first checkpoint in {', '.join(meaning[:3])}: no average of the two"
        )
    shapes, others = ({name: value.shape for name, value in one.items()} for one in (weights, further))
    if shapes != others:
        names = sorted(name for name in {*shapes, *others} if shapes.get(name) != others.get(name))
        raise ValueError(f"'{path}' has another {names[0]} than the first checkpoint: no average of the two")
    # Written in 16 bits they differ a little from themselves.
    measured = [name for name in weights if name.startswith("preconditioner.")]
    if not all(torch.allclose(weights[name], further[name], rtol=0.01, atol=0.01) for name in measured):
        raise ValueError(f"'{path}' began apart from the first checkpoint: start one with --model.init_from the other")
    if differing:
        say(f"as in the first checkpoint, and not as in {path}: {', '.join(differing)}")


def averaged(stages: Sequence[Stage], shares: Sequence[float]) -> Stage:
    """The average of stages that are alike; a part that all have in common keeps its fingerprint."""
    first, weights = stages[0]
    made = {}
    for name, value in weights.items():
        total = value
        if value.is_floating_point():
            # As differences from the first, so that what all have in common is not rounded.
            for (_, further), share in zip(stages[1:], shares[1:], strict=True):
                total = total + share * (further[name] - value)
        made[name] = total
    sources = [[record.fingerprint, share] for (record, _), share in zip(stages, shares, strict=True)]
    record = replace(
        first,
        lineage={**first.lineage, "averaged": sources},
        licences=sorted({text for one, _ in stages for text in one.licences}),
    )
    common = {
        name: own for name, own in first.parts.items() if own and all(one.parts.get(name) == own for one, _ in stages)
    }
    sealed = record.sealed(made)
    return replace(sealed, parts={**sealed.parts, **common}), made


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.average` and `melisma average`."""
    return run_command(average, arguments, several=("checkpoints", "shares"), program="python -m pipelines.average")


if __name__ == "__main__":
    sys.exit(main())
