"""Latents to sound: a clip at once, a loop around, a long clip piece by piece."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from autoencoder.model import MelVAE
from pipelines.looping import around, decode_loop_mel
from pipelines.streaming import StreamingDecoder
from vocoder.base import Vocoder

# Latent frames that are decoded at once of a clip that is longer than the model's own.
LATENTS_TOGETHER = 256


def decoded(
    latents: Tensor,
    autoencoder: MelVAE,
    vocoder: Vocoder,
    vocode: Callable[[Tensor], Tensor],
    precision: torch.dtype,
    loop: bool,
    whole_frames: int,
) -> Tensor:
    """Raw latents `(batch, channels, latent_frames)` to waveforms, `(batch, samples)`, float32, on the CPU.

    Args:
        latents: of whole clips.
        autoencoder: decodes them.
        vocoder: may say how far it hears.
        vocode: log-mel to waveforms, by that vocoder.
        precision: of matrix products.
        loop: the end leads into the beginning.
        whole_frames: latent frames of the longest clip that is decoded at once, where the vocoder leaves a choice.
    """
    if loop:
        made = decode_loop(latents, autoencoder, vocoder, vocode, precision)
    elif latents.shape[-1] > whole_frames and hasattr(vocoder, "receptive_field"):
        made = decode_long(latents, autoencoder, vocoder)
    else:
        made = decode_clip(latents, autoencoder, vocode, precision)
    return made.float().cpu()


def decoded_mels(autoencoder: MelVAE, latents: Tensor, loop: bool = False) -> Tensor:
    """Log-mels `(clips, n_mels, frames)` of raw latents, nothing below the floor, float32, on the CPU."""
    log_mel = decode_loop_mel(autoencoder, latents) if loop else autoencoder.decode(latents)
    return log_mel.float().clamp(min=autoencoder.mel.log_mel_floor).cpu()


def decode_clip(
    latents: Tensor, autoencoder: MelVAE, vocode: Callable[[Tensor], Tensor], precision: torch.dtype
) -> Tensor:
    """Raw latents `(batch, channels, latent_frames)` to waveforms, `(batch, samples)`.

    Args:
        latents: of whole clips.
        autoencoder: decodes them.
        vocode: log-mel to waveforms.
        precision: of matrix products.
    """
    with torch.autocast(latents.device.type, precision, enabled=precision != torch.float32):
        log_mel = autoencoder.decode(autoencoder.led(latents))
    return vocode(log_mel.float())[:, autoencoder.lead_samples :]


def decode_loop(
    latents: Tensor,
    autoencoder: MelVAE,
    vocoder: Vocoder,
    vocode: Callable[[Tensor], Tensor],
    precision: torch.dtype,
) -> Tensor:
    """The same of loops; `vocoder` says how far it hears."""
    with torch.autocast(latents.device.type, precision, enabled=precision != torch.float32):
        log_mel = decode_loop_mel(autoencoder, latents)
    return around(log_mel.float(), vocoder, vocode, autoencoder.mel.hop_length)


def decode_long(latents: Tensor, autoencoder: MelVAE, vocoder: Vocoder) -> Tensor:
    """The same of long clips by a vocoder that says how far it hears: only the sound itself grows in memory."""
    decoder = StreamingDecoder(autoencoder, vocoder, LATENTS_TOGETHER)
    longest = latents.shape[-1] * autoencoder.config.frames_per_latent * autoencoder.mel.hop_length
    # Not of inference mode, so that it is finished in place.
    with torch.inference_mode(False):
        made, samples = torch.empty(len(latents), longest + autoencoder.mel.n_fft, device=latents.device), 0
    for part in (*torch.split(latents, LATENTS_TOGETHER, dim=-1), None):
        piece = decoder.finish() if part is None else decoder.push(part)
        made[:, samples : samples + piece.shape[1]] = piece
        samples += piece.shape[1]
    return made[:, :samples]


def decoded_rows(batches: Sequence[Tensor], rows: Sequence[int], sound: Callable[[int], Tensor]) -> Tensor:
    """Sounds of some of the rows of all batches, `(rows, samples)`.

    A sound depends in its last bits on the batch that it is decoded with, so batches are decoded whole; those that hold
    no wanted row are not, and no other row is kept.

    Args:
        batches: raw latents, `(clips, channels, latent_frames)` each, all of one length.
        rows: wanted ones, counted through all batches.
        sound: of the batch of a number, `(clips, samples)`.
    """
    if len(batches) == 1 and list(rows) == list(range(len(batches[0]))):
        return sound(0)
    made: dict[int, Tensor] = {}
    start = 0
    for number, batch in enumerate(batches):
        wanted = [row for row in rows if start <= row < start + len(batch)]
        heard = sound(number) if wanted else batch
        made |= {row: heard[row - start].clone() for row in wanted}
        start += len(batch)
    return torch.stack([made[row] for row in rows])
