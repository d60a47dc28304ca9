"""Do three stages belong together? Asked wherever they are joined, before anything is computed."""

from audio.contract import check_same_mel, mel_differences
from audio.mel import MelConfig
from autoencoder.model import MelVAE
from latent_diffusion.model import LatentDiffusion

WAY_OUT = (
    "train a mel adapter between the two (python -m vocoder.adapter fit) and name it: --vocoder "
    "vocoder.adapter.AdaptedVocoder --vocoder.adapter FILE --vocoder.vocoder THIS_VOCODER"
)

LOWER_FLOOR = (
    "nothing audible is lost only where the model's floor is itself too faint to hear. Retrain the vocoder on the "
    "model's mel (python -m vocoder fit), or, in Python, decode convert_log_mel(log_mel, model_mel, vocoder_mel, "
    "allow_inexact=True) of audio.contract"
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

    A mel adapter is no way out of a floor: what the model hides below its own, no network brings back.

    Raises:
        ValueError: names the fields that differ, with both values, and the way out.
    """
    if any(not text.startswith("log_floor:") for text in mel_differences(mel, vocoder_mel)):
        try:
            check_same_mel(mel, vocoder_mel, "the model", "the vocoder")
        except ValueError as error:
            raise ValueError(f"{error}; {WAY_OUT}") from error
    if vocoder_mel.log_floor < mel.log_floor:
        raise ValueError(
            f"log_floor: the vocoder's, {vocoder_mel.log_floor:g}, is lower than the model's, {mel.log_floor:g}: what "
            f"lay between the two is lost, and the vocoder hears silence as a faint sound; {LOWER_FLOOR}"
        )
