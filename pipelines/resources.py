"""Where presets and the bundled model lie: beside the code in a checkout, in a folder of their own when installed."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Written there by the wheel; see `force-include` in pyproject.toml.
INSTALLED = "melisma_resources"
DEFAULT_BUNDLE = "bundles/oneshots"


def resource(relative: str) -> Path:
    """Find `configs/…` or `bundles/…`.

    The current folder comes first, so that a user's own bundle of the same name wins; then the checkout; then the
    copy beside the installed package.

    Raises:
        ValueError: it is nowhere.
    """
    for root in (Path(), ROOT, ROOT / INSTALLED):
        if (root / relative).exists():
            return root / relative
    raise ValueError(f"'{relative}' was found neither here nor in the installation")


def loaded_from(**named: Any) -> dict[str, Any]:  # noqa: ANN401
    """What a pipeline was loaded from, to be found again: files by their whole path, nothing of what was left out."""
    return {
        name: str(Path(value).resolve()) if isinstance(value, str | Path) and Path(value).exists() else value
        for name, value in named.items()
        if value
    }
