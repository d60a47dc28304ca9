"""`python -m vocoder fit -c configs/oneshots/vocoder.yaml`."""

import sys

from training.cli import run_stage
from vocoder.data import VocoderData
from vocoder.training import VocoderTraining

if __name__ == "__main__":
    sys.exit(run_stage(VocoderTraining, VocoderData, link_sample_rate=True))
