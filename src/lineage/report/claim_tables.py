"""The section on claims: a row for each claim, a column for each training group, and the intervals behind it."""

import math
from collections import Counter

from lineage.report.claim_measures import QUARTER
from lineage.report.claims import ALL_STARTED, FLOOR, LOSS_FACTOR
from lineage.report.comparisons import Judgement, Judgements
from lineage.report.entries import Claim
from lineage.report.markdown import details, link, table
from lineage.report.study import CLAIMS, GROUPS, PRIMARY, UNTESTED
from lineage.report.verdicts import AT_FLOOR, HOLDS, NOT_COMPARED, NOT_DECIDED, NOT_RUN, REVERSED, VERDICTS, smallest_p
from lineage.started import STARTED


def primary() -> str:
    """The primary comparisons, a line each."""
    places = sorted(PRIMARY, key=lambda place: ([*GROUPS].index(place[1]), place))
    return "\n".join(f"- {GROUPS[group].title}, {depth} layers: {CLAIMS[one].text}" for one, group, depth in places)


RULES = """\
### How to read a verdict

A claim says that one experiment exceeds another by some measure, or that it does not.

- *holds*: the 95 % interval of the difference excludes 0 (of a ratio: 1; of the claim *six times as fast*: 6), and the
  difference is at least the smallest relevant one; for a claim that one does *not* exceed the other, the whole interval
  lies below the smallest relevant difference: so it holds, too, where the one lies clearly below the other;
- *reversed*: the same in the other direction, which is asked before *does not hold*; for a claim that one does not
  exceed the other, it does;
- *does not hold*: the whole interval lies below the smallest relevant difference. Holm's correction does not
  reach this verdict, so a finding says *probably* even where the comparison is primary;
- *leans*, *leans against*: by its interval the claim holds (or does not), but there are too few seeds (with three
  against three, no exact permutation test can fall below 5 %; this is asked before any correction: with four against
  four the smallest p is {four:.2g}, which does not pass Holm's correction for {named} comparisons, so that primary
  verdicts with so many seeds rest on Welch's test, which assumes normal distributions), or it fails Holm's correction,
  or the difference is smaller than the relevant one; of a *start* claim, which needs three seeds of either side, that
  all seeds of one failed and none of the other, but p is not below 5 %;
- *at the floor*: both training errors are below {floor} %. The training losses are compared instead; their ratio is
  relevant from {loss_factor} on;
- *not compared*: the training of one side diverged, or some of its seeds *did not start to train*: their
  training error ends above {started:.0f} % of that at chance level. Their errors are no measure of the network. Where
  there is a *start* claim, it counts the seeds instead (Fisher's exact test);
- *not decided*: everything else.

The smallest relevant difference is {relevant} percentage points (pp) where a claim names no other, and never less than
one test image, except where the question is whether a number is reached: there it is 0. These comparisons were named as
**primary**, when a first record of SIGNS was known, before the present one and before any network of the group
`cifar10` was recorded. They are held to Holm's correction for all of them, run or not:

{primary}

All others are exploratory and, but for the ten [defects](#what-the-articles-defects-cost), not corrected: where there
is no difference, about one in twenty still shows one.
Intervals are Welch's, over the seeds. Where each seed's answers have been kept, they also cover the interval of a
bootstrap over seeds and test images (*seeds and images*), and p is the larger of Welch's and the bootstrap's (by the
normal distribution). Simulated with normal distributions and three to five seeds, where the effects of seeds and images
add up, the wider of the two intervals contains the true difference in 93 to 97 of 100 cases. Where the seeds of a
network err on different images it is too wide, and contains the true difference in 97 or more of 100 cases: there *not
decided* may be too cautious. Runs of the same seed share the order of the images and, as far as their networks are
alike, initial weights; the tests take them as independent. p is that of no difference, or of the threshold that a claim
names (*six times*). Holm's correction uses that p. All intervals are conditional on one split of the data. Two claims
rest on one measurement, the gradients of untrained networks with batch norm: three draws of He's initialisation on one
batch of images. There, and against an article's number, three values are enough (no exact test of three values can fall
below 5 %, so this rests on Student's test); between two experiments three need five or more on the other side, or,
where seeds that started are counted, a p below 5 %. Where a claim compares the epochs to a training error of
{quarter:.0f} %, the mean error of an epoch counts in its middle, with a straight line in between, from chance level at
the beginning. Seeds of the first side that never get there count as if they did in the middle of their last epoch; the
claim then holds only with enough seeds, each of them later than every seed of the second side by the smallest relevant
difference. If one of the second side never gets there, nothing is decided. A recipe that reaches 75 % confirms that
claim; one that does not reach it refutes nothing. We show published numbers that were chosen on the test set, but do
not compare with them."""


def rules() -> str:
    """What each verdict means, and which comparisons are primary."""
    return RULES.format(
        floor=FLOOR,
        loss_factor=LOSS_FACTOR,
        started=100 * STARTED,
        relevant=Claim.relevant,
        quarter=100 * QUARTER,
        primary=primary(),
        named=len(PRIMARY),
        four=smallest_p((4, 4)),
    )


def section(found: Judgements) -> list[str]:
    run = {place: one for place, one in found.items() if one.verdict != NOT_RUN}
    tried = [summary(found), "", *by_group(run), *outside(run)] if run else []
    return [*tried, *rules().splitlines(), "", *(intervals(run) if run else []), *waiting(run)]


def summary(found: Judgements) -> str:
    run = [one for one in found.values() if one.verdict != NOT_RUN]
    said, losses = tally(run), [one.loss for one in run if one.verdict == AT_FLOOR]
    claims = len({one.comparison.claim.id for one in run})
    named = sum(one.comparison.primary for one in run)
    passed = sum(one.comparison.primary and one.verdict in (HOLDS, REVERSED) for one in run)
    outcome = "1 holds or is reversed" if passed == 1 else f"{passed} hold or are reversed"
    remarks = [f"those at the floor by the training loss: {tally(losses)}"] if losses else []
    if void := sum(one.note == ALL_STARTED for one in run):
        remarks.append(f"in {void} of those not decided no seed failed to start, so there was nothing to compare")
    said = "; ".join([said, *remarks])
    return (
        f"{claims} of {len(CLAIMS)} claims have been tried, in {len(run)} comparisons ({said}); {named} of them "
        f"primary, of which {outcome}; the others are exploratory. In the table of groups each "
        "compares a network of so many layers with the shallowest one of its group, or with the one of the same depth "
        "without shortcuts, as the claim says. Where two claims are about the same numbers, such as `lrn-helps` and "
        "`lrn-useless`, both count."
    )


def tally(judged: list[Judgement]) -> str:
    """How many there are with each verdict."""
    counts = Counter(one.verdict for one in judged)
    return ", ".join(f"{verdict} {counts[verdict]}" for verdict in VERDICTS if counts[verdict])


def name(claim: Claim) -> tuple[str, str]:
    """The claim, with a place to link to, and who says so."""
    return f'<a id="{anchor(claim.id)}"></a>{claim.text}', claim.by


def anchor(claim: str) -> str:
    return f"claim-{claim}"


def words(one: Judgement) -> str:
    """The verdict, the difference, and the reason: a cell of a table."""
    said = one.verdict if one.verdict in (NOT_DECIDED, NOT_COMPARED, AT_FLOOR) else f"**{one.verdict}**"
    parts = [said]
    if one.loss:
        parts += [f"training loss {one.loss.shown.split(' (')[0]}", f"**{one.loss.verdict}**"]
    elif one.found:
        parts.append(one.shown.split(" (")[0])
    if one.note:
        parts.append(one.note)
    return ", ".join([*parts, one.precisions] if one.precisions else parts)


def by_group(run: Judgements) -> list[str]:
    groups = [group for group in GROUPS if any(one.comparison.group == group for one in run.values())]
    rows = []
    for claim in CLAIMS.values():
        cells = []
        for group in groups:
            mine = [one for one in run.values() if (one.comparison.claim, one.comparison.group) == (claim, group)]
            cells.append("<br>".join(f"{one.comparison.depth} layers: {words(one)}" for one in mine))
        if any(cells):
            rows.append((*name(claim), *cells))
    if not rows:
        return []
    titles = [f"{group}: {GROUPS[group].title}".replace("|", r"\|") for group in groups]
    return table(" | ".join(["claim | claimed by", *titles]), "l l" + " l" * len(groups), rows)


def outside(run: Judgements) -> list[str]:
    """Claims about networks that belong to no training group."""
    rows = []
    for claim in CLAIMS.values():
        mine = [one for one in run.values() if one.comparison.claim == claim and not one.comparison.group]
        if mine:
            rows.append((*name(claim), "<br>".join(f"{_pair(one)}: {words(one)}" for one in mine)))
    return table("claim | claimed by | networks and verdict", "l l l", rows) if rows else []


def _pair(one: Judgement) -> str:
    larger, smaller = one.comparison.larger, one.comparison.smaller
    if one.comparison.claim.untrained:
        return larger
    return f"{link(larger)} – {link(smaller) if isinstance(smaller, str) else f'{smaller:g}'}"


def intervals(run: Judgements) -> list[str]:
    rows = []
    for one in run.values():
        for row in filter(None, (one, one.loss)):
            claim = row.comparison.claim
            what = f"{claim.id}, training loss" if row is not one else claim.id
            p = f"{row.p:.2g}" if row.p is not None else ""
            kind = "primary" if row is one and one.comparison.primary else "exploratory"
            n, relevant = " / ".join(map(str, row.n)), ""
            if row.found:
                unit = row.unit.removesuffix("s") if row.relevant == 1 else row.unit
                relevant = f"× {math.exp(row.relevant):.3g}" if row.unit == "×" else f"{row.relevant:.2g} {unit}"
            rows.append((what, _pair(row), row.shown, relevant, n, row.method, p, kind, words(row)))
    header = (
        "claim | experiments | difference (95 % interval) | smallest relevant | n | interval from | p | kind | verdict"
    )
    return details("All intervals", table(header, "l l r r l l r l l", rows))


def waiting(run: Judgements) -> list[str]:
    """What has not been tried, as far as its experiments have not run, and what no experiment decides."""
    tried = {one.comparison.claim.id for one in run.values()}
    lines = [f"- {claim.text} ({claim.by})" for claim in CLAIMS.values() if claim.id not in tried]
    lines = ["Not tried yet, because the experiments have not run:", "", *lines, ""] if lines else []
    untested = [f"- {entry.text} ({entry.by}): {entry.why}" for entry in UNTESTED]
    return [*lines, "Claims of the articles that no experiment here decides:", "", *untested, ""]
