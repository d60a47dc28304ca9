"""`python -m autoencoder.encode`: a folder of audio becomes one latent file, once.

Every clip is written several times: whole at its own level, then at random gains, long ones as random crops too, and
where asked played faster or slower, its captions and numbers with it, or brighter and darker. Each is followed by
silence for as long as the encoder can see, so that beyond it the latent of silence goes on seamlessly.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from audio.dataset import AudioFolder
from audio.files import file_hash, read_audio
from audio.latents import LatentFile, LatentSpec
from audio.measures import brightness_hz
from audio.mel import LogMelSpectrogram
from audio.tilting import MOST_DB_PER_OCTAVE
from audio.tilting import tilted as tilt
from audio.transposing import transposed as play
from autoencoder.model import MelVAE
from autoencoder.parts import Encoded, EncodedParts
from autoencoder.pieces import Piece, pieces_of, row_of, tilted_pieces, transposed_pieces
from training.command import answer, run_command, say
from training.device import Device, choose_device

# Pieces that are kept together: the most that a kill can lose.
PART_PIECES = 200
# Grows when the same plan gives other numbers.
PARTS_FORMAT = 2
# Training clips on which the worth of each channel is measured, and latent frames of each.
GAIN_CLIPS, GAIN_FRAMES = 64, 24
# How far a channel is moved for that, in its standard deviations.
GAIN_STEP = 0.5


def encode(
    checkpoint: Path,
    audio: Path,
    out: Path,
    max_seconds: float = 4.0,
    variants: int = 3,
    gain_db: float = -15.0,
    transposed: int = 0,
    transpose: int = 2,
    tilted: int = 0,
    tilt_db: float = 4.0,
    device: Device = "auto",
    seed: int = 0,
) -> None:
    """Encode a folder of audio with a trained autoencoder.

    Args:
        checkpoint: of the autoencoder, .ckpt or .safetensors.
        audio: folder of clips.
        out: latent file to write, .safetensors.
        max_seconds: longest piece of a clip that is encoded.
        variants: how often each training clip is encoded; the first time whole and at its own level.
        gain_db: lowest random gain of the further variants, in dB.
        transposed: how often more each training clip is encoded, played faster or slower.
        transpose: semitones by which these are moved, at most; whole ones, so that captions can name their notes.
        tilted: how often more each training clip is encoded, brighter and darker in turn, for --brightness.
        tilt_db: an octave, by which these are tilted at most.
        device: where to compute.
        seed: of crops, gains and tilts.

    Raises:
        ValueError: a wrong checkpoint, an unusable folder, or a number out of its range.
    """
    if not 0.1 <= max_seconds <= 600.0 or variants < 1 or not -60.0 <= gain_db <= 0.0:
        raise ValueError(
            "expected max_seconds 0.1 to 600, variants >= 1 and gain_db -60 to 0, "
            f"got {max_seconds}, {variants}, {gain_db}"
        )
    if transposed < 0 or not 1 <= transpose <= 12:
        raise ValueError(f"expected transposed >= 0 and transpose 1 to 12 semitones, got {transposed}, {transpose}")
    if tilted < 0 or not 0.0 < tilt_db <= MOST_DB_PER_OCTAVE:
        raise ValueError(f"expected tilted >= 0 and tilt_db 0 to 12 dB an octave, got {tilted}, {tilt_db}")
    if out.is_dir():
        raise ValueError(f"out: expected the name of a file to write, got the folder '{out}'")
    network = MelVAE.from_checkpoint(checkpoint)
    folder = AudioFolder.scan(audio)
    say(folder.report())
    if not folder.split("train"):
        raise ValueError(f"audio: '{audio}' has no clip of the training split")
    place = choose_device(device)
    encoder = _Encoder(network.to(place), place)
    options = {"max_seconds": max_seconds, "variants": variants, "gain_db": gain_db, "seed": seed}
    options |= {"transposed": transposed, "transpose": transpose, "tilted": tilted, "tilt_db": tilt_db}
    parts = EncodedParts(out.with_name(f"{out.name}.parts"), _plan(checkpoint, folder, place, options))
    pieces = list(pieces_of(folder, max_seconds, variants, gain_db, seed))
    pieces += transposed_pieces(folder, max_seconds, transposed, transpose, seed)
    pieces += tilted_pieces(folder, max_seconds, tilted, tilt_db, seed)
    with parts.held():
        encoded = _encoded(pieces, encoder, parts)
        file = _latent_file(network, pieces, encoded, folder)
        file.save(out)
        parts.remove()
    say(f"wrote {out}: {len(pieces)} rows, {file.mean.shape[1]} latent frames of {file.spec.channels} channels")
    answer(f"latents: {out}")
    config = "configs/oneshots/latent_diffusion.yaml"
    answer(f"next: python -m latent_diffusion fit -c {config} --data.latents {out}")


def _plan(checkpoint: Path, folder: AudioFolder, place: torch.device, options: dict[str, Any]) -> dict[str, Any]:
    """All that decides the result: the file of weights, each clip as the disk knows it, the options, this code."""
    stats = [(str(clip.path), clip.path.stat()) for clip in folder.clips]
    return {
        "format": PARTS_FORMAT,
        "part_pieces": PART_PIECES,
        "checkpoint": file_hash(checkpoint),
        "clips": [[name, clip.st_size, clip.st_mtime_ns] for name, clip in stats],
        "splits": [clip.split for clip in folder.clips],
        "device": place.type,
        **options,
    }


def _forecast(pieces: Sequence[Piece], encoder: "_Encoder") -> str:
    """How much there is to do, how long it takes and what disk it needs, from one timed piece."""
    rate = encoder.network.mel.frame_rate / encoder.factor
    # Behind each clip the encoder looks at silence: for its own tail, and for the reach of that.
    tail = 2 * encoder.tail / rate
    longest = max(pieces, key=lambda piece: piece.seconds)
    encoder(longest)
    started = time.perf_counter()
    encoder(longest)
    took = (time.perf_counter() - started) / (longest.seconds + tail)
    seconds = sum(piece.seconds for piece in pieces)
    minutes = took * (seconds + tail * len(pieces)) / 60.0
    numbers = (seconds * rate + encoder.tail * len(pieces)) * encoder.network.config.latent_channels * 2
    # Two bytes a number in the latent file, four in the parts that are kept until it is written.
    return (
        f"encoding {len(pieces)} pieces, {seconds / 60:.0f} minutes of audio: about {minutes:.1f} min; "
        f"needs {numbers * 6 / 2**20:.0f} MiB of disk, the latent file takes {numbers * 2 / 2**20:.0f} MiB"
    )


def _encoded(pieces: Sequence[Piece], encoder: "_Encoder", parts: EncodedParts) -> list[Encoded]:
    """Posteriors of all pieces; what an earlier run has finished is read, not done again."""
    chosen = {start // PART_PIECES: pieces[start : start + PART_PIECES] for start in range(0, len(pieces), PART_PIECES)}
    missing = [number for number in chosen if not parts.done(number)]
    if len(missing) < len(chosen):
        say(f"going on: {len(chosen) - len(missing)} of {len(chosen)} parts are already encoded")
    if missing:
        say(_forecast([piece for number in missing for piece in chosen[number]], encoder))
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("encoding", total=sum(len(chosen[number]) for number in missing))
        for number in missing:
            part = []
            for piece in chosen[number]:
                part.append(encoder(piece))
                progress.advance(bar)
            parts.save(number, part)
    return [row for number in chosen for row in parts.load(number)]


class _Encoder:
    """Waveform to posterior, with the silence that the encoder must see at the end."""

    def __init__(self, network: MelVAE, device: torch.device) -> None:
        self.network = network
        self.device = device
        self.front_end = LogMelSpectrogram(network.mel).to(device)
        self.factor = network.config.frames_per_latent
        # Latent frames after the clip whose view still holds some of it.
        self.tail = -(-network.encoder_reach() // self.factor) + 1

    @torch.inference_mode()
    def posterior(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation, `(channels, latent_frames)` each, of `(samples,)`."""
        posterior = self.network.encode(self.front_end(waveform[None].to(self.device)))
        return posterior.mean[0].cpu(), posterior.std[0].cpu()

    def __call__(self, piece: Piece) -> Encoded:
        """Posterior of a piece and its tail."""
        mel = self.network.mel
        waveform, _ = read_audio(piece.clip.path, mel.sample_rate, piece.start, piece.read_seconds)
        waveform = tilt(play(waveform, piece.speed), mel.sample_rate, piece.tilt_db)
        signal = torch.from_numpy(waveform * np.float32(10.0 ** (piece.gain_db / 20.0)))
        inside = -(-len(signal) // (mel.hop_length * self.factor))
        frames = inside + self.tail
        needed = (frames + self.tail) * self.factor * mel.hop_length + mel.padding
        mean, std = self.posterior(torch.nn.functional.pad(signal, (0, needed - len(signal))))
        bright = brightness_hz(waveform, mel.sample_rate) if piece.tilt_db else 0.0
        return Encoded(mean[:, :frames].contiguous(), std[:, :frames].contiguous(), inside, bright)


def _latent_file(
    network: MelVAE,
    pieces: Sequence[Piece],
    encoded: Sequence[Encoded],
    folder: AudioFolder,
) -> LatentFile:
    """All pieces end to end; statistics of the frames inside the training clips, the posterior's spread included."""
    rows, kept, start = [], [], 0
    for piece, row in zip(pieces, encoded, strict=True):
        rows.append(row_of(piece, folder.root, start, row.mean.shape[1], row.brightness))
        start += row.mean.shape[1]
        if piece.clip.split == "train":
            kept.append((row.mean[:, : row.inside].double(), row.std[:, : row.inside].double()))
    means, stds = (torch.cat(column, dim=1) for column in zip(*kept, strict=True))
    variance = means.var(dim=1) + stds.square().mean(dim=1)
    std = variance.sqrt()
    spec = LatentSpec(
        channels=network.config.latent_channels,
        frames_per_latent=network.config.frames_per_latent,
        mean=tuple(means.mean(dim=1).tolist()),
        std=tuple(std.tolist()),
        mel=network.mel,
        encoder_fingerprint=network.record.parts["encoder"] if network.record else "",
        silence=tuple(network.silence().tolist()),
        gains=tuple(channel_gains(network, [row[0] for row in kept], std).tolist()),
    )
    mean = torch.cat([row.mean for row in encoded], dim=1).half()
    spread = torch.cat([row.std for row in encoded], dim=1).half()
    lineage = {
        "autoencoder": network.record.fingerprint if network.record else "",
        "data": folder.fingerprint(),
        "clips": len(folder.split("train")),
        "licences": folder.licences(),
    }
    return LatentFile(spec, tuple(rows), mean, spread, lineage)


@torch.inference_mode()
def channel_gains(network: MelVAE, means: Sequence[Tensor], std: Tensor) -> Tensor:
    """What each latent channel is worth: how far the decoded log-mel moves with it, in nats, `(channels,)`.

    Each channel in turn is moved up or down by half a standard deviation, frame by frame at random.

    Args:
        network: decodes.
        means: raw latents of the frames inside clips, `(channels, latent_frames)` each, at least one frame in all.
        std: of each channel.
    """
    generator = torch.Generator().manual_seed(0)
    device = next(network.parameters()).device
    frames = torch.cat([row[:, :GAIN_FRAMES] for row in means[:: -(-len(means) // GAIN_CLIPS)]], dim=1).float()
    latents = frames[None].to(device)
    plain = network.decode(latents)
    gains = []
    for channel, size in enumerate(std.tolist()):
        signs = torch.randint(2, (frames.shape[1],), generator=generator) * 2.0 - 1.0
        moved = latents.clone()
        moved[0, channel] += GAIN_STEP * size * signs.to(latents)
        gains.append((network.decode(moved) - plain).square().mean().sqrt() / GAIN_STEP)
    return torch.stack(gains).clamp(min=1e-6).cpu()


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m autoencoder.encode`."""
    return run_command(encode, arguments, program="python -m autoencoder.encode")


if __name__ == "__main__":
    sys.exit(main())
