"""Where presets and the bundled model lie: beside the code in a checkout, inside the package when installed."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
DEFAULT_BUNDLE = "bundles/oneshots"


def resource(relative: str) -> Path:
    """Find `configs/…` or `bundles/…`.

    The current folder comes first, so that a user's own bundle of the same name wins; then the checkout; then the
    copy inside the installed package.

    Raises:
        ValueError: it is nowhere.
    """
    for root in (Path(), PACKAGE.parent, PACKAGE / "_installed"):
        if (root / relative).exists():
            return root / relative
    raise ValueError(f"'{relative}' was found neither here nor in the installation")
