import pandas as pd
import pytest

from lineage.report import inside


@pytest.mark.parametrize(
    ("gradients", "said"),
    [
        ([500.0, 3.0, 2.0], "2 → 5e+02, *explodes* (greatest in layer 1)"),
        ([1e-3, 3.0, 1.0], "1 → 0.001, *vanishes* (greatest in layer 2)"),
        ([2.0, 3.0, 4.0], "4 → 2, keeps (greatest in layer 3)"),
        ([2e9, 3e9, 4e9], "4e+09 → 2e+09, keeps, *huge* (greatest in layer 3)"),
        ([2e-9, 3e-9, 4e-9], "4e-09 → 2e-09, keeps, *tiny* (greatest in layer 3)"),
        ([0.0, 0.0, 1.0], "1 → 0, *vanishes*, *tiny* (greatest in layer 3)"),
        ([0.0, 0.0, 0.0], "0 in every layer: too small for float32"),
        ([float("nan"), 1.0, 1.0], "not finite"),
    ],
)
def test_the_way_of_a_gradient(gradients, said):
    assert inside.way(pd.Series(gradients)) == said


def test_whether_blocks_add_less_with_depth():
    same = {20: 1.0, 56: 0.9, 110: 1.1}
    assert inside.tends_to_zero({20: 0.5}, {20: 1.0}, False) == []
    assert inside.tends_to_zero({20: 0.5, 56: 0.3, 110: 0.05}, same, True)[0] == (
        "The deeper the network, the less a block adds: 20 layers 0.50, 56 layers 0.30, 110 layers 0.05 of what it "
        "keeps, in the median block. In the deepest that is close to nothing (below 0.1). The responses, which are the "
        "paper's measure, do not fall with depth (1.00, 0.90, 1.10): what is kept grows instead. They are the size of "
        "batch norm's weights, which decay in the paper, and not here."
    )
    said = inside.tends_to_zero({20: 0.5, 56: 0.6}, {20: 1.0, 56: 0.5}, False)[0]
    assert said.startswith("Deeper networks' blocks add no less: 20 layers") and "far from nothing." in said
    assert said.endswith("The responses, which are the paper's measure, fall, too (1.00, 0.50).")
