"""Tables of a built folder: what is in it, recordings apart from renders, and each family on each side."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

SIDES = ("train", "validation", "test")


def print_report(console: Console, rows: Sequence[dict[str, Any]], silent: Sequence[str]) -> None:
    """Print the source table, the family table and the skipped clips."""
    console.print(_source_table(rows))
    console.print(_family_table(rows))
    console.print(
        f"{len(silent)} planned clips left out: no sound in the source, or a soft note that sounds like the loud one",
        soft_wrap=True,
    )


def _source_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Sources: clips / minutes / distinct recordings")
    for heading in ("source", "licence", "made by", *SIDES, "all"):
        table.add_column(heading, justify="left" if heading in ("source", "licence", "made by") else "right")
    sources = sorted({(row["rendered"], row["source"], row["licence"]) for row in rows})
    for rendered, source, licence in sources:
        chosen = [row for row in rows if row["source"] == source]
        kind = "rendering" if rendered else "recording"
        table.add_row(source, licence, kind, *_cells(chosen))
    for rendered, name in ((False, "all recordings"), (True, "all renders")):
        table.add_section()
        table.add_row(name, "", "", *_cells([row for row in rows if row["rendered"] is rendered]))
    table.add_section()
    table.add_row("all", "", "", *_cells(rows))
    return table


def _cells(rows: Sequence[dict[str, Any]]) -> list[str]:
    parts = [[row for row in rows if row["split"] == side] for side in SIDES] + [list(rows)]
    return [
        f"{len(part)} / {sum(row['seconds'] for row in part) / 60:.1f} / {len({row['recording'] for row in part})}"
        if part else "-"
        for part in parts
    ]  # fmt: skip


def _family_table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(title="Families: clips (of them recorded, not rendered)")
    table.add_column("family")
    for heading in SIDES:
        table.add_column(heading, justify="right")
    counts: dict[str, dict[str, list[int]]] = defaultdict(lambda: {side: [0, 0] for side in SIDES})
    for row in rows:
        counts[row["family"]][row["split"]][0] += 1
        counts[row["family"]][row["split"]][1] += not row["rendered"]
    for family, sides in sorted(counts.items(), key=lambda item: -item[1]["train"][0]):
        table.add_row(family, *(f"{sides[side][0]} ({sides[side][1]})" for side in SIDES))
    return table
