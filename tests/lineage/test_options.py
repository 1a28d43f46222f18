import pytest
from pydantic import ValidationError

from lineage.options import options_of


@pytest.mark.parametrize(
    ("model", "options", "smallest"),
    [("lenet", {}, 16), ("alexnet", {}, 63), ("alexnet", {"depth": 4}, 8), ("vgg", {"depth": 16}, 32)],
)
def test_the_smallest_input(model, options, smallest):
    assert options_of(model)(**options).smallest == smallest


@pytest.mark.parametrize("depth", [8, 14, 18, 20, 34, 50, 56, 110, 1202])
def test_any_depth_of_the_form(depth):
    assert options_of("resnet")(depth=depth, shortcut="none").depth == depth


@pytest.mark.parametrize("depth", [2, 9, 19, 57, 101])
def test_any_other_depth_is_a_clear_error(depth):
    with pytest.raises(ValidationError, match=f"depth: {depth} is neither 18, 34 or 50 nor of the form 6n"):
        options_of("resnet")(depth=depth, shortcut="none")


def test_dropout_has_a_default_where_it_has_a_place():
    assert (options_of("alexnet")().dropout, options_of("alexnet")(depth=4).dropout) == (0.5, 0.0)
    with pytest.raises(ValidationError, match="dropout: the network of 4 layers has none"):
        options_of("alexnet")(depth=4, dropout=0.3)


@pytest.mark.parametrize(("model", "options"), [("vgg", {"depth": 16}), ("residual_vgg", {"shortcut": "none"})])
def test_dropout_is_a_half_where_nothing_is_said(model, options):
    assert options_of(model)(**options).dropout == 0.5


def test_an_option_of_another_network_is_refused():
    with pytest.raises(ValidationError):
        options_of("lenet")(depth=5)
