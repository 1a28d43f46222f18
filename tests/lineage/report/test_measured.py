import math
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from lineage.report import measured
from lineage.report.comparisons import Comparison, Judgement
from lineage.report.entries import Claim
from lineage.report.study import GROUPS
from lineage.report.verdicts import (
    AT_FLOOR,
    DOES_NOT_HOLD,
    HOLDS,
    LEANS,
    LEANS_AGAINST,
    NOT_DECIDED,
    NOT_RUN,
    REVERSED,
)

CLAIM = Claim(id="plain-train", by="S0", text="depth hurts", measure="train_error", each="deeper plain")


def judgement(verdict, depth=56, group="signs32", **more):
    names = f"plain-{depth}-{group}", f"plain-20-{group}"
    return Judgement(Comparison(CLAIM, *names, group, depth), verdict, **more)


def all_of(*judgements, errors=()):
    """What a finding may look at; `errors` are the deep and the shallow network's, as fractions."""
    names = ("plain-56-signs32", "plain-20-signs32")
    results = {
        name: SimpleNamespace(error=lambda part, own=own: pd.Series(own), n=len(own))
        for name, own in zip(names, errors, strict=False)
    }
    return measured.Measured(results, {one.comparison.place: one for one in judgements})


def test_what_has_not_run_is_not_judged():
    m = all_of(judgement(HOLDS), judgement(NOT_RUN, 110))
    assert m.judged("plain-train", "signs32", 56).verdict == HOLDS
    assert m.judged("plain-train", "signs32", 110) is None
    assert m.judged("plain-train", "signs32", 44) is None


def test_what_was_tried_of_some_claims_is_all_that_has_run():
    ones = judgement(HOLDS, 110), judgement(NOT_DECIDED), judgement(NOT_RUN, 44), judgement(REVERSED, 56, "cifar10")
    m = all_of(*ones)
    assert m.tried("plain-train") == m.tried("plain-train", "plain-test") == [ones[0], ones[1], ones[3]]
    assert m.tried("plain-test") == []


def test_the_deepest_network_of_a_group_with_the_verdict():
    m = all_of(judgement(HOLDS, 110), judgement(HOLDS), judgement(NOT_DECIDED, 44), judgement(HOLDS, 56, "cifar10"))
    found = measured.deepest(m, "plain-train", HOLDS)
    assert {(one.comparison.group, one.comparison.depth) for one in found} == {("signs32", 110), ("cifar10", 56)}


@pytest.mark.parametrize("primary", [REVERSED, DOES_NOT_HOLD, LEANS_AGAINST, NOT_DECIDED, HOLDS])
@pytest.mark.parametrize("deeper", [HOLDS, LEANS, REVERSED])
def test_no_exploratory_comparison_hides_the_primary_one_of_its_group(primary, deeper):
    ones = judgement(primary), judgement(deeper, 110), judgement(LEANS, 44, "cifar10-long")
    found = measured.main_ones(all_of(*ones), "plain-train")
    assert ones[0].comparison.primary and not ones[1].comparison.primary
    assert found == [ones[0], ones[2]]  # in a group without a primary one, the deepest that speaks for the claim


@pytest.mark.parametrize(
    ("deep", "verdict", "said"),
    [
        ((0.10, 0.40), NOT_DECIDED, "Each of the 2 seeds is above each of the 2 others"),
        ((0.10, 0.40), NOT_DECIDED, "(10.00 to 40.00 %)"),
        ((0.01, 0.40), NOT_DECIDED, ""),  # one of them is among the others
        ((0.10, 0.40), HOLDS, ""),  # and needs no words
    ],
)
def test_seeds_that_are_apart_although_nothing_is_decided_are_named(deep, verdict, said):
    one = judgement(verdict)
    text = measured.apart(all_of(one, errors=(deep, (0.01, 0.02))), one)
    assert said in text and bool(said) == bool(text)
    # 2 of 6 ways to deal out four values are as extreme
    least = "gives p = 0.33, the smallest possible with so many seeds."
    assert not text or text.endswith(f"{least} The verdict does not use it, and it is not corrected.")


def test_where_the_seeds_are_alike_it_is_the_test_images_that_leave_it_open():
    """By its seeds alone the difference would exclude 0."""
    one = judgement(NOT_DECIDED, method="seeds and images")
    text = measured.apart(all_of(one, errors=((0.030, 0.031, 0.032), (0.01, 0.011, 0.012))), one)
    assert "By the seeds alone the interval of the difference excludes 0; with other images of the same kind" in text
    least = "gives p = 0.1, the smallest possible with so many seeds."
    assert "among themselves" not in text
    assert text.endswith(f"{least} The verdict does not use it, and it is not corrected.")


def test_seeds_without_any_spread_have_no_interval_that_could_include_0():
    one = judgement(NOT_DECIDED)
    assert measured.apart(all_of(one, errors=((0.4, 0.4), (0.01, 0.01))), one) == ""


def test_single_seeds_are_not_said_to_be_apart():
    one = judgement(NOT_DECIDED)
    assert measured.apart(all_of(one, errors=((0.4,), (0.01,))), one) == ""


def test_a_finding_without_words_is_none():
    assert measured.finding("Depth hurts.", []) == []
    assert measured.finding("Depth hurts.", ["a"]) == ["Depth hurts. a"]


def test_at_the_floor_nothing_is_primary():
    """The losses are judged instead, without Holm's correction."""
    loss = judgement(HOLDS, found=(1.0, 0.5, 1.5), unit="×")
    said = measured.difference(judgement(AT_FLOOR, loss=loss))
    assert said.startswith("*[at the floor]") and said.endswith("*[holds](#claim-plain-train)*, exploratory")


def test_a_difference_between_two_precisions_says_so():
    one = judgement(HOLDS, found=(1.0, 0.5, 1.5), precisions="float32 against bfloat16")
    said = "+1.00 pp (+0.50 … +1.50), *[holds](#claim-plain-train)*, float32 against bfloat16, primary"
    assert measured.difference(one) == said


def test_why_a_difference_is_not_decided():
    one = judgement(NOT_DECIDED, found=(1.0, -math.inf, math.inf), note="a single seed")
    assert measured.difference(one) == "+1.00 pp, *[not decided](#claim-plain-train)*, a single seed, primary"


def test_what_a_claim_has_in_other_groups(monkeypatch):
    monkeypatch.setitem(GROUPS, "cifar10", replace(GROUPS["cifar10"], unlike={56: "one ran elsewhere"}))
    here, there = judgement(HOLDS), judgement(NOT_DECIDED, 56, "cifar10", found=(1.0, -2.0, 4.0), n=(2, 2))
    void = judgement(NOT_RUN, 56, "signs32-long")
    m = all_of(here, there, void, errors=((0.3, 0.1), (0.05, 0.06)))
    results = dict(zip(measured.sides(there), m.results.values(), strict=True))
    (said,) = measured.elsewhere(replace(m, results=results), [here], "plain-train")
    found = "+1.00 pp (-2.00 … +4.00), *[not decided](#claim-plain-train)*, primary."
    found += " One ran elsewhere, so a part of the difference may come from that."
    assert said == f"CIFAR-10, 12 epochs, 56 layers: 20.00 against 5.50 % (n = 2 / 2), difference {found}"
    assert measured.elsewhere(all_of(here), [here], "plain-train") == []


def test_what_speaks_against_a_claim_in_its_own_group_is_not_left_out():
    """Of three depths the middle one is primary; a deeper one is reversed, and in the deepest nothing is decided."""
    middle, deep, deepest = judgement(HOLDS), judgement(REVERSED, 80), judgement(NOT_DECIDED, 110)
    m = all_of(middle, deep, deepest)
    results = {
        name: m.results.get(name, SimpleNamespace(error=lambda _: pd.Series([0.1]))) for name in measured.sides(deep)
    }
    (said,) = measured.elsewhere(replace(m, results=results), measured.main_ones(m, "plain-train"), "plain-train")
    assert said.startswith("SIGNS, 30 epochs, 80 layers: ") and "*[reversed]" in said


def test_where_nothing_is_decided_anywhere_it_is_said_all_the_same():
    ones = judgement(NOT_DECIDED, 34, "cifar100"), judgement(NOT_DECIDED, 56, "signs32-long")
    assert {*measured.main_ones(all_of(*ones), "plain-train")} == {*ones}
