import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from lineage.report import card_figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def history(diverged=False):
    rows = [(seed, epoch, 1 / epoch, 0.5 / epoch) for seed in (0, 1) for epoch in (1, 2, 3)]
    table = pd.DataFrame(rows, columns=["seed", "epoch", "train_loss", "train_error"])
    table = table.assign(val_loss=table.train_loss * 1.1, val_error=table.train_error * 1.1)
    if diverged:
        table.loc[5, "train_loss"] = np.nan
    return table


def test_curves_have_a_line_for_each_seed_and_a_cross_where_one_diverged():
    for diverged in (False, True):
        figure = card_figures.curves(history(diverged), "mine")
        for axis, kind in zip(figure.axes, ("cross-entropy", "error in %"), strict=True):
            assert axis.get_ylabel() == kind
            lines = axis.get_lines()
            crosses = [line for line in lines if line.get_marker() == "x"]
            assert len(lines) - len(crosses) == 4
            assert bool(crosses) == diverged
            assert axis.get_ylim()[0] == 0
        for axis, highest in zip(figure.axes, (1, 50), strict=True):
            named = {line.get_label(): line.get_ydata()[0] for line in axis.get_lines()}
            assert named["training (running average)"] == highest
            assert named["validation"] == pytest.approx(1.1 * highest)
        assert "n = 2" in figure.get_suptitle()
    exploded = history().assign(val_loss=[1e8, 1, 1, 1, 1, 1])
    assert [axis.get_yscale() for axis in card_figures.curves(exploded, "mine").axes] == ["log", "linear"]


@pytest.mark.parametrize("n", [2, 6, 10])
def test_few_classes_have_counts_and_accuracies(n):
    counts = np.eye(n, dtype=int) * 8
    counts[0, 1] = 2
    figure = card_figures.confusion(counts, [f"class_{i}" for i in range(n)], [], "mine")
    axis, bars = figure.axes[:2]
    assert axis.images[0].get_array()[0, 1] == pytest.approx(20)
    assert len(axis.texts) == n + 1
    assert axis.get_yticklabels()[1].get_text() == "class 1"
    assert [text.get_text() for text in bars.texts] == ["80", *["100"] * (n - 1)]


def test_a_class_without_images_is_no_zero():
    figure = card_figures.confusion(np.array([[4, 0], [0, 0]]), ["here", "not"], [], "mine")
    axis, bars = figure.axes[:2]
    assert np.isnan(axis.images[0].get_array().filled(np.nan)[1]).all()
    assert [text.get_text() for text in bars.texts] == ["100", "–"]


def test_many_classes_without_superclasses_keep_their_names():
    names = [f"class_{i:02}" for i in range(11)]
    axis = card_figures.confusion(np.eye(11, dtype=int), names[::-1], [], "mine").axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == [name.replace("_", " ") for name in names]


def test_many_classes_are_boxed_by_superclass():
    classes = [f"class_{i}" for i in range(100)]
    superclasses = [f"kind_{i % 20:02}" for i in range(100)]
    counts = np.zeros((100, 100), int)
    counts[0, 20] = counts[1, 1] = 3  # class 0 is taken for class 20, of the same kind
    axis = card_figures.confusion(counts, classes, superclasses, "mine").axes[0]
    assert len(axis.patches) == 20 and not axis.texts
    assert [label.get_text() for label in axis.get_yticklabels()][:2] == ["kind 00", "kind 01"]
    shares = axis.images[0].get_array()
    rows, columns = np.nonzero(shares.filled(0))
    assert (rows // 5 == columns // 5).all()  # within the box
    panels = card_figures.many_classes(counts.diagonal() * 10.0, classes, superclasses, "mine").axes
    names = [label.get_text() for panel in panels for label in panel.get_yticklabels()]
    assert len(panels) == 5 and sorted(names) == sorted(name.replace("_", " ") for name in classes)
    assert names[:5] == ["class 0", "class 20", "class 40", "class 60", "class 80"]


def test_pictures_and_filters():
    tiles = np.random.default_rng(0).integers(0, 256, (8, 7, 7, 3), np.uint8)
    captions = [f"this, not that ({i} %)" for i in range(8)]
    figure = card_figures.mistakes(tiles, captions, "mine")
    shown = [axis for axis in figure.axes if axis.images]
    assert [axis.get_xlabel() for axis in shown] == captions
    canvas = card_figures.filters(np.repeat(tiles, 4, 0)[:20], "mine").axes[0].images[0].get_array()
    assert canvas.shape == (2 * 8 - 1, 16 * 8 - 1, 3)
    assert (canvas[:7, 8:15] == tiles[0]).all() and (canvas[8:, :7] == tiles[4]).all()
    assert (canvas[7] == 255).all()
