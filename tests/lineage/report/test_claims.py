from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lineage.report import claims, verdicts
from lineage.report.comparisons import Comparison
from lineage.report.entries import Claim
from lineage.report.verdicts import (
    AT_FLOOR,
    DOES_NOT_HOLD,
    HOLDS,
    LEANS,
    LEANS_AGAINST,
    NOT_COMPARED,
    NOT_DECIDED,
    NOT_RUN,
    REVERSED,
)

BY_SEED = {0: [0.5, 0.2, 0.3], 1: [0.25, 0.2, 0.1], 2: [0.9, 0.9, 0.9]}  # training errors, epoch by epoch


def result(
    test=(0.1, 0.2),
    train=0.02,
    loss=0.1,
    by_seed=BY_SEED,
    diverged=False,
    images=1000,
    started=None,
    wrong=None,
    dataset="signs",
    precision="bf16",
):
    rows = [(seed, epoch, error) for seed, errors in by_seed.items() for epoch, error in enumerate(errors, 1)]
    history = pd.DataFrame(rows, columns=["seed", "epoch", "train_error"])
    spread = np.linspace(0, 1e-3, len(test))
    errors = {"test": pd.Series(test), "train": pd.Series(train + spread if np.isscalar(train) else train)}
    losses = pd.Series(loss * (1 + spread) if np.isscalar(loss) else loss)
    return SimpleNamespace(
        name="it",
        experiment=SimpleNamespace(dataset=dataset),
        history=history,
        error=errors.get,
        top1=lambda part: 1 - errors[part],
        loss=lambda part: losses,
        n=len(test),
        metrics={"diverged": diverged},
        predictions=pd.DataFrame({"image": [f"{dataset}-{i}" for i in range(images)], "actual": 0}),
        started=lambda: pd.Series([True] * len(test) if started is None else started),
        failed=(started or []).count(False),
        wrong_answers=lambda: wrong,
        precision=precision,
        labels={"classes": ["zero", "one"]},
    )


def judged(a, b, **about):
    about = {"id": "a-b", "by": "S0", "text": "a exceeds b", "measure": "test_error"} | about
    results = {name: one for name, one in (("a", a), ("b", b)) if one is not None}
    return claims.judged(Comparison(Claim(**about), "a", "b"), results)


LOW, HIGH = (0.10, 0.11, 0.10, 0.11, 0.105), (0.30, 0.31, 0.30, 0.31, 0.305)


@pytest.mark.parametrize(
    ("a", "b", "said", "of_none"),
    [
        (HIGH, LOW, HOLDS, REVERSED),
        (LOW, HIGH, REVERSED, HOLDS),
        (LOW, LOW, DOES_NOT_HOLD, HOLDS),
        (HIGH[:3], LOW[:3], LEANS, LEANS_AGAINST),
        (LOW[:3], HIGH[:3], LEANS_AGAINST, LEANS),
        ((0.10, 0.50), (0.10, 0.20), NOT_DECIDED, NOT_DECIDED),
    ],
)
def test_a_claim_of_a_difference_and_one_of_none(a, b, said, of_none):
    assert judged(result(a), result(b), relevant=1).verdict == said
    assert judged(result(a), result(b), relevant=1, none=True).verdict == of_none


def test_what_is_missing_or_diverged_decides_nothing():
    assert judged(result(HIGH), None).verdict == NOT_RUN
    one = judged(result(HIGH, diverged=True), result(LOW))
    assert (one.verdict, one.note, one.found) == (NOT_COMPARED, "diverged", None)
    assert judged(result(LOW), result(HIGH, diverged=True)).note == "diverged"


@pytest.mark.parametrize("measure", ["test_error", "train_error", "gap"])
def test_what_did_not_start_to_train_has_no_percentage_points(measure):
    one = judged(result(HIGH, train=0.8, started=[False] * 4 + [True]), result(LOW), measure=measure)
    assert (one.verdict, one.found) == (NOT_COMPARED, None)
    assert one.note == "did not start to train: 4 of 5 against 0 of 5 seeds"
    other = judged(result(LOW), result(HIGH, train=0.8, started=[False] * 5), measure=measure)
    assert (other.verdict, other.note) == (NOT_COMPARED, "did not start to train: 0 of 5 against 5 of 5 seeds")


@pytest.mark.parametrize(
    ("a", "b", "said"),
    [
        ([False] * 5, [True] * 5, HOLDS),
        ([True] * 5, [False] * 5, REVERSED),
        ([False] * 3, [True] * 3, LEANS),  # p = 0.1
        ([True] * 3, [False] * 3, LEANS_AGAINST),
        ([False] * 2, [True] * 5, NOT_DECIDED),  # p = 0.048, but two seeds
        ([False] * 3, [True] * 5, HOLDS),
        ([False], [True] * 5, NOT_DECIDED),  # a single seed
        ([False] * 2, [True] * 2, NOT_DECIDED),
        ([True] * 5, [True] * 5, NOT_DECIDED),
        ([False, True, True, True, True], [True] * 5, NOT_DECIDED),
    ],
)
def test_failures_to_start_are_counted(a, b, said):
    one = judged(result(HIGH[: len(a)], started=a), result(LOW[: len(b)], started=b), measure="failed")
    assert one.verdict == said and one.found is None


def test_a_single_seed_that_fails_decides_nothing():
    """Against twenty that start, p is 0.048."""
    one = judged(result((0.9,), started=[False]), result((0.1,) * 20, started=[True] * 20), measure="failed")
    assert (one.verdict, one.n) == (NOT_DECIDED, (1, 20)) and one.p < 0.05


def test_at_the_floor_the_losses_are_judged():
    a, b = result(HIGH, train=0.0, loss=0.01), result(LOW, train=0.001, loss=0.002)
    one = judged(a, b, measure="train_error")
    assert (one.verdict, one.found) == (AT_FLOOR, None)
    assert (one.loss.verdict, one.loss.shown.split(" (")[0]) == (HOLDS, "× 5")
    assert judged(a, b, measure="train_error", none=True).loss.verdict == REVERSED
    # a ratio of less than two is not relevant
    assert judged(result(HIGH, train=0.0, loss=0.003), b, measure="train_error").loss.verdict == DOES_NOT_HOLD
    above = judged(result(HIGH, train=0.004), b, measure="train_error")
    assert above.verdict != AT_FLOOR and above.loss is None
    assert judged(result(LOW, train=0.0), result(HIGH, train=0.05), measure="train_error").loss is None
    claim = Claim("n", "ours", "more than 1 % wrong", "train_error")
    against_a_number = claims.judged(Comparison(claim, "a", 1.0), {"a": a})
    assert (against_a_number.verdict, against_a_number.unit) == (REVERSED, "pp")  # no loss stands beside a number


def test_a_difference_smaller_than_one_test_image_is_not_relevant():
    """It does not depend on the experiment's name: a small test set of one's own is no other than SIGNS."""
    narrow = [0.1, 0.1001, 0.1002, 0.1001, 0.1]
    a, b = (result([e + more for e in narrow], images=120) for more in (0.007, 0))
    assert judged(a, b).verdict == DOES_NOT_HOLD
    assert judged(a, b).relevant == pytest.approx(100 / 120)
    a, b = (result([e + more for e in narrow], images=10000) for more in (0.007, 0))
    assert judged(a, b).verdict == HOLDS
    assert judged(a, b).relevant == 0.5
    assert judged(a, b, relevant=1).verdict == DOES_NOT_HOLD


def test_with_every_seeds_answers_images_are_resampled_too():
    generator = np.random.default_rng(0)
    sides = [(generator.random(120) < error)[None].repeat(5, 0) for error in (0.12, 0.09)]
    tests = [tuple(side.mean(1) + np.linspace(0, 1e-4, 5)) for side in sides]
    seeds_only = judged(*(result(test, images=120) for test in tests))
    both = judged(*(result(test, images=120, wrong=side) for test, side in zip(tests, sides, strict=True)))
    assert (seeds_only.method, both.method) == ("Welch", "seeds and images")
    assert seeds_only.verdict == HOLDS and both.verdict == NOT_DECIDED  # another 120 images may say otherwise
    assert both.found[0] == seeds_only.found[0] and both.found[1] < seeds_only.found[1]
    one_side = judged(result(tests[0], images=120, wrong=sides[0]), result(tests[1], images=120))
    assert one_side.method == "Welch"
    results = [result(test, images=120, wrong=side) for test, side in zip(tests, sides, strict=True)]
    assert claims.on_test(*results) == both.found
    assert claims.on_test(*(result((0.1,)) for _ in "ab"))[1:] == (-np.inf, np.inf)  # a single seed


def test_a_number_can_be_confirmed_and_not_refuted():
    claim = Claim("n", "S2", "reaches 75 %", "test_accuracy", relevant=0.0, confirm_only=True)
    for errors, said in (((0.24, 0.241, 0.239), HOLDS), ((0.5, 0.501, 0.502), NOT_DECIDED)):
        one = claims.judged(Comparison(claim, "a", 75.0), {"a": result(errors)})
        assert one.verdict == said and one.method == "Student"
    two = claims.judged(Comparison(claim, "a", 75.0), {"a": result((0.24, 0.2401))})
    assert (two.verdict, two.note) == (LEANS, "too few seeds for more") and two.found[1] > 0
    wrong = np.random.default_rng(0).random((3, 1000)) < 0.24
    both = claims.judged(Comparison(claim, "a", 75.0), {"a": result(tuple(wrong.mean(1)), wrong=wrong)})
    mean, low, high = both.found
    assert both.method == "seeds and images" and low < mean < high
    assert mean == pytest.approx(25 - 100 * wrong.mean())


def test_a_single_seed_has_no_interval_and_says_so():
    """Whatever the claim: of a single seed it is that which decides nothing."""
    claim = Claim("n", "S2", "reaches 75 %", "test_accuracy", relevant=0.0, confirm_only=True)
    for one in (
        claims.judged(Comparison(claim, "a", 75.0), {"a": drawn(0.2, seeds=1)}),
        judged(drawn(0.3, seeds=1), drawn(0.1, seeds=1)),
    ):
        assert (one.verdict, one.note, one.method, one.p) == (NOT_DECIDED, "a single seed", "", None)
        assert one.shown.endswith(" pp")


def test_seeds_that_are_all_alike_decide_nothing():
    """On both sides: there is no spread to judge a difference by."""
    one = judged(result((0.3,) * 5), result((0.1,) * 5))
    assert (one.verdict, one.note, one.p) == (NOT_DECIDED, "no spread over the seeds", None)


def drawn(error, seeds=5, images=1000, **about):
    """A result whose answers are wrong so often."""
    wrong = np.random.default_rng(round(1000 * error)).random((seeds, images)) < error
    return result(tuple(wrong.mean(1)), wrong=wrong, images=images, **about)


def test_a_difference_of_accuracies_is_that_of_errors_turned_round():
    worse, better = drawn(0.3), drawn(0.1)
    accuracy, error = judged(better, worse, measure="test_accuracy"), judged(worse, better)
    assert accuracy.method == error.method == "seeds and images"
    assert accuracy.verdict == error.verdict == HOLDS
    assert accuracy.found == pytest.approx(error.found, abs=0.2) and 15 < accuracy.found[1] < accuracy.found[2] < 25


def test_an_error_is_compared_with_a_number_as_it_is():
    claim = Claim("n", "S0", "more than 20 % are wrong", "test_error")
    one = claims.judged(Comparison(claim, "a", 20.0), {"a": drawn(0.3)})
    assert (one.verdict, one.method) == (HOLDS, "seeds and images")
    assert 5 < one.found[1] < one.found[0] < one.found[2] < 15


def test_of_different_test_images_only_the_seeds_are_resampled():
    for images in (1000, 500):  # as many images, and another number
        one = judged(drawn(0.3, dataset="cifar100", images=images), drawn(0.1))
        assert (one.verdict, one.method) == (HOLDS, "Welch")


def test_of_the_gap_too_the_test_images_are_resampled():
    """The training errors are exact; only one that is known for every test image has more to say."""
    worse, better = drawn(0.3, images=200, train=0.1), drawn(0.1, images=200, train=0.1)
    one, test = judged(worse, better, measure="gap"), judged(worse, better)
    assert one.method == "seeds and images" and one.found == pytest.approx(test.found, abs=0.1)
    less = judged(drawn(0.3, images=200, train=0.25), better, measure="gap")
    assert less.found == pytest.approx([end - 15 for end in test.found], abs=0.1)
    assert judged(worse, better, measure="gap", relevant=0.1).relevant == 0.5  # one of 200 test images
    # each seed's own training error: where that varies as the test error does, the gap does not
    wrong = np.repeat(np.arange(5)[:, None] < [1], 200, 1) | (np.arange(200) < 20)
    trains = [wrong.mean(1) - gap + np.linspace(0, 1e-3, 5) for gap in (0.05, 0.02)]
    same = [result(tuple(wrong.mean(1)), train=train, wrong=wrong, images=200) for train in trains]
    assert judged(*same).found[2] > 50 and judged(*same, measure="gap").found[2] < 10


def test_another_precision_is_named():
    one = judged(result(HIGH, precision="fp32"), result(LOW))
    assert (one.verdict, one.note, one.precisions) == (HOLDS, "", "float32 against bfloat16")
    assert judged(result(HIGH, precision="fp32"), result(LOW, precision="fp32")).precisions == ""
    floor = judged(result(HIGH, train=0.0, precision="fp32"), result(LOW, train=0.0), measure="train_error")
    assert floor.loss.precisions == floor.precisions == "float32 against bfloat16"


def test_p_knows_the_sampling_of_the_test_images():
    """Seeds that are as good as equal: only with the images does the p value fit the interval."""
    images = np.arange(400)
    sides = [wrong[None].repeat(5, 0) for wrong in (images < 48, images >= 360)]
    tests = [tuple(side.mean(1) + np.linspace(0, 1e-4, 5)) for side in sides]
    seeds_only = judged(*(result(test, images=400) for test in tests))
    both = judged(*(result(test, images=400, wrong=side) for test, side in zip(tests, sides, strict=True)))
    assert seeds_only.p < 1e-6 and both.found[1] < 0 < both.found[2] and 0.05 < both.p < 1


def test_p_knows_the_spread_of_the_seeds():
    """Of many images: only with the seeds does the p value fit the interval."""
    images = np.arange(4000)
    sides = [np.array([images < 4000 * error for error in errors]) for errors in ((0.1, 0.3, 0.5), (0.1, 0.15, 0.2))]
    tests = [side.mean(1) for side in sides]
    one = judged(*(result(test, images=4000, wrong=side) for test, side in zip(tests, sides, strict=True)))
    assert one.method == "seeds and images"
    assert one.p == pytest.approx(verdicts.p_value(pd.Series(100 * tests[0]), pd.Series(100 * tests[1])))


def epochs_claim(a, b, **about):
    sides = [result([0.1] * len(by_seed), by_seed=by_seed) for by_seed in (a, b)]
    return judged(*sides, **{"measure": "epochs", "relevant": 1} | about)


def test_what_never_happened_is_a_bound():
    slow, fast = ({seed: [error] * 9 for seed in range(4)} for error in (0.9, 0.2))
    one = epochs_claim(slow, fast)  # at the earliest in the middle of the ninth epoch, 8.5; 0.417 in the first one
    assert (one.verdict, one.shown) == (HOLDS, "at least +8.08 epochs")
    assert one.note == "never reached: 4 of 4 against 0 of 4 seeds"
    one = epochs_claim(fast, slow)
    assert (one.verdict, one.note) == (NOT_DECIDED, "never reached: 0 of 4 against 4 of 4 seeds")
    one = epochs_claim(slow, {**fast, 3: [0.9] * 9})
    assert (one.verdict, one.note) == (NOT_DECIDED, "never reached: 4 of 4 against 1 of 4 seeds")
    one = epochs_claim(slow, fast, measure="epochs_ratio", relevant=30, least=30)
    assert (one.verdict, one.shown) == (NOT_DECIDED, "at least × 20.4")
    assert epochs_claim(slow, fast, measure="epochs_ratio", relevant=20.3, least=20.3).verdict == HOLDS
    longer = {seed: [0.2] * 20 for seed in range(4)}  # it is the first side's end that counts
    assert epochs_claim(slow, longer).shown == "at least +8.08 epochs"


def test_a_bound_decides_only_where_all_seeds_are_apart_and_enough():
    """The seeds that never got there say nothing of how far they were from it."""
    fast = {seed: [0.2] * 9 for seed in range(4)}
    assert epochs_claim({0: [0.9] * 9, 1: [0.9] * 9, 2: [0.9] * 9, 3: [0.2] * 9}, fast).verdict == NOT_DECIDED
    three = {seed: [0.9] * 9 for seed in range(3)}
    assert epochs_claim(three, {seed: [0.2] * 9 for seed in range(3)}).verdict == NOT_DECIDED


def test_six_times_is_six_times():
    relu = {seed: [0.9] * (3 + seed % 2) + [0.2] * 60 for seed in range(4)}  # almost 3.5 or 4.5 epochs
    for epochs, expected in ((15, DOES_NOT_HOLD), (26, NOT_DECIDED), (48, HOLDS)):
        tanh = {seed: [0.9] * (epochs + seed % 2) + [0.2] for seed in range(4)}
        one = epochs_claim(tanh, relu, measure="epochs_ratio", relevant=6, least=6)
        assert one.verdict == expected, (epochs, one.shown)
        assert (one.p < 0.05) == (expected != NOT_DECIDED), epochs  # p is that of six times, not of no difference


def test_p_and_the_loss_at_the_floor_know_what_is_claimed():
    """The least difference that is claimed is one in percentage points, and none of the losses."""
    claimed, usual = (judged(result(HIGH), result(LOW), relevant=1, **more) for more in ({"least": 20}, {}))
    assert claimed.verdict == NOT_DECIDED and claimed.p == pytest.approx(1) and usual.p < 1e-6
    a, b = result(HIGH, train=0.0, loss=(0.01, 0.02, 0.04, 0.002, 0.005)), result(LOW, train=0.0, loss=0.004)
    losses = [judged(a, b, measure="train_error", least=least).loss for least in (0.0, 0.5)]
    assert [one.verdict for one in losses] == [NOT_DECIDED] * 2 and losses[0].p == losses[1].p > 0.05


def test_two_draws_of_the_weights_do_not_decide_what_three_do(monkeypatch):
    claim = Claim("n", "S1", "gradients vanish", "gradient_fall", untrained=(("plain", 56),), relevant=100)
    for draws, said in (([-9.0, -9.1], LEANS), ([-9.0, -9.1, -9.05], HOLDS)):
        monkeypatch.setattr(claims.early_gradients, "rises", lambda *_, draws=draws: pd.Series(draws))
        assert claims._of_gradients(Comparison(claim, "plain-56", 0.0, depth=56), "plain").verdict == said


def test_a_gradient_that_is_too_small_to_be_measured_is_not_left_out(monkeypatch):
    """It may be the one that vanishes."""
    claim = Claim("n", "S1", "gradients vanish", "gradient_fall", untrained=(("plain", 56),), relevant=100)
    monkeypatch.setattr(claims.early_gradients, "rises", lambda *_: pd.Series([9.0, 9.1, 9.05, float("nan")]))
    one = claims._of_gradients(Comparison(claim, "plain-56", 0.0, depth=56), "plain")
    assert (one.verdict, one.found) == (NOT_COMPARED, None)
    assert one.note == "in 1 of 4 draws a gradient cannot be measured"


def test_holms_correction_weakens_what_is_primary_and_nothing_else(monkeypatch, workspace):
    """The five that were named count, though only two have run: 0.012 · 5 is above 5 %, 0.009 · 5 is below."""
    names = {"plain-20-signs32": LOW, "plain-56-signs32": HIGH, "resnet-56-signs32": LOW}
    results = {name: result(test, images=10000, train=0.01 + 0.5 * test[0]) for name, test in names.items()}
    monkeypatch.setattr(claims.verdicts, "p_value", lambda a, b: 0.012)
    found = claims.judge_all(results)
    assert found["shortcut-test", "signs32", 56].verdict == LEANS
    assert "Holm" in found["shortcut-test", "signs32", 56].note
    assert found["plain-test", "signs32", 56].verdict == HOLDS  # exploratory
    other_way = {name: result(test, images=10000) for name, test in zip(names, (HIGH, LOW, HIGH), strict=True)}
    assert claims.judge_all(other_way)["shortcut-test", "signs32", 56].verdict == LEANS_AGAINST
    monkeypatch.setattr(claims.verdicts, "p_value", lambda a, b: 0.009)
    assert claims.judge_all(results)["shortcut-test", "signs32", 56].verdict == HOLDS
