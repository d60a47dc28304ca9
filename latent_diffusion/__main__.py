"""`python -m latent_diffusion fit -c configs/oneshots/latent_diffusion.yaml`."""

import sys

from latent_diffusion.loading import LatentData
from latent_diffusion.training import LatentDiffusionTraining
from training.cli import run_stage

if __name__ == "__main__":
    sys.exit(run_stage(LatentDiffusionTraining, LatentData, link_sample_rate=False))
