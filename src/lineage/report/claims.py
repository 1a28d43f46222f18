"""What the measurements say of each claim in study.yaml: a verdict for every pair of experiments."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from lineage.report import early_gradients, verdicts
from lineage.report.claim_measures import MEASURES, Measure, train_error
from lineage.report.comparisons import Comparison, Judgement, Judgements, comparisons
from lineage.report.entries import Claim
from lineage.report.results import PRECISION_NAMES, Result, Results
from lineage.report.study import CLAIMS, PRIMARY
from lineage.report.verdicts import AT_FLOOR, HOLDS, LEANS, NOT_COMPARED, NOT_DECIDED, NOT_RUN, REVERSED

FLOOR = 0.3  # per cent: below it on both sides, training errors are judged by the loss
LOSS_FACTOR = 2  # the smallest relevant ratio of two training losses
ALL_STARTED = "no seed failed to start"


def judge_all(results: Results) -> Judgements:
    """Every claim. The primary comparisons are held to Holm's correction for all that were named, run or not: what has
    run gets no weaker by those that follow.
    """
    everything = chain.from_iterable(comparisons(claim) for claim in CLAIMS.values() if not claim.untrained)
    found = {one.place: judged(one, results) for one in everything}
    for claim in CLAIMS.values():
        for family, depth in claim.untrained:
            comparison = Comparison(claim, f"{family}-{depth}, untrained, with batch norm", 0.0, depth=depth)
            found[comparison.place] = _of_gradients(comparison, family)
    tested = [place for place, one in found.items() if place in PRIMARY and one.p is not None]
    for place, kept in zip(tested, verdicts.holm([found[place].p for place in tested], len(PRIMARY)), strict=True):
        one = found[place]
        if not kept and one.verdict in (HOLDS, REVERSED):  # the others claim no difference that a p value speaks for
            note = "not below 5 % after Holm's correction"
            found[place] = replace(one, verdict=verdicts.WEAKER[one.verdict], note=note)
    return found


def judged(comparison: Comparison, results: Results) -> Judgement:
    """The verdict on one comparison, with the difference where there is one."""
    claim, measure = comparison.claim, MEASURES[comparison.claim.measure]
    names = [name for name in (comparison.larger, comparison.smaller) if isinstance(name, str)]
    if any(name not in results for name in names):
        return Judgement(comparison, NOT_RUN)
    sides = [results[name] for name in names]
    trained_in = [PRECISION_NAMES[side.precision] for side in sides]
    precisions = " against ".join(trained_in) if len(set(trained_in)) > 1 else ""
    n = tuple(side.n for side in sides)
    one = Judgement(comparison, NOT_DECIDED, n=n, unit=measure.unit, precisions=precisions)
    if any(side.metrics["diverged"] for side in sides):
        return replace(one, verdict=NOT_COMPARED, note="diverged")
    if claim.measure == "failed":
        return _of_failures(one, sides)
    if claim.measure in ("epochs", "epochs_ratio"):
        return _of_epochs(one, sides)
    failed = [side.failed for side in sides]
    if any(failed):
        return replace(one, verdict=NOT_COMPARED, note=f"did not start to train: {against(failed, one.n)}")
    if claim.measure == "train_error" and len(sides) == 2 and all(train_error(side).mean() < FLOOR for side in sides):
        floor = replace(one, verdict=AT_FLOOR, found=None)
        return replace(floor, loss=_of_means(replace(one, unit="×"), MEASURES["train_loss"], sides, LOSS_FACTOR, 1))
    return _of_means(one, measure, sides, claim.relevant, claim.least)


def _of_means(one: Judgement, measure: Measure, sides: list[Result], relevant: float, least: float) -> Judgement:
    """By the interval of a difference of means: Welch's over the seeds, or Student's against a number. Where every
    seed's answers are there, it also covers that of a bootstrap over seeds and test images, and p, which is that of a
    difference of `least`, is the larger one.
    """
    if measure.ratio:
        relevant, least = math.log(relevant), math.log(least) if least else 0.0
    claim, number = one.comparison.claim, one.comparison.smaller
    first, second = measure.of(sides[0]), number if isinstance(number, float) else measure.of(sides[1])
    mean, low, high = verdicts.difference(first, second)
    known = math.isfinite(low)
    p = verdicts.p_value(first - least, second) if known and not isinstance(second, float) else None
    method = "" if not known else "Student" if isinstance(second, float) else "Welch"
    if measure.images:
        relevant = max(relevant, 100 / len(sides[0].predictions)) if relevant else 0.0
        if known and (ends := _bootstrapped(measure, sides, number)):
            p = None if p is None else max(p, verdicts.normal_p(mean - least, *(end - least for end in ends)))
            low, high, method = min(low, ends[0]), max(high, ends[1]), "seeds and images"
    said = verdicts.verdict((mean, low, high), relevant, least, claim.none)
    note = ""
    if not known:
        note = "a single seed" if min(one.n) < 2 else "no spread over the seeds"
    elif claim.confirm_only and said not in (HOLDS, LEANS):
        said, note = NOT_DECIDED, "one training recipe can confirm it, and none can refute it"
    elif said in verdicts.WEAKER and not verdicts.can_decide(one.n):
        said, note = verdicts.WEAKER[said], "too few seeds for more"
    return replace(one, verdict=said, note=note, found=(mean, low, high), method=method, relevant=relevant, p=p)


def on_test(first: Result, second: Result) -> verdicts.Interval:
    """The difference of two test errors in percentage points, with the interval that a claim would have."""
    comparison = Comparison(Claim("on-test", "ours", "", "test_error"), first.name, second.name)
    one = Judgement(comparison, NOT_DECIDED, n=(first.n, second.n))
    return _of_means(one, MEASURES["test_error"], [first, second], 0, 0).found


def _bootstrapped(measure: Measure, sides: list[Result], number: str | float) -> tuple[float, float] | None:
    """None where an answer of a seed is not known, or where the sides were tested on different images."""
    wrong, images = [side.wrong_answers() for side in sides], [side.predictions[["image", "actual"]] for side in sides]
    if any(one is None for one in wrong) or not all(images[0].equals(one) for one in images):
        return None
    less = [side.error("train").to_numpy() for side in sides] if measure.less_train else None
    low, high = (100 * end for end in verdicts.bootstrap(wrong, less))
    if measure.accuracy:  # of one side, or a difference of two, in which the 100 % cancel out
        whole = 100 if len(sides) == 1 else 0
        low, high = whole - high, whole - low
    target = number if isinstance(number, float) else 0
    return low - target, high - target


def _of_failures(one: Judgement, sides: list[Result]) -> Judgement:
    """By the number of seeds that failed to start to train."""
    failed = tuple(side.failed for side in sides)
    p = verdicts.fisher(failed, one.n)
    more = failed[0] / one.n[0] - failed[1] / one.n[1]
    said = NOT_DECIDED
    if p < verdicts.ALPHA and min(one.n) >= verdicts.FEWEST:
        said = HOLDS if more > 0 else REVERSED
    elif abs(more) == 1 and min(one.n) >= verdicts.FEWEST:  # all of one side and none of the other
        said = verdicts.WEAKER[HOLDS if more > 0 else REVERSED]
    note = f"failed to start: {against(failed, one.n)}, p = {p:.2g}" if any(failed) else ALL_STARTED
    return replace(one, verdict=said, note=note, method="Fisher", p=p)


def against(failed: Sequence[int], n: tuple[int, ...]) -> str:
    """How many seeds of either side did not start to train."""
    return " against ".join(f"{count} of {of}" for count, of in zip(failed, n, strict=True)) + " seeds"


def _of_epochs(one: Judgement, sides: list[Result]) -> Judgement:
    """By the epochs until the training error is 25 %. Seeds of the first side that never get there count as if they did
    in the middle of their last epoch; the claim then holds only with enough seeds, each beyond every seed of the second
    side by the smallest relevant difference.
    """
    claim, measure = one.comparison.claim, MEASURES[one.comparison.claim.measure]
    first, second = (measure.of(side) for side in sides)
    never = [~np.isfinite(side) for side in (first, second)]
    if not any(side.any() for side in never):
        return _of_means(one, measure, sides, claim.relevant, claim.least)
    one = replace(one, note=f"never reached: {against([int(side.sum()) for side in never], one.n)}")
    if never[1].any():
        return one
    last = float(sides[0].history.epoch.max()) - 0.5
    relevant, least = claim.relevant, claim.least
    if measure.ratio:
        last, relevant, least = math.log(last), math.log(relevant), math.log(least) if least else 0.0
    bound = first.where(~never[0], last)
    apart, mean = bound.min() - second.max(), bound.mean() - second.mean()
    decided = verdicts.can_decide(one.n) and apart >= max(relevant, least)
    return replace(one, verdict=HOLDS if decided else NOT_DECIDED, found=(mean, mean, math.inf), relevant=relevant)


def _of_gradients(comparison: Comparison, family: str) -> Judgement:
    """By the gradient of the first layer over the last convolution's before training, with batch norm, in every draw
    of He's initialisation. That is what is shown, also where the claim is that it is small.
    """
    logs = early_gradients.rises(family, comparison.depth, ["he"])
    if logs.empty:
        return Judgement(comparison, NOT_RUN)
    if lost := int(logs.isna().sum()):
        note = f"in {lost} of {len(logs)} draws a gradient cannot be measured"
        return Judgement(comparison, NOT_COMPARED, note, n=(len(logs),), unit="×")
    falls = comparison.claim.measure == "gradient_fall"
    found = verdicts.difference(-logs if falls else logs, 0.0)
    relevant = math.log(comparison.claim.relevant)
    said = verdicts.verdict(found, relevant, none=comparison.claim.none)
    if not verdicts.can_decide((len(logs),)):
        said = verdicts.WEAKER.get(said, said)
    rise = verdicts.difference(logs, 0.0)
    return Judgement(comparison, said, "first layer over last", rise, (len(logs),), "×", "Student", relevant)
