"""`python -m pipelines.compare_vocoders`: the same mels through every vocoder.

REPORT/results.csv has a row for each vocoder and each source of mels, REPORT/index.html the same with players and a
blind listening test, which `python -m pipelines.score_listening` scores with REPORT/listening_key.json.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from audio.dataset import AudioFolder, Clip, Split
from audio.mel import LogMelSpectrogram
from evaluation.pitch import PitchEstimator, load_pitch_estimator
from evaluation.speech_quality import missing_packages
from pipelines.bundle import Bundle
from pipelines.clips import check_writable
from pipelines.comparison_decoding import GENERATED, REAL, SOURCES, Chain, Findings, decode_all
from pipelines.comparison_listening import LONGEST_SECONDS, ListeningTest, draw_trials, pairs_to_hear
from pipelines.comparison_measures import Ears, measure_alone
from pipelines.comparison_memory import Memory, peak_memory
from pipelines.comparison_page import Subject, comparison_page, show_results
from pipelines.comparison_results import save_results, sum_up
from pipelines.comparison_vocoders import BUNDLE, Contestant, enter, read_recipes
from pipelines.ladder_latents import latent_jobs, make_latents
from pipelines.progress import bar
from pipelines.request import BATCH_CLIPS, Request
from pipelines.text_to_audio import TextToAudioPipeline
from training.command import answer, run_command, say
from training.device import Device
from vocoder.base import identity
from vocoder.judging import long_enough

CSV_NAME, PAGE_NAME, KEY_NAME, LATENTS = "results.csv", "index.html", "listening_key.json", "latents"
CLIPS_SHOWN = 4
# A flac of 16 bits at worst, as text; a picture of a spectrogram.
BYTES_PER_SAMPLE, PICTURE_BYTES = 2 * 4 / 3, 60_000
PROBE_STEPS = 2


def compare_vocoders(
    audio: Path,
    model: Path,
    out: Path,
    vocoders: Sequence[str] | None = None,
    config: Path | None = None,
    sources: Sequence[str] | None = None,
    split: Split = "test",
    clips: int = 40,
    seconds: float = 30.0,
    speech: bool | None = None,
    trials: int = 12,
    seed: int = 0,
    device: Device = "auto",
) -> None:
    """Decode the same mels with every vocoder and compare what comes out.

    Args:
        audio: folder of real clips.
        model: folder of a bundle, whose mels are decoded.
        out: folder of the report; an interrupted run goes on with the latents it made.
        vocoders: bundle, checkpoints, import paths or names of --config; the first is what others are held against.
        config: YAML of named vocoders, each with a class and its arguments.
        sources: of the mels: real, decoded, generated; all of them when left out.
        split: train, validation or test.
        clips: at most so many, spread evenly over the split.
        seconds: longer clips are cut to so much.
        speech: whether all clips are speech (PESQ, STOI); when left out, those whose family or label says so.
        trials: of the listening test, for each pair; 0 leaves it out.
        seed: of the noise and of the listening test.
        device: auto, cpu, cuda or mps.

    Raises:
        ValueError: a bad bundle, folder or option, a vocoder that does not fit, or a report that cannot be written.
    """
    wanted = check_options(sources, clips, seconds, trials, seed)
    if speech and missing_packages():
        raise ValueError(f"speech: {missing_packages()}")
    bundled = Bundle.open(model).stage("vocoder")
    recipes = read_recipes(list(vocoders or ()), config, bundled)
    pipeline = TextToAudioPipeline.from_pretrained(model, device=device)
    mel = pipeline.autoencoder.mel
    contestants = [enter(recipe, mel, pipeline.device) for recipe in recipes]
    folder = AudioFolder.scan(audio)
    chosen = folder.spread(split, clips)
    judged = [clip for clip in chosen if long_enough(int(min(clip.seconds, seconds) * mel.sample_rate), mel)]
    if not judged:
        raise ValueError(f"audio: all {len(chosen)} clips of split '{split}' are too short to be judged")
    needed = disk_bytes(judged, contestants, wanted, seconds, trials, mel.sample_rate)
    check_writable(out, needed)
    ears = Ears(LogMelSpectrogram(mel).to(pipeline.device), pitch_ear(judged), speech)
    chain = Chain(pipeline, ears, wanted, seconds)
    tell_time(chain, contestants, judged, needed)
    memory = measure_memory(chain, contestants, judged)
    latents = make_all_latents(pipeline, judged, out, seed) if GENERATED in wanted else [None] * len(judged)
    heard = spread(len(judged), trials)
    shown = spread(len(judged), CLIPS_SHOWN)
    decoding = bar("decoding")(list(zip(judged, latents, strict=True)))
    found = decode_all(chain, contestants, decoding, shown | heard)
    subject = Subject(
        facts=gather_facts(pipeline, contestants, folder, seed),
        audio=audio.resolve().name,
        split=split,
        clips=len(judged),
        too_short=len(chosen) - len(judged),
        cut=sum(clip.seconds > seconds for clip in judged),
        seconds=seconds,
        sources=wanted,
        mel=mel,
        seed=seed,
    )
    write_report(subject, found, contestants, memory, ears, (shown, heard, trials), out)


def check_options(sources: Sequence[str] | None, clips: int, seconds: float, trials: int, seed: int) -> tuple[str, ...]:
    """Refuse options out of their range; the sources in the order of the report.

    Raises:
        ValueError: names the option.
    """
    if clips < 1:
        raise ValueError(f"clips: expected at least 1, got {clips}")
    if not 0.1 <= seconds <= 600.0:
        raise ValueError(f"seconds: expected 0.1 to 600, got {seconds}")
    if trials < 0:
        raise ValueError(f"trials: expected 0 or more, got {trials}")
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, got {seed}")
    unknown = [source for source in sources or () if source not in SOURCES]
    if unknown:
        raise ValueError(f"sources: expected some of {', '.join(SOURCES)}, got '{unknown[0]}'")
    return tuple(source for source in SOURCES if not sources or source in sources)


def spread(clips: int, most: int) -> frozenset[int]:
    """Numbers of at most so many clips, spread evenly."""
    chosen = min(most, clips)
    return frozenset((2 * index + 1) * clips // (2 * chosen) for index in range(chosen))


def pitch_ear(judged: Sequence[Clip]) -> PitchEstimator | None:
    """The ear that hears notes; None where it is not installed, which is said now if there are notes to be heard."""
    try:
        return load_pitch_estimator()
    except ValueError as error:
        if any(clip.pitch is not None for clip in judged):
            say(f"notes will not be heard: {error}")
        return None


def disk_bytes(
    clips: Sequence[Clip],
    contestants: Sequence[Contestant],
    sources: Sequence[str],
    seconds: float,
    trials: int,
    sample_rate: int,
) -> int:
    """What the report may take on disk, latents and players together."""
    longest = min(seconds, max(clip.seconds for clip in clips))
    players = min(CLIPS_SHOWN, len(clips)) * (1 + len(contestants) * len(sources))
    heard = 3 * trials * len(pairs_to_hear([item.name for item in contestants], sources[0]))
    samples = (players * longest + heard * min(longest, LONGEST_SECONDS)) * sample_rate
    return int(samples * BYTES_PER_SAMPLE) + players * PICTURE_BYTES + len(clips) * 100_000


def tell_time(chain: Chain, contestants: Sequence[Contestant], clips: Sequence[Clip], needed: int) -> None:
    """Let every vocoder decode a clip, which warms it up, and say how long all of them take."""
    # One of middle length: it stands for all of them.
    middle = sorted(clips, key=lambda clip: clip.seconds)[len(clips) // 2]
    reference, mels = replace(chain, sources=(REAL,)).mels(middle, None)
    reference.compare(reference.waveform)
    spent = 0.0
    for contestant in contestants:
        contestant.decode(mels[REAL])
        start = time.perf_counter()
        waveform, _ = contestant.decode(mels[REAL])
        measure_alone(waveform, mels[REAL], chain.ears)
        reference.compare(waveform)
        spent += time.perf_counter() - start
    total = sum(min(clip.seconds, chain.seconds) for clip in clips)
    minutes = spent * total / min(middle.seconds, chain.seconds) * len(chain.sources) / 60.0
    if GENERATED in chain.sources:
        minutes += _generating_seconds(chain.pipeline, clips) / 60.0
    say(
        f"{len(clips)} clips, {total:.0f} s, {len(contestants)} vocoders, sources {', '.join(chain.sources)}: "
        f"about {max(1.0, minutes):.0f} min, at most {needed / 2**20:.0f} MiB on disk"
    )


def _generating_seconds(pipeline: TextToAudioPipeline, clips: Sequence[Clip]) -> float:
    """How long the latents of all clips take at most, from two solver steps of a batch of the longest ones."""
    settings = pipeline.settle(Request(prompts=("probe",), seed=0, solver_steps=PROBE_STEPS))
    whole = int(pipeline.settle(Request(prompts=("probe",), seed=0))["solver_steps"])
    jobs = sorted(latent_jobs(pipeline, clips), key=lambda job: job.seconds)[-BATCH_CLIPS:]
    spent = 0.0
    # The first call pays for the text encoder.
    for _ in range(2):
        start = time.perf_counter()
        pipeline.latents(jobs, settings)
        spent = time.perf_counter() - start
    return spent / len(jobs) * len(clips) * whole / PROBE_STEPS


def measure_memory(chain: Chain, contestants: Sequence[Contestant], clips: Sequence[Clip]) -> dict[str, Memory]:
    """Peak memory of every vocoder on the longest clip, in processes of their own."""
    longest = max(clips, key=lambda clip: clip.seconds)
    _, mels = replace(chain, sources=(REAL,)).mels(longest, None)
    return {item.name: peak_memory(item, mels[REAL]) for item in bar("measuring memory")(contestants)}


def make_all_latents(pipeline: TextToAudioPipeline, clips: Sequence[Clip], out: Path, seed: int) -> list[Any]:
    """Latents for the captions of all clips, or those of an earlier run; a file each."""
    watched = sys.stderr.isatty()
    with Progress(console=Console(stderr=True), disable=not watched, transient=True) as progress:
        task = progress.add_task("making latents", total=len(clips))
        move = partial(progress.advance, task)
        return list(make_latents(pipeline, clips, out / LATENTS, seed, on_clip=move))


def gather_facts(
    pipeline: TextToAudioPipeline, contestants: Sequence[Contestant], folder: AudioFolder, seed: int
) -> dict[str, object]:
    """What tells this comparison from others: what makes the mels, every vocoder that takes part, clips and settings.

    Args:
        pipeline: of the model, whose own vocoder counts only where it takes part.
        contestants: all vocoders.
        folder: of the real clips.
        seed: of the noise and of the listening test.
    """
    facts: dict[str, object] = {name: value for name, value in pipeline.fingerprints.items() if name != "vocoder"}
    for contestant in contestants:
        recipe = contestant.recipe
        given = "".join(f", {name} = {value!r}" for name, value in sorted(recipe.arguments.items()))
        # Where a bundle lies says nothing about its vocoder.
        target = Path(recipe.target).name if recipe.name == BUNDLE else recipe.target
        facts[f"vocoder: {recipe.name}"] = f"{target}{given}; {identity(contestant.vocoder)}"
    facts |= {"data": folder.fingerprint(), "seed": seed, "device": str(pipeline.device)}
    return facts | {"threads": torch.get_num_threads()}


def write_report(
    subject: Subject,
    found: Findings,
    contestants: Sequence[Contestant],
    memory: dict[str, Memory],
    ears: Ears,
    choice: tuple[frozenset[int], frozenset[int], int],
    out: Path,
) -> None:
    """Sum up, write and print everything.

    Args:
        subject: what was compared.
        found: everything measured.
        contestants: all vocoders.
        memory: by vocoder.
        ears: that listened.
        choice: numbers of the clips shown and of those in the listening test, and its trials for each pair.
        out: folder of the report.
    """
    shown, heard, trials = choice
    results = sum_up(found, contestants, subject.sources, memory, ears)
    kept = {number: found.kept[number] for number in sorted(heard)}
    names = [contestant.name for contestant in contestants]
    test: ListeningTest | None = None
    if kept and pairs_to_hear(names, subject.sources[0]):
        rate = subject.mel.sample_rate
        test = draw_trials(names, subject.sources[0], kept, trials, subject.seed, subject.facts, rate)
        test.save_key(out / KEY_NAME)
    save_results(results, out / CSV_NAME)
    examples = {number: found.kept[number] for number in sorted(shown)}
    comparison_page(subject, results, examples, test).save(out / PAGE_NAME)
    show_results(results)
    answer(str(out / CSV_NAME))
    answer(str(out / PAGE_NAME))


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m pipelines.compare_vocoders`."""
    return run_command(
        compare_vocoders, arguments, program="python -m pipelines.compare_vocoders", several=("vocoders", "sources")
    )


if __name__ == "__main__":
    sys.exit(main())
