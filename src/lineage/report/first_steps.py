"""What src/sweep.py has measured: whether the first step tells which plain networks train."""

from pathlib import Path

import numpy as np
import pandas as pd

from lineage.report import crossing, sweep_figures
from lineage.report.markdown import Draw, digits, listed, span, table
from lineage.report.results import Results
from lineage.report.stage_tables import read
from lineage.report.style import START_NAMES
from lineage.started import most_mistakes

SWEEP = Path("plots/tables/sweep.csv")
SHOWN = (20, 56, 110)  # depths in the finding
HALF = 0.5  # of the training images wrong
SWEEP_TEXT = """\
*The first step*: the learning rate of the first step times the largest ‖gradient‖ / ‖W‖ of a layer, measured before
training, times what momentum makes of it (1.9 in Nesterov's form). It is how far the step moves that layer, as a
fraction of its own norm, before any limit cuts it. *Started*: as above, a training error below 80 % of that at
chance level. A network has one seed, or more where by the first seed a neighbour in depth or in learning rate gives
another answer; each run counts once. *The best threshold* is the one with the fewest runs on its wrong side: above
it and started, or below it and not. It is chosen by the runs that it is judged by; beside it is what the best
threshold on the depth does."""
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
    header += "the best threshold on the first step | the best threshold on the depth"
    lines += table(header, "l r r r r l l", rows)
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


def prediction(runs: pd.DataFrame) -> tuple[int | str, ...]:
    """How many runs there are and how many started, the first steps of both kinds, what the best threshold does, and
    what the best one on the depth does.
    """
    started, steps = (runs.trained == "yes").to_numpy(), runs.first_step.to_numpy()
    counts = len(runs), int(started.sum()), span(steps[started]), span(steps[~started])
    if started.all() or not started.any():
        return *counts, "nothing to tell apart", ""
    value, wrong = threshold(steps, started)
    rarer = min(started.sum(), (~started).sum())
    by_depth = f"wrong {_times(threshold(runs.depth.to_numpy(), started)[1])}"
    if wrong == rarer:
        return *counts, f"none is better than one answer for all, which is wrong {_times(rarer)}", by_depth
    return *counts, f"{value:.2g}: wrong {_times(wrong)} (one answer for all: {rarer})", by_depth


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


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


def told(start: str, runs: pd.DataFrame, everything: pd.DataFrame) -> str:
    """How well the first step, and how well the depth, tells which runs from one initialisation start; `everything` has
    the runs from the others, too.
    """
    words, started = crossing.WHO.get(start, start), (runs.trained == "yes").to_numpy()
    if started.all() or not started.any():
        return f"From {words} {'all' if started.all() else 'none of'} {len(runs)} runs started."
    value, wrong = threshold(runs.first_step.to_numpy(), started)
    by_depth = threshold(runs.depth.to_numpy(), started)[1]
    usual = max(started.sum(), (~started).sum())
    one_answer = (
        f"to say of all that they {'start' if started.mean() > 0.5 else 'do not start'} would be right in {usual}"
    )
    if len(runs) - wrong == usual:
        return (
            f"From {words} no threshold on the size of the first step, known before training, tells better whether the "
            f"{len(runs)} runs start than one answer for all: {one_answer}, by a threshold on the depth in "
            f"{len(runs) - by_depth}."
        )
    return (
        f"From {words} the size of the first step, known before training, tells most runs that start from those that "
        f"do not: a threshold of {digits(value)} times ‖W‖, chosen on the same runs, is right in {len(runs) - wrong} "
        f"of {len(runs)}, one on the depth in {len(runs) - by_depth}; {one_answer}.{elsewhere(runs)}"
        f"{where_crossed(value, everything)}"
    )


def where_crossed(value: float, runs: pd.DataFrame) -> str:
    """How often the threshold is wrong where a network has the first gradients of another initialisation, and with them
    the first step of that one, as `runs` have it.
    """
    wrong, count = 0, 0
    for one in crossing.read():
        about = one.runs.iloc[0]
        alike = runs[(runs.start == one.lengths) & (runs.depth == about.depth) & (runs.lr == about.lr)]
        if one.start != one.lengths and len(alike):
            starts = "yes" if alike.first_step.mean() <= value else "no"
            wrong, count = wrong + int((one.runs.trained != starts).sum()), count + len(one.runs)
    if not count:
        return ""
    return (
        f" Where a network has the first gradients of another initialisation ([below](#{crossing.PLACE})), the same "
        f"threshold on the first step is wrong in {wrong} of {count} runs."
    )


def elsewhere(runs: pd.DataFrame) -> str:
    """How well both tell which runs end below a training error that is clearly lower, where some do and some do not."""
    well = (runs.train_error < HALF).to_numpy()
    if well.all() or not well.any():
        return ""
    right = [len(runs) - threshold(values.to_numpy(), well)[1] for values in (runs.first_step, runs.depth)]
    return (
        f" Whether a run ends below {100 * HALF:.0f} %, the best threshold on the first step tells in {right[0]}, the "
        f"best on the depth in {right[1]}."
    )


def threshold(steps: np.ndarray, trained: np.ndarray) -> tuple[float, int]:
    """Above which first step (or depth) runs fail, as far as one number can say it: that number, the lowest of equals,
    and how many runs it is wrong about.
    """
    finite = np.sort(np.unique(steps))
    between = [0.0, *np.sqrt(finite[:-1] * finite[1:]), np.inf]
    wrong = [int(((steps > value) == trained).sum()) for value in between]
    best = int(np.argmin(wrong))
    return float(between[best]), wrong[best]
