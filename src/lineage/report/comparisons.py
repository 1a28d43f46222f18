"""Which experiments a claim of study.yaml compares, and what is said of a comparison."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lineage.errors import Mistake
from lineage.report.claim_measures import MEASURES
from lineage.report.entries import Claim
from lineage.report.markdown import difference_text
from lineage.report.study import CLAIMS, GROUPS, PRIMARY
from lineage.report.verdicts import Interval


@dataclass(frozen=True)
class Comparison:
    """One claim about one pair of experiments; `group` and `depth` where it belongs to a training group."""

    claim: Claim
    larger: str
    smaller: str | float
    group: str = ""
    depth: int = 0

    @property
    def place(self) -> tuple[str, str, int]:
        return self.claim.id, self.group, self.depth

    @property
    def primary(self) -> bool:
        return self.place in PRIMARY


@dataclass(frozen=True)
class Judgement:
    """What is said of a comparison. `found` in the measure's unit, logarithms of ratios."""

    comparison: Comparison
    verdict: str
    note: str = ""  # why, where the verdict needs a reason
    found: Interval | None = None
    n: tuple[int, ...] = ()
    unit: str = "pp"
    method: str = ""  # that the interval comes from
    relevant: float = 0.0  # the smallest relevant difference
    p: float | None = None
    precisions: str = ""  # of the two sides, where they were not trained in the same
    loss: "Judgement | None" = None  # at the floor of the error: of the training losses

    @property
    def shown(self) -> str:
        """The difference with its interval; a single value has none."""
        return difference_text(self.found, self.unit) if self.found else ""


# by claim, group and depth; outside of a group the position of the pair takes the place of the depth
Judgements = dict[tuple[str, str, int], Judgement]
# (family, depth) of the first and of the second side
Sides = tuple[tuple[str, int], tuple[str, int]]
PAIRS: dict[str, Callable[[list[int], list[int]], list[Sides]]] = {
    "deeper plain": lambda plain, resnet: [(("plain", d), ("plain", plain[0])) for d in plain[1:]],
    "deeper resnet": lambda plain, resnet: [(("resnet", d), ("resnet", resnet[0])) for d in resnet[1:]],
    "shallower resnet": lambda plain, resnet: [(("resnet", resnet[0]), ("resnet", d)) for d in resnet[1:]],
    "plain over resnet": lambda plain, resnet: [(("plain", d), ("resnet", d)) for d in plain if d in resnet],
}


def comparisons(claim: Claim) -> Iterator[Comparison]:
    if claim.each:
        for name, group in GROUPS.items():
            depths = [sorted(d for family, d in group.members if family == one) for one in ("plain", "resnet")]
            for larger, smaller in PAIRS[claim.each](*depths):
                deeper = max(larger[1], smaller[1])
                yield Comparison(claim, group.members[larger], group.members[smaller], name, deeper)
    for i, (larger, smaller) in enumerate(claim.pairs):
        yield Comparison(claim, larger, smaller if isinstance(smaller, str) else float(smaller), depth=i)


def check_all() -> None:
    """Raises `Mistake` for what study.yaml claims and nobody can judge."""
    for claim in CLAIMS.values():
        check(claim)
    places = {one.place: one for claim in CLAIMS.values() for one in comparisons(claim)}
    for place in sorted(PRIMARY):
        if place not in places:
            raise Mistake(f"study.yaml, primary, {', '.join(map(str, place))}: there is no such comparison")
        if not places[place].group:
            raise Mistake(f"study.yaml, primary, {place[0]}: a primary comparison is one of a group")
        claim = places[place].claim
        if claim.least or claim.none:  # p is that of this difference, also where the claim is reversed
            raise Mistake(
                f"study.yaml, claims, {place[0]}: a claim with a primary comparison has no `least` and no `none`"
            )


def check(claim: Claim) -> None:
    """Raises `Mistake` for a claim that cannot be judged."""
    if bool(claim.each) + bool(claim.pairs) + bool(claim.untrained) != 1 or (claim.each and claim.each not in PAIRS):
        wanted = f"`each` ({', '.join(PAIRS)}), `pairs` or `untrained`"
        raise Mistake(f"study.yaml, claims, {claim.id}: it needs one of {wanted}")
    measures = ("gradient_fall", "gradient_rise") if claim.untrained else MEASURES
    if claim.measure not in measures:
        raise Mistake(
            f"study.yaml, claims, {claim.id}: `measure: {claim.measure}` is unknown; use one of {', '.join(measures)}"
        )
    counted = claim.measure == "failed" and (claim.none or claim.confirm_only or claim.least)
    if counted or (claim.measure in ("epochs", "epochs_ratio") and claim.none):
        keys = "`none`, `confirm_only` and `least` do" if claim.measure == "failed" else "`none` does"
        raise Mistake(f"study.yaml, claims, {claim.id}: {keys} not go with `measure: {claim.measure}`")
    if len({depth for _, depth in claim.untrained}) < len(claim.untrained):
        raise Mistake(f"study.yaml, claims, {claim.id}: `untrained` has each depth once")
    if claim.relevant < 0 or claim.least < 0:
        raise Mistake(f"study.yaml, claims, {claim.id}: `relevant` and `least` are 0 or more")
    ratio = bool(claim.untrained) or MEASURES[claim.measure].ratio
    if ratio and (claim.relevant < 1 or 0 < claim.least < 1):
        raise Mistake(f"study.yaml, claims, {claim.id}: `relevant` and `least` of a ratio are 1 or more")
    if any(not isinstance(pair[1], str) for pair in claim.pairs) and MEASURES[claim.measure].unit != "pp":
        raise Mistake(f"study.yaml, claims, {claim.id}: a number in `pairs` needs a measure in percentage points")
