"""The autoencoder in chunks: its reach as the windows of `audio.windows` want it.

A latent frame of q mel frames hears E frames beyond its own on either side, and has a say in D beyond them. So a mel
frame decoded from latents hears what lies within q / 2 + D of it, and one that goes through encoder and decoder hears
D + E + q - 1 frames to either side. Windows of mel frames begin where latent frames begin.
"""

import torch
from torch import Tensor

from audio.windows import Reach, Windows
from autoencoder.model import MelVAE

BLOCK_FRAMES = 8
# New mel frames of a window, where a chunk brings many.
LARGEST_BLOCK = 256


def streaming_decoder(network: MelVAE, block_frames: int = BLOCK_FRAMES) -> Windows:
    """Raw latents `(batch, channels, latent_frames)` in chunks to log-mels `(batch, n_mels, frames)`.

    Args:
        network: the autoencoder.
        block_frames: new mel frames for which a window is decoded.
    """
    factor = network.config.frames_per_latent
    reach = Reach(
        input_ticks=2 * factor,
        output_ticks=2,
        reach=2 * network.decoder_reach() + factor - 1,
        input_offset=factor,
        output_offset=1,
    )
    return Windows(torch.no_grad()(network.decode), reach, block_frames, LARGEST_BLOCK)


def streaming_encoder(network: MelVAE, block_frames: int = BLOCK_FRAMES) -> Windows:
    """Log-mels `(batch, n_mels, frames)` in chunks to raw latents `(batch, channels, latent_frames)`, the means.

    Args:
        network: the autoencoder.
        block_frames: new latent frames for which a window is encoded.
    """
    factor = network.config.frames_per_latent
    reach = Reach(
        input_ticks=2,
        output_ticks=2 * factor,
        reach=2 * network.encoder_reach() + factor - 1,
        input_offset=1,
        output_offset=factor,
        alignment=factor,
    )

    @torch.no_grad()
    def encode(log_mel: Tensor) -> Tensor:
        return network.encode(log_mel).mean

    return Windows(encode, reach, block_frames, LARGEST_BLOCK)


def streaming_reconstruction(network: MelVAE, block_frames: int = BLOCK_FRAMES) -> Windows:
    """Log-mels in chunks through encoder and decoder; the posterior's mean stands for its draw.

    Args:
        network: the autoencoder.
        block_frames: new mel frames for which a window is computed.
    """
    factor = network.config.frames_per_latent
    reach = Reach(
        input_ticks=1,
        output_ticks=1,
        reach=network.decoder_reach() + network.encoder_reach() + factor - 1,
        alignment=factor,
    )

    @torch.no_grad()
    def reconstruct(log_mel: Tensor) -> Tensor:
        return network.decode(network.encode(log_mel).mean)[..., : log_mel.shape[-1]]

    return Windows(reconstruct, reach, block_frames, LARGEST_BLOCK)
