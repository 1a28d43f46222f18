import pytest
from test_measured import judgement

from lineage.report import openings
from lineage.report.comparisons import Comparison, Judgement
from lineage.report.entries import Claim
from lineage.report.verdicts import (
    AT_FLOOR,
    DOES_NOT_HOLD,
    HOLDS,
    LEANS,
    LEANS_AGAINST,
    NOT_COMPARED,
    NOT_DECIDED,
    REVERSED,
)

BOTH = "SIGNS, 30 epochs; CIFAR-10, 12 epochs"
LOW = "SIGNS, 30 epochs, learning rate 0.03"


def test_an_opening_names_what_all_groups_share_or_else_the_groups():
    here, there = judgement(HOLDS), judgement(HOLDS, 56, "cifar10")
    assert openings.opened([here], "depth", "hurts", "helps") == "**Depth hurts (SIGNS, 30 epochs).**"
    assert openings.opened([here, there], "depth", "hurts", "helps") == f"**Depth hurts ({BOTH}).**"


@pytest.mark.parametrize(
    ("signs", "cifar", "said"),
    [
        (HOLDS, HOLDS, f"Depth hurts ({BOTH})."),
        (NOT_DECIDED, HOLDS, "Depth hurts (CIFAR-10, 12 epochs); SIGNS, 30 epochs: not decided."),
        (LEANS, HOLDS, "Depth hurts (CIFAR-10, 12 epochs); SIGNS, 30 epochs: leans."),
        (AT_FLOOR, LEANS, "Depth probably hurts (CIFAR-10, 12 epochs); SIGNS, 30 epochs: at the floor."),
        (NOT_DECIDED, REVERSED, "Depth helps (CIFAR-10, 12 epochs); SIGNS, 30 epochs: not decided."),
        (NOT_DECIDED, LEANS_AGAINST, "Depth probably helps (CIFAR-10, 12 epochs); SIGNS, 30 epochs: not decided."),
        (HOLDS, REVERSED, "Whether depth hurts depends on the setting."),
        (LEANS, REVERSED, "Whether depth hurts may depend on the setting."),
        (NOT_DECIDED, DOES_NOT_HOLD, "Depth probably helps (CIFAR-10, 12 epochs); SIGNS, 30 epochs: not decided."),
        (HOLDS, DOES_NOT_HOLD, "Whether depth hurts may depend on the setting."),
        (NOT_DECIDED, NOT_DECIDED, "Whether depth hurts is not decided."),
        (NOT_COMPARED, NOT_DECIDED, "Whether depth hurts is not decided."),
    ],
)
def test_an_opening_is_not_more_certain_than_its_primary_comparisons(signs, cifar, said):
    ones = [judgement(signs), judgement(cifar, 56, "cifar10")]
    assert all(one.comparison.primary for one in ones)
    assert openings.opened(ones, "depth", "hurts", "helps") == f"**{said}**"


@pytest.mark.parametrize(
    ("primary", "other", "said"),
    [
        (
            NOT_DECIDED,
            HOLDS,
            f"Depth probably hurts ({LOW}); the primary comparison is not decided.",
        ),
        (
            NOT_DECIDED,
            REVERSED,
            f"Depth probably helps ({LOW}); the primary comparison is not decided.",
        ),
        (LEANS, HOLDS, "Depth probably hurts (SIGNS, 30 epochs)."),
        (HOLDS, NOT_DECIDED, "Depth hurts (SIGNS, 30 epochs)."),
        (LEANS, REVERSED, "Whether depth hurts may depend on the setting."),
        (HOLDS, REVERSED, f"Depth hurts (SIGNS, 30 epochs); against it, exploratory: {LOW}."),
        (REVERSED, LEANS, f"Depth helps (SIGNS, 30 epochs); against it, exploratory: {LOW}."),
        (
            NOT_DECIDED,
            LEANS,
            f"Depth probably hurts ({LOW}); the primary comparison is not decided.",
        ),
    ],
)
def test_an_opening_beside_an_exploratory_comparison(primary, other, said):
    ones = [judgement(primary), judgement(other, 56, "signs32-low-lr")]
    assert openings.opened(ones, "depth", "hurts", "helps") == f"**{said}**"


def test_where_all_primary_comparisons_are_open_each_is_named():
    ones = [judgement(NOT_DECIDED), judgement(AT_FLOOR, 56, "cifar10"), judgement(LEANS, 56, "signs32-low-lr")]
    said = f"**Depth probably hurts ({LOW}); SIGNS, 30 epochs: not decided; CIFAR-10, 12 epochs: at the floor.**"
    assert openings.opened(ones, "depth", "hurts", "helps") == said


def test_one_primary_comparison_is_no_general_fact():
    """Only one of two settings shows it."""
    there, here = judgement(HOLDS, 56, "cifar10"), judgement(NOT_DECIDED, 110)
    assert there.comparison.primary and not here.comparison.primary
    assert openings.opened([here, there], "depth", "hurts", "helps") == "**Depth hurts (CIFAR-10, 12 epochs).**"


def test_no_relevant_difference_is_not_none():
    """An interval above 0 of a difference that is too small to be relevant; and one below 0."""
    small = judgement(DOES_NOT_HOLD, found=(0.2, 0.1, 0.3), relevant=0.5)
    assert openings.opened([small], "depth", "hurts", "does not hurt").startswith(
        "**Depth probably does not hurt by 0.5 pp or more ("
    )
    less = judgement(REVERSED, found=(-0.7, -0.9, -0.5), relevant=0.5)
    assert openings.opened([less], "depth", "hurts", "does not hurt") == "**Depth does not hurt (SIGNS, 30 epochs).**"


def test_what_is_too_small_is_named_in_its_own_unit():
    """ReLU is sooner, only not by a whole epoch."""
    few = judgement(DOES_NOT_HOLD, 0, "", found=(0.6, 0.3, 0.9), unit="epochs", relevant=1)
    assert openings.at_least([few]) == " by 1 epoch or more"
    small, large = (judgement(DOES_NOT_HOLD, found=(0.2, 0.1, 0.3), relevant=size) for size in (0.5, 0.83))
    assert openings.at_least([small, large]) == openings.at_least([large, small]) == " by 0.83 pp or more"
    ratio = judgement(DOES_NOT_HOLD, 0, "", found=(0.6, 0.3, 0.9), unit="×", relevant=1)
    assert openings.at_least([ratio]) == ""


def test_what_is_reversed_is_said_in_words_of_its_own():
    """But not beside what only does not hold."""
    less = judgement(REVERSED, found=(-0.7, -0.9, -0.5), relevant=0.5)
    words = "depth", "hurts", "does not hurt", "helps"
    assert openings.opened([less], *words) == "**Depth helps (SIGNS, 30 epochs).**"
    leaning = judgement(LEANS_AGAINST, 56, "cifar10", found=(-0.1, -0.4, 0.2), relevant=0.5)
    assert openings.opened([leaning], *words).startswith("**Depth probably does not hurt by 0.5 pp or more (")
    assert openings.opened([judgement(HOLDS)], *words) == "**Depth hurts (SIGNS, 30 epochs).**"


def test_an_opening_rests_on_what_is_most_certain():
    primary, other, deeper = (
        judgement(HOLDS),
        judgement(HOLDS, 56, "signs32-low-lr"),
        judgement(LEANS, 110, "signs32-dirac"),
    )
    assert openings.rests_on([primary, other, deeper]) == [primary]
    assert openings.rests_on([judgement(NOT_DECIDED), other, deeper]) == [other, deeper]
    assert openings.rests_on([primary, judgement(REVERSED, 110)]) == [primary]
    leaning = judgement(LEANS), judgement(REVERSED, 110)
    assert openings.rests_on([*leaning]) == [*leaning]
    opposed = primary, judgement(DOES_NOT_HOLD, 56, "cifar10")  # both primary
    assert openings.rests_on([*opposed]) == [*opposed]
    assert openings.rests_on([judgement(NOT_DECIDED)]) == [judgement(NOT_DECIDED)]


PAIRS = {"a": HOLDS, "b": NOT_DECIDED}


def test_outside_of_the_groups_the_experiment_is_the_place():
    claim = Claim(id="c", by="S0", text="a exceeds b", measure="test_error", pairs=[["a", "b"]])
    pairs = [Judgement(Comparison(claim, name, "x", depth=i), said) for i, (name, said) in enumerate(PAIRS.items())]
    assert openings.opened(pairs, "depth", "hurts", "helps") == "**Depth probably hurts (a).**"


def test_a_pair_of_networks_of_a_group_is_in_its_place():
    claim = Claim(id="c", by="S0", text="a exceeds b", measure="test_error", pairs=[["plain-56-cifar10", "x"]])
    pair = Judgement(Comparison(claim, "plain-56-cifar10", "x"), HOLDS)
    assert openings.opened([pair], "depth", "hurts", "helps") == "**Depth probably hurts (CIFAR-10, 12 epochs).**"
