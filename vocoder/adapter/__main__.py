"""`python -m vocoder.adapter fit -c configs/adapters/bigvgan_44khz_to_vocos_24khz.yaml`."""

import sys

from training.cli import run_stage
from vocoder.adapter.training import AdapterData, MelAdapterTraining

if __name__ == "__main__":
    sys.exit(run_stage(MelAdapterTraining, AdapterData, link_sample_rate=False))
