import re

import numpy as np
import pandas as pd
import pytest
from conftest import sha256
from matplotlib import pyplot as plt

from lineage import figures


def history(level, seeds=2):
    rows = [(seed, epoch, level / epoch + seed / 100) for seed in range(seeds) for epoch in (1, 2, 3)]
    table = pd.DataFrame(rows, columns=["seed", "epoch", "train_error"])
    return table.assign(val_error=table.train_error)


HISTORIES = {("plain", 20): history(0.4), ("plain", 56): history(0.8), ("resnet", 20): history(0.3, 1)}


def test_plain_is_dashed_residual_solid_and_a_depth_has_its_colour():
    figure = figures.degradation(HISTORIES, "title")
    for axis in figure.axes:
        lines = {line.get_label(): line for line in axis.get_lines()}
        assert lines.keys() == {"plain-20", "plain-56", "resnet-20"}
        assert lines["plain-20"].get_color() == lines["resnet-20"].get_color() != lines["plain-56"].get_color()
        assert lines["resnet-20"].get_linestyle() == "-"
        assert lines["plain-20"].get_linestyle() == "--"
        assert lines["plain-56"].get_ydata()[0] == pytest.approx(80.5)
    plt.close(figure)


@pytest.mark.parametrize("n", [2, 6, 10, 100])
def test_confusion_counts_are_readable(n):
    counts = np.eye(n, dtype=int) * 8
    counts[0, 1] = 2
    figure = figures.confusion(counts, [f"class_{i}" for i in range(n)], "title")
    axis = figure.axes[0]
    assert axis.images[0].get_array()[0, 1] == pytest.approx(20)
    assert len(axis.texts) == (n + 1 if n <= 10 else 0)
    assert axis.get_yticklabels()[1].get_text() == "class 1"
    plt.close(figure)


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_bytes_every_time_and_the_scale_inside(tmp_path, suffix):
    paths = [tmp_path / f"{i}.{suffix}" for i in range(2)]
    for path in paths:
        figures.save(figures.degradation(HISTORIES, "title"), path, "sample")
    assert sha256(paths[0]) == sha256(paths[1])
    content = paths[0].read_bytes()
    assert b"scale: sample" in content
    assert not re.search(rb"<dc:date>|tIME", content)


def test_only_a_sample_has_a_banner(tmp_path):
    for scale in ("full", "sample"):
        figure = figures.degradation(HISTORIES, "title")
        figures.save(figure, tmp_path / "a.png", scale)
        assert (figures.BANNER in [t.get_text() for t in figure.texts]) == (scale == "sample")
