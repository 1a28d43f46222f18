import pytest
from matplotlib import pyplot as plt
from test_compare import measured

from lineage.errors import Mistake
from lineage.report import drawings, results
from lineage.report.entries import Lines

NAMES = {name: f"alexnet4-{name}-cifar10" for name in ("relu", "tanh")}


def draw(figure, name, shows):
    (axis,) = figure.axes
    lines = [line.get_label() for line in axis.get_lines()]
    plt.close(figure)
    return [name, shows, lines, axis.get_ylabel()]


def test_two_experiments_or_more_make_a_figure(workspace):
    for name in NAMES.values():
        measured(name)
    read = {name: results.read(name) for name in NAMES.values()}
    assert drawings.section({NAMES["relu"]: read[NAMES["relu"]]}, draw) == []
    name, shows, lines, label = drawings.section(read, draw)
    assert name == "activations.svg" and lines == ["relu", "tanh", "25 %"] and label == "training error in %"
    assert shows == "training error in % by epoch: Four-layer network on CIFAR-10, by activation"


@pytest.mark.parametrize(
    ("shows", "experiments"),
    [("errors", NAMES), ("val_error", {"one": "a"}), ("val_error", {str(i): "a" for i in range(7)})],
)
def test_a_figure_that_cannot_be_drawn(monkeypatch, shows, experiments):
    monkeypatch.setattr(drawings, "FIGURES", {"mine": Lines("mine", "Mine", shows, experiments)})
    with pytest.raises(Mistake, match="figures, mine: `shows` is one of train_error, val_error, and 2 to 6"):
        drawings.section({}, draw)
