"""What src/sweep.py has measured: whether the first step tells which plain networks train."""

from pathlib import Path

import numpy as np
import pandas as pd

from lineage.report import crossing, sweep_figures
from lineage.report.markdown import Draw, listed, table
from lineage.report.results import Results
from lineage.report.stage_tables import read
from lineage.report.style import START_NAMES
from lineage.report.thresholds import FORESEEN, prediction, told
from lineage.started import most_mistakes

SWEEP = Path("plots/tables/sweep.csv")
SHOWN = (20, 56, 110)  # depths in the finding
SWEEP_TEXT = f"""\
*The first step*: the learning rate of the first step times the largest ‖gradient‖ / ‖W‖ of a layer, measured before
training, times what momentum makes of it (1.9 in Nesterov's form). It is how far the step moves that layer, as a
fraction of its own norm, before any limit cuts it. *Started*: as above, a training error below 80 % of that at
chance level. A network has one seed, or more where by the first seed a neighbour in depth or in learning rate gives
another answer; each run counts once. *The best threshold* is the one with the fewest runs on its wrong side: above
it and started, or below it and not. It is chosen by the runs that it is judged by. Beside it are two thresholds that
need no measurement: one on the {FORESEEN}, which grows as the first step should by theory ([growth per
layer](#gradients)), and one on the depth."""
PLACE = "does-the-first-step-tell-which-networks-train"


def sweep(results: Results, draw: Draw) -> list[str]:
    runs, recipes = read(SWEEP)
    if runs.empty:
        return []
    limits = {start: many[0]["recipe"].get("trust", 0) for start, many in recipes.items()}
    limit = 100 * most_mistakes(next(iter(recipes.values()))[0]["classes"])
    epochs = " or ".join(f"{number:g} epochs" for number in sorted(set(runs.epochs.dropna())))
    title = f"Plain networks on SIGNS{f', {epochs}' if epochs else ''}: the first step and the training error"
    drawn = sweep_figures.first_steps(runs, limit, title)
    lines = draw(drawn, "first-steps.svg", "training error by the size of the first step")
    depths = sorted(set(runs.depth))
    rows = []
    for (start, lr), some in runs.groupby(["start", "lr"], sort=False):
        rows.append((START_NAMES.get(start, start), f"{lr:g}", *(cell(some[some.depth == depth]) for depth in depths)))
    header = " | ".join(["initialisation | learning rate", *(f"{depth} layers" for depth in depths)])
    lines += table(header, "l r" + " r" * len(depths), rows)
    lines += [
        "Training error in %, bold where a seed did not start to train. Of several seeds the mean, and in brackets how "
        "many started.",
        "",
    ]
    groups = {start: runs[runs.start == start] for start in limits}
    free = [start for start, limit in limits.items() if not limit]
    if 1 < len(free) < len(limits):
        groups[" and ".join(START_NAMES.get(start, start) for start in free)] = runs[runs.start.isin(free)]
    groups |= {"all": runs} if len(limits) > 1 else {}
    rows = [(START_NAMES.get(name, name), *prediction(some)) for name, some in groups.items()]
    header = "initialisation | runs | started | their first steps | first steps of those that did not | "
    header += f"the best threshold on the first step | the best on {FORESEEN} | the best on the depth"
    lines += table(header, "l r r r r l l l", rows)
    said = [
        f"From `{start}` no step is larger than {100 * limit:g} % of ‖W‖." for start, limit in limits.items() if limit
    ]
    return [*SWEEP_TEXT.splitlines(), *said, f"[All runs](../{SWEEP.as_posix()}).", "", *lines]


def cell(runs: pd.DataFrame, plain: bool = False) -> str:
    """The training error of one network over its seeds, bold where one did not start unless it is to be plain."""
    if runs.empty:
        return ""
    through = int((runs.trained == "yes").sum())
    text = f"{100 * runs.train_error.mean():.1f}"
    text = text if plain or through == len(runs) else f"**{text}**"
    return f"{text} ({through} of {len(runs)})" if len(runs) > 1 else text


def finding() -> list[str]:
    """Whether a lower learning rate lets deep plain networks train, and whether the first step tells which do."""
    runs, _ = read(SWEEP)
    started = runs.trained == "yes" if len(runs) else np.array([])
    if not len(runs) or started.all() or not started.any():
        return []
    deepest, lrs = runs[runs.depth == runs.depth.max()], [f"{lr:g}" for lr in sorted(set(runs.lr), reverse=True)]
    failed = [name for name, some in deepest.groupby("start", sort=False) if not (some.trained == "yes").any()]
    opening = f"With none of {len(lrs)} learning rates do plain networks of {runs.depth.max()} layers start to train"
    if not failed:
        opening = f"Plain networks of {runs.depth.max()} layers start to train with some of {len(lrs)} learning rates"
    said = []
    for (name, depth), some in runs[runs.depth.isin(SHOWN)].groupby(["start", "depth"], sort=False):
        errors = [cell(some[some.lr == float(lr)], plain=True) for lr in lrs]
        said.append(f"From {crossing.WHO.get(name, name)}, {depth} layers: {', '.join(errors)}.")
    said += [told(name, some, runs) for name, some in runs.groupby("start", sort=False)]
    start = f" from {' or '.join(crossing.WHO.get(one, one) for one in failed)}" if failed else ""
    whole = (
        f"**{opening}{start}** (exploratory). Training error in % with a learning rate of {', '.join(lrs)} (single "
        f"seeds, which differ from the means of other findings, unless a number in brackets says how many of several "
        f"started). [More](#{PLACE})."
    )
    return [listed(whole, said)]
