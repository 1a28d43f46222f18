import pandas as pd
import pytest
from matplotlib import pyplot as plt
from test_compare import measured, write_table

from lineage.report import inside, results


@pytest.mark.parametrize(
    ("gradients", "said"),
    [
        ([500.0, 3.0, 2.0], "2 → 5e+02, *explodes* (largest in layer 1)"),
        ([1e-3, 3.0, 1.0], "1 → 0.001, *vanishes* (largest in layer 2)"),
        ([2.0, 3.0, 4.0], "4 → 2, keeps (largest in layer 3)"),
        ([2e9, 3e9, 4e9], "4e+09 → 2e+09, keeps, *huge* (largest in layer 3)"),
        ([2e-9, 3e-9, 4e-9], "4e-09 → 2e-09, keeps, *tiny* (largest in layer 3)"),
        ([0.0, 0.0, 1.0], "1 → 0, *vanishes*, *tiny* (largest in layer 3)"),
        ([0.0, 0.0, 0.0], "0 in every layer: too small for float32"),
        ([float("nan"), 1.0, 1.0], "not finite"),
    ],
)
def test_the_way_of_a_gradient(gradients, said):
    assert inside.way(pd.Series(gradients)) == said


@pytest.mark.parametrize(
    ("gradients", "gone"),
    [
        ((0.01, 5.0, 1.0), True),
        ((0.011, 5.0, 1.0), False),
        ((0.0, 5.0, 1.0), True),
        ((0.0, 0.0, 0.0), False),
        ((0.001, 5.0, float("inf")), False),
    ],
)
def test_what_vanishes_is_smaller_by_the_factor_and_a_number(gradients, gone):
    assert inside.vanishes(pd.Series(gradients)) == gone


def test_the_first_layer_is_frozen_beside_the_others():
    """The quotient of gradient and weights decides, not the product; a network that has learnt all is not frozen."""
    gradient, weight = pd.Series([1.3e-6, 1e-3, 0.13]), pd.Series([1e5, 100.0, 11.0])
    assert inside.is_frozen(gradient / weight) and not inside.is_frozen(gradient * weight)
    assert not inside.is_frozen(pd.Series([1e-9, 2e-9, 1e-9]))


def test_whether_blocks_add_less_with_depth():
    same = {20: 1.0, 56: 0.9, 110: 1.1}
    assert inside.tends_to_zero({20: 0.5}, {}, {20: 1.0}) == []
    assert inside.tends_to_zero({20: 0.5, 56: 0.3, 110: 0.05}, {20: 0.6, 56: 0.4}, same)[0] == (
        "The deeper the network, the less its median block adds: 20 layers 0.50, 56 layers 0.30, 110 layers 0.05, "
        "relative to what it keeps. In the deepest network that is below 0.1; below that we call it close to zero. "
        "Before training it was 20 layers 0.60, 56 layers 0.40. "
        "The responses, which He et al. measured, do not fall with depth: 1.00, 0.90, 1.10. First seed of each "
        "network. Batch norm's scale, by which they are multiplied, begins at 1."
    )
    said = inside.tends_to_zero({20: 0.5, 56: 0.6}, {}, {20: 1.0, 56: 0.5})[0]
    assert (
        said.startswith("What the median block adds: 20 layers 0.50, 56 layers 0.60, relative to")
        and "is still above 0.1" in said
    )
    assert "close to zero. The responses, which He et al. measured, are 1.00, 0.50. First seed" in said  # no trend
    said = inside.tends_to_zero({20: 0.5, 56: 0.6, 110: 0.4}, {}, {20: 1.0, 56: 0.5, 110: 0.4})[0]
    assert said.startswith("What the median block adds does not fall at every step of depth: 20 layers")
    assert "measured, fall with depth: 1.00, 0.50, 0.40." in said


def drawn(figure, name, shows):
    plt.close(figure)
    return []


def test_the_untrained_network_has_a_row_of_its_own(workspace):
    measured("resnet-20-signs32")
    lines = "\n".join(inside.blocks({"resnet-20-signs32": results.read("resnet-20-signs32")}, drawn))
    assert "| after training | 3 | 1.50 | 0.50 | 2.50 | 1.20 |" in lines
    assert "| before training |" not in lines and "row is missing" in lines.replace("\n", " ")
    write_table("tables/resnet-20-signs32/untrained-blocks", [{"block": "stages.0", "addition": 0.7}])
    lines = "\n".join(inside.blocks({"resnet-20-signs32": results.read("resnet-20-signs32")}, drawn))
    assert "| before training | 1 | 0.70 | 0.70 | 0.70 |  |" in lines


def test_what_blocks_add_is_told_from_the_responses(workspace):
    names = ["resnet-20-signs32", "resnet-56-signs32"]
    for name, before in zip(names, (0.7, 0.9), strict=True):
        measured(name)
        write_table(f"tables/{name}/untrained-blocks", [{"block": "stages.0", "addition": before}])
    lines = inside.blocks({name: results.read(name) for name in names}, drawn)
    (said,) = [line for line in lines if "He et al. measured" in line]
    assert said.startswith("What the median block adds: 20 layers 1.50, 56 layers 1.50, relative to what it keeps.")
    assert "Before training it was 20 layers 0.70, 56 layers 0.90. The responses, which" in said
    assert "measured, are 1.20, 1.20. First seed" in said


def test_how_far_a_step_turns_the_weights_before_and_after_training(workspace):
    measured("resnet-20-signs32")
    found = results.read("resnet-20-signs32")
    (after,) = inside.turning(found)
    way = "0.01 → 1, *explodes* (largest in layer 1)"
    assert after[1:] == ("after training", way, "1 → 1", way)
    layers = zip((800.0, 4.0, 9.0), (0.8, 1.0, 9.0), strict=True)
    rows = [{"layer": str(i), "gradient": g, "weight": 2.0, "response": r} for i, (g, r) in enumerate(layers)]
    write_table("tables/resnet-20-signs32/untrained-layers", rows)
    _, before = inside.turning(found)
    assert before[1:] == (
        "before training",
        "4 → 8e+02, *explodes* (largest in layer 1)",
        "2 → 2",
        "2 → 4e+02, *explodes* (largest in layer 1)",
    )
    write_table("tables/resnet-20-signs32/untrained-blocks", [{"block": "stages.0", "addition": 0.7}])
    assert inside.added(found)[1][-1] == "0.90"  # without the last layer, whose response is that of the answers
