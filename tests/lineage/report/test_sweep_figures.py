import pandas as pd
import pytest
from matplotlib import pyplot as plt

from lineage.report import style, sweep_figures


def test_first_steps_have_the_colour_of_their_depth_and_the_marker_of_their_start():
    rows = [("he", 20, 0.01, 0.0, "no"), ("he", 110, 300.0, 0.82, "yes"), ("dirac", 110, 0.0, 0.01, "no")]
    runs = pd.DataFrame(rows, columns=["start", "depth", "first_step", "train_error", "diverged"])
    figure = sweep_figures.first_steps(runs, 66.7, "title")
    (axis,) = figure.axes
    shallow, deep, dirac = axis.collections
    assert axis.get_xscale() == "log" and deep.get_offsets().tolist() == [[300.0, 82.0]]
    assert dirac.get_offsets()[0][0] == style.TINY  # a zero can be seen
    assert (deep.get_facecolor() == dirac.get_facecolor()).all() and (
        shallow.get_facecolor() != deep.get_facecolor()
    ).any()
    assert len(deep.get_paths()[0].vertices) != len(dirac.get_paths()[0].vertices)
    assert deep.get_edgecolor()[0][:3].tolist() == [1, 0, 0] and shallow.get_edgecolor()[0][:3].tolist() == [1, 1, 1]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["20 layers", "110 layers", "He", "Dirac"]
    plt.close(figure)


def test_what_was_made_deeper_begins_where_the_shallow_network_ended():
    rows = [
        (seed, depth, insertion, state, error + seed / 100)
        for seed in range(2)
        for depth, insertion, state, error in (
            (20, "", "trained", 0.01),
            (20, "", "trained on", 0.0),
            (56, "training", "inserted", 0.01),
            (56, "training", "trained on", 0.05),
        )
    ]
    runs = pd.DataFrame(rows, columns=["seed", "depth", "insertion", "state", "train_error"])
    figure = sweep_figures.deepened(runs.assign(val_error=0.01 + runs.train_error / 2), "title")
    train, validation = figure.axes
    assert (train.get_title(), validation.get_title()) == ("training error", "validation error")
    lines, errors = train.get_lines(), ([1, 0], [2, 1], [1, 1, 5], [2, 2, 6])
    assert [line.get_ydata().tolist() for line in lines] == [pytest.approx(values) for values in errors]
    assert [line.get_ydata().tolist() for line in validation.get_lines()] == [
        pytest.approx([1 + value / 2 for value in values]) for values in errors
    ]
    assert lines[0].get_xdata().tolist() == [0, 2] and lines[2].get_xdata() == pytest.approx([0.04, 1.04, 2.04])
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["no layers inserted", "layers exact in training"]
    plt.close(figure)


def test_a_cross_where_no_seed_started_to_train():
    rows = [("plain", 20, "he", 0.02, 2, 2, 0.0), ("plain", 110, "he", -0.0004, 3, 0, 82.0)]
    rows += [("plain", 110, "looks-linear", 0.6, 3, 3, 4.0), ("resnet", 56, "he", 0.5, 0, 0, float("nan"))]
    columns = ["family", "depth", "words", "agreement", "n", "started", "median_error"]
    figure = sweep_figures.agreement(
        pd.DataFrame(rows, columns=columns).assign(normalisation="batch", ratio=5.0), "title"
    )
    left, right, by_ratio = figure.axes
    assert left.get_lines()[0].get_xydata().tolist() == [[20, 0.02], [110, -0.0004]]
    assert [line.get_linestyle() for line in left.get_lines()] == ["--", "--", "-"]
    points = right.collections
    assert [point.get_offsets().tolist()[0] for point in points] == [[0.02, 0.0], [-0.0004, 82.0], [0.6, 4.0]]
    assert len(points[0].get_paths()[0].vertices) != len(points[1].get_paths()[0].vertices)
    assert [text.get_text() for text in right.texts] == ["110"]  # errors near 0 hide one another
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["plain, he", "plain, looks-linear", "residual, he"]
    low, high = right.get_xlim()
    assert low < -0.0004 and high > 0.6
    many = [("plain", 20, f"kind {i}", 0.02, 2, 2, 0.0) for i in range(12)]  # more than there are colours
    crowded = sweep_figures.agreement(
        pd.DataFrame(many, columns=columns).assign(normalisation="batch", ratio=5.0), "title"
    )
    assert len(crowded.axes[0].get_lines()) == 12
    plt.close(crowded)
    assert [point.get_offsets().tolist()[0] for point in by_ratio.collections] == [[5, 0], [5, 82], [5, 4]]
    plt.close(figure)


def test_a_ring_and_a_disc_for_each_network():
    rows = [("plain", 110, "He", 82.0, 70.0), ("plain", 110, "looks linear", 50.0, 0.1)]
    networks = pd.DataFrame(rows, columns=["family", "depth", "words", "usual", "median_error"])
    figure = sweep_figures.equalised(networks, "title")
    lines = figure.axes[0].get_lines()
    assert [list(line.get_xdata()) for line in lines] == [[82, 70], [82], [70], [50, 0.1], [50], [0.1]]
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        "plain, 110 layers, He",
        "plain, 110 layers, looks linear",
    ]
    plt.close(figure)
