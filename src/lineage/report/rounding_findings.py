"""The finding on float64: whether the deepest plain network starts to train there, and not in bfloat16."""

from lineage.report import verdicts
from lineage.report.markdown import listed
from lineage.report.results import Results
from lineage.report.rounding import PLACE, Case, read


def finding(results: Results) -> list[str]:
    """Whether the deepest plain network starts to train in float64."""
    known = [one for one in read(results) if one.usual]
    deep = max((one for one in known if one.ratio is None), key=lambda one: one.depth, default=None)
    if deep is None:
        return []
    opening, ending = opening_and_ending(deep, f"plain networks of {deep.depth} layers")
    counts = f"{deep.exact.counted} seeds, in bfloat16 {deep.usual.counted}"
    others = [f"With {one.depth} layers and gradients {one.gradients} {both(one)}" for one in known if one is not deep]
    whole = (
        f"**{opening}** ({counts}; exploratory, learning rate {deep.lr:g}, He's initialisation). Training error "
        f"{deep.exact.error} %, in bfloat16 {deep.usual.error} %. {ending}. [More](#{PLACE})."
    )
    return [listed(whole, [f"{said}." for said in others])]


def opening_and_ending(one: Case, who: str) -> tuple[str, str]:
    """How the finding on a network begins and ends, by the seeds that started in float64 and in bfloat16."""
    exact, usual = sum(one.exact.started), sum(one.usual.started)
    n = len(one.exact.started), len(one.usual.started)
    p = verdicts.fisher((n[0] - exact, n[1] - usual), n)
    enough, test = min(n) >= verdicts.FEWEST, f"Fisher's exact test: p = {p:.2g}"
    if enough and exact == usual == 0:
        return (
            f"In float64, too, {who} do not start to train",
            "So with this recipe rounding is not needed for the failure",
        )
    if enough and (exact, usual) == n:
        return f"In float64 and in bfloat16 all seeds of {who} start to train", "So there is no failure to explain"
    decided = enough and p < verdicts.ALPHA
    if decided and exact / n[0] > usual / n[1]:
        ending = f"So with this recipe rounding is a part of the reason ({test})"
        return f"In float64 more seeds of {who} start to train", ending
    if decided:
        return f"In float64 fewer seeds of {who} start to train", f"So rounding does not explain failures ({test})"
    few = "" if enough else ": so few seeds cannot decide"
    where = ". Where a seed fails in float64, rounding is not why" if exact < n[0] else ""
    return f"Whether more or fewer seeds of {who} start to train in float64 is not decided", f"{test}{few}{where}"


def both(one: Case) -> str:
    """What came of a network in float64, and in bfloat16."""
    said = f"the training error is {one.exact.error} % ({one.exact.counted} seeds started), in bfloat16 "
    said += f"{one.usual.error} % ({one.usual.counted})"
    return f"{said}, difference {one.difference}" if one.difference else said
