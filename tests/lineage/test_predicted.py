import pytest
from matplotlib import pyplot as plt
from PIL import Image

from lineage import predicted


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_each_image_beside_its_bars(tmp_path, suffix, monkeypatch):
    kept = []
    monkeypatch.setattr(plt, "close", kept.append)
    best = [{"class": f"$class_{i}$", "probability": p} for i, p in enumerate((0.75, 0.2, 0.05))]  # no formula
    answers = [{"image": f"photos/${i}$.png", "classes": best} for i in range(2)]
    path = tmp_path / f"out.{suffix}"
    predicted.draw(path, [Image.new("RGB", (20, 30)), Image.new("L", (5, 5))], answers, "mine")
    monkeypatch.undo()
    (figure,) = kept
    bars = figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([75, 20, 5])
    assert [label.get_text() for label in figure.axes[1].get_yticklabels()] == [one["class"] for one in best]
    assert [axis.get_title() for axis in figure.axes[::2]] == ["$0$.png", "$1$.png"]
    assert path.stat().st_size > 1000
    plt.close(figure)


def test_names_that_no_font_can_show(tmp_path):
    odd = "\udcff\udcfe\x07é.png"  # as Python has a name that is not UTF-8
    assert predicted.drawable(odd) == "???é.png"
    answer = {"image": odd, "classes": [{"class": "a", "probability": 1.0}]}
    for suffix in ("png", "svg"):
        predicted.draw(tmp_path / f"out.{suffix}", [Image.new("RGB", (9, 9))], [answer], "mine")
        assert (tmp_path / f"out.{suffix}").stat().st_size > 1000
