"""`python -m pipelines.evaluate`: how good is a model, and is it better than another one?

Clips are generated for the captions of real held-out ones, and both sets are listened to. Beside each number stand the
same for real training clips (the floor: nothing does better), for shuffled prompts (the ceiling of nonsense: the right
clips for the wrong words) and for white noise. A report can be the baseline of a later one.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from audio.dataset import Split
from evaluation.embedders import EmbeddingCache, load_embedder
from evaluation.intervals import ratio_interval
from evaluation.kernel import kernel_bandwidth
from evaluation.measurements import Ears, Measurements, Subject, measure
from evaluation.page import save_json
from evaluation.pitch import PitchEstimator, load_pitch_estimator
from evaluation.prompt_scores import shuffled
from evaluation.score import Score, compare, unit_numbers
from evaluation.scores import Yardstick
from pipelines.bundle import BUNDLE_NAME, Bundle
from pipelines.clips import check_writable
from pipelines.counterparts import counterpart_prompt
from pipelines.evaluation_page import evaluation_page, show_scores
from pipelines.evaluation_report import Report
from pipelines.evaluation_sets import BYTES_PER_SECOND, common_rate, generate, read_generated
from pipelines.progress import bar
from pipelines.reference import (
    Reference,
    adherence_judge,
    distrust,
    family_classifier,
    noise_subjects,
    prompt_features,
    real_subjects,
)
from training.checkpoint import KINDS
from training.command import answer, run_command, say

REPORT_NAME, PAGE_NAME, MEASUREMENTS_NAME = "report.json", "report.html", "measurements.safetensors"
# Metrics that real held-out clips are asked themselves; of the others the floor is that of training clips.
ASKED_OF_HELD_OUT = ("class accuracy", "pitch within 50 cents", "median pitch error, cents", "prompt adherence")
RATIOS = ("class accuracy", "pitch within 50 cents")
NOISE_CLIPS = 200


def evaluate(
    reference: Path,
    out: Path,
    model: Path | None = None,
    generated: Path | None = None,
    baseline: Path | None = None,
    embedder: str = "aisfx",
    split: Split = "test",
    clips: int = 0,
    seed: int = 0,
) -> None:
    """Measure the clips of a model against real held-out ones, and compare it with another model.

    Args:
        reference: folder of real clips with captions and a training and a test split, such as data/oneshots.
        out: folder of the report; started again with the same words, what was generated is not made again.
        model: folder of a bundle, of which clips are generated for the reference's captions.
        generated: a folder of generated clips, in the place of a model.
        baseline: a bundle, or the folder of an earlier report, to compare with.
        embedder: the ear: aisfx, mel, speech, clap:NAME, panns, vggish, wav2vec2:NAME or an import path.
        split: train, validation or test; which clips are held out.
        clips: at most so many of them, spread evenly; 0 takes all.
        seed: of the noise, of the classifier and of the halves.

    Raises:
        ValueError: neither or both of model and generated, an unusable folder, an embedder that cannot be had, or a
            baseline that was measured otherwise.
    """
    if (model is None) == (generated is None):
        raise ValueError("expected either --model BUNDLE or --generated FOLDER")
    ear = load_embedder(embedder)
    held = Reference.open(reference, split, clips)
    check_writable(out, int(sum(clip.seconds for clip in held.held_out) * BYTES_PER_SECOND))
    notes: list[str] = []
    pitch = pitch_ear(notes)
    fingerprint = {
        "embedder": ear.name,
        "embedder_weights": ear.fingerprint,
        "pitch_estimator": pitch.fingerprint if pitch else None,
        "reference": held.fingerprint(),
        "reference_clips": len(held.held_out),
        "split": split,
        "seed": seed,
    }
    # What may be wrong with a baseline is asked before the hours that it would cost; its rate and length come later.
    old = open_baseline(baseline, fingerprint)
    subjects = read_generated(generated, held, notes) if generated else []
    asked = [counterpart_prompt(clip, number) for number, clip in enumerate(held.held_out)]
    if baseline is not None:
        check_prompts(old.prompts if old else asked, [subject.prompt for subject in subjects] if generated else asked)
    if model is not None:
        subjects = generate(model, held, out / "generated", seed)
    rival = generate(baseline, held, out / "baseline", seed) if baseline is not None and old is None else []
    rate = common_rate(subjects, held, ear.sample_rate, notes)
    fingerprint |= {"sample_rate": rate, "clips": len(subjects)}
    if old is not None:
        open_baseline(baseline, fingerprint)
    cache = EmbeddingCache(ear, sample_rate=rate)
    listen = Ears(cache, pitch, family_classifier(held, rate, seed, bar("learning families")), rate)
    tell_time(listen, len(subjects) + len(rival), len(held.held_out), len(held.train))
    report, ruler = listen_and_score(held, subjects, listen, fingerprint, notes, seed)
    if baseline is not None:
        report = with_baseline(report, old or measure(rival, listen, bar("listening to the baseline")), ruler)
    finish(report, out)


def tell_time(listen: Ears, made: int, real: int, train: int) -> None:
    """Say from a short probe how long listening takes at most: what was embedded before is not embedded again."""
    ear, pitch = listen.embeddings.embedder, listen.pitch
    noise = np.random.default_rng(0).standard_normal(ear.sample_rate).astype(np.float32)
    times = [_seconds(lambda: ear.embed(noise)) for _ in range(2)]
    note = _seconds(lambda: pitch.midi(noise, ear.sample_rate)) if pitch else 0.0
    seconds = times[1] * (made + real + train + NOISE_CLIPS) + note * (made + real)
    say(f"{made} generated, {real} held-out and {train} training clips to listen to: {seconds / 60:.0f} min at most")


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def pitch_ear(notes: list[str]) -> PitchEstimator | None:
    """The pitch estimator, or a note that it is missing."""
    try:
        return load_pitch_estimator()
    except ValueError as error:
        notes.append(f"pitch was not measured: {error}")
        return None


def yardstick(held: Reference, held_out: Measurements, listen: Ears, seed: int) -> Yardstick:
    """What every set is held against."""
    classes = listen.classifier.classes if listen.classifier else ()
    return Yardstick(
        reference=held_out,
        # Of one clip there is no distance, and none is computed.
        bandwidth=kernel_bandwidth(held_out.embeddings) if len(held_out) > 1 else 1.0,
        judge=adherence_judge(held.train, listen, bar("learning words")),
        texts=prompt_features,
        classes=classes,
        distrust=distrust(held_out, classes),
        seed=seed,
    )


def listen_and_score(
    held: Reference, subjects: Sequence[Subject], listen: Ears, fingerprint: dict[str, Any], notes: list[str], seed: int
) -> tuple[Report, Yardstick]:
    """Listen to every set and compute all columns; also gives what they were held against."""
    real = real_subjects(held.held_out)
    held_out = measure(real, listen, bar("listening to real clips"))
    made = measure(subjects, listen, bar("listening to generated clips"))
    ruler = yardstick(held, held_out, listen, seed)
    say("computing distances and intervals")
    columns = {"generated": ruler.score(made)}
    # Of training clips only distances between sets are shown: no note and no class is asked of them.
    hearing = replace(listen, pitch=None, classifier=None)
    train = measure(real_subjects(held.matched_training(seed)), hearing, bar("listening to training clips"))
    columns["real"] = ruler.score(train, replicate=False) if len(train) else {}
    asked = ruler.score(held_out, replicate=False)
    columns["real"] = {
        name: asked[name] if name in ASKED_OF_HELD_OUT else columns["real"].get(name, missing(asked[name]))
        for name in asked
    }
    columns["shuffled"] = ruler.score(shuffled(made, seed), replicate=False)
    with tempfile.TemporaryDirectory() as folder:
        stride = -(-len(real) // NOISE_CLIPS)
        lengths = [round(clip.seconds * listen.sample_rate) for clip in held.held_out[::stride]]
        noise = noise_subjects(real[::stride], lengths, listen.sample_rate, Path(folder))
        columns["noise"] = ruler.score(measure(noise, listen), replicate=False)
    ratios = {}
    for name in RATIOS:
        above, below = columns["generated"][name].interval, columns["real"][name].interval
        if above is not None and below is not None:
            ratios[name] = ratio_interval(above, below)
    report = Report(fingerprint, columns, ratios, None, made, held_out, subjects, real, ruler.classes, notes)
    return report, ruler


def missing(score: Score) -> Score:
    """A metric that cannot be had for want of training clips."""
    return Score(score.name, None, score.higher_is_better, 0, score.blind, "there are no training clips")


def open_baseline(path: Path | None, fingerprint: dict[str, Any]) -> Measurements | None:
    """What was heard of the clips of an earlier report; None where there is none, or a bundle in its place.

    Raises:
        ValueError: neither a bundle nor a report, or a report that was measured otherwise: names what differs.
    """
    if path is None:
        return None
    if (path / BUNDLE_NAME).is_file():
        rival = Bundle.open(path)
        for kind in KINDS:
            rival.stage(kind)
        return None
    if not (path / REPORT_NAME).is_file():
        raise ValueError(f"baseline: '{path}' is neither a bundle nor the folder of a report")
    try:
        page = json.loads((path / REPORT_NAME).read_text(encoding="utf-8"))
        theirs = dict(page["fingerprint"])
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"baseline: '{path / REPORT_NAME}' is not the report of an evaluation") from error
    differences = [f"{key}: {theirs.get(key)} != {own}" for key, own in fingerprint.items() if theirs.get(key) != own]
    if differences:
        raise ValueError(f"baseline: that report cannot be compared with this one ({'; '.join(differences)})")
    return Measurements.load(path / MEASUREMENTS_NAME)


def check_prompts(theirs: Sequence[str], ours: Sequence[str]) -> None:
    """Refuse a baseline whose clips are not those of the same prompts, one by one.

    Raises:
        ValueError: its clips were made for other prompts.
    """
    if list(theirs) != list(ours):
        raise ValueError("baseline: its clips were made for other prompts, or are in another order")


def with_baseline(report: Report, old: Measurements, ruler: Yardstick) -> Report:
    """Add the baseline's column and the paired differences."""
    scores = ruler.score(old)
    differences = compare(report.columns["generated"], scores, unit_numbers(report.made))
    first = {"generated": report.columns["generated"], "baseline": scores}
    columns = first | {name: column for name, column in report.columns.items() if name not in first}
    return replace(report, columns=columns, comparison=differences)


def finish(report: Report, out: Path) -> None:
    """Write and print everything."""
    report.made.save(out / MEASUREMENTS_NAME)
    evaluation_page(report).save(out / PAGE_NAME)
    save_json(out / REPORT_NAME, report.to_dict())
    show_scores(report)
    for note in report.notes:
        say(f"note: {note}")
    answer(str(out / PAGE_NAME))
    answer(str(out / REPORT_NAME))


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.evaluate` and `melisma evaluate`."""
    return run_command(evaluate, arguments, program="python -m pipelines.evaluate")


if __name__ == "__main__":
    sys.exit(main())
