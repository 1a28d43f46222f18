import re

import pytest

from lineage.report.entries import Claim, Group, Lines

GOOD = {
    Claim: {"id": "one", "by": "ours", "text": "a", "measure": "gap"},
    Lines: {"id": "one", "title": "mine", "shows": "val_error", "experiments": {"slow": "slow"}},
    Group.of: {"title": "mine", "plain": {20: "a"}, "resnet": {20: "b"}},
}


@pytest.mark.parametrize(
    ("make", "wrong", "said"),
    [
        (Claim, {"pairs": ["slow", "fast"]}, "`pairs` is a list of pairs: [[one experiment, another], …]"),
        (Claim, {"pairs": [["slow", "75"]]}, "the number 75 in `pairs` stands there without quotes"),
        (Claim, {"pairs": 3}, "'int' object is not iterable"),
        (Claim, {"relevant": "big"}, "`relevant` is a number, not 'big'"),
        (Claim, {"least": "0"}, "`least` is a number, not '0'"),
        (Lines, {"experiments": ["slow", "fast"]}, "`experiments` has a name for the legend and an experiment"),
        (Lines, {"mark": "25"}, "`mark` is a number, not '25'"),
        (Group.of, {"plain": ["a"]}, "`plain` has an experiment for each depth: {20: mine-20, 56: mine-56}"),
        (Group.of, {"resnet": None}, "`resnet` has an experiment for each depth: {20: mine-20, 56: mine-56}"),
        (Group.of, {"plain": {"20": "a"}}, "`plain` has an experiment for each depth: {20: mine-20, 56: mine-56}"),
        (Group.of, {"longr": "b"}, "got an unexpected keyword argument 'longr'"),
    ],
)
def test_values_of_the_wrong_kind(make, wrong, said):
    assert make(**GOOD[make])
    with pytest.raises(TypeError, match=re.escape(said)):
        make(**GOOD[make] | wrong)


def test_a_group_has_its_members_by_family_and_depth():
    found = Group.of("mine", {20: "a", 56: "c"}, {20: "b"}, note="so")
    assert found == Group("mine", {("plain", 20): "a", ("plain", 56): "c", ("resnet", 20): "b"}, note="so")
