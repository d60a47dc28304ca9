"""`python -m pipelines.memorisation`: does the model make sounds, or does it give back what it was trained on?

Every generated clip is set beside its nearest training clip (`evaluation.copies` says how), and suspected when it lies
nearer than real clips of its class lie to other recordings in all but one of a hundred cases. An honest generator is
suspected in 1 % of its clips; real held-out clips, put to the same test, show whether that holds for this folder.

Autoencoder and vocoder blur what they make. Where the model is at hand, real clips go through both first, so that a
perfect copy is no farther off than its source; and training clips that the model gave back, put to the same test, show
how many copies it would see: its power.
"""

import random
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, cycle, islice, zip_longest
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress

from audio.dataset import AudioFolder, Clip
from evaluation.copies import LevelledEmbedder
from evaluation.embedders import EmbeddingCache, load_embedder
from pipelines.clips import check_writable
from pipelines.counterparts import make_counterparts
from pipelines.memorisation_decoding import ClipDecoder, PlantedCopies
from pipelines.memorisation_findings import EXPECTED, Findings
from pipelines.memorisation_page import power_line, suspect_lines, write_report
from pipelines.memorisation_search import examine
from pipelines.progress import bar
from pipelines.text_to_audio import TextToAudioPipeline
from training.command import answer, run_command, say

PRINTED = 20
REPORT_BYTES = 2**24
GENERATED_FOLDER = "generated"
COPIES_FOLDER = "given_back"
Item = TypeVar("Item")


def memorisation(
    train: Path,
    out: Path,
    model: Path | None = None,
    generated: Path | None = None,
    decoder: Path | None = None,
    clips: int = 200,
    power_clips: int = 60,
    embedder: str = "aisfx",
    seed: int = 0,
) -> None:
    """Look for copies of training clips among generated ones.

    Args:
        train: folder that the model was trained on; its test split is the honest comparison.
        out: folder for report.html, report.json and the generated clips.
        model: folder of a bundle, which generates for captions of training clips.
        generated: folder of clips that were generated before, instead of a model.
        decoder: with generated, the bundle that made them: real clips go through its autoencoder and vocoder first.
        clips: how many are generated; of a folder all are looked at.
        power_clips: how many training clips the model gives back, to see whether it would be caught; 0 for none.
        embedder: that finds the ten training clips worth a closer look.
        seed: of the choice of captions and of the generated clips.

    Raises:
        ValueError: not one of model and generated, a decoder beside a model, no training clip, no generated sound, an
            embedder out of reach.
    """
    _check(model, generated, decoder, clips, power_clips)
    ear = EmbeddingCache(LevelledEmbedder(load_embedder(embedder)))
    folder = AudioFolder.scan(train, bar("reading"))
    if not folder.split("train"):
        raise ValueError(f"train: '{train}' has no clip in its train split ({folder.report()})")
    bundle = model or decoder
    pipeline = TextToAudioPipeline.from_pretrained(bundle) if bundle else None
    if pipeline and model:
        made = _generate(pipeline, folder.split("train"), clips, Path(out), seed)
    else:
        made = _given(generated or Path())
    check_writable(Path(out), REPORT_BYTES)
    facts = {"source": str(model or generated), "train": str(train), "seed": seed}
    through = ClipDecoder(pipeline) if pipeline else None
    planted = _planted(through, folder.split("train"), power_clips, Path(out), seed) if through else None
    findings = examine(folder, made, ear, facts, through, planted)
    paths = write_report(findings, Path(out))
    _print(findings)
    for path in paths:
        answer(str(path))


def choose_clips(clips: Sequence[Clip], number: int, seed: int = 0) -> list[Clip]:
    """Clips in turn from every class, and within a class from every recording; all over again where they run out.

    Args:
        clips: at least one.
        number: wanted.
        seed: of the order.
    """
    order = random.Random(seed)
    classes: defaultdict[str, defaultdict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    for clip in clips:
        classes[clip.label or clip.family][clip.recording].append(clip)
    queues = [
        _in_turn([_shuffled(group, order) for group in _shuffled(list(recordings.values()), order)])
        for recordings in _shuffled(list(classes.values()), order)
    ]
    return list(islice(cycle(_in_turn(queues)), number))


def _check(model: Path | None, generated: Path | None, decoder: Path | None, clips: int, power_clips: int) -> None:
    if (model is None) == (generated is None):
        raise ValueError("model: expected either --model or --generated, got " + ("both" if model else "neither"))
    if model and decoder:
        raise ValueError("decoder: expected beside --generated alone; a model decodes by itself")
    if clips < 1 or power_clips < 0:
        raise ValueError(f"clips: expected 1 or more, power_clips 0 or more; got {clips}, {power_clips}")


def _shuffled(items: list[Item], order: random.Random) -> list[Item]:
    return order.sample(items, len(items))


def _in_turn(groups: Sequence[Sequence[Item]]) -> list[Item]:
    """The first of every group, then the second of every group that has one, and so on."""
    missing = object()
    rounds: Iterable[Any] = chain.from_iterable(zip_longest(*groups, fillvalue=missing))
    return [item for item in rounds if item is not missing]


def _generate(
    pipeline: TextToAudioPipeline, clips: Sequence[Clip], number: int, out: Path, seed: int
) -> tuple[Clip, ...]:
    chosen = choose_clips(clips, number, seed)
    with Progress(console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("generating", total=number)
        make_counterparts(pipeline, chosen, out / GENERATED_FOLDER, seed, lambda: progress.advance(task))
    return _given(out / GENERATED_FOLDER)


def _given(folder: Path) -> tuple[Clip, ...]:
    found = AudioFolder.scan(folder, bar("reading generated"))
    if found.skipped:
        say(f"generated: {found.report()}")
    return found.clips


def _planted(decoder: ClipDecoder, clips: Sequence[Clip], number: int, out: Path, seed: int) -> PlantedCopies | None:
    chosen = choose_clips(clips, min(number, len(clips)), seed)
    return decoder.plant(chosen, out / COPIES_FOLDER, seed, bar("giving back training clips")) if chosen else None


def _print(findings: Findings) -> None:
    shares, alone = findings.shares, findings.embedding_shares
    answer(findings.sentence())
    if shares.generated is None:
        return
    for line in suspect_lines(findings.suspects[:PRINTED]):
        answer(line)
    if len(findings.suspects) > PRINTED:
        answer(f"and {len(findings.suspects) - PRINTED} more suspects in the report")
    answer(f"generated clips: {len(findings.matches)}")
    answer(f"share suspected: {shares.generated} (by the embedding alone: {alone.generated})")
    answer(
        f"real held-out clips suspected: {shares.held_out or 'none to ask'} (by the embedding alone: {alone.held_out})"
    )
    answer(f"expected of an honest generator: {EXPECTED:g}")
    answer(power_line(findings.power) if findings.power else "power: not measured; it needs --model or --decoder")


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.memorisation`."""
    return run_command(memorisation, arguments, program="python -m pipelines.memorisation")


if __name__ == "__main__":
    sys.exit(main())
