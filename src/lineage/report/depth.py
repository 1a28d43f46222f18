"""What depth does, plain beside residual."""

import pandas as pd

from lineage.report import figures
from lineage.report.markdown import Draw, percent, table
from lineage.report.published import ERRORS
from lineage.report.results import Result, Results, groups

CONSTRUCTION = """\
*By construction* (He et al. 2015, section 1): the shallowest plain network with further layers that hand on what they
are given is a deeper one with the same outputs, hence the same errors. Where training ends above that mark, it has not
found a solution that exists."""


def degradation(results: Results, draw: Draw) -> list[str]:
    lines, everything = ["## Plain beside residual", ""], groups(results.values())
    for group, members in everything.items():
        histories = {key: result.history for key, result in members.items()}
        drawn = figures.degradation(histories, f"Plain beside residual networks: {group}")
        lines += [f"### {group}", ""]
        lines += draw(drawn, f"degradation-{group}.svg", f"error by epoch, {group}")
        rows = [
            (f"{family}-{depth}", percent(r.error("train")), percent(r.error("test")), len(r.error("test")), r.budget)
            for (family, depth), r in members.items()
        ]
        lines += table("network | training error | test error | n | budget", "l r r r l", rows)
        if longer := everything.get(f"{group}-long"):
            lines += slow_or_stuck(members, longer)
    return lines if len(lines) > 2 else []


def slow_or_stuck(short: dict[tuple[str, int], Result], longer: dict[tuple[str, int], Result]) -> list[str]:
    """What a longer training does to the training error: how much of the degradation is slow optimisation."""
    both = [(key, short[key], longer[key]) for key in short if key in longer]
    if not both:
        return []
    said = [
        f"{family}-{depth} {percent(one.error('train'))} → {percent(two.error('train'))}"
        for (family, depth), one, two in both
    ]
    budgets = " → ".join(result.budget for result in both[0][1:])
    return [f"Slow, or stuck? Training error with a longer training ({budgets}): {'; '.join(said)}.", ""]


def errors_by_depth(results: Results) -> pd.DataFrame:
    """Final errors in per cent: series, group, family, depth, part, mean, std, n."""
    rows = []
    for group, members in groups(results.values()).items():
        for (family, depth), result in members.items():
            for part in ("train", "test"):
                error = 100 * result.error(part)
                about = {"series": f"{family}-{group}", "group": group, "family": family, "depth": depth, "part": part}
                spread = error.std() if len(error) > 1 else 0.0
                rows.append(about | {"mean": error.mean(), "std": spread, "n": len(error)})
    columns = ["series", "group", "family", "depth", "part", "mean", "std", "n"]
    return pd.DataFrame(rows, columns=columns)


def error_by_depth(results: Results, draw: Draw) -> list[str]:
    lines, everything = ["## Error by depth", ""], errors_by_depth(results)
    for group, errors in everything.groupby("group"):
        if errors.depth.nunique() < 2:
            continue
        marks = [row for row in ERRORS if group == "cifar10"]
        plain = errors[errors.family == "plain"]
        for part, values in plain.groupby("part"):  # the shallowest one with layers put in that do nothing
            shallow = values["mean"].iloc[0]
            marks += [("by construction", "plain", d, part, shallow) for d in values.depth.iloc[1:]]
        marks = pd.DataFrame(marks, columns=["label", "family", "depth", "part", "error"])
        drawn = figures.by_depth(errors, marks, f"Error by depth: {group}")
        lines += draw(drawn, f"depth-{group}.svg", f"error by depth, {group}")
    return [*lines, *CONSTRUCTION.splitlines(), ""] if len(lines) > 2 else []
