"""`python -m pipelines.ladder`: where is quality lost, in the vocoder, the autoencoder or the diffusion model?

Real clips climb down the chain stage by stage, an oracle standing in for the stages above: real -> mel -> vocoder, then
real -> mel -> autoencoder -> mel -> vocoder, then everything. The largest step in kernel distance names the stage.
"""

import sys
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from audio.dataset import AudioFolder, Split
from evaluation.embedders import EmbeddingCache, load_embedder
from evaluation.page import save_json
from pipelines.clips import check_writable
from pipelines.ladder_latents import make_latents
from pipelines.ladder_measures import Ladder, choose_floor, measure
from pipelines.ladder_page import Subject, ladder_page, ladder_values, table_rows
from pipelines.ladder_rungs import climb, embed_targets, judgeable, of_families
from pipelines.progress import bar
from pipelines.text_to_audio import TextToAudioPipeline
from training.command import answer, run_command, say

CLIPS_SHOWN = 6
LATENTS = "latents"
REPORT_BYTES = 32 * 2**20

Item = TypeVar("Item")


def ladder(
    model: Path,
    audio: Path,
    out: Path,
    split: Split = "test",
    clips: int = 0,
    embedder: str = "aisfx",
    seed: int = 0,
    families: list[str] | None = None,
) -> None:
    """Find the stage of a model that loses most: OUT/report.html and OUT/report.json.

    Args:
        model: folder of a bundle.
        audio: folder of real clips; those of `split` are judged, those of train give the floor.
        out: folder of the report; it is made where missing. An interrupted run goes on with the latents it made.
        split: train, validation or test.
        clips: at most so many, spread evenly over the split; 0 takes all.
        embedder: aisfx, mel, speech, clap:NAME, wav2vec2:NAME, panns, vggish, or an import path.
        seed: of the noise, the floor and the intervals.
        families: a family of clips, such as kick, instead of all; repeat the option for several.

    Raises:
        ValueError: a bad bundle, an unusable folder, a split without clips, a family that there is not, an embedder
            that cannot be had, or a report that cannot be written.
    """
    if clips < 0:
        raise ValueError(f"clips: expected 0 or more, got {clips}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")
    ear = EmbeddingCache(load_embedder(embedder))
    pipeline = TextToAudioPipeline.from_pretrained(model)
    folder = AudioFolder.scan(audio)
    if families:
        folder = of_families(folder, families)
    chosen = folder.spread(split, clips)
    judged = judgeable(pipeline, chosen)
    if not judged:
        raise ValueError(f"audio: all {len(chosen)} clips of split '{split}' are too short to be judged")
    check_writable(out, REPORT_BYTES)
    floor = choose_floor(judgeable(pipeline, folder.split("train")), judged, seed)
    latents = _with_bar("making latents", len(judged), partial(make_latents, pipeline, judged, out / LATENTS, seed))
    found = climb(pipeline, announced("climbing", list(zip(judged, latents, strict=True))), ear, spread(len(judged)))
    result = measure(judged, found, floor, embed_targets(pipeline, announced("floor", floor), ear), seed)
    longest = pipeline.defaults.max_seconds
    subject = Subject(
        stages=pipeline.fingerprints,
        embedder=f"{ear.embedder.name} {ear.embedder.fingerprint}",
        embedder_rate=ear.embedder.sample_rate,
        data=folder.fingerprint(),
        audio=f"{audio.resolve().name}{' (' + ', '.join(sorted(families)) + ')' if families else ''}",
        split=split,
        clips=len(judged),
        floor_clips=len(floor),
        too_short=len(chosen) - len(judged),
        cut=sum(clip.seconds > longest for clip in judged),
        longest=longest,
        seed=seed,
    )
    save_json(out / "report.json", ladder_values(subject, result))
    ladder_page(subject, result, found.examples, pipeline.autoencoder.mel).save(out / "report.html")
    print_table(subject, result)
    say(result.attacks.sentence())
    answer(result.verdict.sentence)
    answer(str(out / "report.html"))


def spread(clips: int) -> frozenset[int]:
    """The numbers of the clips that are shown, spread evenly."""
    shown = min(CLIPS_SHOWN, clips)
    return frozenset((2 * index + 1) * clips // (2 * shown) for index in range(shown))


def print_table(subject: Subject, result: Ladder) -> None:
    """The terminal's share, on standard error."""
    header, rows = table_rows(result)
    title = f"{subject.clips} clips of split '{subject.split}', {result.recordings} recordings"
    table = Table(*header, title=title, box=SIMPLE, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*row)
    Console(stderr=True).print(table)


def announced(text: str, items: Sequence[Item]) -> Iterable[Item]:
    """A progress bar around a list; a line where no one watches."""
    if items and not sys.stderr.isatty():
        say(f"{text}: {len(items)} clips")
    return bar(text)(items)


def _with_bar(text: str, clips: int, work: Any) -> list[Path]:  # noqa: ANN401
    """Call `work` with a bar that it moves on clip by clip."""
    watched = sys.stderr.isatty()
    if not watched:
        say(f"{text}: {clips} clips")
    with Progress(console=Console(stderr=True), disable=not watched, transient=True) as progress:
        task = progress.add_task(text, total=clips)
        made: list[Path] = work(on_clip=lambda: progress.advance(task))
    return made


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.ladder`."""
    return run_command(ladder, arguments, program="python -m pipelines.ladder", lists=("families",))


if __name__ == "__main__":
    sys.exit(main())
