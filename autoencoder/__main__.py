"""`python -m autoencoder fit -c configs/oneshots/autoencoder.yaml`."""

import sys

from autoencoder.training import MelVAETraining
from training.cli import run_stage
from training.data import AudioData

if __name__ == "__main__":
    sys.exit(run_stage(MelVAETraining, AudioData, link_sample_rate=True))
