import itertools
import re

import pytest
from conftest import sha256
from matplotlib import pyplot as plt

from lineage.report import style


def drawn():
    with plt.rc_context(style.STYLE):
        figure, axis = plt.subplots()
        axis.plot([1, 2], [0.5, 0.25], label="a line")
        axis.legend()
        return figure


def test_an_axis_begins_at_zero_with_room_above():
    figure = drawn()
    style.from_zero(*figure.axes)
    assert figure.axes[0].get_ylim() == pytest.approx((0, 0.53))
    plt.close(figure)


def test_depths_are_told_apart_in_grey():
    def luminance(colour):
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    shades = [luminance(style.DEPTHS[depth]) for depth in (20, 32, 44, 56, 80, 110)]
    assert all(light - dark > 15 for light, dark in itertools.pairwise(shades))


def test_depths_of_ones_own_are_told_apart_and_darken():
    depths = (8, 14, 26, 38, 50, 68, 98)
    colours = [style.depth_colour(depth) for depth in depths]
    lightness = [sum(int(colour[i : i + 2], 16) for i in (1, 3, 5)) for colour in colours]
    assert len(set(colours)) == len(depths) and lightness == sorted(lightness, reverse=True)
    assert style.depth_colour(56) == style.DEPTHS[56]
    assert style.depth_colour(2) == style.depth_colour(8) and style.depth_colour(1202) == style.depth_colour(200)


def test_a_source_without_a_marker_of_its_own_gets_one():
    found = style.markers(["He et al. 2015", "theirs", "mine", *"abcdefg"])
    assert found["He et al. 2015"] == style.MARKS["He et al. 2015"]
    assert not {found[one] for one in ("theirs", "mine")} & {*style.MARKS.values()} and found["theirs"] != found["mine"]


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_bytes_every_time_and_the_scale_inside(tmp_path, suffix):
    paths = [tmp_path / f"{i}.{suffix}" for i in range(2)]
    for path in paths:
        style.save(drawn(), path, "sample")
    assert sha256(paths[0]) == sha256(paths[1])
    content = paths[0].read_bytes()
    assert b"scale: sample" in content
    assert not re.search(rb"<dc:date>|tIME", content)


def test_only_a_sample_has_a_banner(tmp_path):
    for scale in ("full", "sample"):
        figure = drawn()
        style.save(figure, tmp_path / "a.png", scale)
        assert (style.BANNER in [t.get_text() for t in figure.texts]) == (scale == "sample")
