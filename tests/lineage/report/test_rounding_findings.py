import pytest
from test_compare import measured
from test_rounding import NETWORK, elsewhere, study  # noqa: F401 (fixtures)

from lineage.report import results, rounding_findings


def test_the_finding(study, elsewhere):  # noqa: F811
    def finding(usual):
        study(usual, [0.1, 0.2, 0.3])
        (said,) = rounding_findings.finding(elsewhere)
        return said

    none, some, all_three = finding([0.8, 0.9, 0.8]), finding([0.8, 0.1, 0.8]), finding([0.1, 0.2, 0.1])
    begins = (
        "**In float64, too, plain networks of 110 layers do not start to train** (0 of 3 seeds, in bfloat16 0 of 5;"
    )
    assert none.startswith(begins) and "Training error 83.33 ± 5.77 %, in bfloat16 45.00 ± 0.00 %." in none
    assert "So with this recipe rounding is not needed for the failure." in none
    begins = (
        "**Whether more or fewer seeds of plain networks of 110 layers start to train in float64 is not decided** (1 "
    )
    assert some.startswith(begins) and "p = 0.38. Where a seed fails in float64, rounding is not why." in some
    assert all_three.startswith("**In float64 more seeds of plain networks of 110 layers start to train** (3 of 3 ")
    assert "rounding is a part of the reason (Fisher's exact test: p = 0.018)" in all_three
    for said in (none, some, all_three):
        assert (
            "the training error is 20.00 ± 10.00 % (3 of 3 seeds started), in bfloat16 46.67 ± 37.86 % (2 of 3)" in said
        )
    assert rounding_findings.finding({}) == []  # nothing to compare with


@pytest.mark.parametrize(
    ("exact", "usual", "opening", "ending"),
    [
        ("xxx", "xxxxx", "In float64, too, {} do not start to train", "rounding is not needed for the failure."),
        (
            "x",
            "xxxxx",
            "Whether more or fewer seeds of {} start",
            "p = 1: so few seeds cannot decide.",
        ),  # a single seed
        ("oo", "xxxxx", "Whether more or fewer seeds of {} start", "p = 0.048: so few seeds cannot decide."),
        ("xxx", "ooooo", "In float64 fewer seeds of {} start to train", "rounding does not explain failures"),
        ("xxxxo", "oooooooo", "In float64 fewer seeds of {} start to train", "(Fisher's exact test: p = 0.007)"),
        ("ooo", "xxxxx", "In float64 more seeds of {} start to train", "rounding is a part of the reason"),
        (
            "ooo",
            "ooooo",
            "In float64 and in bfloat16 all seeds of {} start to train",
            "no failure to explain.",
        ),
        (
            "xox",
            "xxxxx",
            "Whether more or fewer seeds of {} start",
            "Where a seed fails in float64, rounding is not why.",
        ),
        ("ooo", "ooxxx", "Whether more or fewer seeds of {} start", "p = 0.2."),
    ],
)
def test_the_finding_says_what_the_seeds_say(study, elsewhere, exact, usual, opening, ending):  # noqa: F811
    """A cross is a seed that fails to start."""
    of = {"x": 0.9, "o": 0.1}
    study([of[seed] for seed in exact], [0.1, 0.2, 0.3])
    measured("plain-110", tuple(of[seed] for seed in usual), network=NETWORK)
    (said,) = rounding_findings.finding({"plain-110": results.read("plain-110")})
    assert said.startswith(f"**{opening.format('plain networks of 110 layers')}") and ending in said
    assert ("Where a seed fails in float64" in said) == (opening.startswith("Whether") and "x" in exact)
