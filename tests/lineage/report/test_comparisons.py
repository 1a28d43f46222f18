from dataclasses import replace

import pytest

from lineage.errors import Mistake
from lineage.report import comparisons
from lineage.report.entries import Claim
from lineage.report.study import GROUPS

ABOUT = {"id": "mine", "by": "S0", "text": "a exceeds b", "measure": "test_error"}


def pairs(**about):
    return {(c.group, c.depth): (c.larger, c.smaller) for c in comparisons.comparisons(Claim(**ABOUT | about))}


def test_deeper_networks_are_compared_with_the_shallowest():
    found = pairs(each="deeper plain")
    assert found["signs32", 56] == ("plain-56-signs32", "plain-20-signs32")
    assert found["signs32", 110] == ("plain-110-signs32", "plain-20-signs32")
    assert ("signs32", 20) not in found
    assert {group for group, _ in found} == set(GROUPS)


def test_the_other_direction_is_the_other_pair():
    deeper, shallower = pairs(each="deeper resnet"), pairs(each="shallower resnet")
    assert deeper and shallower == {place: pair[::-1] for place, pair in deeper.items()}


def test_plain_networks_are_compared_with_residual_ones_of_their_depth():
    found = pairs(each="plain over resnet")
    assert found["signs32", 56] == ("plain-56-signs32", "resnet-56-signs32")
    assert all(a.replace("plain", "resnet") == b for a, b in found.values())


def test_pairs_are_counted_and_numbers_are_numbers():
    found = pairs(pairs=[("a", "b"), ("a", 75)])
    assert found == {("", 0): ("a", "b"), ("", 1): ("a", 75.0)}


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"measure": "beauty", "pairs": [("a", "b")]}, "mine: `measure: beauty` is unknown; use one of "),
        ({}, "mine: it needs one of `each`"),
        ({"each": "deeper plain", "pairs": [("a", "b")]}, "mine: it needs one of `each`"),
        ({"each": "wider plain"}, "mine: it needs one of `each`"),
        ({"untrained": [("plain", 56)], "pairs": [("a", 3)]}, "mine: it needs one of `each`"),
        (
            {"untrained": [("plain", 56), ("resnet", 56)], "measure": "gradient_rise"},
            "mine: `untrained` has each depth",
        ),
        ({"pairs": [("a", "b")], "relevant": -5}, "mine: `relevant` and `least` are 0 or more"),
        ({"pairs": [("a", "b")], "measure": "epochs", "least": -1}, "mine: `relevant` and `least` are 0 or more"),
        ({"measure": "train_loss", "pairs": [("a", "b")]}, "mine: `relevant` and `least` of a ratio are 1 or more"),
        ({"measure": "train_loss", "pairs": [("a", "b")], "relevant": 0}, "mine: `relevant` and `least` of a ratio"),
        (
            {"measure": "epochs_ratio", "pairs": [("a", "b")], "relevant": 2, "least": 0.5},
            "mine: `relevant` and `least`",
        ),
        ({"measure": "failed", "pairs": [("a", "b")], "none": True}, "mine: `none`, `confirm_only` and `least` do not"),
        ({"measure": "failed", "pairs": [("a", "b")], "least": 1}, "`least` do not go with `measure: failed`"),
        ({"measure": "epochs", "pairs": [("a", "b")], "none": True}, "mine: `none` does not go with `measure: epochs`"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_one_line(about, said):
    with pytest.raises(Mistake, match=said):
        comparisons.check(Claim(**ABOUT | about))


@pytest.mark.parametrize("measure", ["epochs", "epochs_ratio", "failed", "train_loss"])
def test_a_number_is_compared_in_percentage_points_alone(measure):
    claim = ABOUT | {"pairs": [["mine", 10]], "relevant": 1}
    with pytest.raises(Mistake, match="a number in `pairs` needs a measure in percentage points"):
        comparisons.check(Claim(**claim | {"measure": measure}))
    for good in ("test_accuracy", "train_error"):
        comparisons.check(Claim(**claim | {"measure": good}))


def test_a_claim_that_can_be_judged_passes():
    comparisons.check(Claim(**ABOUT | {"each": "deeper plain"}))
    comparisons.check(Claim(**ABOUT | {"each": "deeper plain", "measure": "failed"}))
    comparisons.check_all()


@pytest.mark.parametrize("change", [{"least": 1}, {"none": True}])  # p speaks for neither
def test_a_primary_comparison_has_no_threshold_of_its_own(monkeypatch, change):
    claim = comparisons.CLAIMS["plain-train"]
    monkeypatch.setitem(comparisons.CLAIMS, "plain-train", replace(claim, **change))
    with pytest.raises(Mistake, match="plain-train: a claim with a primary comparison has no `least`"):
        comparisons.check_all()


@pytest.mark.parametrize(
    "place",
    [
        ("plain-train", "signs32", 20),  # nothing in the group is shallower
        ("plain-train", "signs32", 57),
        ("plain-train", "bad", 56),
        ("bad", "signs32", 56),
        ("dirac-train", "signs32", 56),  # which is about pairs of its own
    ],
)
def test_a_primary_comparison_of_nothing_is_one_line(monkeypatch, place):
    monkeypatch.setattr(comparisons, "PRIMARY", comparisons.PRIMARY | {place})
    with pytest.raises(Mistake, match=f"^study.yaml, primary, {', '.join(map(str, place))}: there is no such"):
        comparisons.check_all()


def test_a_primary_comparison_is_one_of_a_group(monkeypatch):
    monkeypatch.setattr(comparisons, "PRIMARY", comparisons.PRIMARY | {("dirac-train", "", 0)})
    with pytest.raises(Mistake, match="primary, dirac-train: a primary comparison is one of a group"):
        comparisons.check_all()
