"""The report of the data doctor: `doctor.json` for programs, `doctor.html` for ears and eyes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from audio.files import read_audio, resample
from audio.mel import MelConfig
from evaluation.page import Page, save_json
from evaluation.pictures import spectrogram_figure
from pipelines.diagnosis import Diagnosis, Fault
from pipelines.resources import resource

EXAMPLES = 3
LONGEST_EXAMPLE_SECONDS = 4.0
LONGEST_LIST = 200
PICTURE_PRESET = "configs/mel/bigvgan_44khz.yaml"

MEANING = {
    "clipped": "Flat tops: the wave was louder than the format could hold. Record again, or leave it out.",
    "dc": "The whole clip is shifted. Subtract the offset.",
    "silent": "Nothing to hear.",
    "duplicate": "The same recording twice: it weighs double, and across splits it makes every score too good.",
    "band_limited": "The file was up-sampled, or coded as MP3: a model would learn that the top is empty.",
    "unreadable": "Not a sound file, or cut short.",
    "empty": "A header without samples.",
    "not_finite": "NaN or infinity among the samples.",
    "too_short": "Too short for one frame.",
    "bad_metadata": "Lines of metadata.jsonl that cannot be used.",
}


def write_report(diagnosis: Diagnosis, out: Path) -> tuple[Path, Path]:
    """Write `doctor.json` and `doctor.html`.

    Args:
        diagnosis: of a folder.
        out: folder for both; made where it is not there.

    Returns:
        their paths.

    Raises:
        ValueError: they cannot be written.
    """
    save_json(out / "doctor.json", diagnosis.as_dict())
    page = Page(f"Data doctor: {diagnosis.folder.resolve().name}")
    _summary(page, diagnosis)
    mel = MelConfig.from_yaml(resource(PICTURE_PRESET))
    for kind in diagnosis.counts():
        page.heading(f"{kind}: {diagnosis.counts()[kind]}")
        page.text(MEANING.get(kind, ""), "faint")
        found = [fault for fault in diagnosis.faults if fault.kind == kind]
        _examples(page, diagnosis, found[:EXAMPLES], mel)
        _listing(page, found)
    if diagnosis.notes:
        page.heading("Notes: no fault, but worth knowing")
        page.table(("kind", "count"), list(diagnosis.note_counts().items()))
        _listing(page, diagnosis.notes)
    page.save(out / "doctor.html")
    return out / "doctor.json", out / "doctor.html"


def _summary(page: Page, diagnosis: Diagnosis) -> None:
    bad = len({fault.file for fault in diagnosis.faults})
    page.text(
        f"{bad} of {len(diagnosis.files)} files would spoil training."
        if bad
        else f"None of {len(diagnosis.files)} files would spoil training.",
        "lead",
    )
    if diagnosis.counts():
        page.table(("fault", "files"), list(diagnosis.counts().items()))
    if diagnosis.proposal is not None:
        proposal = diagnosis.proposal
        page.heading("Proposal")
        page.text(f"Mel preset {proposal.mel}: {proposal.mel_reason}.")
        page.text(f"Clips of {proposal.seconds:g} s: {proposal.seconds_reason}.")
    usable = [report for report in diagnosis.files.values() if report.usable]
    if usable:
        page.heading("Lengths and levels")
        page.figure(_histogram([report.seconds for report in usable], "seconds"))
        page.figure(_histogram([report.loudness for report in usable], "loudest 50 ms in dBFS"))
    facts = diagnosis.as_dict()
    for title, key in (("sample rate in Hz", "sample_rates"), ("channels", "channels"), ("licence", "licences")):
        page.table((title, "files"), list(facts[key].items()))


def _histogram(values: Sequence[float], label: str) -> Figure:
    figure = Figure(figsize=(4.6, 2.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.hist(np.asarray(values), bins=30)
    axes.set_xlabel(label)
    axes.set_ylabel("files")
    return figure


def _examples(page: Page, diagnosis: Diagnosis, faults: Sequence[Fault], mel: MelConfig) -> None:
    for fault in faults:
        page.open_row()
        _player(page, diagnosis.folder / fault.file, f"{fault.file}: {fault.detail}", mel)
        if fault.of:
            _player(page, diagnosis.folder / fault.of, f"{fault.of}: kept", mel)
        page.close_row()


def _player(page: Page, path: Path, caption: str, mel: MelConfig) -> None:
    try:
        waveform, sample_rate = read_audio(path, seconds=LONGEST_EXAMPLE_SECONDS)
        waveform = resample(waveform, sample_rate, mel.sample_rate) if sample_rate != mel.sample_rate else waveform
    except ValueError:
        # What cannot be read cannot be played; the list below names it.
        return
    picture = spectrogram_figure(waveform, mel, path.name, (4.2, 2.4), scale=False)
    page.sound(waveform, mel.sample_rate, caption, picture)


def _listing(page: Page, faults: Sequence[Fault]) -> None:
    shown = [(fault.file, fault.kind, fault.detail) for fault in faults[:LONGEST_LIST]]
    page.table(("file", "kind", "detail"), shown)
    if len(faults) > LONGEST_LIST:
        page.text(f"and {len(faults) - LONGEST_LIST} more, in doctor.json", "faint")
