import re

import pytest

from lineage.errors import Mistake
from lineage.report import comparisons, study


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"measure": "errors", "pairs": (("a", "b"),)}, "the measure is one of test_error, "),
        (
            {"measure": "test_error", "untrained": (("plain", 56),)},
            "the measure is one of gradient_fall, gradient_rise",
        ),
        ({"measure": "test_error"}, "it needs one of `each` (deeper plain, "),
        ({"measure": "test_error", "each": "deeper"}, "it needs one of `each` (deeper plain, "),
        ({"measure": "test_error", "each": "deeper plain", "pairs": (("a", "b"),)}, "it needs one of `each`"),
    ],
)
def test_a_claim_that_cannot_be_judged(about, said):
    with pytest.raises(Mistake, match=re.escape(f"study.yaml, claims, mine: {said}")):
        comparisons.check(study.Claim("mine", "ours", "a is better than b", **about))


def test_the_depth_is_that_of_the_deeper_and_pairs_are_counted():
    group = study.GROUPS["signs32"]
    claim = study.Claim("mine", "ours", "a", "test_error", each="shallower resnet")
    found = [one for one in comparisons.comparisons(claim) if one.group == "signs32"]
    assert [(one.larger, one.smaller, one.depth) for one in found] == [
        (group.members["resnet", 20], group.members["resnet", depth], depth) for depth in (56, 110)
    ]
    claim = study.Claim("mine", "ours", "a", "test_accuracy", pairs=(("a", "b"), ("a", 75)))
    assert [(one.place, one.smaller) for one in comparisons.comparisons(claim)] == [
        (("mine", "", 0), "b"),
        (("mine", "", 1), 75.0),
    ]
