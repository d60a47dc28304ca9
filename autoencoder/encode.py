"""`python -m autoencoder.encode`: a folder of audio becomes one latent file, once.

Every clip is written several times: whole at its own level, then at random gains, long ones as random crops too. Each
is followed by silence for as long as the encoder can see, so that beyond it the latent of silence goes on seamlessly.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from audio.dataset import AudioFolder, Clip
from audio.files import read_audio
from audio.latents import LatentClip, LatentFile, LatentSpec
from audio.mel import LogMelSpectrogram
from autoencoder.model import MelVAE
from training.command import answer, run_command, say
from training.device import Device, choose_device


def encode(
    checkpoint: Path,
    audio: Path,
    out: Path,
    max_seconds: float = 4.0,
    variants: int = 3,
    gain_db: float = -15.0,
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
        device: where to compute.
        seed: of crops and gains.

    Raises:
        ValueError: a wrong checkpoint, an unusable folder, or a number out of its range.
    """
    if not 0.1 <= max_seconds <= 600.0 or variants < 1 or not -60.0 <= gain_db <= 0.0:
        raise ValueError(
            "expected max_seconds 0.1 to 600, variants >= 1 and gain_db -60 to 0, "
            f"got {max_seconds}, {variants}, {gain_db}"
        )
    network = MelVAE.from_checkpoint(checkpoint)
    folder = AudioFolder.scan(audio)
    say(folder.report())
    pieces = list(_pieces(folder, max_seconds, variants, gain_db, seed))
    seconds = sum(piece.seconds for piece in pieces)
    rate = network.mel.frame_rate / network.config.frames_per_latent
    megabytes = seconds * rate * network.config.latent_channels * 2 * 2 / 2**20
    say(
        f"encoding {len(pieces)} pieces, {seconds / 60:.0f} minutes of audio; the latent file takes {megabytes:.0f} MiB"
    )
    place = choose_device(device)
    encoder = _Encoder(network.to(place), place)
    means, stds, rows = [], [], []
    start = 0
    for piece in track(pieces, "encoding", disable=not sys.stderr.isatty()):
        mean, std, inside = encoder(piece)
        means.append(mean)
        stds.append(std)
        rows.append((piece, start, mean.shape[1], inside))
        start += mean.shape[1]
    all_means, all_stds = torch.cat(means, dim=1), torch.cat(stds, dim=1)
    spec = _spec(network, encoder.silence(), all_means, all_stds, rows)
    clips = tuple(_row(piece, folder.root, first, frames) for piece, first, frames, _ in rows)
    lineage = {
        "autoencoder": network.record.fingerprint if network.record else "",
        "data": folder.fingerprint(),
        "clips": len(folder.split("train")),
        "licences": folder.licences(),
    }
    LatentFile(spec, clips, all_means.half(), all_stds.half(), lineage).save(out)
    say(f"wrote {out}: {len(clips)} rows, {start} latent frames of {spec.channels} channels")
    answer(f"latents: {out}")
    config = "configs/oneshots/latent_diffusion.yaml"
    answer(f"next: python -m latent_diffusion fit -c {config} --data.latents {out}")


class _Piece:
    """A crop of a clip at a gain."""

    def __init__(self, clip: Clip, start: float, seconds: float, gain_db: float) -> None:
        self.clip = clip
        self.start = start
        self.seconds = seconds
        self.gain_db = gain_db


def _pieces(folder: AudioFolder, max_seconds: float, variants: int, gain_db: float, seed: int) -> Iterator[_Piece]:
    draw = np.random.default_rng(seed)
    for clip in folder.clips:
        if clip.split == "test":
            continue
        seconds = min(clip.seconds, max_seconds)
        yield _Piece(clip, 0.0, seconds, 0.0)
        for _ in range(variants - 1 if clip.split == "train" else 0):
            spare = clip.seconds - seconds
            yield _Piece(
                clip, float(draw.uniform(0, spare)) if spare > 0.1 else 0.0, seconds, draw.uniform(gain_db, 0.0)
            )


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

    def __call__(self, piece: _Piece) -> tuple[Tensor, Tensor, int]:
        """Posterior of a piece and its tail, and the number of latent frames inside the clip."""
        mel = self.network.mel
        waveform, _ = read_audio(piece.clip.path, mel.sample_rate, piece.start, piece.seconds)
        signal = torch.from_numpy(waveform * np.float32(10.0 ** (piece.gain_db / 20.0)))
        inside = -(-len(signal) // (mel.hop_length * self.factor))
        frames = inside + self.tail
        needed = (frames + self.tail) * self.factor * mel.hop_length + mel.padding
        mean, std = self.posterior(torch.nn.functional.pad(signal, (0, needed - len(signal))))
        return mean[:, :frames], std[:, :frames], inside

    def silence(self) -> Tensor:
        """The latent frame of digital silence, far from any border, `(channels,)`."""
        frames = (4 * self.tail + 1) * self.factor
        mean, _ = self.posterior(torch.zeros(frames * self.network.mel.hop_length))
        return mean[:, 2 * self.tail]


def _spec(
    network: MelVAE, silence: Tensor, means: Tensor, stds: Tensor, rows: list[tuple[_Piece, int, int, int]]
) -> LatentSpec:
    """Statistics over the frames inside the training clips; the posterior's spread counts."""
    inside = torch.zeros(means.shape[1], dtype=torch.bool)
    for piece, first, _, frames in rows:
        if piece.clip.split == "train":
            inside[first : first + frames] = True
    kept = means[:, inside].double()
    variance = kept.var(dim=1) + stds[:, inside].double().square().mean(dim=1)
    return LatentSpec(
        channels=network.config.latent_channels,
        frames_per_latent=network.config.frames_per_latent,
        mean=tuple(kept.mean(dim=1).tolist()),
        std=tuple(variance.sqrt().tolist()),
        mel=network.mel,
        encoder_fingerprint=network.record.parts["encoder"] if network.record else "",
        silence=tuple(silence.tolist()),
    )


def _row(piece: _Piece, root: Path, first: int, frames: int) -> LatentClip:
    clip = replace(piece.clip, loudness=piece.clip.loudness + piece.gain_db, seconds=piece.seconds)
    return LatentClip(
        start=first,
        frames=frames,
        captions=clip.captions,
        numbers=clip.numbers,
        label=clip.label,
        family=clip.family,
        source=clip.source,
        rendered=clip.rendered,
        split=clip.split,
        file_name=str(clip.path.relative_to(root)),
    )


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m autoencoder.encode`."""
    return run_command(encode, arguments, program="python -m autoencoder.encode")


if __name__ == "__main__":
    sys.exit(main())
