"""What a finding may look at, and the words in which it says what it saw."""

import math
from dataclasses import dataclass

import pandas as pd

from lineage.report.claim_measures import MEASURES
from lineage.report.claim_tables import anchor
from lineage.report.comparisons import Judgement, Judgements
from lineage.report.markdown import capitalised, link, listed, percent
from lineage.report.results import Result, Results
from lineage.report.study import GROUPS
from lineage.report.verdicts import (
    DOES_NOT_HOLD,
    HOLDS,
    LEANS,
    LEANS_AGAINST,
    NOT_COMPARED,
    NOT_DECIDED,
    NOT_RUN,
    REVERSED,
    smallest_p,
)
from lineage.report.verdicts import difference as interval

FOR, AGAINST = (HOLDS, LEANS), (REVERSED, DOES_NOT_HOLD, LEANS_AGAINST)
DECIDABLE = (*FOR, *AGAINST, NOT_DECIDED)


@dataclass(frozen=True)
class Measured:
    """All that a finding may look at."""

    results: Results
    judgements: Judgements

    def judged(self, claim: str, group: str, depth: int) -> Judgement | None:
        one = self.judgements.get((claim, group, depth))
        return one if one and one.verdict != NOT_RUN else None

    def tried(self, *claims: str) -> list[Judgement]:
        """What was judged of these claims, without what has not run."""
        return [one for place, one in self.judgements.items() if place[0] in claims and one.verdict != NOT_RUN]

    def error(self, name: str, part: str) -> str:
        """An experiment's name and its error: the mean and the standard deviation over its seeds."""
        return f"{link(name)} {percent(self.results[name].error(part))} % (n = {self.results[name].n})"


def verdict(one: Judgement) -> str:
    """The verdict, linked to its claim."""
    return f"*[{one.verdict}](#{anchor(one.comparison.claim.id)})*"


def difference(one: Judgement) -> str:
    """The difference with its interval, the verdict, and whether it is corrected for the other comparisons."""
    parts = [one.shown] if one.found else []
    parts.append(verdict(one))
    if one.loss:
        parts += [f"training loss {one.loss.shown}", verdict(one.loss)]
    if one.note and (one.verdict == NOT_COMPARED or (one.verdict == NOT_DECIDED and one.found)):
        parts.append(one.note)
    parts += [one.precisions] if one.precisions else []
    return ", ".join([*parts, "primary" if one.comparison.primary and not one.loss else "exploratory"])


def named(one: Judgement) -> str:
    """The same, introduced by the word `difference` where there is one."""
    return f"difference {difference(one)}" if one.found else difference(one)


def seeds(one: Judgement) -> str:
    """How many seeds are on either side."""
    return " / ".join(map(str, one.n))


def quotients(result: Result) -> pd.Series:
    """Layer by layer ‖gradient‖ / ‖W‖ after training, without the last, fully connected one: how far a step turns the
    weights.
    """
    layers = result.layers.iloc[:-1]
    return layers.gradient / layers.weight


def finding(opening: str, said: list[str]) -> list[str]:
    """The finding, or nothing where there is nothing to say."""
    return [listed(opening, said)] if said else []


def deepest(m: Measured, claim: str, *kinds: str) -> list[Judgement]:
    """Of each group the deepest network on which the claim has one of these verdicts."""
    found: dict[str, Judgement] = {}
    for (of, group, _), one in m.judgements.items():
        if of == claim and one.verdict in kinds:
            found[group] = max(found.get(group, one), one, key=lambda j: j.comparison.depth)
    return list(found.values())


def main_ones(m: Measured, claim: str) -> list[Judgement]:
    """Of each group its primary comparison, whatever came of it, else the deepest network on which the claim holds or
    leans, else the deepest on which something speaks against it. Where there is none of these in any group, of each the
    deepest on which nothing is decided.
    """
    found = {one.comparison.group: one for one in deepest(m, claim, *AGAINST)}
    found |= {one.comparison.group: one for one in deepest(m, claim, *FOR)}
    for (of, group, _), one in m.judgements.items():
        if of == claim and one.comparison.primary and one.verdict != NOT_RUN:
            found[group] = one
    found = found or {one.comparison.group: one for one in deepest(m, claim, NOT_DECIDED)}
    return [found[group] for group in GROUPS if group in found]


def elsewhere(m: Measured, ones: list[Judgement], claim: str) -> list[str]:
    """What else the claim has, beside these judgements: of each group the deepest network on which it holds or leans,
    and the deepest on which something speaks against it, and in other groups the deepest on which nothing is decided.
    """
    groups = {one.comparison.group for one in ones}
    others = [*deepest(m, claim, *FOR), *deepest(m, claim, *AGAINST)]
    told = groups | {one.comparison.group for one in others}
    others += [one for one in deepest(m, claim, NOT_DECIDED) if one.comparison.group not in told]
    order = [*GROUPS]
    others = [one for one in others if one not in ones]
    others.sort(key=lambda one: (order.index(one.comparison.group), one.comparison.depth))
    return [f"{briefly(m, one)}.{unlike(one)}" for one in others]


def unlike(one: Judgement) -> str:
    """What else differs between the two sides of a comparison, as a sentence on their difference."""
    also = differs(one)
    return f" {capitalised(also)}, so a part of the difference may come from that." if also else ""


def differs(one: Judgement) -> str:
    """What else differs between the two depths of a comparison of depths, or between the two networks of a pair."""
    claim, group = one.comparison.claim, one.comparison.group
    if claim.each == "plain over resnet":
        return ""
    return GROUPS[group].unlike.get(one.comparison.depth, "") if group else claim.unlike.get(one.comparison.larger, "")


def briefly(m: Measured, one: Judgement) -> str:
    """The mean errors, their difference, and where."""
    both = (MEASURES[one.comparison.claim.measure].of(m.results[name]).mean() for name in sides(one))
    return f"{where(one)}: {' against '.join(f'{mean:.2f}' for mean in both)} % (n = {seeds(one)}), {named(one)}"


def group_of(one: Judgement) -> str:
    """The training group of a comparison; of a pair the first group that has one of its networks, if any."""
    pair = {one.comparison.larger, one.comparison.smaller}
    groups = (group for group, about in GROUPS.items() if pair & {*about.members.values()})
    return one.comparison.group or next(groups, "")


def where(one: Judgement) -> str:
    """The training group and the depth."""
    return f"{GROUPS[one.comparison.group].title}, {one.comparison.depth} layers"


def apart(m: Measured, one: Judgement) -> str:
    """Words for a difference that is not decided although every seed of one side is above every seed of the other."""
    larger, smaller = (MEASURES[one.comparison.claim.measure].of(m.results[name]) for name in sides(one))
    low = interval(larger, smaller)[1]
    if one.verdict != NOT_DECIDED or larger.min() <= smaller.max() or not math.isfinite(low):
        return ""
    said = f" Each of the {len(larger)} seeds is above each of the {len(smaller)} others"
    if low > 0:
        said += ". By the seeds alone the interval of the difference excludes 0; with other images of the same kind "
        said += "there may be none."
    else:
        said += f", but they differ so much among themselves ({larger.min():.2f} to {larger.max():.2f} %) that the "
        said += "interval of the difference includes 0."
    p = smallest_p((len(larger), len(smaller)))
    return (
        f"{said} An exact permutation test over the seeds, which assumes no normal distribution and was added when the "
        f"results of SIGNS were known, gives p = {p:.2g}, the smallest possible with so many seeds. The verdict "
        "does not use it, and it is not corrected."
    )


def sides(one: Judgement) -> tuple[str, str]:
    return one.comparison.larger, one.comparison.smaller


def shallow(family: str, group: str) -> list[int]:
    """The least of several depths in a group; nothing where it has one depth alone."""
    depths = sorted(depth for other, depth in GROUPS[group].members if other == family)
    return depths[:1] if len(depths) > 1 else []
