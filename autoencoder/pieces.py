"""Which pieces of a folder are encoded, and what is known of each."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from audio.dataset import AudioFolder, Clip
from audio.latents import LatentClip
from audio.notes import moved_notes
from audio.transposing import speed_of

COLOURS = re.compile(
    r"\b(bright|brilliant|crisp|dark|dull|mellow|muffled|sparkling|warm)(er|ly|ness)?\b", re.IGNORECASE
)


class Piece:
    """A crop of a clip at a gain, perhaps played faster or slower, or made brighter or darker.

    Args:
        clip: of a folder.
        start: of the crop, in seconds.
        seconds: of the clip that are read.
        gain_db: of the crop.
        semitones: by which it is moved.
        tilt_db: an octave, by which its spectrum is tilted.
    """

    def __init__(
        self, clip: Clip, start: float, seconds: float, gain_db: float, semitones: int = 0, tilt_db: float = 0.0
    ) -> None:
        self.clip = clip
        self.start = start
        # Of the clip; what comes of it is shorter where it is played faster.
        self.read_seconds = seconds
        self.speed = speed_of(semitones)
        self.seconds = seconds / float(self.speed)
        self.gain_db = gain_db
        self.semitones = semitones
        self.tilt_db = tilt_db


def pieces_of(folder: AudioFolder, max_seconds: float, variants: int, gain_db: float, seed: int) -> Iterator[Piece]:
    """All clips but those of the test split, those of training several times, further ones at random gains.

    Args:
        folder: of clips.
        max_seconds: longest piece.
        variants: of a training clip.
        gain_db: lowest gain of the further variants.
        seed: of crops and gains.
    """
    draw = np.random.default_rng(seed)
    for clip in folder.clips:
        if clip.split == "test":
            continue
        seconds = min(clip.seconds, max_seconds)
        yield Piece(clip, 0.0, seconds, 0.0)
        for _ in range(variants - 1 if clip.split == "train" else 0):
            spare = clip.seconds - seconds
            yield Piece(
                clip, float(draw.uniform(0, spare)) if spare > 0.1 else 0.0, seconds, draw.uniform(gain_db, 0.0)
            )


def transposed_pieces(
    folder: AudioFolder, max_seconds: float, transposed: int, transpose: int, seed: int
) -> Iterator[Piece]:
    """All clips of the training split, each `transposed` times, played faster or slower.

    Args:
        folder: of clips.
        max_seconds: longest piece that comes of one.
        transposed: how often each, every time by another number of semitones.
        transpose: semitones at most.
        seed: of the semitones.
    """
    draw = np.random.default_rng((seed, 1))
    moves = [semitones for semitones in range(-transpose, transpose + 1) if semitones]
    for clip in folder.split("train"):
        for semitones in draw.choice(moves, min(transposed, len(moves)), replace=False).tolist():
            yield Piece(clip, 0.0, min(clip.seconds, max_seconds * float(speed_of(semitones))), 0.0, semitones)


def tilted_pieces(folder: AudioFolder, max_seconds: float, tilted: int, tilt_db: float, seed: int) -> Iterator[Piece]:
    """All clips of the training split, each `tilted` times, made brighter and darker in turn.

    Args:
        folder: of clips.
        max_seconds: longest piece.
        tilted: how often each.
        tilt_db: an octave, at most.
        seed: of the tilts.
    """
    draw = np.random.default_rng((seed, 2))
    for clip in folder.split("train"):
        first = draw.choice((-1.0, 1.0))
        for number in range(tilted):
            tilt = first * (-1.0) ** number * draw.uniform(0.1, 1.0) * tilt_db
            yield Piece(clip, 0.0, min(clip.seconds, max_seconds), 0.0, tilt_db=float(tilt))


def row_of(piece: Piece, root: Path, first: int, frames: int, brightness: float) -> LatentClip:
    """What is known of a piece, for the latent file.

    Args:
        piece: that was encoded.
        root: of its folder.
        first: latent frame with which it begins in the file.
        frames: that it has there.
        brightness: of what was encoded, in Hz; that of the clip where nothing was tilted.
    """
    own = piece.clip
    captions = own.captions
    if piece.tilt_db:
        # What words say of its colour may hold no longer.
        captions = tuple(caption for caption in captions if not COLOURS.search(caption)) or captions
    clip = replace(
        own,
        captions=tuple(moved_notes(caption, piece.semitones) for caption in captions),
        loudness=own.loudness + piece.gain_db,
        seconds=piece.seconds,
        pitch=None if own.pitch is None else own.pitch + piece.semitones,
        brightness=brightness if piece.tilt_db else own.brightness * float(piece.speed),
    )
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
        file_name=str(own.path.relative_to(root)),
        gain_db=piece.gain_db,
        tilt_db=piece.tilt_db,
    )
