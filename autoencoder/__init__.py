"""Stage 1: a variational autoencoder of log-mel spectrograms."""

from autoencoder.model import MelVAE, MelVAEConfig

__all__ = ["MelVAE", "MelVAEConfig"]
