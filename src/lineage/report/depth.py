"""What depth does, plain beside residual."""

import pandas as pd

from lineage.report import figures
from lineage.report.markdown import Draw, percent, table
from lineage.report.published import reported
from lineage.report.results import Members, Results, groups

PANELS = """\
The panel on the right has the validation part, because the test part is read once, after training; its errors are in
the tables."""
LONGER = """\
What a longer training changes. Its warm-up is longer, too: this does not tell more steps from a gentler start. And an
error of 0 says nothing of the loss."""
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
    return [*PANELS.splitlines(), "", *lines] if lines else []


def slow_or_stuck(short: Members, longer: Members) -> list[str]:
    """What a longer training does to the errors of plain networks: how much of what a deeper one loses to the
    shallowest, on the training images, it makes up for.
    """
    keys = [key for key in short if key[0] == "plain" and key in longer]
    both = {key[1]: (short[key], longer[key]) for key in keys}
    if not both:
        return []
    shallowest, rows = min(both), []
    base = [100 * result.error("train").mean() for result in both[shallowest]]
    for depth, pair in both.items():
        chance = 100 * (1 - 1 / len(pair[0].labels["classes"]))
        errors = [100 * result.error("train").mean() for result in pair]
        before, after = (error - least for error, least in zip(errors, base, strict=True))
        if depth == shallowest:
            what = "–"
        elif before < 0.3:
            what = "nothing is lost"
        elif errors[1] > 0.9 * chance:
            what = f"all: it has not started to train, guessing is wrong in {chance:.0f} %"
        else:
            what = f"{min(100, max(0, 100 * (1 - after / before))):.0f} % of it is gone"
        ways = (" → ".join(percent(result.error(part)) for result in pair) for part in ("train", "test"))
        rows.append((f"plain-{depth}", *ways, what))
    budgets = " → ".join(result.budget for result in both[shallowest])
    header = f"{budgets} | training error | test error | what it loses to plain-{shallowest} in training"
    return [*LONGER.splitlines(), "", *table(header, "l r r l", rows)]


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
