"""The nearest training clip of generated, training and held-out clips, and what follows from their distances."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any

import torch
from torch import Tensor

from audio.dataset import AudioFolder, Clip
from audio.files import read_audio
from evaluation.alignment import PICTURE_MEL, Picture, PictureMaker, gist
from evaluation.copies import (
    EVERYTHING,
    CopyTest,
    Neighbour,
    fit_copy_test,
    merged,
    nearest_by_picture,
    shortlist,
)
from evaluation.duplicates import COMPARED_RATE, COMPARED_SECONDS, SAME_CORRELATION, waveform_similarity
from evaluation.embedders import EmbeddingCache
from evaluation.intervals import Interval, share_interval
from pipelines.memorisation_decoding import COPY_NOISE, ClipDecoder, PlantedCopies
from pipelines.memorisation_findings import Findings, Match, Power, Shares
from pipelines.progress import bar

# Training clips nearer than this, over the median of their class, are looked at for twins; so often at most.
DOUBTFUL = 0.5
ROUNDS = 3
DECODED = "decoded by the model"


@dataclass(frozen=True)
class Heard:
    """Clips with what they are compared by.

    Args:
        clips: of a set, as they lie in their folder.
        pictures: of each, decoded or not.
        vectors: of each, `(clips, width)`.
    """

    clips: tuple[Clip, ...]
    pictures: list[Picture]
    vectors: Tensor

    def part(self, rows: Sequence[int]) -> "Heard":
        """Some of the clips."""
        return Heard(tuple(self.clips[n] for n in rows), [self.pictures[n] for n in rows], self.vectors[list(rows)])

    @cached_property
    def gists(self) -> Tensor:
        """Of each picture, `(clips, 84)`."""
        return torch.stack([gist(picture) for picture in self.pictures])

    @cached_property
    def recordings(self) -> list[str]:
        """Of each clip."""
        return [clip.recording for clip in self.clips]


def examine(
    folder: AudioFolder,
    made: tuple[Clip, ...],
    ear: EmbeddingCache,
    facts: dict[str, Any],
    decoder: ClipDecoder | None = None,
    planted: PlantedCopies | None = None,
) -> Findings:
    """Set generated clips beside training clips, and real clips beside other recordings.

    Args:
        folder: with training clips.
        made: generated clips.
        ear: embeds clips, levelled.
        facts: for the report.
        decoder: real clips go through it first, held-out ones too; left as they are without it.
        planted: copies that the test is tried on.
    """
    train = _hear(folder.split("train"), ear, "training clips", decoder)
    held_out = _hear(folder.split("test") or folder.split("validation"), ear, "held-out clips", decoder)
    heard = _hear(made, ear, "generated clips")
    facts = facts | _counts(train, held_out, heard, ear) | {"real_clips": DECODED if decoder else "as they are"}
    found = _neighbours(heard, train, train.recordings, None, "generated clips")
    try:
        null, groups = _null(train)
        test = _fit(_distances(null), train.clips, groups)
        by_ear = _fit([item.embedding_nearest for item in null], train.clips, groups)
    except ValueError as error:
        matches = [_match(clip, item, train, None) for clip, item in zip(made, found, strict=True)]
        return Findings(facts, _sorted(matches), reason=str(error))
    facts["recordings_with_a_twin"] = len(set(train.recordings)) - len(set(groups))
    real = _neighbours(held_out, train, train.recordings, held_out.recordings, "held-out clips")
    matches = [_match(clip, item, train, test) for clip, item in zip(made, found, strict=True)]
    shares, by_embedding = (
        Shares(_share(made, ours, line), _share(held_out.clips, theirs, line))
        for ours, theirs, line in (
            (_distances(found), _distances(real), test),
            ([n.embedding_nearest for n in found], [n.embedding_nearest for n in real], by_ear),
        )
    )
    return Findings(
        facts | _judged_by(matches),
        _sorted(matches),
        shares,
        by_embedding,
        test,
        _ratios(held_out.clips, real, test),
        power=_power(planted, train, ear, test) if planted else None,
    )


def _counts(train: Heard, held_out: Heard, heard: Heard, ear: EmbeddingCache) -> dict[str, Any]:
    return {
        "embedder": ear.embedder.name,
        "fingerprint": ear.embedder.fingerprint,
        "training_clips": len(train.clips),
        "training_recordings": len(set(train.recordings)),
        "held_out_clips": len(held_out.clips),
        "generated_clips": len(heard.clips),
    }


def _distances(found: Sequence[Neighbour]) -> list[float]:
    return [item.distance for item in found]


def _ratios(clips: Sequence[Clip], found: Sequence[Neighbour], test: CopyTest) -> tuple[float, ...]:
    pairs = zip(found, clips, strict=True)
    return tuple(test.relative(item.distance, clip.label, clip.family) for item, clip in pairs)


def _power(planted: PlantedCopies, train: Heard, ear: EmbeddingCache, test: CopyTest) -> Power | None:
    """Put copies of training clips to the test, as if they had been generated."""
    heard = _hear(planted.clips, ear, "planted copies")
    found = _neighbours(heard, train, train.recordings, None, "planted copies")
    share = _share(planted.clips, _distances(found), test)
    if share is None:
        return None
    return Power(
        clips=len(found),
        suspected=round(share.value * len(found)),
        share=share,
        source_nearest=sum(
            train.clips[item.index].path == source.path
            for item, source in zip(found, planted.sources, strict=True)
            if item.index >= 0
        ),
        latent_noise=COPY_NOISE,
    )


def _hear(clips: tuple[Clip, ...], ear: EmbeddingCache, text: str, decoder: ClipDecoder | None = None) -> Heard:
    maker = PictureMaker()
    paths = decoder.of_clips(clips, bar(f"decoding {text}")) if decoder else [clip.path for clip in clips]
    pictures = [maker.draw(read_audio(path, PICTURE_MEL.sample_rate)[0]) for path in bar(f"drawing {text}")(paths)]
    return Heard(clips, pictures, ear.of_files(paths, bar(f"listening to {text}")))


def _neighbours(
    points: Heard, train: Heard, groups: Sequence[str], own: Sequence[str] | None, text: str
) -> list[Neighbour]:
    """The nearest training clip of every clip; those of its own group left out where it has one."""
    if not points.clips:
        return []
    heard = shortlist(points.vectors, train.vectors, groups, own)
    drawn = shortlist(points.gists, train.gists, groups, own)
    found = []
    for n in bar(f"comparing {text}")(range(len(points.clips))):
        also = drawn[1][n][drawn[0][n] < inf].tolist()
        found.append(nearest_by_picture(points.pictures[n], train.pictures, (heard[0][n], heard[1][n]), also))
    return found


def _null(train: Heard) -> tuple[list[Neighbour], list[str]]:
    """The nearest clip of another recording for every training clip, and the recordings, twins counted as one."""
    groups = train.recordings
    null = _neighbours(train, train, groups, groups, "training clips")
    for _ in range(ROUNDS):
        test = _fit(_distances(null), train.clips, groups)
        twins = [(n, item.index) for n, item in enumerate(null) if _twins(train, n, item, test)]
        if not twins:
            break
        groups = merged(groups, twins)
        moved = {groups[n] for n, _ in twins}
        rows = [n for n, name in enumerate(groups) if name in moved]
        again = _neighbours(train.part(rows), train, groups, [groups[n] for n in rows], "twins")
        for n, item in zip(rows, again, strict=True):
            null[n] = item
    return null, groups


def _twins(train: Heard, number: int, found: Neighbour, test: CopyTest) -> bool:
    clip = train.clips[number]
    if found.index < 0 or test.relative(found.distance, clip.label, clip.family) >= DOUBTFUL:
        return False
    waveforms = [
        read_audio(path, COMPARED_RATE)[0][: round(COMPARED_SECONDS * COMPARED_RATE)]
        for path in (clip.path, train.clips[found.index].path)
    ]
    return waveform_similarity(*waveforms) >= SAME_CORRELATION


def _fit(distances: Sequence[float], clips: Sequence[Clip], groups: Sequence[str]) -> CopyTest:
    return fit_copy_test(distances, [clip.label for clip in clips], [clip.family for clip in clips], groups)


def _match(clip: Clip, found: Neighbour, train: Heard, test: CopyTest | None) -> Match:
    match = Match(clip, train.clips[found.index] if found.index >= 0 else None, found)
    if test is None:
        return match
    return replace(
        match,
        threshold=test.threshold(clip.label, clip.family),
        relative=test.relative(found.distance, clip.label, clip.family),
        judged_by=test.group(clip.label, clip.family),
    )


def _sorted(matches: Iterable[Match]) -> tuple[Match, ...]:
    return tuple(
        sorted(matches, key=lambda match: match.neighbour.distance if match.relative is None else match.relative)
    )


def _judged_by(matches: Sequence[Match]) -> dict[str, int]:
    """How many clips were compared with real distances of their class, of their family, of all clips."""
    kinds = [match.judged_by if match.judged_by == EVERYTHING else match.judged_by.split()[0] for match in matches]
    names = {"class": "judged_by_class", "family": "judged_by_family", EVERYTHING: "judged_by_all_clips"}
    return {name: kinds.count(kind) for kind, name in names.items()}


def _share(clips: Sequence[Clip], distances: Sequence[float], test: CopyTest) -> Interval | None:
    if not clips:
        return None
    names = {name: number for number, name in enumerate(sorted({clip.recording for clip in clips}))}
    below = [d < test.threshold(clip.label, clip.family) for d, clip in zip(distances, clips, strict=True)]
    units = torch.tensor([names[clip.recording] for clip in clips])
    return share_interval(torch.tensor(below, dtype=torch.float64), units)
