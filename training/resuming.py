"""A run that goes on needs its own last checkpoint, and nothing of what it once started from."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KEY = "init_from"


@contextmanager
def start_left_out(config: Any, kind: str, subcommand: str | None) -> Iterator[Any]:  # noqa: ANN401
    """Build a stage without its start where a checkpoint takes over; the config names it again afterwards.

    Args:
        config: of the subcommand, as parsed.
        kind: of the stage.
        subcommand: fit or validate.

    Yields:
        the start, as the config names it.
    """
    model = config["model"]
    start = model.get(KEY)
    try:
        if start is not None and goes_on(config, kind, subcommand):
            model[KEY] = None
        yield start
    finally:
        if start is not None:
            model[KEY] = start


def goes_on(config: Any, kind: str, subcommand: str | None) -> bool:  # noqa: ANN401
    """Whether a checkpoint takes over: one that is named, or `last.ckpt` of the folder of a training."""
    if config.get("ckpt_path"):
        return True
    folder = config["trainer"].get("default_root_dir") or f"runs/{kind}"
    return subcommand == "fit" and bool(config.get("resume")) and (Path(folder) / "last.ckpt").is_file()
