import pandas as pd
import pytest
from matplotlib import pyplot as plt

from lineage.report import figures, style


def history(level, seeds=2):
    rows = [(seed, epoch, level / epoch + seed / 100) for seed in range(seeds) for epoch in (1, 2, 3)]
    table = pd.DataFrame(rows, columns=["seed", "epoch", "train_error"])
    return table.assign(val_error=0.01 + table.train_error / 2, train_loss=1.0)


HISTORIES = {("plain", 20): history(0.4), ("plain", 56): history(0.8), ("resnet", 20): history(0.3, 1)}


def test_plain_is_dashed_residual_solid_and_a_depth_has_its_colour():
    figure = figures.degradation(HISTORIES, "title")
    for axis, part, first in zip(figure.axes, ("training", "validation"), (80.5, 41.25), strict=True):
        assert axis.get_title().startswith(part)
        lines = {line.get_label(): line for line in axis.get_lines()}
        assert lines.keys() == {"plain-20", "plain-56", "resnet-20"}
        assert lines["plain-20"].get_color() == lines["resnet-20"].get_color() != lines["plain-56"].get_color()
        assert lines["resnet-20"].get_linestyle() == "-"
        assert lines["plain-20"].get_linestyle() == "--"
        assert lines["plain-56"].get_ydata()[0] == pytest.approx(first)
    plt.close(figure)


def test_a_line_ends_where_a_seed_does():
    diverged = history(0.4)
    diverged = diverged[(diverged.seed == 0) | (diverged.epoch < 3)]
    assert figures.over_seeds(diverged, "train_error").index.tolist() == [1, 2]
    figure = figures.degradation({("plain", 20): diverged}, "title")
    line, cross = figure.axes[0].get_lines()
    assert line.get_xdata().tolist() == [1, 2] and cross.get_marker() == "x"
    plt.close(figure)


def test_error_by_depth_has_each_seed_and_the_marks_of_others():
    rows = [(f, d, p, d / 10, 0.5) for f in ("plain", "resnet") for d in (20, 56) for p in ("train", "test")]
    errors = pd.DataFrame(rows, columns=["family", "depth", "part", "mean", "std"]).assign(diverged="no", started=3)
    errors.loc[errors.depth == 56, "diverged"] = "yes"
    marks = [("by construction", "plain", 56, "train", 2.0), ("He et al. 2015", "resnet", 56, "test", 7.0)]
    marks = pd.DataFrame(marks, columns=["label", "family", "depth", "part", "error"])
    seeds = [(f, d, "train", d / 10 + off) for f in ("plain", "resnet") for d in (20, 56) for off in (-1, 0, 1)]
    seeds = pd.DataFrame(seeds, columns=["family", "depth", "part", "error"])
    figure = figures.by_depth(errors, seeds, marks, "title")
    train, test = figure.axes
    assert [tick.get_text() for tick in train.get_xticklabels()] == ["20", "56"]
    drawn = {line.get_label(): line.get_ydata().tolist() for line in train.get_lines()}
    assert drawn["plain: by construction"] == [2.0]
    assert [line.get_ydata().tolist() for line in test.get_lines() if line.get_marker() == "*"] == [[7.0]]
    crosses = [line for line in test.get_lines() if line.get_marker() == "x"]
    assert [line.get_xdata().tolist() for line in crosses] == [[56], [56]]
    assert drawn["plain: mean (ours)"] == drawn["resnet: mean (ours)"] == [2.0, 5.6]
    each = {line.get_label(): line for line in train.get_lines() if line.get_label().endswith("each seed")}
    assert each["plain: each seed"].get_ydata() == pytest.approx([1, 2, 3, 4.6, 5.6, 6.6])
    left, right = (each[f"{family}: each seed"].get_xdata().tolist() for family in ("plain", "resnet"))
    assert all(a < depth < b for a, b, depth in zip(left, right, (20, 20, 20, 56, 56, 56), strict=True))
    assert not any(len(line.get_ydata()) for line in test.get_lines() if line.get_label().endswith("each seed"))
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    ours = {f"{family}{what}" for family in ("plain", "resnet") for what in (": mean (ours)", ": each seed")}
    assert names == ours | {"plain: by construction", "resnet: He et al. 2015"}
    assert train.get_ylim()[0] < 0 and test.get_ylim()[1] > 100
    plt.close(figure)


def test_what_did_not_start_to_train_is_on_no_line():
    rows = [
        ("plain", depth, part, error, 0.5, 3 * (depth < 110))
        for depth, error in ((20, 2), (56, 9), (110, 82))
        for part in ("train", "test")
    ]
    errors = pd.DataFrame(rows, columns=["family", "depth", "part", "mean", "std", "started"]).assign(diverged="no")
    marks = pd.DataFrame(columns=["label", "family", "depth", "part", "error"])
    seeds = errors.rename(columns={"mean": "error"})
    figure = figures.by_depth(errors, seeds, marks, "title")
    lines = {line.get_label(): line.get_xdata().tolist() for line in figure.axes[0].get_lines()}
    assert lines["plain: did not start to train"] == [110]
    assert lines["plain: mean (ours)"] == [20, 56]
    plt.close(figure)
    figure = figures.degradation(HISTORIES, "title", {("plain", 56)})
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["plain-20", "plain-56\n(did not start)", "resnet-20"]
    plt.close(figure)


def test_the_mean_of_losses_is_geometric():
    assert figures.geometric_mean(pd.Series([1e-4, 1e-2])) == pytest.approx(1e-3)


def test_gradients_have_a_panel_for_each_network_with_and_without_batch_norm():
    rows = [
        (family, depth, name, batch_norm, seed, layer, 0.0 if batch_norm == "no" else 10.0**layer)
        for family, depth in (("plain", 56), ("resnet", 110))
        for name in style.INITIALISATIONS
        for batch_norm in ("yes", "no")
        for seed in (0, 1)
        for layer in (1, 2, 3)
    ]
    table = pd.DataFrame(rows, columns=["family", "depth", "initialisation", "batch_norm", "seed", "layer", "gradient"])
    figure = figures.gradients(table, "title")
    assert [axis.get_title() for axis in figure.axes[:2]] == ["plain-56", "resnet-110"]
    assert all(axis.get_yscale() == "log" for axis in figure.axes)
    assert figure.axes[0].get_lines()[0].get_ydata().tolist() == [10, 100, 1000]
    assert (figure.axes[2].get_lines()[0].get_ydata() == style.TINY).all()  # a zero can be seen
    assert (
        figure.axes[0].get_lines()[0].get_linestyle() == "--" and figure.axes[1].get_lines()[0].get_linestyle() == "-"
    )
    plt.close(figure)


def test_inside_deep_and_shallow_networks_share_an_axis():
    tables = {
        ("plain", 20): pd.Series([1.0, 2, 3]),
        ("plain", 56): pd.Series([1.0, 2, 3, 4, 5]),
        ("resnet", 20): pd.Series([4.0]),
    }
    figure = figures.inside(tables, "norm", "place", "title", log=False)
    plain, resnet = figure.axes
    assert [line.get_xdata().tolist()[-1] for line in plain.get_lines()] == [100, 100]
    assert [line.get_label() for line in plain.get_lines()] == ["plain-20", "plain-56"]
    assert resnet.get_lines()[0].get_xdata() == [50]
    plt.close(figure)


def test_families_may_have_an_axis_each():
    tables = {("plain", 110): pd.Series([5000.0, 1.0, 0.5]), ("resnet", 110): pd.Series([1.1, 0.9, 1.0])}
    figure = figures.inside(tables, "response", "place", "title", log=True, share=False)
    plain, resnet = figure.axes
    assert (plain.get_yscale(), resnet.get_yscale()) == ("log", "linear")
    assert resnet.get_ylim()[0] == 0
    plt.close(figure)
    figure = figures.inside(tables, "gradient", "place", "title", log=True)
    assert {axis.get_yscale() for axis in figure.axes} == {"log"}
    plt.close(figure)


def test_lines_of_experiments_stand_in_the_legend():
    named = {str(i): history(0.3 + 0.1 * i) for i in range(6)}
    figure = figures.lines(named, "train_error", "training error in %", "title", 25)
    (axis,) = figure.axes
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*named, "25 %"]
    assert axis.get_lines()[0].get_ydata()[0] == pytest.approx(30.5)
    assert len({line.get_color() for line in axis.get_lines()}) == 7
    plt.close(figure)
    figure = figures.lines(named, "val_error", "validation error in %", "one title in words " * 6)
    assert len(figure.axes[0].get_lines()) == 6
    assert figure.axes[0].get_lines()[0].get_ydata()[0] == pytest.approx(16.25)
    figure.canvas.draw()
    place = figure._suptitle.get_window_extent()
    assert "\n" in figure.get_suptitle() and place.x0 > 0 and place.x1 < figure.bbox.x1
    plt.close(figure)
