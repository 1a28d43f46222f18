import pandas as pd
import pytest
from test_compare import measured

from lineage import report, results


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (1e3, 1.0, "explodes"),
        (1e-3, 1.0, "vanishes"),
        (0.0, 1.0, "vanishes"),
        (99.0, 1.0, "neither"),
        (0.0, 0.0, "there is none"),
        (1.0, 0.0, "explodes"),
    ],
)
def test_where_gradients_go(first, last, said):
    assert report.trend(first, last) == said


def test_tables_are_markdown():
    assert report.table("a | b", "l r", [("x", 1)]) == ["| a | b |", "| --- | ---: |", "| x | 1 |", ""]


def test_mean_and_deviation_in_per_cent():
    assert report.percent(pd.Series([0.5, 0.52])) == "51.00 ± 1.41"
    assert report.percent(pd.Series([0.5])) == "50.00"


def test_errors_by_depth(workspace):
    measured("plain-20-hands", (0.1, 0.2))
    measured("resnet-56-hands", (0.3,))
    table = report.errors_by_depth({name: results.read(name) for name in ("plain-20-hands", "resnet-56-hands")})
    assert table.columns.tolist()[:5] == ["series", "group", "family", "depth", "part"]
    test = table[table.part == "test"].set_index("depth")
    assert test["mean"].tolist() == pytest.approx([15, 30])
    assert test["std"].tolist() == pytest.approx([7.0711, 0], abs=1e-4)
    assert test.n.tolist() == [2, 1]
    assert report.errors_by_depth({}).empty


def test_the_lineage_exists():
    from conftest import REPOSITORY

    from lineage import params

    assert set(report.LINEAGE) <= params.read(REPOSITORY / "params.yaml").experiments.keys()
