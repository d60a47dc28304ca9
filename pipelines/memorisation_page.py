"""What the search for copies found, as `report.json` for programs and `report.html` for ears and eyes."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from audio.dataset import Clip
from audio.files import read_audio
from audio.mel import MelConfig
from evaluation.copies import PERCENTILE, CopyTest, Neighbour
from evaluation.intervals import Interval
from evaluation.page import Page, save_json
from evaluation.pictures import spectrogram_figure
from pipelines.resources import resource

EXPECTED = PERCENTILE / 100.0
SHOWN = 20
NEAREST_SHOWN = 5
LONGEST_SHOWN_SECONDS = 4.0
PICTURE_PRESET = "configs/mel/bigvgan_44khz.yaml"
EDGES = np.geomspace(0.02, 5.0, 61)


@dataclass(frozen=True)
class Match:
    """A generated clip and the training clip nearest to it.

    Args:
        clip: the generated one.
        nearest: the training clip; None where nothing overlaps.
        neighbour: its distances.
        threshold: below which it is suspected; None where there is no test.
        relative: distance over the median null distance of its class; None with `threshold`.
        judged_by: the class, family or `all clips` whose real distances it was compared with.
    """

    clip: Clip
    nearest: Clip | None
    neighbour: Neighbour
    threshold: float | None = None
    relative: float | None = None
    judged_by: str = ""

    @property
    def suspected(self) -> bool:
        """Nearer than the line."""
        return self.threshold is not None and self.neighbour.distance < self.threshold


@dataclass(frozen=True)
class Shares:
    """How many clips lie below the line, by one distance.

    Args:
        generated: of the generated clips; None where there is no test.
        held_out: of the real held-out clips; None where there are none.
    """

    generated: Interval | None = None
    held_out: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain containers for a report."""
        return {
            "share": self.generated.value if self.generated else None,
            "interval": [self.generated.low, self.generated.high] if self.generated else None,
            "held_out_share": self.held_out.value if self.held_out else None,
            "held_out_interval": [self.held_out.low, self.held_out.high] if self.held_out else None,
        }


@dataclass(frozen=True)
class Findings:
    """All that a report says.

    Args:
        facts: model or folder, training folder, embedder, its fingerprint, seed and numbers of clips.
        matches: of the generated clips, the nearest for its class first.
        shares: by the aligned log-mel.
        embedding_shares: by the embedding alone.
        test: what the real clips taught; None where they are too few.
        held_out_ratios: distance of real held-out clips over the median null distance of their class.
        reason: why nothing was computed.
    """

    facts: dict[str, Any]
    matches: tuple[Match, ...]
    shares: Shares = Shares()
    embedding_shares: Shares = Shares()
    test: CopyTest | None = None
    held_out_ratios: tuple[float, ...] = ()
    reason: str = ""

    @property
    def suspects(self) -> tuple[Match, ...]:
        """The generated clips below the line, nearest first."""
        return tuple(match for match in self.matches if match.suspected)

    def sentence(self) -> str:
        """What it comes to, in one sentence."""
        share, held_out = self.shares.generated, self.shares.held_out
        if share is None:
            return f"Not computed: {self.reason}."
        floor = max(EXPECTED, held_out.value if held_out else 0.0)
        said = (
            f"{share.value:.1%} of {len(self.matches)} generated clips lie nearer to a training clip than real clips do"
        )
        if share.low is not None and share.low > floor:
            return f"{said}: more than the {floor:.1%} that chance gives. Listen to the suspects."
        return f"{said}: no more than chance would give ({floor:.1%})."


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


def suspect_lines(matches: Sequence[Match]) -> list[str]:
    """One line of text for each suspect, nearest first."""
    return [
        f"suspect: {match.clip.path.name} ({match.clip.captions[0]}) near "
        f"{match.nearest.path.name if match.nearest else '-'}: log-mel {match.neighbour.distance:.3f}, "
        f"embedding {match.neighbour.embedding_nearest:.3f}"
        for match in matches
    ]
