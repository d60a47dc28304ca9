"""A report as one HTML file that can be read alone: text, tables, pictures and players, all inside it.

Nothing is fetched when it is opened; pictures are PNG and sounds FLAC, both written into the page as data.
"""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from audio.files import flac_bytes, write_aside
from audio.measures import Waveform

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
table { border-collapse: collapse; margin: 1rem 0; } caption { text-align: left; color: #555; padding: .3rem 0; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #e4e4e4; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } .scroll { overflow-x: auto; }
figure { display: inline-block; margin: .6rem 1rem .6rem 0; vertical-align: top; } figcaption { color: #555; }
figure img { max-width: 100%; } audio { display: block; width: 17rem; }
.pair { display: flex; flex-wrap: wrap; border-bottom: 1px solid #e4e4e4; }
.lead { font-size: 1.05rem; } .faint { color: #777; }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd; } h2, th, td { border-color: #333; } }
"""


class Page:
    """A page that grows from top to bottom.

    Args:
        title: of the page.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = []

    def heading(self, text: str) -> None:
        """A new section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, kind: str = "") -> None:
        """A paragraph.

        Args:
            text: plain.
            kind: `lead` for the one thing to know, `faint` for small print.
        """
        self._parts.append(f'<p class="{html.escape(kind)}">{html.escape(text)}</p>')

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]], caption: str = "") -> None:
        """A table; numbers are set to the right.

        Args:
            header: names of the columns.
            rows: cells; None is shown as a dash.
            caption: above it.
        """
        head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
        body = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
        title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        self._parts.append(
            f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def figure(self, figure: Figure, caption: str = "") -> None:
        """A matplotlib figure, as PNG."""
        self._parts.append(_figure(_image(figure), caption))

    def sound(self, waveform: Waveform, sample_rate: int, caption: str = "", picture: Figure | None = None) -> None:
        """A player, with a picture above it where one is given.

        Args:
            waveform: samples in [-1, 1], mono.
            sample_rate: in Hz.
            caption: below it.
            picture: such as the clip's spectrogram.
        """
        self._parts.append(_figure((_image(picture) if picture else "") + _player(waveform, sample_rate), caption))

    def fragment(self, markup: str) -> None:
        """Markup of the project's own, taken as it is; what comes from elsewhere must be escaped in it."""
        self._parts.append(markup)

    def open_row(self) -> None:
        """What follows, up to `close_row`, stands side by side."""
        self._parts.append('<div class="pair">')

    def close_row(self) -> None:
        """End of what stands side by side."""
        self._parts.append("</div>")

    def save(self, path: Path) -> None:
        """Write the page aside, then rename it.

        Raises:
            ValueError: it cannot be written.
        """
        title = html.escape(self.title)
        text = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{STYLE}</style></head><body><h1>{title}</h1>\n" + "\n".join(self._parts) + "\n</body></html>\n"
        )
        with write_aside(path) as aside:
            aside.write_text(text, encoding="utf-8")


def save_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write plain containers as JSON that any reader takes: no NaN, aside and then renamed.

    Raises:
        ValueError: a number that is not finite, or a file that cannot be written.
    """
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with write_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _cell(value: object) -> str:
    if value is None:
        return '<td class="number">-</td>'
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, float):
        return f'<td class="number">{value:.4g}</td>'
    kind = ' class="number"' if isinstance(value, int) else ""
    return f"<td{kind}>{html.escape(str(value))}</td>"


def _figure(inside: str, caption: str) -> str:
    return f"<figure>{inside}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _image(figure: Figure) -> str:
    FigureCanvasAgg(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}">'


def _player(waveform: Waveform, sample_rate: int) -> str:
    data = base64.b64encode(flac_bytes(waveform, sample_rate)).decode()
    return f'<audio controls preload="none" src="data:audio/flac;base64,{data}"></audio>'
