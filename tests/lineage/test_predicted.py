import numpy as np
import pytest
from PIL import Image

from lineage import predicted

ANSWERS = [
    {
        "image": "photos/cat.png",
        "classes": [{"class": "c$a$t", "probability": 0.75}, {"class": "dog", "probability": 0.25}],
    },
    {"image": "dog.png", "classes": [{"class": "dog", "probability": 1.0}, {"class": "c$a$t", "probability": 0.0}]},
]


@pytest.fixture
def pictures():
    generator = np.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (20, 30, 3), np.uint8)) for _ in ANSWERS]


@pytest.mark.parametrize(("suffix", "starts"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_the_format_is_that_of_the_suffix(pictures, tmp_path, suffix, starts):
    path = tmp_path / f"answers.{suffix}"
    predicted.draw(path, pictures, ANSWERS, "two animals")
    assert path.read_bytes().startswith(starts)


def test_a_row_for_each_image(pictures, tmp_path):
    for n in (1, 2):
        predicted.draw(tmp_path / f"{n}.png", pictures[:n], ANSWERS[:n], "animals")
    one, two = (Image.open(tmp_path / f"{n}.png").size for n in (1, 2))
    assert one[0] == two[0] and two[1] > 1.5 * one[1]


def test_the_bars_are_the_probabilities(pictures, tmp_path, monkeypatch):
    bars = []
    monkeypatch.setattr(predicted.plt.Axes, "barh", lambda axes, places, widths, **style: bars.append(list(widths)))
    predicted.draw(tmp_path / "answers.png", pictures, ANSWERS, "two animals")
    assert bars == [[75, 25], [100, 0]]
