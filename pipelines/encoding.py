"""A sound file to latents: a short one at once, a long one piece by piece.

The encoder hears only so far, and so does what lies ahead of it, the mel and the resampling. So the latents of a long
file come window by window (`audio.windows`), the same within rounding, and its samples are never all in memory.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from audio.files import audio_channels, audio_rate, audio_seconds, read_audio
from audio.mel import LogMelSpectrogram
from audio.streaming import read_blocks, streaming_front_end, streaming_resampler
from audio.windows import in_turn
from autoencoder.model import MelVAE
from autoencoder.streaming import streaming_encoder
from pipelines.broken_ends import FOLD_SECONDS, gone_on, led_over
from pipelines.editing import check_samples
from training.command import say

# What is longer is encoded piece by piece.
WHOLE_SECONDS = 60.0
# Of a file that are read at once, and frames of a window.
BLOCK_SECONDS, PIECE_FRAMES = 5.0, 256


def encoded(
    path: Path,
    autoencoder: MelVAE,
    option: str = "init_audio",
    longest_seconds: float | None = None,
    ahead: int = 0,
    beyond: int = 0,
) -> Tensor:
    """A sound file as raw latents, `(1, channels, latent_frames)`; says so where it is averaged or resampled.

    Args:
        path: of the file.
        autoencoder: encodes.
        option: that names it.
        longest_seconds: read no more than so much.
        ahead: latent frames to add before a sound that breaks in. The encoder sees beyond the ends of a file, and finds
            its first moments there, back and forth: of silence it would write down that the sound begins.
        beyond: latent frames to add behind a sound that breaks off; else as `ahead`.

    Raises:
        ValueError: an unreadable file, or one too short for the mel.
    """
    mel, own_rate = autoencoder.mel, audio_rate(path)
    channels = audio_channels(path)
    if channels > 1:
        say(f"'{path}' is {'stereo' if channels == 2 else f'of {channels} channels'}, averaged to one channel")
    if own_rate != mel.sample_rate:
        say(f"'{path}' has {own_rate} Hz and is brought to {mel.sample_rate} Hz")
    unit = mel.hop_length * autoencoder.config.frames_per_latent
    # Beyond what is added, what the encoder sees of more.
    more = -(-(autoencoder.encoder_reach() * mel.hop_length + mel.n_fft) // unit)
    if longest_seconds is None and audio_seconds(path) > WHOLE_SECONDS:
        blocks, encode = resampled_blocks(path, mel.sample_rate), encoded_pieces
    else:
        waveform = read_audio(path, mel.sample_rate, seconds=longest_seconds)[0]
        check_samples(path, len(waveform), mel, option)
        blocks, encode = iter([torch.from_numpy(waveform)[None]]), encoded_whole
    own = 0

    def behind(samples: int) -> int:
        nonlocal own
        own = -(-samples // unit)
        return unit * (own + beyond + more + 1) - samples if beyond else 0

    latents = encode(continued(blocks, unit * (ahead + more) if ahead else 0, behind, mel.sample_rate), autoencoder)
    latents = latents[..., more if ahead else 0 :]
    return latents[..., : own + ahead + beyond] if beyond else latents


def encoded_whole(signal: Iterator[Tensor], autoencoder: MelVAE) -> Tensor:
    """Samples, `(1, samples)` in one block, to raw latents `(1, channels, latent_frames)`."""
    device = next(autoencoder.parameters()).device
    log_mel = LogMelSpectrogram(autoencoder.mel).to(device)(next(signal).to(device))
    return autoencoder.encode(log_mel).mean.float()


def encoded_pieces(signal: Iterator[Tensor], autoencoder: MelVAE) -> Tensor:
    """The same of any number of blocks."""
    device = next(autoencoder.parameters()).device
    log_mels = in_turn(streaming_front_end(autoencoder.mel, PIECE_FRAMES), signal)
    latents = in_turn(streaming_encoder(autoencoder, PIECE_FRAMES), (log_mel.to(device) for log_mel in log_mels))
    return torch.cat([piece.float() for piece in latents], dim=-1)


def resampled_blocks(path: Path, sample_rate: int) -> Iterator[Tensor]:
    """A sound file at another rate, or its own, block by block, `(1, samples)` each.

    Raises:
        ValueError: an unreadable file.
    """
    own_rate = audio_rate(path)
    blocks = (torch.from_numpy(block)[None] for block in read_blocks(path, BLOCK_SECONDS))
    if own_rate == sample_rate:
        return blocks
    return in_turn(streaming_resampler(own_rate, sample_rate, round(BLOCK_SECONDS * sample_rate)), blocks)


def continued(blocks: Iterator[Tensor], ahead: int, behind: Callable[[int], int], sample_rate: int) -> Iterator[Tensor]:
    """Blocks of a sound, with what sounds like its first moments ahead of it and like its last ones behind it.

    Args:
        blocks: `(1, samples)` each; the first is all of the sound or longer than its first moments.
        ahead: samples to add ahead.
        behind: how many to add behind a sound of so many samples.
        sample_rate: in Hz.
    """
    fold = round(FOLD_SECONDS * sample_rate)
    held = next(blocks)
    samples, begun = held.shape[1], False
    for block in blocks:
        if ahead and not begun:
            yield led_over(held, ahead, sample_rate)[:, :ahead]
        begun = True
        samples += block.shape[1]
        # Whatever comes last, its last moments are at hand.
        yield held[:, :-fold]
        held = torch.cat([held[:, -fold:], block], dim=1)
    added = behind(samples)
    held = gone_on(held, added, sample_rate) if added else held
    yield led_over(held, ahead, sample_rate) if ahead and not begun else held
