import pytest
from test_compare import measured as ran

from lineage.report import claims, measured, results
from lineage.report.verdicts import HOLDS

NAMES = [f"{family}-{depth}-signs32" for family in ("plain", "resnet") for depth in (20, 56, 110)]
FEW, MANY = (0.02, 0.03, 0.02, 0.03, 0.02), (0.30, 0.34, 0.36, 0.33, 0.32)


@pytest.fixture
def found(workspace):
    for name in NAMES:
        ran(name, MANY if name in ("plain-56-signs32", "plain-110-signs32") else FEW)
    read = {name: results.read(name) for name in NAMES}
    return measured.Measured(read, claims.judge_all(read))


def test_the_deepest_of_each_group_and_whether_any_holds(found):
    (one,) = measured.deepest(found, "plain-train", HOLDS)
    assert one.comparison.depth == 110
    ones, shown = measured.main_ones(found, "plain-train")
    assert ones == [one] and shown
    ones, shown = measured.main_ones(found, "plain-start")  # not a primary comparison, and nothing failed to start
    assert ones == [] and not shown


def test_words(found):
    one = found.judged("plain-train", "signs32", 56)
    assert measured.seeds(one) == "5 / 5" and measured.apart(found, one) == ""
    assert measured.verdict(one) == "*[holds](#claim-plain-train)*"
    assert measured.difference(one).endswith(", *[holds](#claim-plain-train)*, primary")
    assert measured.sentence("**So.**", []) == [] and measured.sentence("**So.**", ["a", "b"]) == ["**So.** a b"]
    assert measured.shallow("plain", "cifar10") == 20
    assert found.judged("plain-train", "cifar10", 56) is None
    layers = found.results["plain-20-signs32"]
    assert measured.quotients(layers).tolist() == pytest.approx([1.0, 0.1, 0.01])
