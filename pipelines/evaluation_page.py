"""An evaluation as a page and as a table in the terminal."""

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from audio.files import read_audio
from audio.mel import MelConfig
from evaluation.page import Page
from evaluation.pictures import spectrogram_figure
from evaluation.score import Score
from pipelines.evaluation_report import Report
from pipelines.resources import resource

COLUMNS = {
    "generated": "generated",
    "baseline": "baseline",
    "real": "real (floor)",
    "shuffled": "shuffled prompts",
    "noise": "white noise",
}
MEANING = {
    "kernel distance": "unbiased MMD, times 1,000: how far the set lies from real held-out clips; leads",
    "kernel distance by family": "the same within each family, then averaged",
    "Frechet distance": "as two Gaussians; biased, compare only at one number of clips",
    "FAD-inf": "the Frechet distance with the bias taken away",
    "precision": "share of clips that lie among real ones",
    "recall": "share of real clips that lie among the set",
    "density": "how deep clips lie among real ones; may exceed 1",
    "coverage": "share of real clips that have one of the set near",
    "diversity": "spread of the set over that of real clips; 1 is right",
    "class accuracy": "share that a classifier of real clips gives to the family asked for",
    "pitch within 50 cents": "share of named notes that are hit; an octave off is a miss",
    "median pitch error, cents": "of clips in which a note is heard",
    "prompt adherence": "share of the other prompts that fit a clip worse than its own; 0.5 is chance",
    "loudness error, dB": "between the distributions of the loudest 50 ms",
    "silence error": "between the distributions of the share of silence",
    "silent clips": "share of clips without any sound",
    "cut ends": "share of clips that stop instead of dying away",
}
FAMILIES_PLAYED = 12
# Two axes need three clips.
FEWEST_DRAWN = 3
PICTURE_SIZE = (3.4, 2.0)


def show_scores(report: Report) -> None:
    """The table, on standard error."""
    console = Console(stderr=True)
    columns = list(report.columns)
    table = Table("metric", *(COLUMNS[name] for name in columns), "over real")
    for name in report.columns["generated"]:
        # A terminal is narrow: only the first column has its intervals.
        cells = [_text(report.columns[column][name], column == "generated") for column in columns]
        table.add_row(name, *cells, str(report.ratios.get(name, "")))
    console.print(table)
    if report.comparison is not None:
        difference = Table("metric", "generated less baseline", "verdict")
        for name, (interval, word) in report.comparison.items():
            difference.add_row(name, str(interval) if interval else "-", word)
        console.print(difference)


def evaluation_page(report: Report) -> Page:
    """The report as a page that can be read alone."""
    page = Page("Evaluation")
    page.text(lead_sentence(report), "lead")
    for note in report.notes:
        page.text(f"Note: {note}.")
    _add_scores(page, report)
    _add_comparison(page, report)
    _add_families(page, report)
    _add_figures(page, report)
    _add_players(page, report)
    page.heading("Fingerprint")
    page.text("Reports can be compared only where all of these are the same.")
    page.table(("what", "value"), list(report.fingerprint.items()))
    return page


def lead_sentence(report: Report) -> str:
    """The one thing to know."""
    leading, floor = (report.columns[column]["kernel distance"] for column in ("generated", "real"))
    if leading.interval is None:
        return f"Kernel distance: not computed, {leading.reason}."
    text = f"Kernel distance to real held-out clips: {leading.interval}"
    if floor.interval is not None:
        text += f"; real training clips measure {floor.interval.value:.3g}"
    if report.comparison is not None:
        text += f"; than the baseline: {report.comparison['kernel distance'][1]}"
    return f"{text}. {leading.clips} clips, ear: {report.fingerprint['embedder']}."


def _text(score: Score, with_ends: bool = True) -> str:
    if score.interval is None:
        return "not computed"
    return str(score.interval) if with_ends else f"{score.interval.value:.3g}"


def _add_scores(page: Page, report: Report) -> None:
    page.heading("Numbers")
    columns = list(report.columns)
    rows: list[list[object]] = []
    for name, score in report.columns["generated"].items():
        row: list[object] = [name, "higher" if score.higher_is_better else "lower"]
        row += [_text(report.columns[column][name]) for column in columns]
        row += [str(report.ratios.get(name, "")), score.clips, score.reason or MEANING.get(name, "")]
        rows.append(row)
    header = ("metric", "better", *(COLUMNS[name] for name in columns), "over real", "clips", "meaning")
    page.table(header, rows, "In brackets: 95 % intervals for another draw of as many clips and recordings.")
    page.text(
        "Real (floor): training clips held against the held-out ones, as many and of the same families; for class, "
        "pitch and adherence the held-out clips themselves. Shuffled prompts: the same clips, each asked about the "
        "prompt of another; distances between whole sets do not change by that. A distance of a finite set has a "
        "value of its own even for equal sets: read it beside the floor.",
        "faint",
    )


def _add_comparison(page: Page, report: Report) -> None:
    if report.comparison is None:
        return
    page.heading("Against the baseline")
    rows = [[name, str(interval) if interval else "-", word] for name, (interval, word) in report.comparison.items()]
    page.table(("metric", "generated less baseline", "verdict"), rows, "Paired: the same prompts, the same halves.")


def _add_families(page: Page, report: Report) -> None:
    page.heading("Families")
    accuracy = report.columns["generated"]["class accuracy"]
    if accuracy.interval is None:
        page.text(f"Accuracy of generated clips: not computed, {accuracy.reason}.")
    rows = [
        [name, row["held_out_clips"], row["held_out_accuracy"], row["generated_clips"], row["generated_accuracy"]]
        for name, row in report.families().items()
    ]
    page.table(("family", "held-out clips", "accuracy", "generated clips", "accuracy"), rows)
    if report.classes and accuracy.interval is not None:
        page.figure(confusion_figure(report), "Rows: the family asked for. Columns: what the classifier hears.")


def confusion_figure(report: Report) -> Figure:
    """Shares of generated clips by family asked for and family heard."""
    classes, heard = report.classes, report.confusion()
    counts = np.array([[heard[asked].get(answer, 0) for answer in classes] for asked in classes], dtype=np.float64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(7.5, 6.5), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="magma", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(classes)), list(classes), rotation=90, fontsize=8)
    axes.set_yticks(range(len(classes)), list(classes), fontsize=8)
    axes.set_xlabel("heard")
    axes.set_ylabel("asked for")
    figure.colorbar(image, ax=axes, label="share of clips")
    return figure


def _add_figures(page: Page, report: Report) -> None:
    page.heading("Where the sets lie")
    if len(report.held_out) >= FEWEST_DRAWN:
        page.figure(cloud_figure(report), "Embeddings on the two main axes of the real held-out clips.")
    page.figure(level_figure(report), "How loud the clips are, and how much of them is silence.")


def cloud_figure(report: Report) -> Figure:
    """Both sets on the main axes of the real one."""
    real, made = report.held_out.embeddings.double(), report.made.embeddings.double()
    mean = real.mean(dim=0)
    axes_of_real = (real - mean).svd().V[:, :2]
    figure = Figure(figsize=(5.5, 4.2), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for cloud, name, marker in ((real, "real held-out", "o"), (made, "generated", "x")):
        points = ((cloud - mean) @ axes_of_real).numpy()
        axes.scatter(points[:, 0], points[:, 1], s=12, marker=marker, alpha=0.6, label=name)
    axes.set_xlabel("first axis")
    axes.set_ylabel("second axis")
    axes.legend()
    return figure


def level_figure(report: Report) -> Figure:
    """Histograms of loudness and of silence."""
    figure = Figure(figsize=(7.5, 3.0), dpi=100, layout="constrained")
    left, right = figure.subplots(1, 2)
    for part, name in ((report.held_out, "real held-out"), (report.made, "generated")):
        left.hist(part.loudness.numpy(), bins=np.arange(-80.0, 4.0, 3.0), density=True, histtype="step", label=name)
        right.hist(part.silence.numpy(), bins=np.linspace(0.0, 1.0, 21), density=True, histtype="step", label=name)
    left.set_xlabel("loudest 50 ms, dBFS")
    right.set_xlabel("share of silence")
    left.set_ylabel("density")
    left.legend(fontsize=8)
    return figure


def _add_players(page: Page, report: Report) -> None:
    page.heading("Listen")
    mel = MelConfig.from_yaml(resource("configs/mel/bigvgan_44khz.yaml"))
    prompts = {subject.prompt: subject for subject in reversed(report.real)}
    seen: set[str] = set()
    for subject in report.subjects:
        if subject.family in seen or len(seen) >= FAMILIES_PLAYED:
            continue
        seen.add(subject.family)
        page.open_row()
        pairs = [("generated", subject)] + ([("real", prompts[subject.prompt])] if subject.prompt in prompts else [])
        for name, clip in pairs:
            waveform, _ = read_audio(clip.path, mel.sample_rate, 0.0, 4.0)
            picture = spectrogram_figure(waveform, mel, size=PICTURE_SIZE, scale=False)
            page.sound(waveform, mel.sample_rate, f"{name}: {clip.prompt}", picture)
        page.close_row()
