import pandas as pd
import pytest

from lineage.report import inside


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (1e3, 1.0, "*explodes*"),
        (1e-3, 1.0, "*vanishes*"),
        (0.0, 1.0, "*vanishes*"),
        (99.0, 1.0, "neither"),
        (0.0, 0.0, "there is none"),
        (1.0, 0.0, "*explodes*"),
    ],
)
def test_where_gradients_go(first, last, said):
    assert inside.trend(first, last) == said


def test_the_way_of_a_gradient():
    assert inside.way(pd.Series([500.0, 3.0, 2.0])) == "2 → 5e+02, *explodes*"
