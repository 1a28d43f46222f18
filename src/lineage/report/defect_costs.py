"""What each defect of the articles does to the error that is reported, as src/defects.py has measured it."""

from pathlib import Path

import pandas as pd

from lineage.report import verdicts
from lineage.report.markdown import Draw, difference_text, percent, table
from lineage.report.results import Results, counted
from lineage.report.stage_tables import read
from lineage.started import most_mistakes

TABLE = Path("plots/tables/defects.csv")
TEXT = """\
Each defect of the articles ([errata](errata.md)) is put back alone, and the error is what its author would report.
Validation images stand in for the test set, which is not read. The error without the defect is that of the same seeds
after the last epoch. The interval is Student's, of the differences seed by seed; it is one for other seeds, not for
other validation images, as all seeds have the same ones. Where some seeds did not start to train, the differences are a
mixture: their range is given instead of an interval, and p, which is still Student's, is only a rough guide. A defect
that lowers the reported error makes a network look better than it is. One that raises it hides what the network has
learned, or spoils it. Where the error without the defect is 0, no defect can be seen to lower it. *Training error*: of
the networks that were judged (where the best epoch was chosen: after the last one). With five seeds no exact test of
paired differences can fall below 6 %, so the verdicts rest on Student's test, which assumes normal distributions."""


def finding() -> list[str]:
    """The defects that change the reported error, after Holm's correction for all that were tried."""
    runs, experiments = read(TABLE)
    if runs.empty:
        return []
    by_defect = {name: some for name, some in runs.groupby("defect", sort=False)}
    p_values = [verdicts.p_value(100 * (some.reported - some.correct), 0.0) for some in by_defect.values()]
    kept = verdicts.holm(p_values, len(p_values))
    told = [name for name, found in zip(by_defect, kept, strict=True) if found]
    if not told:
        return []
    said = "; ".join(f"{name}: {shown(some, experiments)}" for name, some in by_defect.items() if name in told)
    rest = len(by_defect) - len(told)
    others = "" if not rest else f"; for the other {'one' if rest == 1 else rest} this is not decided"
    return [
        f"**Of {len(by_defect)} defects of the articles, each tried alone, {len(told)} change"
        f"{'s' if len(told) == 1 else ''} the reported error{others}** (corrected for {len(by_defect)} comparisons by "
        f"Holm's method). On SIGNS, n = {runs.seed.nunique()}: {said}. [All of them](#what-the-articles-defects-cost)."
    ]


def shown(runs: pd.DataFrame, experiments: dict) -> str:
    """The reported error minus the one without the defect, seed by seed: the mean with its interval; where some seeds
    did not start to train, the range, and how many did not.
    """
    apart = 100 * (runs.reported - runs.correct)
    failed = int((runs.train_error > most_mistakes(experiments[runs.network.iloc[0]]["classes"])).sum())
    if failed:
        ends = " to ".join(f"{end:+.2f}" for end in (apart.min(), apart.max()))
        return f"{ends} pp ({failed} of {len(runs)} seeds did not start to train)"
    if len(apart) > 1 and verdicts.alike(apart):
        return f"{apart.mean():+.2f} pp in every seed"
    return difference_text(verdicts.difference(apart, 0.0), "pp")


def section(results: Results, draw: Draw) -> list[str]:
    """A row for each defect."""
    runs, experiments = read(TABLE)
    if runs.empty:
        return []
    rows = [row(str(name), some, experiments) for name, some in runs.groupby("defect", sort=False)]
    header = "defect | article | network | error without it (%) | reported error (%) | difference (95 % interval)"
    lines = table(header + " | n | training error (%)", "l l l r r l r r", rows)
    networks = "; ".join(f"*{name}*: {described(one)}" for name, one in experiments.items())
    return [*TEXT.splitlines(), f"Networks: {networks}. [All runs](../{TABLE.as_posix()}).", "", *lines]


def described(experiment: dict) -> str:
    """A network of the stage, in words."""
    network, recipe = experiment["network"], experiment["recipe"]
    words = {"resnet": "ResNet", "vgg": "VGG", "alexnet": "AlexNet", "lenet": "LeNet-5", "residual_vgg": "residual VGG"}
    kind = words.get(experiment["model"], experiment["model"])
    if network.get("shortcut") == "none":
        kind = {"ResNet": "plain network", "residual VGG": "plain VGG"}.get(kind, kind)
    depth = f" of {network['depth']} layers" if "depth" in network else ""
    number, unit = (recipe["epochs"], "epoch") if "epochs" in recipe else (recipe["iterations"], "step")
    return f"{kind}{depth}, {counted(f'{number:,}', unit)}"


def row(name: str, runs: pd.DataFrame, experiments: dict) -> tuple[str | int, ...]:
    """One defect over its seeds."""
    first = runs.iloc[0]
    correct, reported, training = (percent(runs[key]) for key in ("correct", "reported", "train_error"))
    return name, first.articles, first.network, correct, reported, shown(runs, experiments), len(runs), training
