"""`python -m pipelines.check_classes`: does a kick sound like a kick?

A small classifier learns families from real training clips alone. Its accuracy on real held-out clips says how far it
can be trusted; its accuracy on clips generated for the same families, over that, says how far the model can be. With
`best_of` it tells instead what the best of several tries gains.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from audio.dataset import AudioFolder, Clip, Split
from audio.phrasings import content_words, read_phrasings, words_of
from evaluation.classifier import Classifier, pictures_of_files, train_classifier
from evaluation.intervals import ratio_interval
from evaluation.pitch import load_pitch_estimator
from pipelines.class_answers import Answers, generated_answers
from pipelines.progress import bar
from pipelines.ranking import check_best_of
from pipelines.request import Request
from pipelines.text_to_audio import TextToAudioPipeline
from pipelines.tries import asked_clips, gains
from training.command import answer, run_command, say

FEWEST_FAMILIES = 10


def check_classes(
    model: Path,
    audio: Path,
    clips_per_family: int = 20,
    minimum_clips: int = 50,
    seconds: float = 2.0,
    seed: int = 0,
    phrasings: Path | None = None,
    taught: Path | None = None,
    split: Split = "test",
    solver_steps: int | None = None,
    best_of: int = 1,
) -> None:
    """Compare how well a classifier of real clips recognises held-out real clips and generated ones.

    Args:
        model: folder of a bundle.
        audio: folder with families and held-out splits, such as data/oneshots.
        clips_per_family: clips generated for each family, from captions of its held-out clips; with best_of captions,
            each answered so many times.
        minimum_clips: families with fewer training clips are left out.
        seconds: length of the generated clips.
        seed: of classifier and clips.
        phrasings: YAML of prompts by family that take the place of captions, such as wordings kept out of training.
        taught: YAML of phrases that the model learnt beside captions (`data.phrasings`); their words are not new.
        split: of the held-out clips: train, validation or test.
        solver_steps: of the solver; from the bundle when left out.
        best_of: above 1, measure what the best of so many tries gains over a try by itself, in classes and notes.

    Raises:
        ValueError: fewer than ten families are large enough, a bad bundle, a bad list of prompts, or a number of tries
            out of range.
    """
    check_best_of(Request(("tries",), best_of=best_of))
    if clips_per_family < 1:
        raise ValueError(f"clips_per_family: expected at least 1, got {clips_per_family}")
    if best_of > 1 and phrasings:
        raise ValueError("best_of and phrasings contradict each other: tries answer captions")
    said = read_phrasings(phrasings) if phrasings else {}
    pipeline = TextToAudioPipeline.from_pretrained(model)
    length = min(seconds, pipeline.defaults.max_seconds)
    pipeline.settle(Request(("anything",), seconds=length, seed=seed, solver_steps=solver_steps))
    folder = AudioFolder.scan(audio)
    families = usable_families(folder, minimum_clips, split)
    if said:
        said, known_already = unsaid(said, folder)
        if known_already:
            say(f"left out, for training captions say the same: {', '.join(known_already)}")
    prompts = prompts_of(families, folder, said, split)
    if said:
        known = read_phrasings(taught) if taught else {}
        where = "no training caption or phrase" if known else "no training caption"
        say(f"{unseen_share(said, folder, known):.0%} of these prompts hold a word that {where} has")
    train = [clip for clip in folder.split("train") if clip.family in families]
    test = [clip for clip in folder.split(split) if clip.family in families]
    say(f"{len(families)} families, {len(train)} training clips, {len(test)} held-out clips")
    classifier = train_classifier(
        pictures_of_files([clip.path for clip in train], bar("reading")), [clip.family for clip in train], seed=seed
    )
    real = Answers.of(
        classifier,
        pictures_of_files([clip.path for clip in test], bar("held-out")),
        [clip.family for clip in test],
        [clip.recording for clip in test],
    )
    if best_of > 1:
        request = Request(num_clips=best_of, seconds=length, seed=seed, solver_steps=solver_steps)
        answer(f"real held-out accuracy: {real.accuracy()}")
        report_gains(pipeline, asked_clips(folder, families, split, clips_per_family), request, classifier)
        return
    made = generated_answers(pipeline, classifier, prompts, clips_per_family, length, seed, solver_steps)
    report(real.of_families(set(prompts)), made, clips_per_family)


def usable_families(folder: AudioFolder, minimum_clips: int, split: Split = "test") -> list[str]:
    """Families with enough training clips and some held-out ones.

    Raises:
        ValueError: fewer than ten.
    """
    train = Counter(clip.family for clip in folder.split("train"))
    test = {clip.family for clip in folder.split(split)}
    families = sorted(name for name, count in train.items() if count >= minimum_clips and name in test)
    if len(families) < FEWEST_FAMILIES:
        raise ValueError(
            f"audio: '{folder.root}' has {len(families)} families with {minimum_clips} training clips and a "
            f"{split} split, {FEWEST_FAMILIES} are needed"
        )
    return families


def prompts_of(
    families: Sequence[str], folder: AudioFolder, said: Mapping[str, list[str]], split: Split = "test"
) -> dict[str, list[str]]:
    """Prompts of each family: captions of its held-out clips, or those of a list for the families that it names.

    Raises:
        ValueError: a list that names none of the families.
    """
    if not said:
        return {name: held_out_captions(folder, name, split) for name in families}
    found = {name: said[name] for name in families if name in said}
    if not found:
        raise ValueError(f"phrasings: expected some of the families {', '.join(families)}, got {', '.join(said)}")
    return found


def held_out_captions(folder: AudioFolder, family: str, split: Split = "test") -> list[str]:
    """The captions of a family's held-out clips, sorted."""
    return sorted({caption for clip in folder.split(split) if clip.family == family for caption in clip.captions})


def unsaid(phrasings: Mapping[str, Sequence[str]], folder: AudioFolder) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """A list without the prompts that say what a training caption says, in whatever order; and those prompts."""
    captions = {frozenset(content_words(caption)) for clip in folder.split("train") for caption in clip.captions}
    left = {
        name: [text for text in listed if frozenset(content_words(text)) not in captions]
        for name, listed in phrasings.items()
    }
    said = tuple(text for name, listed in phrasings.items() for text in listed if text not in left[name])
    return {name: listed for name, listed in left.items() if listed}, said


def unseen_share(
    phrasings: Mapping[str, Sequence[str]], folder: AudioFolder, taught: Mapping[str, Sequence[str]] | None = None
) -> float:
    """The share of prompts that hold a word of which no training caption and no taught phrase has made use."""
    captions = {caption for clip in folder.split("train") for caption in clip.captions}
    phrases = {phrase for listed in (taught or {}).values() for phrase in listed}
    seen = {word for text in captions | phrases for word in words_of(text)}
    texts = [text for listed in phrasings.values() for text in listed]
    return sum(bool(words_of(text) - seen) for text in texts) / len(texts)


def report_gains(
    pipeline: TextToAudioPipeline, clips: Sequence[Clip], request: Request, classifier: Classifier
) -> None:
    """What the best of several tries gains, on standard output."""
    try:
        pitch = load_pitch_estimator()
    except ValueError as error:
        pitch = None
        say(f"notes are not judged: {error}")
    for name, gain in gains(pipeline, clips, request, classifier, pitch, bar("answering")).items():
        answer(f"best of {request.num_clips}, {name}: {gain}")


def report(real: Answers, made: Answers, generated: int) -> None:
    """The table on standard error, the three numbers on standard output (families weigh alike)."""
    counts, own, other = Counter(real.families), real.accuracies(), made.accuracies()
    table = Table(
        "family", "held-out clips", "real accuracy", "generated accuracy", title=f"{generated} generated each"
    )
    for name in own:
        table.add_row(name, str(counts[name]), f"{own[name]:.2f}", f"{other[name]:.2f}")
    Console(stderr=True).print(table)
    answer(f"families: {len(own)} (chance {1 / len(own):.3f})")
    answer(f"real held-out accuracy: {real.accuracy()} ({len(set(real.units))} recordings)")
    answer(f"generated accuracy: {made.accuracy()} ({len(set(made.units))} prompts)")
    answer(f"generated over real: {ratio_interval(made.accuracy(), real.accuracy())}")


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.check_classes`."""
    return run_command(check_classes, arguments, program="python -m pipelines.check_classes")


if __name__ == "__main__":
    sys.exit(main())
