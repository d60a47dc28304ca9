"""Charts of the comparison: axes that can be read, and where the real clips lie."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from evaluation.intervals import Interval
from pipelines.comparison_memory import Memory
from pipelines.comparison_page import measure_figure, onset_sentence
from pipelines.comparison_results import Cell, Results, Row
from pipelines.comparison_vocoders import Contestant, Recipe
from vocoder.griffin_lim import GriffinLim

ONSET, SPEED = "onset_rise_ms", "real_time_factor"


@pytest.fixture
def make(mel):
    def results(name: str, *values: Interval, real: float | None = 4.7) -> Results:
        rows = []
        for number, value in enumerate(values):
            recipe = Recipe(f"vocoder {number}", "x")
            contestant = Contestant(recipe, GriffinLim(mel), mel, torch.device("cpu"))
            rows.append(Row(contestant, "real", {name: Cell(value)}, Memory(1.0), 40, ()))
        return Results(rows, 40, 0, 0, None if real is None else Interval(real, 3.0, 6.0))

    return results


def ticks(figure: Figure) -> list[str]:
    figure.canvas.draw()
    axes = figure.axes[0]
    assert axes.get_xscale() == "log"
    assert not [label for label in axes.get_xticklabels(minor=True) if label.get_text()]
    low, high = axes.get_xlim()
    labels = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    return [label.get_text() for place, label in labels if low * 0.999 <= place <= high * 1.001]


def test_onsets_of_every_size_can_be_read(make) -> None:
    results = make(ONSET, Interval(5.2, 4.1, 6.3), Interval(31.0, 12.0, 720.0))
    figure = measure_figure(results, ONSET, ["real"])
    assert ticks(figure) == ["2", "5", "10", "20", "50", "100", "200", "500", "1000"]
    real = [line for line in figure.axes[0].lines if line.get_label() == "real clips"]
    assert [list(line.get_xdata()) for line in real] == [[4.7, 4.7]]
    assert not [line for line in measure_figure(make(ONSET, Interval(5.0), real=None), ONSET, ["real"]).axes[0].lines][
        1:
    ]


def test_real_time_has_few_labels_that_do_not_overlap(make) -> None:
    near = measure_figure(make(SPEED, Interval(0.031, 0.03, 0.033), Interval(0.036)), SPEED, ["real"])
    assert ticks(near) == ["0.02", "0.05"]
    assert not [line for line in near.axes[0].lines if line.get_label() == "real clips"]
    far = measure_figure(make(SPEED, Interval(0.0003), Interval(0.02, 0.0, 11.0)), SPEED, ["real"])
    assert ticks(far) == ["0.001", "0.01", "0.1", "1", "10"]
    for figure in (near, far):
        figure.canvas.draw()
        boxes = [label.get_window_extent() for label in figure.axes[0].get_xticklabels()]
        assert all(np.diff([box.x0 for box in boxes]) > [box.width for box in boxes[:-1]])


def test_onsets_are_told_against_the_real_ones(make) -> None:
    results = make(ONSET, Interval(7.8), Interval(4.45))
    told = "Median onset rise, held against the real clips' 4.7 ms: vocoder 0 3.1 ms above, vocoder 1 0.25 ms below."
    assert onset_sentence(results.rows, results) == told
    silent = make(ONSET, Interval(7.8), real=None)
    assert onset_sentence(silent.rows, silent) == ""
