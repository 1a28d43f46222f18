import re

import pytest

from lineage.report.entries import Article, Claim, Group, Lines, Untested

GOOD = {
    Claim: {"id": "one", "by": "ours", "text": "a", "measure": "gap"},
    Lines: {"id": "one", "title": "mine", "shows": "val_error", "experiments": {"slow": "slow", "fast": "fast"}},
    Article: {"title": "mine", "claims": "all"},
    Untested: {"by": "S3", "text": "a", "why": "b"},
    Group.of: {"title": "mine", "plain": {20: "a"}, "resnet": {20: "b"}},
}


@pytest.mark.parametrize(
    ("make", "wrong", "said"),
    [
        (Claim, {"pairs": ["slow", "fast"]}, "`pairs` is a list of pairs: [[one experiment, another], …]"),
        (Claim, {"pairs": [["slow", "75"]]}, "the number 75 in `pairs` stands there without quotes"),
        (Claim, {"pairs": 3}, "'int' object is not iterable"),
        (Claim, {"pairs": [[75, "slow"]]}, "`pairs` is a list of pairs: [[one experiment, another], …]"),
        (Claim, {"pairs": [["slow", ["fast"]]]}, "['fast'] in `pairs` is neither an experiment nor a number"),
        (Claim, {"pairs": [["slow", True]]}, "True in `pairs` is neither an experiment nor a number"),
        (Claim, {"each": ["deeper plain"]}, "`each` must be a name, not ['deeper plain']"),
        (Claim, {"measure": 3}, "`measure` must be a name, not 3"),
        (Lines, {"id": ["one"]}, "`id` must be a name, not ['one']"),
        (Claim, {"id": ["one"]}, "`id` must be a name, not ['one']"),
        (Claim, {"untrained": ["plain", 56]}, "`untrained` is a list of families and depths: [[plain, 56], …]"),
        (Claim, {"pairs": [["slow", 75]], "unlike": "new"}, "`unlike` has a text for the first experiment of a pair"),
        (Claim, {"pairs": [["slow", 75]], "unlike": {"slow": 5}}, "`unlike` has a text for the first experiment of"),
        (Claim, {"pairs": [["slow", 75]], "unlike": {"fast": "new"}}, "`unlike` names fast, with which no pair begins"),
        (Claim, {"relevant": "big"}, "`relevant` must be a number, not 'big'"),
        (Claim, {"least": "0"}, "`least` must be a number, not '0'"),
        (Lines, {"experiments": ["slow", "fast"]}, "`experiments` has a name for the legend and an experiment"),
        (Lines, {"experiments": {"slow": 5, "fast": "b"}}, "`experiments` has a name for the legend and an experiment"),
        (Lines, {"experiments": {"slow": "slow"}}, "`experiments` has 2 to 6 of them"),
        (Lines, {"experiments": {str(i): "a" for i in range(7)}}, "`experiments` has 2 to 6 of them"),
        (Lines, {"shows": "loss"}, "`shows: loss` is unknown; use one of train_error, val_error"),
        (Article, {"claim": "all"}, "got an unexpected keyword argument 'claim'"),
        (Untested, {"because": "b"}, "got an unexpected keyword argument 'because'"),
        (Lines, {"mark": "25"}, "`mark` must be a number, not '25'"),
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
