"""The report of the oracle ladder: `report.html` to read and listen to, `report.json` for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from audio.mel import MelConfig
from evaluation.intervals import FEWEST_UNITS, Interval, verdict
from evaluation.page import Page
from evaluation.pictures import spectrogram_figure
from pipelines.ladder_measures import Ladder
from pipelines.ladder_rungs import DECODERS, RUNGS, Example
from pipelines.ladder_verdict import STAGES, STARTS

CHAINS = {
    "vocoder": "real mel → sound",
    "autoencoder": "real latents → mel → sound",
    "diffusion": "caption → latents → mel → sound",
}
SPOKEN = {"vocoder": "vocoder", "griffin-lim": "Griffin-Lim"}
COLOURS = {"vocoder": "tab:blue", "griffin-lim": "lightsteelblue"}
HEADER = ("rung from", "spoken by", "kernel distance", "loss of the stage", "mel distance")
NOT_COMPUTED = "not computed"
BAR_PLACES = (-0.2, 0.2)


@dataclass(frozen=True)
class Subject:
    """What was measured and on what: ladders compare only where all but the stages agree.

    Args:
        stages: fingerprints.
        embedder: name and fingerprint.
        embedder_rate: in Hz.
        data: fingerprint of the folder.
        audio: its name.
        split: train, validation or test.
        clips: judged.
        floor_clips: training clips of the floor.
        too_short: clips left out.
        cut: clips of which only the first `longest` seconds were judged.
        longest: clip that the model makes, in seconds.
        seed: of everything.
    """

    stages: dict[str, str]
    embedder: str
    embedder_rate: int
    data: str
    audio: str
    split: str
    clips: int
    floor_clips: int
    too_short: int
    cut: int
    longest: float
    seed: int


def ladder_values(subject: Subject, result: Ladder) -> dict[str, Any]:
    """Everything as plain containers."""
    return asdict(subject) | {
        "sentence": result.verdict.sentence,
        "stage": result.verdict.stage,
        "recordings": result.recordings,
        "bandwidth": result.bandwidth,
        "not_computed": result.reason or None,
        "floor": result.floor.to_dict() if result.floor else None,
        "rungs": [
            {
                "stage": stage,
                "decoder": decoder,
                "kernel_distance": _plain(result.distances.get((stage, decoder))),
                "loss": _plain(result.losses.get((stage, decoder))),
                "multi_scale_mel_distance": _plain(result.mel_distances.get((stage, decoder))),
            }
            for stage, decoder in RUNGS
        ],
        "vocoder_minus_griffin_lim": {stage: _plain(result.decoders.get(stage)) for stage in STAGES},
        "onset_rise_ms": result.attacks.to_dict(),
    }


def table_rows(result: Ladder) -> tuple[Sequence[str], list[list[str]]]:
    """Names and rows of the table of rungs, as text."""
    floor = str(result.floor) if result.floor else f"{NOT_COMPUTED} ({FEWEST_UNITS} recordings are enough)"
    rows = [["floor", "-", floor, "-", "-"]]
    for stage, decoder in RUNGS:
        rung = (stage, decoder)
        rows.append(
            [
                STARTS[stage],
                SPOKEN[decoder],
                _text(result.distances.get(rung), NOT_COMPUTED),
                _text(result.losses.get(rung), NOT_COMPUTED),
                _text(result.mel_distances.get(rung), "-"),
            ]
        )
    return HEADER, rows


def ladder_page(subject: Subject, result: Ladder, examples: Sequence[Example], mel: MelConfig) -> Page:
    """The page.

    Args:
        subject: what was measured.
        result: the numbers.
        examples: clips to listen to.
        mel: of the pictures.
    """
    page = Page("Oracle ladder")
    page.text(result.verdict.sentence, "lead")
    page.text(
        f"{subject.clips} clips of {subject.audio}, split '{subject.split}', {result.recordings} recordings."
        f"{_left_out(subject)} Embedder {subject.embedder} at {subject.embedder_rate} Hz; brackets are 95 % intervals "
        "over recordings."
    )
    if result.reason:
        page.text(f"Kernel distances not computed: {result.reason}.")
    header, rows = table_rows(result)
    page.table(header, rows, "Kernel distance: unbiased MMD² times 1,000 to the real clips; a perfect copy is at 0.")
    page.text(
        "Each rung hands the chain less of the truth: its mel, then its latents, then its caption. The "
        "loss of a stage is the step to its rung from the one above, from 0 at first. Mel distance: multi-scale mel "
        "distance to the clip itself, whole and aligned."
    )
    page.text(
        f"The floor is {subject.floor_clips} training clips, of the same families where there are such: what a model "
        "that repeats its training set would measure."
    )
    if result.losses:
        page.heading("What each stage loses")
        page.figure(losses_figure(result), "Bars are losses, lines 95 % intervals, paired by recording.")
        page.heading("Vocoder beside Griffin-Lim")
        lines = [[CHAINS[stage], str(gap), verdict(gap, False)] for stage, gap in result.decoders.items()]
        page.table(("chain", "vocoder minus Griffin-Lim", "the vocoder is"), lines, "In kernel distance, paired.")
    page.heading("Attacks")
    page.text(result.attacks.sentence())
    page.heading("Clips")
    for example in examples:
        add_example(page, example, mel)
    page.heading("Fingerprint")
    page.table(("what", "value"), [*subject.stages.items(), ("data", subject.data), ("seed", subject.seed)])
    return page


def losses_figure(result: Ladder) -> Figure:
    """Bars of what each stage adds to the kernel distance, spoken by the vocoder and by Griffin-Lim."""
    figure = Figure(figsize=(7.0, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    places = np.arange(len(STAGES))
    for offset, decoder in zip(BAR_PLACES, DECODERS, strict=True):
        found = [result.losses[stage, decoder] for stage in STAGES]
        values = [loss.value for loss in found]
        axes.bar(places + offset, values, 0.38, color=COLOURS[decoder], label=f"spoken by {SPOKEN[decoder]}")
        for place, loss in zip(places + offset, found, strict=True):
            if loss.low is not None and loss.high is not None:
                axes.plot([place, place], [loss.low, loss.high], color="black", linewidth=1.2)
    axes.axhline(0.0, color="grey", linewidth=0.8)
    axes.set_xticks(places, STAGES)
    axes.set_ylabel("loss in kernel distance")
    axes.legend(fontsize=8)
    return figure


def add_example(page: Page, example: Example, mel: MelConfig) -> None:
    """A clip and all its rungs, side by side."""
    page.text(f"{example.clip.path.name}: {example.clip.captions[0]}")
    page.open_row()
    sounds = {"real": example.real}
    sounds |= {f"{CHAINS[stage]}, {SPOKEN[decoder]}": sound for (stage, decoder), sound in example.rungs.items()}
    for title, sound in sounds.items():
        page.sound(sound, mel.sample_rate, title, spectrogram_figure(sound, mel, "", (3.0, 2.0), scale=False))
    page.close_row()


def _left_out(subject: Subject) -> str:
    text = f" {subject.too_short} shorter clips were left out." if subject.too_short else ""
    return text + (f" Of {subject.cut} longer ones, the first {subject.longest:g} s." if subject.cut else "")


def _plain(found: Interval | None) -> dict[str, float | str | None] | None:
    return found.to_dict() if found else None


def _text(found: Interval | None, missing: str) -> str:
    return str(found) if found else missing
