import pytest
from test_compare import measured

from lineage.report import depth, results


def test_errors_by_depth(workspace):
    measured("plain-20-hands", (0.1, 0.2))
    measured("resnet-56-hands", (0.3,))
    table = depth.errors_by_depth({name: results.read(name) for name in ("plain-20-hands", "resnet-56-hands")})
    assert table.columns.tolist()[:5] == ["group", "series", "family", "depth", "part"]
    test = table[table.part == "test"].set_index("depth")
    assert test["mean"].tolist() == pytest.approx([15, 30])
    assert test["std"].tolist() == pytest.approx([7.0711, float("nan")], abs=1e-4, nan_ok=True)
    assert test.n.tolist() == [2, 1]
    assert depth.errors_by_depth({}).empty
