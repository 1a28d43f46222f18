"""What depth does, plain beside residual."""

import pandas as pd

from lineage.report import figures
from lineage.report.markdown import Draw, percent, table
from lineage.report.published import reported
from lineage.report.results import Members, Results, groups

CONSTRUCTION = """\
Errors above 10 % are drawn on a logarithmic axis; figures of others are as they report them. *By construction* (He et
al. 2015, section 1): the shallowest plain network with further layers that hand on what they are given is a deeper one
with the same outputs, hence the same errors. Where training ends above that mark, it has not found a solution that
exists."""


def degradation(results: Results, draw: Draw) -> list[str]:
    lines, everything = [], groups(results.values())
    for group, members in everything.items():
        histories = {key: result.history for key, result in members.items()}
        drawn = figures.degradation(histories, f"Plain beside residual networks: {group}")
        lines += [f"### {group}", "", *draw(drawn, f"degradation-{group}.svg", f"error by epoch, {group}")]
        rows = [
            (r.shown(f"{family}-{depth}"), *(percent(r.error(part)) for part in ("train", "test")), r.n, r.budget)
            for (family, depth), r in members.items()
        ]
        lines += table("network | training error | test error | n | budget", "l r r r l", rows)
        if longer := everything.get(f"{group}-long"):
            lines += slow_or_stuck(members, longer)
    return lines


def slow_or_stuck(short: Members, longer: Members) -> list[str]:
    """What a longer training does to the training error: how much of the degradation is slow optimisation."""
    both = {key: (short[key], longer[key]) for key in short if key in longer}
    plain = {depth: pair for (family, depth), pair in both.items() if family == "plain"}
    if not plain:
        return []
    budgets = " → ".join(result.budget for result in next(iter(plain.values())))
    said = []
    for depth, pair in plain.items():
        chance = 100 * (1 - 1 / len(pair[0].labels["classes"]))
        before, after = (100 * result.error("train").mean() for result in pair)
        if before < 0.3:
            what = "no degradation to mend"
        elif after > 0.9 * chance:
            what = f"stuck: guessing is wrong in {chance:.0f} %"
        else:
            what = f"{max(0, 100 * (1 - after / before)):.0f} % of it was slow optimisation"
        said.append(f"plain-{depth} {' → '.join(percent(result.error('train')) for result in pair)} ({what})")
    return [f"Slow, or stuck? Training error with a longer training ({budgets}): {'; '.join(said)}.", ""]


def errors_by_depth(results: Results) -> pd.DataFrame:
    """Final errors in per cent: group, series, family, depth, part, mean, std (none of a single seed), n, diverged."""
    rows = []
    for group, members in groups(results.values()).items():
        for (family, depth), result in members.items():
            for part in ("train", "test"):
                error = 100 * result.error(part)
                row = {"group": group, "series": f"{family}-{group}", "family": family, "depth": depth, "part": part}
                row |= {"mean": error.mean(), "std": error.std(), "n": len(error)}
                rows.append(row | {"diverged": "yes" if result.metrics["diverged"] else "no"})
    columns = ["group", "series", "family", "depth", "part", "mean", "std", "n", "diverged"]
    return pd.DataFrame(rows, columns=columns)


def error_by_depth(results: Results, draw: Draw) -> list[str]:
    lines = []
    for group, errors in errors_by_depth(results).groupby("group"):
        if errors.depth.nunique() < 2:
            continue
        plain = errors[errors.family == "plain"]
        built = [  # the shallowest one with layers put in that do nothing
            ("by construction", "plain", depth, part, values["mean"].iloc[0])
            for part, values in plain.groupby("part")
            for depth in values.depth.iloc[1:]
        ]
        others = reported(str(group))
        marks = pd.concat([pd.DataFrame(built, columns=others.columns), others]) if built else others
        drawn = figures.by_depth(errors, marks, f"Error by depth: {group}")
        lines += draw(drawn, f"depth-{group}.svg", f"error by depth, {group}")
    return [*lines, *CONSTRUCTION.splitlines(), ""] if lines else []
