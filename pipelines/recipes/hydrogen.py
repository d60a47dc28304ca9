"""Drum kits and guitar strums of the Hydrogen drum machine: each kit's drumkit.xml says what its files are.

An instrument of a kit is one recording group with all its velocity layers. Instruments have free names ("Sabian Hat
Semi-Open", "c3 - bass drum 1", "redo super opaco"), which rules turn into classes; where a name says nothing, the
clip is "a drum hit" and no more is claimed.
"""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from pipelines.recipes.clips import Clip

FOLDER = "usr/share/hydrogen/data/drumkits"


@dataclass(frozen=True)
class Kit:
    """A kit of a package.

    Attributes:
        package: Debian package.
        folder: its folder inside the package.
        name: as it appears in `source` and in paths.
        licence: SPDX identifier, from the package's copyright file.
        free: part of the default recipe (CC0 and CC-BY).
        words: true context words.
    """

    package: str
    folder: str
    name: str
    licence: str
    free: bool
    words: tuple[str, ...]


KITS = (
    Kit("hydrogen-drumkits", "Audiophob", "Audiophob", "CC0-1.0", True, ()),
    Kit("hydrogen-drumkits", "rumpf_kit_z01_h2", "rumpf_kit", "CC-BY-3.0", True, ("analog",)),
    Kit("hydrogen-drumkits-effects", "belofilms_GuitarStrums", "GuitarStrums", "CC-BY-3.0", True, ("acoustic",)),
    Kit("hydrogen-drumkits", "circAfrique v4", "circAfrique", "CC-BY-SA-3.0", False, ("African", "acoustic")),
    Kit("hydrogen-drumkits", "BJA_Pacific", "BJA_Pacific", "CC-BY-SA-3.0-US", False, ("acoustic",)),
    Kit("hydrogen-drumkits", "ForzeeStereo", "ForzeeStereo", "GPL-2.0-only", False, ("acoustic",)),
    Kit("hydrogen-drumkits", "The Black Pearl 1.0", "BlackPearl", "GPL-2.0-only", False, ("acoustic",)),
    Kit("hydrogen-drumkits", "Gimme A Hand 1.0", "GimmeAHand", "GPL-2.0-only", False, ("acoustic",)),
    Kit("hydrogen-drumkits", "Millo-Drums_v.1", "Millo1", "GPL-2.0-only", False, ("acoustic",)),
    Kit("hydrogen-drumkits", "Millo_MultiLayered2", "Millo2", "GPL-2.0-only", False, ("acoustic",)),
    Kit("hydrogen-drumkits", "Millo_MultiLayered3", "Millo3", "GPL-2.0-only", False, ("acoustic",)),
    Kit("hydrogen-drumkits", "ElectricEmpireKit", "ElectricEmpire", "GPL-2.0-or-later", False, ("electronic",)),
    Kit("hydrogen-drumkits", "HardElectro1", "HardElectro1", "GPL-2.0-or-later", False, ("electronic",)),
    Kit("hydrogen-drumkits", "VariBreaks", "VariBreaks", "GPL-2.0-or-later", False, ("breakbeat",)),
    Kit("hydrogen-drumkits", "ColomboAcousticDrumkit", "Colombo", "GPL-2.0-or-later", False, ("acoustic",)),
    Kit("hydrogen-data", "GMRockKit", "GMRockKit", "GPL-2.0-or-later", False, ("rock", "acoustic")),
    Kit("hydrogen-data", "TR808EmulationKit", "TR808", "GPL-2.0-or-later", False, ("808", "electronic")),
)

# A pattern searched in the lower-case instrument name -> family and names; the first match counts.
RULES = """
(bass ?drum|kick)|kick|kick, kick drum, bass drum
snare roll|snare|snare roll, drum roll
rim ?shot|snare|snare rimshot, rimshot, snare
(snare|redo )|snare|snare, snare drum
(side ?stick|rim click|^(c#3 - )?stick$)|percussion|side stick, rim click
clap|clap_and_snap|hand clap, clap
snap|clap_and_snap|finger snap, snap
(hat|hh|hi-hat).*(semi|half)|hihat|half-open hi-hat, hi-hat
(semi-?open)|hihat|half-open hi-hat, hi-hat
((pedal|pd).*(hat|hh)|(hat|hh).*(pedal|pd))|hihat|pedal hi-hat, foot hi-hat, hi-hat
((open|op\\b|swish|free).*(hat|hh)|(hat|hh).*(op|swish|free)|ohh)|hihat|open hi-hat, open hat, hi-hat
(hat|hh|hi-hat)|hihat|closed hi-hat, closed hat, hi-hat
(floor tom|tom floor)|tom|floor tom, tom
tom.*lo|tom|low tom, tom
(low tom)|tom|low tom, tom
(tom.*mid|middle tom|mid tom)|tom|mid tom, tom
(tom ?hi|high tom)|tom|high tom, tom
\\btom|tom|tom
(ride.*(bell|cup)|paiste bell|^bell$)|cymbal|ride bell, ride cymbal bell
crash/?ride|cymbal|crash ride cymbal, ride
ride|cymbal|ride cymbal, ride
crash|cymbal|crash cymbal, crash
splash|cymbal|splash cymbal, splash
china|cymbal|china cymbal, china
cymbal|cymbal|cymbal, cymbal hit
cowbell|percussion|cowbell
tambourine|percussion|tambourine
agogo|percussion|agogo
maraca|percussion|maracas, shaker
shaker|percussion|shaker
conga|percussion|conga
bongo|percussion|bongo
clave|percussion|claves, clave
woodblock|percussion|woodblock
waterglass|percussion|water glass, glass tap
whistle|percussion|whistle
cajon.*slap|percussion|cajon slap, cajon
cajon|percussion|cajon thump, cajon
djembe.*slap|percussion|djembe slap, djembe
djembe.*tone|percussion|djembe tone, djembe
djembe|percussion|djembe bass, djembe
(sangban|dununba|kenkeni).*bell|percussion|dunun bell, bell
(sangban|dununba|kenkeni)|percussion|dunun, dunun drum
(zap|fx)|electronic|zap, electronic zap
click|percussion|click
"""
# Instruments that kits of one author share, or a kit has twice (correlation 0.98): (kit, name) -> one group.
SHARED = {
    ("GimmeAHand", "Hand Clap"): "MacArthur/Hand Clap", ("BlackPearl", "Hand Clap"): "MacArthur/Hand Clap",
    ("GMRockKit", "Hand Clap"): "MacArthur/Hand Clap", ("VariBreaks", "VariBreaks Hat 1 Cl"): "VariBreaks/Hat 1",
    ("VariBreaks", "VariBreaks Hat 1 Pd"): "VariBreaks/Hat 1",
}  # fmt: skip
UNKNOWN = ("percussion", ("drum hit", "percussion hit"))
CHORD = re.compile(r"(?P<root>[A-G])(?P<accidental>sharp|flat)?\s?(?P<quality>major|minr?o?r?7b5|minor)"
                   r"(?:_(?P<slide>up|down))?_\d+(?:wav)?", re.IGNORECASE)  # fmt: skip
# Two chords of the kit are copies of the chord a semitone below (the waveforms correlate by 0.9 to 1), and of four more
# the sound contradicts the name (by chroma): those are called a strum and nothing else.
COPIES = {"bmajor": "Bflat major", "bminor7b5": "Asharp minor7b5"}
CONTRADICTED = frozenset({"aminor", "dmajor", "eminor7b5", "gmajor"})
QUALITIES = {"major": ("major", ""), "minor": ("minor", "m"), "7b5": ("half-diminished", "m7b5")}
SIGNS = {"sharp": "#", "flat": "b", "": ""}
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
LAYER_WORDS = {2: ("soft", "loud"), 3: ("soft", "medium", "loud"), 4: ("very soft", "soft", "loud", "very loud")}
MANY_LAYERS = ("very soft", "soft", "medium", "loud", "very loud")


def list_clips(kit: Kit, package: Path) -> list[tuple[Clip, Path]]:
    """Every file that the kit's drumkit.xml names, once, with what it is.

    Raises:
        ValueError: the kit or its drumkit.xml is missing or unreadable.
    """
    folder = package / FOLDER / kit.folder
    try:
        root = ElementTree.parse(folder / "drumkit.xml").getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ValueError(f"{folder}: no readable drumkit.xml ({error})") from error
    clips: dict[str, tuple[Clip, Path]] = {}
    for instrument in root.iter():
        if _bare(instrument.tag) != "instrument":
            continue
        name = (_text(instrument, "name") or "").strip()
        layers = _layers(instrument)
        for rank, (file, velocity) in enumerate(layers):
            path = folder / file
            if file not in clips and path.is_file():
                clips[file] = (_clip(kit, name, path, velocity, _dynamics(rank, len(layers))), path)
    return [clips[file] for file in sorted(clips)]


def classify(name: str) -> tuple[str, tuple[str, ...]]:
    """Family and names of an instrument, from the name its kit gives it."""
    lower = name.lower()
    for line in RULES.strip().splitlines():
        pattern, family, names = line.rsplit("|", 2)
        if re.search(pattern, lower):
            return family, tuple(part.strip() for part in names.split(","))
    return UNKNOWN


def chord_names(stem: str) -> tuple[int, tuple[str, ...], str | None] | None:
    """Root (0 is C), spoken names and slide of a strum's file name; None where it is no chord."""
    match = CHORD.fullmatch(stem)
    if match is None:
        return None
    named = (match["root"] + (match["accidental"] or "") + match["quality"]).lower()
    if named in COPIES:
        return chord_names(f"{COPIES[named]}{stem[match.end('quality') :]}")
    accidental = (match["accidental"] or "").lower()
    quality = "7b5" if match["quality"].lower().endswith("7b5") else match["quality"].lower()
    spoken, sign = QUALITIES[quality]
    root = match["root"].upper()
    step = (STEPS[root] + {"sharp": 1, "flat": -1, "": 0}[accidental]) % 12
    if named in CONTRADICTED:
        return step, (), (match["slide"] or "").lower() or None
    names = (f"{root} {accidental} {spoken}".replace("  ", " "), f"{root}{SIGNS[accidental]}{sign}")
    return step, names, (match["slide"] or "").lower() or None


def _layers(instrument: ElementTree.Element) -> list[tuple[str, float | None]]:
    """File and velocity of each layer, the softest first; older kits keep one file directly under the instrument."""
    found = [
        (float(_text(layer, "max") or 1.0), _text(layer, "filename") or "")
        for layer in instrument.iter()
        if _bare(layer.tag) == "layer" and _text(layer, "filename")
    ]
    if not found:
        single = _text(instrument, "filename")
        return [(single, None)] if single else []
    if len(found) == 1:
        return [(found[0][1], None)]
    # In some kits all layers begin at 0, so their upper ends order them.
    found.sort()
    edges = [0.0, *(top for top, _ in found)]
    return [(file, round((edges[i] + edges[i + 1]) / 2, 4)) for i, (_, file) in enumerate(found)]


def _dynamics(rank: int, count: int) -> str | None:
    if count < 2:
        return None
    words = LAYER_WORDS.get(count, MANY_LAYERS)
    return words[round(rank * (len(words) - 1) / (count - 1))]


def _clip(kit: Kit, instrument: str, path: Path, velocity: float | None, dynamics: str | None) -> Clip:
    source = f"{kit.package}/{kit.name}"
    words = kit.words
    chord = chord_names(path.stem) if kit.name == "GuitarStrums" else None
    if chord:
        step, spoken, slide = chord
        family, label = "strum", "guitar strum"
        names: tuple[str, ...] = ("guitar strum", "strummed guitar chord")
        if spoken:
            names = (f"{spoken[0]} guitar strum", f"{spoken[0]} guitar chord", f"{spoken[1]} guitar strum", *names)
        group = f"{source}/{step} {spoken[0].split()[-1] if spoken else ''}"
        recording = f"{group}/{slide or 'plain'}"
    else:
        family, names = classify(instrument)
        label = names[0]
        # The files of this kit are numbered takes by bank; a bank may hold one drum many times.
        bank = re.match(r"beats_(\d+)-", path.stem) if kit.name == "rumpf_kit" else None
        own = f"{source}/bank {bank[1]}" if bank else f"{source}/{instrument or path.stem}"
        group = SHARED.get((kit.name, instrument), own)
        recording = f"{source}/{path.stem}" if bank else group
    stem = re.sub(r"[^a-z0-9]+", "_", path.stem.lower()).strip("_")
    return Clip(
        file_name=f"hydrogen/{kit.name}/{stem}.flac", label=label, family=family, names=names, words=words,
        pitch=None, velocity=velocity, dynamics=dynamics, group=group, recording=recording, licence=kit.licence,
        source=source, rendered=False,
    )  # fmt: skip


def _bare(tag: str) -> str:
    """A tag without its namespace, which older kits do not have."""
    return tag.rsplit("}", 1)[-1]


def _text(element: ElementTree.Element, child: str) -> str | None:
    return next((part.text for part in element if _bare(part.tag) == child and part.text), None)
