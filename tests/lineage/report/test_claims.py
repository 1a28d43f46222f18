import dataclasses
import math
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import REPOSITORY

from lineage import params
from lineage.report import claims
from lineage.report.verdicts import DOES_NOT_HOLD, HOLDS, NOT_DECIDED

BY_SEED = {0: [0.5, 0.2, 0.3], 1: [0.25, 0.2, 0.1], 2: [0.9, 0.9, 0.9]}  # training errors, epoch by epoch


def result(by_seed=BY_SEED, test=(0.1, 0.2), train=(0.0, 0.1), diverged=False):
    rows = [(seed, epoch, error) for seed, errors in by_seed.items() for epoch, error in enumerate(errors, 1)]
    history = pd.DataFrame(rows, columns=["seed", "epoch", "train_error"])
    errors = {"test": pd.Series(test), "train": pd.Series(train)}
    return SimpleNamespace(
        history=history,
        error=errors.get,
        top1=lambda part: 1 - errors[part],
        metrics={"diverged": diverged},
        labels={"classes": list("abcdefghij")},
    )


def test_epochs_to_a_quarter():
    assert claims.epochs(result()).tolist() == [2, 1, math.inf]
    assert claims.log_epochs(result()).tolist() == pytest.approx([math.log(2), 0, math.inf])


def test_errors_are_in_per_cent():
    assert claims.wrong(result()).tolist() == pytest.approx([10, 20])
    assert claims.train(result()).tolist() == pytest.approx([0, 10])
    assert claims.gap(result()).tolist() == pytest.approx([10, 10])
    assert claims.top1(result()).tolist() == pytest.approx([90, 80])


HIGHER = claims.Claim("S0", "a exceeds b", "a", "b", claims.wrong)


@pytest.mark.parametrize(
    ("a", "b", "said", "opposite"),
    [
        ((0.30, 0.31), (0.10, 0.11), HOLDS, DOES_NOT_HOLD),
        ((0.10, 0.11), (0.30, 0.31), DOES_NOT_HOLD, HOLDS),
        ((0.10, 0.50), (0.10, 0.20), NOT_DECIDED, NOT_DECIDED),
    ],
)
def test_a_claim_of_a_difference_and_one_of_none(a, b, said, opposite):
    results = {"a": result(test=a), "b": result(test=b)}
    assert claims.judged(HIGHER, results)[0] == said
    assert claims.judged(dataclasses.replace(HIGHER, none=True), results)[0] == opposite


def test_what_is_missing_or_diverged_decides_nothing():
    a, b = result(test=(0.3, 0.31)), result()
    assert claims.judged(HIGHER, {"a": a}) == ("not decided (not run)", None)
    said, found = claims.judged(HIGHER, {"a": result(test=(0.3, 0.31), diverged=True), "b": b})
    assert said == "not decided (diverged)" and found[0] == pytest.approx(15.5)


def test_a_network_that_did_not_start_to_train_has_no_difference():
    asleep = result(test=(0.9, 0.9), train=(0.9, 0.2))
    assert claims.asleep(asleep) == 1 and claims.asleep(result()) == 0
    said, found = claims.judged(HIGHER, {"a": asleep, "b": result()})
    assert (said, found) == ("not decided (1 of 2 seeds did not start to train)", None)


def test_what_never_happened_is_a_bound():
    slow, fast = ({seed: [error] * 9 for seed in range(3)} for error in (0.9, 0.2))
    faster = claims.Claim("S3", "b is faster", "a", "b", claims.epochs, 1.0, "epochs")
    results = {"a": result(slow), "b": result(fast)}
    said, found = claims.judged(faster, results)
    assert (said, claims.shown(faster, found)) == (HOLDS, "≥ +9.00 epochs")
    assert claims.judged(faster, {"a": result(fast), "b": result(slow)}) == ("not decided (never reached)", None)
    twenty = claims.Claim("S3", "20 times", "a", "b", claims.log_epochs, math.log(20), "×", least=math.log(20))
    said, found = claims.judged(twenty, results)
    assert (said, claims.shown(twenty, found)) == (NOT_DECIDED, "≥ 10.00 ×")
    ten = dataclasses.replace(twenty, effect=math.log(10) - 1e-9, least=math.log(10) - 1e-9)
    assert claims.judged(ten, results)[0] == HOLDS


def test_a_bound_decides_only_where_all_seeds_are_apart():
    """The seeds that never got there say nothing of how far they were from it."""
    fast = {seed: [0.2] * 9 for seed in range(3)}
    faster = claims.Claim("S3", "b is faster", "a", "b", claims.epochs, 1.0, "epochs")
    one_as_fast = {0: [0.9] * 9, 1: [0.9] * 9, 2: [0.2] * 9}
    assert claims.judged(faster, {"a": result(one_as_fast), "b": result(fast)})[0] == NOT_DECIDED
    two_seeds = {0: [0.9] * 9, 1: [0.9] * 9}
    assert claims.judged(faster, {"a": result(two_seeds), "b": result(fast)})[0] == NOT_DECIDED


def test_a_run_that_diverged_before_it_got_there_has_no_difference():
    slow, fast = ({seed: [error] * 3 for seed in range(3)} for error in (0.9, 0.2))
    for name in ("epochs", "log_epochs"):
        claim = claims.Claim("S3", "b is faster", "a", "b", getattr(claims, name), 1.0)
        for a, b in ((slow, fast), (fast, slow), (slow, slow)):
            found = claims.judged(claim, {"a": result(a, diverged=True), "b": result(b)})
            assert found == ("not decided (diverged)", None)


def test_six_times_is_six_times():
    claim = next(claim for claim in claims.CLAIMS if claim.unit == "×")
    relu = {seed: [0.9] * (2 + seed % 2) + [0.2] * 60 for seed in range(4)}  # 3 or 4 epochs
    for epochs, expected in ((12, DOES_NOT_HOLD), (22, NOT_DECIDED), (40, HOLDS)):
        tanh = {seed: [0.9] * (epochs + seed % 2) + [0.2] for seed in range(4)}
        said, found = claims.judged(claim, {claims.TANH: result(tanh), claims.RELU: result(relu)})
        assert said == expected, (epochs, claims.shown(claim, found))


def test_a_test_image_of_signs_is_worth_a_word_and_less_is_not():
    for claim in claims.CLAIMS:
        of_signs = claim.measure is claims.wrong and "signs" in claim.larger
        assert claim.effect == 0.83 if of_signs else claim.effect != 0.83


def test_every_claim_names_experiments_that_exist():
    known = params.read(REPOSITORY).experiments
    for claim in claims.CLAIMS:
        assert {claim.larger, claim.smaller} - {75.0} <= known.keys()
        assert claim.larger != claim.smaller and claim.effect >= 0


def test_each_way_round():
    """Higher errors are those of the deeper plain, of the plain, and of the shallower residual network."""
    for claim in claims.CLAIMS:
        if claim.text in (claims.HURTS[1], claims.FAILS[1], claims.KEEPS[1]):
            assert int(claim.larger.split("-")[1]) > int(claim.smaller.split("-")[1])
            assert claim.none == (claim.text == claims.KEEPS[1])
        elif claim.text == claims.HELPS[1]:
            assert claim.larger.startswith("plain") and claim.smaller.startswith("res")
        elif claim.text == claims.DEEPER[1]:
            assert int(claim.larger.split("-")[1]) < int(claim.smaller.split("-")[1])
