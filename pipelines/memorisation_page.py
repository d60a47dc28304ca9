"""What the search for copies found, as `report.json` for programs and `report.html` for ears and eyes."""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from audio.files import read_audio
from audio.mel import MelConfig
from evaluation.copies import CopyTest
from evaluation.page import Page, save_json
from evaluation.pictures import spectrogram_figure
from pipelines.memorisation_findings import EXPECTED, Findings, Match, Power
from pipelines.resources import resource

SHOWN = 20
NEAREST_SHOWN = 5
LONGEST_SHOWN_SECONDS = 4.0
PICTURE_PRESET = "configs/mel/bigvgan_44khz.yaml"
EDGES = np.geomspace(0.02, 5.0, 61)


def write_report(findings: Findings, out: Path) -> tuple[Path, Path]:
    """Write `report.json` and `report.html`.

    Args:
        findings: of `pipelines.memorisation`.
        out: folder for both.

    Returns:
        their paths.

    Raises:
        ValueError: they cannot be written, or a clip cannot be read.
    """
    save_json(out / "report.json", as_dict(findings))
    page = Page("Does it copy?")
    page.text(findings.sentence(), "lead")
    _numbers(page, findings)
    mel = MelConfig.from_yaml(resource(PICTURE_PRESET))
    shown = findings.suspects[:SHOWN]
    page.heading(f"Suspects: {len(findings.suspects)}")
    if len(findings.suspects) > SHOWN:
        page.text(f"The {SHOWN} nearest; all are in report.json.", "faint")
    if not shown:
        page.text("None. The nearest pairs, to listen to:")
        shown = findings.matches[:NEAREST_SHOWN]
    for match in shown:
        _pair(page, match, mel)
    page.save(out / "report.html")
    return out / "report.json", out / "report.html"


def as_dict(findings: Findings) -> dict[str, Any]:
    """Findings as plain containers."""
    test = findings.test
    return {
        **findings.facts,
        "sentence": findings.sentence(),
        **findings.shares.to_dict(),
        "expected": EXPECTED,
        "reason": findings.reason,
        "power": findings.power.to_dict() if findings.power else None,
        "embedding": findings.embedding_shares.to_dict(),
        "threshold_over_median": test.ratio if test else None,
        "thresholds": {name: test.ratio * median for name, median in sorted(test.medians.items())} if test else {},
        "suspects": [_row(match) for match in findings.suspects],
        "clips": [_row(match) for match in findings.matches],
    }


def _row(match: Match) -> dict[str, Any]:
    found = match.neighbour
    return {
        "generated": str(match.clip.path),
        "prompt": match.clip.captions[0],
        "class": match.clip.label,
        "nearest": str(match.nearest.path) if match.nearest else None,
        "nearest_recording": match.nearest.recording if match.nearest else None,
        "distance": _finite(found.distance),
        "threshold": match.threshold,
        "relative": _finite(match.relative),
        "judged_by": match.judged_by,
        "shift_seconds": found.shift_seconds,
        "embedding_distance": _finite(found.embedding_nearest),
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or value == inf else value


def _numbers(page: Page, findings: Findings) -> None:
    rows = [
        (name, str(shares.generated or "-"), str(shares.held_out or "-"), EXPECTED)
        for name, shares in (("aligned log-mel", findings.shares), ("embedding alone", findings.embedding_shares))
    ]
    header = ("distance", "generated clips suspected", "real held-out clips suspected", "expected of the honest")
    page.table(header, rows, "shares with 95 % intervals; the first line counts")
    if findings.power:
        page.text(power_line(findings.power))
    if findings.test:
        page.figure(_histogram(findings, findings.test))
    page.table(("fact", "value"), list(findings.facts.items()))


def _histogram(findings: Findings, test: CopyTest) -> Figure:
    figure = Figure(figsize=(7.2, 3.2), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    made = [match.relative for match in findings.matches if match.relative is not None]
    sets = (
        ("training, other recording", test.null_ratios),
        ("held-out", findings.held_out_ratios),
        ("generated", made),
    )
    for label, ratios in sets:
        if len(ratios):
            clipped = np.clip(np.asarray(ratios), EDGES[0], EDGES[-1])
            weights = np.full(len(clipped), 1.0 / len(clipped))
            axes.hist(clipped, bins=EDGES.tolist(), weights=weights, histtype="step", label=f"{label} ({len(ratios)})")
    axes.axvline(test.ratio, color="black", linestyle="--", linewidth=1, label="suspected below")
    axes.set_xscale("log")
    axes.set_xlabel("distance to the nearest training clip, over the median of real clips of the class")
    axes.set_ylabel("share of clips")
    axes.legend(fontsize=8)
    return figure


def _pair(page: Page, match: Match, mel: MelConfig) -> None:
    found, limit = match.neighbour, match.threshold
    line = f", suspected below {limit:.3f}" if limit is not None else ""
    page.open_row()
    _player(page, match.clip.path, f"generated: {match.clip.captions[0]}", mel)
    if match.nearest is not None:
        caption = f"training: {match.nearest.captions[0]} ({match.nearest.recording})"
        _player(page, match.nearest.path, caption, mel)
        page.text(
            f"log-mel {found.distance:.3f} nats{line}; embedding {found.embedding_nearest:.3f}; "
            f"moved by {found.shift_seconds:+.3f} s"
        )
    page.close_row()


def _player(page: Page, path: Path, caption: str, mel: MelConfig) -> None:
    waveform, rate = read_audio(path, mel.sample_rate, seconds=LONGEST_SHOWN_SECONDS)
    page.sound(waveform, rate, caption, spectrogram_figure(waveform, mel, path.name, (4.2, 2.4), scale=False))


def power_line(power: Power) -> str:
    """What the test would have seen of a model that copies."""
    return (
        f"{power.sentence()} Share {power.share}; the nearest training clip was the source in {power.source_nearest}."
    )


def suspect_lines(matches: Sequence[Match]) -> list[str]:
    """One line of text for each suspect, nearest first."""
    return [
        f"suspect: {match.clip.path.name} ({match.clip.captions[0]}) near "
        f"{match.nearest.path.name if match.nearest else '-'}: log-mel {match.neighbour.distance:.3f}, "
        f"embedding {match.neighbour.embedding_nearest:.3f}"
        for match in matches
    ]
