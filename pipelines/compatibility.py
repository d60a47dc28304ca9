"""Do three stages belong together? Asked wherever they are joined, before anything is computed."""

import torch

from audio.contract import check_same_mel, convert_log_mel, mel_differences
from audio.mel import MelConfig
from autoencoder.model import MelVAE
from latent_diffusion.model import LatentDiffusion

WAY_OUT = (
    "train a mel adapter between the two (python -m vocoder.adapter fit) and name it: --vocoder "
    "vocoder.adapter.AdaptedVocoder --vocoder.adapter FILE --vocoder.vocoder THIS_VOCODER"
)


def check_latents(autoencoder: MelVAE, diffusion: LatentDiffusion) -> None:
    """Refuse a diffusion model that was trained on another autoencoder's latents.

    Raises:
        ValueError: names the fields that differ, with both values.
    """
    spec = diffusion.spec
    check_same_mel(autoencoder.mel, spec.mel, "the autoencoder", "the diffusion model's latents")
    sizes = (autoencoder.config.latent_channels, autoencoder.config.frames_per_latent)
    if sizes != (spec.channels, spec.frames_per_latent):
        raise ValueError(
            "autoencoder and diffusion model differ in (latent channels, frames per latent): "
            f"{sizes} != {(spec.channels, spec.frames_per_latent)}"
        )
    own = autoencoder.record.parts.get("encoder", "") if autoencoder.record else ""
    if own != spec.encoder_fingerprint:
        raise ValueError(
            "stale latents: the diffusion model was trained on latents of encoder "
            f"{spec.encoder_fingerprint}, this autoencoder's encoder is {own}; encode the audio again and retrain"
        )


def check_vocoder(mel: MelConfig, vocoder_mel: MelConfig) -> None:
    """Refuse a vocoder of another mel family, or one whose floor lies below the model's.

    Raises:
        ValueError: names the fields that differ, with both values, and the way out.
    """
    differences = mel_differences(mel, vocoder_mel)
    if not differences:
        return
    try:
        if any(not text.startswith("log_floor:") for text in differences):
            check_same_mel(mel, vocoder_mel, "the model", "the vocoder")
        convert_log_mel(torch.zeros(1, mel.n_mels, 1), mel, vocoder_mel)
    except ValueError as error:
        told = str(error).removesuffix("; pass allow_inexact to do it all the same")
        raise ValueError(f"{told}; {WAY_OUT}") from error
