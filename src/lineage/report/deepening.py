"""What src/deepened.py has measured: whether a plain network stays at the solution that it is given."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lineage.report import figures, sweep_figures, verdicts
from lineage.report.markdown import Draw, capitalised, difference_text, link, listed, percent, table
from lineage.report.results import Results
from lineage.report.stage_tables import read

DEEPENED = Path("plots/tables/deepened.csv")
PLACE = "a-solution-that-is-there-from-the-beginning"
TEXT = """\
A plain network is trained, gets layers that do nothing (Dirac kernels, behind which a ReLU finds nothing to cut off),
and is then trained further by the same recipe, from its first step to its last. In evaluation its answers are the same
before and after the insertion. In training, batch norm normalises by the batch. *Exact in evaluation only*: shift and
scale of the new batch norms are as in fresh layers. In training the ReLU then cuts off all below each channel's mean,
and it is another network that is trained further. *Exact in training*: shift and scale are those of what comes in, and
the layers pass that on as far as a batch is like all images. *Loss as in training*: batch norm's statistics are each
batch's own (in float32, without augmentation). *Highest on the way*: while the weights change fast, the running
statistics of batch norm may lag behind (not verified), so a high validation error there does not show by itself that
the solution was lost."""


def section(results: Results, draw: Draw) -> list[str]:
    runs, _ = read(DEEPENED)
    if runs.empty:
        return []
    runs["insertion"] = runs.insertion.fillna("")
    shallow, deep = runs.depth.min(), runs.depth.max()
    title = f"plain-{shallow} made {deep} layers deep, and trained further (n = {runs.seed.nunique()})"
    drawn = sweep_figures.deepened(runs, title)
    lines, rows = draw(drawn, "deepened.svg", "errors before and after layers are inserted"), []
    for (depth, insertion, state), some in runs.groupby(["depth", "insertion", "state"], sort=False):
        about = f"plain-{depth}" + (f", {sweep_figures.WAYS[insertion]}" if insertion else "")
        losses = [f"{figures.geometric_mean(some[key]):.2g}" for key in ("train_loss", "batch_loss")]
        worst = percent(some.highest_val_error) if some.highest_val_error.notna().all() else ""
        errors = [percent(some[key]) for key in ("train_error", "val_error")]
        rows.append((about, sweep_figures.STATES[state], *losses, *errors, worst))
    if result := results.get(f"plain-{deep}-signs32"):
        losses = [f"{figures.geometric_mean(result.loss('train')):.2g}", ""]
        errors = [percent(result.error(part)) for part in ("train", "val")]
        rows.append((f"{link(result.name)}, for comparison (n = {result.n})", result.budget, *losses, *errors, ""))
    header = "network | state | training loss | loss as in training | training error (%) | validation error (%) | "
    lines += table(header + "highest on the way (%)", "l l r r r r r", rows)
    lines += [*kept(runs), ""]
    return [*TEXT.splitlines(), f"[All numbers](../{DEEPENED.as_posix()}).", "", *lines]


def kept(runs: pd.DataFrame) -> Iterable[str]:
    """Whether the error that a network was given is still there after it was trained further, seed by seed."""
    errors = runs.pivot(index="seed", columns=["insertion", "state"], values="train_error")
    control = errors["", "trained on"]
    for insertion in [name for name in dict.fromkeys(runs.insertion) if name]:
        given, after = errors[insertion, "inserted"], errors[insertion, "trained on"]
        yield (
            f"- Layers {sweep_figures.WAYS[insertion]}: after further training the training error is higher than "
            f"directly after the insertion in {(after > given).sum()} of {len(after)} seeds, and higher than that of "
            f"the shallow network after further training in {(after > control).sum()}."
        )


def finding() -> list[str]:
    """Whether a deep network that begins as a trained shallow one ends with a higher training loss than the shallow
    one, trained further alike, by either insertion; beside it, whether higher than it begins with.
    """
    runs, _ = read(DEEPENED)
    if runs.empty:
        return []
    runs["insertion"] = runs.insertion.fillna("")
    shallow, deep = runs.depth.min(), runs.depth.max()
    logs = np.log(runs.pivot(index="seed", columns=["insertion", "state"], values="train_loss"))
    control = logs["", "trained on"]
    said, against = [], {}
    for insertion in [name for name in dict.fromkeys(runs.insertion) if name]:
        given, after = logs[insertion, "inserted"], logs[insertion, "trained on"]
        way = sweep_figures.WAYS[insertion]
        against[way] = beside = verdicts.difference(after - control, 0.0)
        errors = runs[(runs.insertion == insertion) & (runs.state == "trained on")].train_error
        said.append(
            f"Layers {way}: it ends at {np.exp(after.mean()):.2g}. Compared with no inserted layers: "
            f"{difference_text(beside, '×')}; with what it began with, {np.exp(given.mean()):.2g}: "
            f"{difference_text(verdicts.difference(after - given, 0.0), '×')}. Training error {percent(errors)} %."
        )
    whole = (
        f"{opening(deep, shallow, against)} A good solution was there from the beginning: {deep - shallow} layers that "
        "do not change the outputs were inserted (exact in training, or in evaluation only, where batch norm changes "
        "them in training). Then the networks with and without them were trained further by the same recipe, whose "
        f"learning rate rises once more; each is compared with that of its own seed (exploratory; n = {len(logs)}"
        f"{'; with the 95 % interval of the quotient' if len(logs) > 1 else ''}{cannot(len(logs))}). [More](#{PLACE})."
    )
    return [listed(whole, [f"Without inserted layers the training loss ends at {np.exp(control.mean()):.2g}.", *said])]


def cannot(pairs: int) -> str:
    """That so few pairs cannot decide: if chance gave each difference its sign, all had the same in 2 of 2^n cases."""
    lowest = 2 / 2**pairs
    if pairs < 2 or lowest < verdicts.ALPHA:
        return ""
    return f"; {pairs} pairs cannot decide: p of an exact test cannot fall below {lowest:.2g}"


def opening(deep: int, shallow: int, against: dict[str, verdicts.Interval]) -> str:
    """What the differences to the shallow network, by insertion, say of the training loss of the deep one."""
    who = f"plain networks of {deep} layers that begin as trained ones of {shallow}"
    than = f"than those of {shallow} layers that are trained as long"
    worse = [way for way, (_, low, _) in against.items() if low > 0]
    better = [way for way, (*_, high) in against.items() if high < 0]
    if worse and better:
        how = "a higher or a lower training loss"
        return f"**Whether {who} end with {how} {than} probably depends on the inserted layers.**"
    if not (found := worse or better):
        return f"**Whether {who} end with a higher training loss {than} is not decided.**"
    how = ""
    if open_ := [way for way in against if way not in found]:
        how = f", if the inserted layers are {' or '.join(found)}; if they are {' or '.join(open_)}, "
        how += "this is not decided"
    return f"**{capitalised(who)} probably end with a {'higher' if worse else 'lower'} training loss {than}{how}.**"
