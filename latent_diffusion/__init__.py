"""Stage 2: a diffusion transformer that makes latents from text, labels and numbers."""

from latent_diffusion.config import LatentDiffusionConfig
from latent_diffusion.model import LatentDiffusion

__all__ = ["LatentDiffusion", "LatentDiffusionConfig"]
