"""Generate sound from text: `python generate.py --prompt "a deep punchy kick drum"`."""

import sys

from pipelines.generate import main

if __name__ == "__main__":
    sys.exit(main())
