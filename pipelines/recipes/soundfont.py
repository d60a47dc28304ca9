"""Read the headers of a SoundFont 2 file: which recorded samples sound for a key of a preset.

A soundfont's recordings are its samples. A preset is a list of zones, each with a key and a velocity range and an
instrument; an instrument again is a list of zones, each with ranges and one sample. The samples of a note are those
of all zones it falls into. (SoundFont Technical Specification 2.04, chapters 5, 7 and 8.)
"""

import hashlib
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

KEY_RANGE, VELOCITY_RANGE, INSTRUMENT, SAMPLE = 43, 44, 41, 53  # generator numbers of the specification
ATTENUATION = 48
VELOCITY_CONTROLLER = 2
FULL_RANGE = (0, 127)
RECORDS = {
    b"phdr": "<20sHHHIII", b"pbag": "<HH", b"pmod": "<HHhHH", b"pgen": "<HH", b"inst": "<20sH", b"ibag": "<HH",
    b"imod": "<HHhHH", b"igen": "<HH", b"shdr": "<20sIIIIIBbHH",
}  # fmt: skip


@dataclass(frozen=True)
class Zone:
    """Ranges, and the instrument or sample they lead to.

    Attributes:
        keys: lowest and highest key.
        velocities: lowest and highest velocity.
        target: index of the instrument (preset zone) or the sample (instrument zone).
        shaped: true where velocity steers more than level.
    """

    keys: tuple[int, int]
    velocities: tuple[int, int]
    target: int
    shaped: bool

    def holds(self, key: int, velocity: int) -> bool:
        """Whether a note falls into the zone."""
        return self.keys[0] <= key <= self.keys[1] and self.velocities[0] <= velocity <= self.velocities[1]


@dataclass(frozen=True)
class Soundfont:
    """The headers of a font.

    Attributes:
        sample_names: name of each sample.
        recordings: for each sample the id of its recording; equal samples, and both sides of a stereo pair, share one.
        presets: zones by (bank, program); bank 128 holds the drum kits.
        instruments: zones of each instrument.
    """

    sample_names: tuple[str, ...]
    recordings: tuple[str, ...]
    presets: dict[tuple[int, int], tuple[Zone, ...]]
    instruments: tuple[tuple[Zone, ...], ...]

    def recordings_of(self, bank: int, program: int, key: int, velocity: int) -> tuple[str, ...]:
        """Ids of the recordings that sound for a note, sorted; empty for a silent one."""
        return tuple(sorted({self.recordings[zone.target] for _, zone in self._zones(bank, program, key, velocity)}))

    def is_shaped(self, bank: int, program: int, key: int, velocities: tuple[int, int]) -> bool:
        """Whether two velocities of a key differ in more than level: another sample, or a modulated sound."""
        found = [tuple(self._zones(bank, program, key, velocity)) for velocity in velocities]
        return found[0] != found[1] or any(outer.shaped or inner.shaped for outer, inner in found[0])

    def _zones(self, bank: int, program: int, key: int, velocity: int) -> Iterator[tuple[Zone, Zone]]:
        for outer in self.presets.get((bank, program), ()):
            if outer.holds(key, velocity):
                for inner in self.instruments[outer.target]:
                    if inner.holds(key, velocity):
                        yield outer, inner


def read_soundfont(path: Path) -> Soundfont:
    """Read the headers of a SoundFont 2 file.

    Raises:
        ValueError: the file cannot be read, is no SoundFont 2 or is damaged.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(data)
    except (OSError, struct.error, IndexError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: not a readable SoundFont 2 file ({error or type(error).__name__})") from error


def _parse(data: mmap.mmap) -> Soundfont:
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise ValueError("no sfbk header")
    chunks: dict[bytes, tuple[int, int]] = {}
    for kind, start, size in _chunks(data, 12, len(data)):
        if kind == b"LIST":
            chunks.update({inner: (at, length) for inner, at, length in _chunks(data, start + 4, start + size)})
    tables = {kind: _records(data, chunks, kind) for kind in RECORDS}
    instruments = _all_zones(tables, b"inst", 1, b"ibag", b"igen", b"imod", SAMPLE)
    presets = _all_zones(tables, b"phdr", 3, b"pbag", b"pgen", b"pmod", INSTRUMENT)
    keys = [(int(header[2]), int(header[1])) for header in tables[b"phdr"][:-1]]
    headers = tables[b"shdr"][:-1]
    return Soundfont(
        sample_names=tuple(_text(header[0]) for header in headers),
        recordings=_recordings(data, chunks[b"smpl"], headers),
        presets=dict(zip(keys, presets, strict=True)),
        instruments=tuple(instruments),
    )


def _chunks(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and size in bytes of each RIFF chunk between two places."""
    while start + 8 <= end:
        kind, size = struct.unpack_from("<4sI", data, start)
        if start + 8 + size > len(data):
            raise ValueError(f"chunk {kind!r} ends behind the file")
        yield kind, start + 8, size
        start += 8 + size + size % 2


def _records(data: mmap.mmap, chunks: dict[bytes, tuple[int, int]], kind: bytes) -> list[tuple[Any, ...]]:
    if kind not in chunks:
        raise ValueError(f"chunk {kind!r} is missing")
    start, size = chunks[kind]
    return list(struct.iter_unpack(RECORDS[kind], data[start : start + size]))


def _all_zones(
    tables: dict[bytes, list[tuple[Any, ...]]],
    heads: bytes, column: int, bags: bytes, generators: bytes, modulators: bytes, target: int,
) -> list[tuple[Zone, ...]]:  # fmt: skip
    """The zones of every preset or instrument; `column` of its header holds its first bag."""
    firsts = [head[column] for head in tables[heads]]
    result = []
    for first, last in pairwise(firsts):
        general: dict[int, int] = {}
        general_shaped = False
        zones = []
        for bag in range(first, last):
            here, following = tables[bags][bag], tables[bags][bag + 1]
            own = dict(tables[generators][here[0] : following[0]])
            shaped = any(map(_shapes_timbre, tables[modulators][here[1] : following[1]]))
            if target in own:
                merged = {**general, **own}
                zones.append(Zone(_range(merged, KEY_RANGE), _range(merged, VELOCITY_RANGE), own[target],
                                  shaped or general_shaped))  # fmt: skip
            elif bag == first:  # a first zone that leads nowhere holds the defaults of the others
                general, general_shaped = own, shaped
        result.append(tuple(zones))
    return result


def _shapes_timbre(modulator: tuple[Any, ...]) -> bool:
    """Whether a modulator lets velocity steer anything but attenuation."""
    # The low seven bits of the source name it, bit 7 makes it a MIDI controller.
    source, destination, amount = modulator[:3]
    return bool(source & 0xFF == VELOCITY_CONTROLLER and destination != ATTENUATION and amount != 0)


def _range(generators: dict[int, int], kind: int) -> tuple[int, int]:
    value = generators.get(kind)
    return FULL_RANGE if value is None else (value & 0xFF, value >> 8)


def _recordings(data: mmap.mmap, chunk: tuple[int, int], headers: list[tuple[Any, ...]]) -> tuple[str, ...]:
    """One id for each sample: by content, and the same one for both sides of a stereo pair."""
    base, size = chunk
    digests = []
    for header in headers:
        start, end = base + 2 * header[1], base + 2 * header[2]
        if not base <= start <= end <= base + size:
            raise ValueError(f"sample '{_text(header[0])}' lies outside the data")
        digests.append(hashlib.sha256(data[start:end]).hexdigest())
    ids: dict[str, str] = {}
    for index in range(len(headers)):
        other = _other_side(headers, index)
        pair = [index] if other is None else sorted((index, other))
        known = next((ids[digests[i]] for i in pair if digests[i] in ids), None)
        for i in pair:
            ids.setdefault(digests[i], known or f"{_text(headers[pair[0]][0])}#{digests[pair[0]][:8]}")
    return tuple(ids[digest] for digest in digests)


def _other_side(headers: list[tuple[Any, ...]], index: int) -> int | None:
    """Index of the sample that is the other side of a stereo pair.

    Fonts link the two sides (sample type: 2 right, 4 left), but FluidR3 leaves all links at 0; its pairs are neighbours
    whose names differ in nothing but an L and an R.
    """
    link, kind = headers[index][8:10]
    if kind not in (2, 4):
        return None
    sides = {2, 4}
    if link < len(headers) and headers[link][8] == index and {kind, headers[link][9]} == sides:
        return int(link)
    name = _text(headers[index][0])
    for other in (index - 1, index + 1):
        if 0 <= other < len(headers) and {kind, headers[other][9]} == sides:
            twin = _text(headers[other][0])
            if len(twin) == len(name) and [{a, b} for a, b in zip(name, twin, strict=True) if a != b] == [{"L", "R"}]:
                return other
    return None


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("latin-1").strip()
