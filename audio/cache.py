"""Where things that can be made or fetched again are kept."""

import os
from pathlib import Path


def default_cache() -> Path:
    """The folder named by MELISMA_CACHE, or ~/.cache/melisma."""
    named = os.environ.get("MELISMA_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "melisma"
