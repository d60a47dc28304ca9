"""Two mel contracts side by side: where they differ, and what can be turned into what."""

from dataclasses import fields

from torch import Tensor

from audio.mel import MelConfig


def mel_differences(first: MelConfig, second: MelConfig) -> list[str]:
    """The fields in which two contracts differ, as `name: first != second`."""
    return [
        f"{field.name}: {getattr(first, field.name)} != {getattr(second, field.name)}"
        for field in fields(MelConfig)
        if getattr(first, field.name) != getattr(second, field.name)
    ]


def check_same_mel(first: MelConfig, second: MelConfig, first_name: str, second_name: str) -> None:
    """Refuse two stages whose mels differ.

    Raises:
        ValueError: names only the fields that differ, with both values.
    """
    differences = mel_differences(first, second)
    if differences:
        raise ValueError(f"the mels of {first_name} and {second_name} differ: " + "; ".join(differences))


def convert_log_mel(log_mel: Tensor, source: MelConfig, target: MelConfig, allow_inexact: bool = False) -> Tensor:
    """Turn a log-mel of one contract into another of the same family: only the log floor may differ.

    Raising the floor is exact (the louder floor hides what lay below it). Lowering it is not: the hidden part is gone.

    Args:
        log_mel: `(batch, n_mels, frames)`, of contract `source`.
        source: its contract.
        target: the wanted contract.
        allow_inexact: let a floor be lowered all the same.

    Raises:
        ValueError: the contracts are of different families, or the floor would be lowered.
    """
    differences = [text for text in mel_differences(source, target) if not text.startswith("log_floor:")]
    if differences:
        raise ValueError("these mels are of different families, no conversion exists: " + "; ".join(differences))
    if target.log_floor < source.log_floor and not allow_inexact:
        raise ValueError(
            f"log_floor: {source.log_floor} cannot be lowered to {target.log_floor}, what lay below is lost; "
            "pass allow_inexact to do it all the same"
        )
    return log_mel.clamp(min=target.log_mel_floor)
