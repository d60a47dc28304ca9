"""A comparison of vocoders as a page that can be read alone, and as a table in the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FormatStrFormatter, NullLocator
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from torch import Tensor

from audio.distances import normalise_peak
from audio.mel import MelConfig
from evaluation.page import Page
from evaluation.pictures import spectrogram_figure
from pipelines.comparison_decoding import GENERATED, REAL, Kept
from pipelines.comparison_listening import ListeningTest
from pipelines.comparison_listening_page import add_listening
from pipelines.comparison_measures import MEASURES, samples_of
from pipelines.comparison_results import Results, Row

PICTURE_SIZE = (3.0, 2.0)
# Spread over decades.
LOGARITHMIC = ("onset_rise_ms", "real_time_factor")
DRAWN = ("multi_scale_mel_distance", "mel_consistency", "onset_rise_ms", "real_time_factor")
SOURCE_TEXTS = {
    "real": "the mel of the held-out clip",
    "decoded": "that mel through the autoencoder and back",
    "generated": "what the diffusion model makes for the clip's caption",
}


@dataclass(frozen=True)
class Subject:
    """What was compared.

    Args:
        facts: fingerprints and settings, by name.
        audio: name of the folder.
        split: of it.
        clips: that were decoded.
        too_short: clips that were left out.
        cut: clips of which only the beginning was taken.
        seconds: that they were cut to.
        sources: of the mels.
        mel: the model's contract.
        seed: of the noise.
    """

    facts: Mapping[str, object]
    audio: str
    split: str
    clips: int
    too_short: int
    cut: int
    seconds: float
    sources: Sequence[str]
    mel: MelConfig
    seed: int


def show_results(results: Results) -> None:
    """The table, on standard error."""
    table = Table(
        "vocoder", "source", "mel distance", "than the first", "real time", "memory", "parameters", box=SIMPLE
    )
    for row in results.rows:
        distance, speed = row.cells["multi_scale_mel_distance"], row.cells["real_time_factor"]
        table.add_row(
            row.contestant.name,
            row.source,
            str(distance.interval or "-"),
            distance.word or "-",
            f"{speed.interval.value:.3g}" if speed.interval else "-",
            _mebibytes(row),
            f"{row.contestant.parameters / 1e6:.2f} M",
        )
    Console(stderr=True).print(table)


def lead_sentence(results: Results) -> str:
    """The one thing to know: the first vocoder against the others, on the first source with a clip to lie over."""
    rows = [row for row in results.rows if row.cells["multi_scale_mel_distance"].interval is not None]
    if not rows:
        return "Generated mels alone: there is no real clip to be held against; see mel consistency, and listen."
    rows = [row for row in rows if row.source == rows[0].source]
    found = [
        f"{row.contestant.name} {row.cells['multi_scale_mel_distance'].interval}"
        + (f" ({row.cells['multi_scale_mel_distance'].word})" if row.cells["multi_scale_mel_distance"].word else "")
        for row in rows
    ]
    against = f"; in brackets: than {rows[0].contestant.name}" if len(rows) > 1 else ""
    return f"Multi-scale mel distance on {rows[0].source} mels, lower is better: {', '.join(found)}{against}."


def comparison_page(subject: Subject, results: Results, shown: Mapping[int, Kept], test: ListeningTest | None) -> Page:
    """The page.

    Args:
        subject: what was compared.
        results: the numbers.
        shown: clips with players and spectrograms.
        test: of listening; None without one.
    """
    page = Page("Vocoders compared")
    page.text(lead_sentence(results), "lead")
    page.text(_clips_text(subject, results))
    for note in dict.fromkeys(note for row in results.rows for note in row.notes):
        page.text(f"Note: {note}.")
    _add_vocoders(page, results)
    for source in subject.sources:
        _add_source(page, source, [row for row in results.rows if row.source == source], results)
    page.heading("Side by side")
    for name in DRAWN:
        if any(row.cells[name].interval is not None for row in results.rows):
            page.figure(measure_figure(results, name, subject.sources))
    _add_meanings(page)
    page.heading("Listen")
    names = list(dict.fromkeys(row.contestant.name for row in results.rows))
    for example in shown.values():
        add_example(page, example, subject, names)
    if test is not None:
        add_listening(page, test)
    page.heading("Fingerprint")
    page.table(("what", "value"), list(subject.facts.items()))
    return page


def _clips_text(subject: Subject, results: Results) -> str:
    text = f"{subject.clips} clips of {subject.audio}, split '{subject.split}', {results.recordings} recordings"
    text += f"; {results.speech} judged as speech, {results.pitched} by their note."
    text += f" {subject.too_short} shorter clips were left out." if subject.too_short else ""
    text += f" Of {subject.cut} longer ones, the first {subject.seconds:g} s." if subject.cut else ""
    return text + " Brackets are 95 % intervals over recordings."


def _add_vocoders(page: Page, results: Results) -> None:
    page.heading("Vocoders")
    adapted = any(row.contestant.adapter_loss is not None for row in results.rows)
    rows: dict[str, list[object]] = {}
    for row in results.rows:
        contestant = row.contestant
        given = ", ".join(f"{name} = {value}" for name, value in contestant.recipe.arguments.items())
        cells: list[object] = [contestant.name, type(contestant.vocoder).__name__, given]
        cells += [contestant.parameters, _mebibytes(row)]
        rows[contestant.name] = cells + ([contestant.adapter_loss] if adapted else [])
    header = ["vocoder", "class", "arguments", "parameters", "peak memory"]
    header += ["mel adapter, nats"] if adapted else []
    caption = "Memory: growth of a process of its own while it loads the vocoder and decodes the longest clip."
    page.table(header, list(rows.values()), caption)


def _add_source(page: Page, source: str, rows: Sequence[Row], results: Results) -> None:
    page.heading(f"Mels: {source}")
    page.text(f"{SOURCE_TEXTS[source][0].upper()}{SOURCE_TEXTS[source][1:]}.")
    measures = [m for m in MEASURES if any(row.cells[m.name].interval is not None for row in rows)]
    first = rows[0].contestant.name
    table: list[list[object]] = []
    for measure in measures:
        cells: list[object] = [measure.name, measure.better if measure.better != "neither" else "-"]
        for row in rows:
            cell = row.cells[measure.name]
            cells.append(str(cell.interval or "-") + (f", {cell.word}" if cell.word else ""))
        table.append(cells)
    caption = f"Words: than {first}, paired by clip, at 95 % confidence." if len(rows) > 1 else ""
    page.table(("measure", "better", *(row.contestant.name for row in rows)), table, caption)
    if results.real_onset_rise is not None and source != GENERATED:
        page.text(f"Onset rise of the real clips: {results.real_onset_rise} ms.", "faint")
    if source == REAL and (sentence := onset_sentence(rows, results)):
        page.text(sentence)


def onset_sentence(rows: Sequence[Row], results: Results) -> str:
    """By how much each vocoder's median onset rise exceeds that of the real clips; empty where there is none."""
    real = results.real_onset_rise
    found = [(row.contestant.name, row.cells["onset_rise_ms"].interval) for row in rows]
    told = [
        f"{name} {abs(rise.value - real.value):.3g} ms {'below' if rise.value < real.value else 'above'}"
        for name, rise in found
        if rise is not None and real is not None
    ]
    if real is None or not told:
        return ""
    return f"Median onset rise, held against the real clips' {real.value:.3g} ms: {', '.join(told)}."


def _add_meanings(page: Page) -> None:
    page.heading("What the measures mean")
    page.table(
        ("measure", "meaning", "summed up by"),
        [
            (m.name, m.meaning, "median over recordings" if m.summary == "median" else "mean over clips")
            for m in MEASURES
        ],
    )


def measure_figure(results: Results, name: str, sources: Sequence[str]) -> Figure:
    """A measure of all vocoders, sources side by side, with intervals."""
    names = list(dict.fromkeys(row.contestant.name for row in results.rows))
    figure = Figure(figsize=(6.4, 0.9 + 0.28 * len(names) * len(sources)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, source in enumerate(sources):
        rows = [row for row in results.rows if row.source == source]
        for place, row in enumerate(rows):
            interval = row.cells[name].interval
            if interval is None:
                continue
            height = place + 0.8 * (number + 0.5) / len(sources) - 0.4
            label = source if place == 0 else None
            axes.plot([interval.value], [height], "o", markersize=4, color=f"C{number}", label=label)
            if interval.low is not None and interval.high is not None:
                axes.plot([interval.low, interval.high], [height, height], color=f"C{number}", linewidth=1.4)
    axes.set_yticks(np.arange(len(names)), names, fontsize=8)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel(name.replace("_", " "))
    if name == "onset_rise_ms" and results.real_onset_rise is not None:
        axes.axvline(results.real_onset_rise.value, color="0.6", linewidth=1.2, zorder=0, label="real clips")
    if name in LOGARITHMIC:
        _scale_by_ratios(axes)
    axes.legend(fontsize=8)
    return figure


def _scale_by_ratios(axes: Axes) -> None:
    """A log axis whose ends and labels are 1, 2 or 5 times a power of ten: short ranges have labels too."""
    axes.set_xscale("log")
    drawn = np.concatenate([np.asarray(line.get_xdata(), dtype=float) for line in axes.lines] or [np.ones(1)])
    drawn = drawn[drawn > 0.0] if (drawn > 0.0).any() else np.ones(1)
    exponents = np.arange(np.floor(np.log10(drawn.min())) - 1, np.ceil(np.log10(drawn.max())) + 2)
    ticks = (10.0 ** exponents[:, None] * np.array([1.0, 2.0, 5.0])).ravel()
    low, high = ticks[ticks < drawn.min()].max(), ticks[ticks > drawn.max()].min()
    within = ticks[(ticks >= low) & (ticks <= high)]
    # Over many decades, powers of ten alone.
    labelled = within if len(within) <= 10 else 10.0**exponents
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(labelled.tolist()))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_locator(NullLocator())


def add_example(page: Page, example: Kept, subject: Subject, names: Sequence[str]) -> None:
    """A clip and all that came of it, side by side."""
    page.text(f"{example.clip.path.name}: {example.clip.captions[0]}")
    # Sources apart, and in each the vocoders in the order of the command line, whoever began.
    made = sorted(example.made.items(), key=lambda item: (subject.sources.index(item[0][1]), names.index(item[0][0])))
    sounds: dict[str, Tensor] = {"real clip": example.real}
    sounds |= {f"{source}: {vocoder}": waveform for (vocoder, source), waveform in made}
    page.open_row()
    for title, waveform in sounds.items():
        sound = samples_of(normalise_peak(waveform))
        picture = spectrogram_figure(sound, subject.mel, "", PICTURE_SIZE, scale=False)
        page.sound(sound, subject.mel.sample_rate, title, picture)
    page.close_row()


def _mebibytes(row: Row) -> str:
    found = row.memory.mebibytes
    return "-" if found is None else f"{found:.0f} MiB"
