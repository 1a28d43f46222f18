from dataclasses import replace

import pytest
from matplotlib import pyplot as plt
from test_compare import measured

from lineage.report import drawings, results
from lineage.report.entries import MOST_LINES
from lineage.report.style import LINES

NAMES = {name: f"alexnet4-{name}-cifar10" for name in ("relu", "tanh")}


def draw(figure, name, shows):
    (axis,) = figure.axes
    lines = [line.get_label() for line in axis.get_lines()]
    plt.close(figure)
    return [name, shows, lines, axis.get_ylabel(), axis.get_lines()[0].get_ydata()[0]]


def test_two_experiments_or_more_make_a_figure(workspace, monkeypatch):
    for name in NAMES.values():
        measured(name)
    read = {name: results.read(name) for name in NAMES.values()}
    assert drawings.section({NAMES["relu"]: read[NAMES["relu"]]}, draw) == []
    name, shows, lines, label, first = drawings.section(read, draw)
    assert name == "activations.svg" and lines == ["relu", "tanh", "25 %"] and label == "training error in %"
    assert shows == "training error in % by epoch: Four-layer network on CIFAR-10, by activation"
    assert first == pytest.approx(11)
    other = replace(drawings.FIGURES["activations"], shows="val_error")
    monkeypatch.setitem(drawings.FIGURES, "activations", other)
    *_, label, first = drawings.section(read, draw)
    assert label == "validation error in %" and first == pytest.approx(6.5)


def test_there_is_a_colour_for_each_line():
    assert len(set(LINES)) == MOST_LINES
