"""Latents to sound: a clip at once, a loop around, a long clip piece by piece."""

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

from audio.windows import filled, in_turn
from autoencoder.model import MelVAE
from autoencoder.streaming import streaming_decoder
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


@torch.inference_mode()
def decoded_mels(autoencoder: MelVAE, latents: Tensor, loop: bool = False) -> Tensor:
    """Log-mels `(clips, n_mels, frames)` of raw latents, nothing below the floor, float32, on the CPU."""
    floor = autoencoder.mel.log_mel_floor
    if loop:
        return decode_loop_mel(autoencoder, latents).float().clamp(min=floor).cpu()
    if latents.shape[-1] <= LATENTS_TOGETHER:
        return autoencoder.decode(latents).float().clamp(min=floor).cpu()
    frames = latents.shape[-1] * autoencoder.config.frames_per_latent
    pieces = in_turn(streaming_decoder(autoencoder, LATENTS_TOGETHER), torch.split(latents, LATENTS_TOGETHER, dim=-1))
    return filled(torch.empty(len(latents), autoencoder.mel.n_mels, frames), (one.clamp(min=floor) for one in pieces))


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
    longest = latents.shape[-1] * autoencoder.config.frames_per_latent * autoencoder.mel.hop_length
    # Not of inference mode, so that it is finished in place.
    with torch.inference_mode(False):
        room = torch.empty(len(latents), longest + autoencoder.mel.n_fft, device=latents.device)
    parts = torch.split(latents, LATENTS_TOGETHER, dim=-1)
    return filled(room, decoded_parts(parts, autoencoder, vocoder, LATENTS_TOGETHER))


@torch.inference_mode()
def decoded_parts(
    parts: Iterable[Tensor], autoencoder: MelVAE, vocoder: Vocoder, block_frames: int
) -> Iterator[Tensor]:
    """Latents `(batch, channels, latent_frames)` that follow each other to sound, `(batch, samples)` as it is settled.

    Args:
        parts: of whole clips, raw.
        autoencoder: decodes them.
        vocoder: says how far it hears.
        block_frames: new mel frames for which a window is decoded.
    """
    decoder = StreamingDecoder(autoencoder, vocoder, block_frames)
    for part in parts:
        yield decoder.push(part)
    yield decoder.finish()


def decoded_rows(batches: Sequence[Tensor], rows: Sequence[int], sound: Callable[[int], Tensor]) -> Tensor:
    """Sounds of some of the rows of all batches, `(rows, samples)`.

    A sound depends in its last bits on the batch that it is decoded with, so batches are decoded whole; those that hold
    no wanted row are not, and no other row is kept.

    Args:
        batches: raw latents, `(clips, channels, latent_frames)` each.
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
