"""Report pages: alone readable, nothing executed, sound and pictures inside; JSON that every reader takes."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib.figure import Figure

from audio.mel import MelConfig
from evaluation.page import Page, save_json
from evaluation.pictures import bin_centres, log_mel_figure, spectrogram_figure

VOID = {"meta", "img", "br"}


class Nesting(HTMLParser):
    """Checks that every element is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def saved(page: Page, folder: Path) -> str:
    page.save(folder / "page.html")
    text = (folder / "page.html").read_text(encoding="utf-8")
    parser = Nesting()
    parser.feed(text)
    assert parser.open == []
    return text


def test_what_is_written_is_shown_and_nothing_of_it_runs(tmp_path: Path) -> None:
    page = Page("A <b>title</b>")
    page.heading("Numbers & more")
    page.text('<script>alert("x")</script>', "lead")
    page.table(("name", "value"), [("a<b", 0.123456), ("none", None), ("count", 7), ("yes", True)], "caption")
    text = saved(page, tmp_path)
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<b>" not in text
    assert '<td class="number">0.1235</td>' in text
    assert '<td class="number">-</td>' in text
    assert "<td>yes</td>" in text


def test_sounds_and_pictures_are_inside(tmp_path: Path, mel: MelConfig) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(22050) / 44100).astype(np.float32)
    page = Page("Sound")
    page.open_row()
    page.sound(tone * 3.0, 44100, "too loud", spectrogram_figure(tone, mel, "tone"))
    page.close_row()
    page.figure(Figure(figsize=(1, 1)), "empty")
    text = saved(page, tmp_path)
    assert "http" not in text
    sound = re.search(r"data:audio/flac;base64,([^\"]+)", text)
    waveform, rate = soundfile.read(io.BytesIO(base64.b64decode(sound[1])))
    assert rate == 44100
    assert np.abs(waveform - np.clip(tone * 3.0, -1, 1)).max() < 1e-3
    pictures = re.findall(r"data:image/png;base64,([^\"]+)", text)
    assert len(pictures) == 2
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)


def test_an_axis_in_hertz_stands_at_the_filters(mel: MelConfig) -> None:
    centres = bin_centres(mel)
    assert np.all(np.diff(centres) > 0)
    axes = log_mel_figure(np.full((mel.n_mels, 10), -3.0, dtype=np.float32), mel).axes[0]
    for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        if float(label.get_text()) >= centres[0]:
            assert np.interp(place - 0.5, np.arange(mel.n_mels), centres) == pytest.approx(
                float(label.get_text()), rel=0.01
            )


def test_json_has_no_nan_and_is_never_half_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    save_json(path, {"a": 1.5, "b": [None, "é"]})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1.5, "b": [None, "é"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        save_json(path, {"a": float("nan")})
    assert json.loads(path.read_text(encoding="utf-8"))["a"] == 1.5
    assert [item.name for item in tmp_path.iterdir()] == ["report.json"]
