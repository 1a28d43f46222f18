"""What src/equalised.py has measured: which networks train where every gradient has the same relative norm."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from lineage.report import figures, stage_tables, sweep_figures, verdicts
from lineage.report.agreeing import network_words
from lineage.report.claims import FLOOR
from lineage.report.markdown import Draw, difference_text, listed, percent, prediction, table
from lineage.report.outcomes import gathered, words
from lineage.report.results import Results

EQUALISED = Path("plots/tables/equalised.csv")
LOWER = "does-the-first-step-tell-which-networks-train"
PLACE = "do-they-train-if-all-gradients-have-the-same-relative-norm"
NETWORK = ["family", "depth", "initialisation"]
TEXT = """\
Before training, the gradients of a deep plain network differ in norm by far from layer to layer. Here their norms are
fixed: in every step the gradient of each kernel gets *ratio* times the norm of the kernel, and that of a vector of n
numbers (shift and scale of batch norm, biases) *ratio* × √n, before momentum, the learning rate and its schedule come
in as usual. (Compare Yu et al. 2017, *Block-normalized gradient method*; You et al. 2017, *Large batch training of
convolutional networks*; Bernstein et al. 2020, *On the distance between two neural networks and the stability of
learning*. The limit `trust` above is of another kind: it is constant, 2 % a step, and leaves batch norm's parameters
free.) Layers do not move equally far: momentum carries those further whose gradients agree from step to step. And much
else still differs between two initialisations: the function that the network begins with, and how far its weights can
move before it breaks. Each ratio was tried with the first seed. The one with the lowest validation loss was then used
for all seeds, the first one included. *As usual*: the same network and recipe with its gradients as they are, whose
learning rate was not tuned, so part of the difference may come from that ([lower learning
rates](#does-the-first-step-tell-which-networks-train)). *Agreement* is that [before
training](#do-different-batches-ask-for-the-same-step)."""
# whether a plain network of 110 layers starts to train, predicted when trials of one seed were known
PREDICTED = {"he": False, "random-0.8": False, "dirac": True, "looks-linear": True}
PREDICTION = """\
*Predicted*, from the agreement, when of 110 layers two trials of looks linear (ratio 0.1: failed, 0.01: no mistake) and
one of He (0.1: failed) had run: with He's initialisation and with identity + 0.8 He no seed starts to train with any
ratio; with the Dirac initialisation and looks linear every seed starts with its own ratio, to a training error below 1
%. (Those trials are not counted.)"""


def read() -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table and its networks; empty where it has not been made by the present recipes, at the present scale."""
    found, recipes = stage_tables.read(EQUALISED)
    same = len(found) and set(found.network) == set(recipes["networks"])
    return (found, recipes["networks"]) if same else (pd.DataFrame(), {})


def networks(runs: pd.DataFrame, results: Results) -> pd.DataFrame:
    """A line per network: what identifies it; its own ratio; agreement before training; of the runs with that ratio how
    many there are and how many started, the errors and their median, in per cent, and the training loss; `usual`, the
    median training error with gradients as they are, in per cent (NaN where that has not been trained); `usually`,
    mean and standard deviation of that as text; `as_usual`, all that `gathered` knows of it.
    """
    rows, before = [], gathered(results)
    before = before[before.normalisation == "batch"].set_index(NETWORK) if len(before) else before
    for key, some in runs.groupby(NETWORK, sort=False):
        own = some[some.chosen == "yes"]
        row = dict(zip(NETWORK, key, strict=True)) | {"words": words(key[-1]), "normalisation": "batch"}
        row |= {"ratio": own.ratio.iloc[0], "n": len(own), "started": int((own.trained == "yes").sum())}
        row |= {"median_error": 100 * own.train_error.median(), "shown": percent(own.train_error)}
        row |= {"errors": 100 * own.train_error.reset_index(drop=True)}
        row |= {"loss": figures.geometric_mean(own.train_loss), "val": percent(own.val_error)}
        row |= {"agreement": float("nan"), "usual": float("nan"), "usually": "not trained", "as_usual": None}
        if key in before.index:
            about = before.loc[key]
            row |= {"agreement": about.agreement, "as_usual": about}
            row |= {"usual": about.median_error, "usually": about.shown}
        rows.append(row)
    return pd.DataFrame(rows)


def section(results: Results, draw: Draw) -> list[str]:
    runs, _ = read()
    if runs.empty:
        return []
    found, ratios = networks(runs, results), list(dict.fromkeys(runs.ratio))
    first = runs[runs.seed == runs.seed.min()].set_index([*NETWORK, "ratio"]).train_error
    rows = []
    for row in found.itertuples():
        tried = [f"{100 * first[row.family, row.depth, row.initialisation, ratio]:.2f}" for ratio in ratios]
        agreement = "" if pd.isna(row.agreement) else f"{row.agreement:.3f}"
        own = (f"{row.ratio:g}", f"{row.started} of {row.n}", row.shown, f"{row.median_error:.2f}", f"{row.loss:.2g}")
        usual = (row.usually, "" if pd.isna(row.usual) else f"{row.usual:.2f}")
        rows.append((f"{network_words(row)}, {row.words}", agreement, *tried, *own, row.val, *usual))
    title = "Networks on SIGNS: with their gradients as they are, and all of the same relative norm"
    lines = draw(
        sweep_figures.equalised(found, title), "equalised.svg", "training error as usual and with equalised gradients"
    )
    header = " | ".join(f"ratio {ratio:g}, first seed: training error (%)" for ratio in ratios)
    header = f"network | agreement | {header} | its own ratio | started | training error (%) | median | "
    header += "training loss | validation error (%) | training error as usual (%) | median"
    lines += table(header, "l r" + " r" * (len(ratios) + 8), rows)
    lines += [f"[All runs](../{EQUALISED.as_posix()}).", "", *predicted(found, runs)]
    return [*TEXT.splitlines(), "", *lines]


def predicted(found: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """What was predicted of the plain networks of 110 layers, and what came."""
    came = []
    for one in found[(found.family == "plain") & (found.depth == 110)].itertuples():
        if one.initialisation in PREDICTED:
            tried = runs[(runs.family == "plain") & (runs.depth == 110) & (runs.initialisation == one.initialisation)]
            started, good = int((tried.trained == "yes").sum()), int((one.errors < 1).sum())
            said = f"{started} of all {len(tried)} runs started"
            if PREDICTED[one.initialisation]:
                said = f"{one.started} of {one.n} seeds started with its own ratio, {good} ended below 1 %"
            right = good == one.n if PREDICTED[one.initialisation] else started == 0
            came.append(f"{one.words}: {said} ({'as' if right else 'not as'} predicted)")
    return prediction(PREDICTION, came)


def finding(results: Results) -> list[str]:
    """What gradients of the same relative norm change in plain networks of the largest depth, and beside them."""
    runs, _ = read()
    if runs.empty:
        return []
    found = networks(runs, results).dropna(subset="usual").sort_values("median_error")
    deep = found[(found.family == "plain") & (found.depth == found.depth.max())]
    if deep.empty:
        return []
    others = found[~found.index.isin(deep.index)]
    fine = (others.median_error < FLOOR) & (others.usual < FLOOR)
    both = [*deep.itertuples(), *others[~fine].itertuples()]
    said = [f"{network_words(one).capitalize()}, {one.words}: {in_words(one)}." for one in both]
    losses = [
        f"{network_words(one)}, from {figures.geometric_mean(one.as_usual.losses):.2g} to {one.loss:.2g}"
        for one in others[fine].itertuples()
    ]
    anyway = [f"Training loss of networks that train anyway: {'; '.join(losses)}."] if losses else []
    edge = found.ratio.isin({runs.ratio.min(), runs.ratio.max()}).sum()
    below = [one.errors.max() < one.as_usual.errors.min() for one in deep.itertuples()]
    counts = sorted({one.n for one in deep.as_usual})
    usual = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    opening = (
        f"**If all gradients have the same relative norm in every step, plain networks of {deep.depth.max()} layers "
        f"end with a lower median training error than with gradients as they are, from "
        f"{(deep.median_error < deep.usual).sum()} of {len(deep)} initialisations** (exploratory; n = {deep.n.min()}, "
        f"with gradients as they are {usual}). From {sum(below)} of these every seed ends below every seed of usual "
        "training. "
        f"Each network has the best of {runs.ratio.nunique()} such norms by the validation loss of the first seed; in "
        f"{edge} of the {len(found)} networks that is the largest or the smallest, so another may be better still. The "
        f"learning rate of the usual training was not tuned ([lower ones](#{LOWER})). [More](#{PLACE})."
    )
    return [listed(opening, said + anyway)]


def in_words(one: NamedTuple) -> str:
    """The training error of a line of `networks` and that of usual training; how many seeds started where some did not,
    else the difference with its interval.
    """
    both = f"{one.shown} %, as usual {one.usually} %, "
    if one.started < one.n or one.as_usual.started < one.as_usual.n:
        return f"{both}{one.started} of {one.n} seeds started, as usual {one.as_usual.started} of {one.as_usual.n}"
    found = verdicts.difference(one.errors, one.as_usual.errors)
    excludes = not found[1] < 0 < found[2]
    few = ": so few seeds cannot decide" if excludes and not verdicts.can_decide((one.n, one.as_usual.n)) else ""
    return f"{both}difference {difference_text(found, 'pp')}{few}"
