"""What src/float64.py has measured: whether deep plain networks train in float64, beside the same in bfloat16."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lineage.files import read_json
from lineage.report import equalising, outcomes, verdicts
from lineage.report.markdown import Draw, difference_text, percent, table
from lineage.report.outcomes import Outcome
from lineage.report.results import Results

TABLE, RECIPES = Path("plots/tables/float64.csv"), Path("recipes/float64.json")
PLACE = "do-they-train-in-float64"
TEXT = """\
[Rounding](#do-different-batches-ask-for-the-same-step) to bfloat16 leaves little of the first gradient of deep plain
networks, and with 110 layers rounding to float32 does not leave more. Is that why they fail? Here weights, layers,
gradients, momentum and steps are in float64; the initial weights, the batches and their order are those of the same
seed in bfloat16. Only the loss is taken of outputs rounded to float32, which changes the first gradient by less than a
millionth of its length. *As usual*: learning rate 0.1. *Of one relative length*: in every step each kernel's gradient
is made a fixed fraction of the kernel's norm, as in the
[section before](#do-they-train-if-all-gradients-have-the-same-relative-length); the fraction is the one that was chosen
there, in bfloat16, by validation loss."""
DEEP, ERROR = 110, 20  # layers, per cent: what was predicted is about these
PREDICTION = f"""\
*Predicted*, before any of these had run: as usual no seed of {DEEP} layers starts to train; with gradients of one
relative length at least one starts, and the mean training error stays above {ERROR} %."""


class Case(NamedTuple):
    """A plain network from He's initialisation, and what came of it."""

    depth: int
    ratio: float | None  # the relative length of the gradients; None: as they are
    exact: Outcome  # in float64
    usual: Outcome | None  # in bfloat16; None where that has not been trained

    @property
    def gradients(self) -> str:
        return "as usual" if self.ratio is None else f"of one relative length, {self.ratio:g}"


def read(results: Results) -> list[Case]:
    """The networks; none where they have not been trained at the present scale."""
    if not (TABLE.is_file() and RECIPES.is_file()):
        return []
    found, recipes = pd.read_csv(TABLE), read_json(RECIPES)
    if set(found.scale) != {one["scale"] for one in recipes.values()} or set(found.network) != set(recipes):
        return []
    cases = []
    for _, some in found.groupby("network", sort=False):
        depth, ratio = int(some.depth.iloc[0]), None if some.ratio.isna().all() else float(some.ratio.iloc[0])
        cases.append(Case(depth, ratio, outcome(some), in_bfloat16(results, depth, ratio)))
    return cases


def outcome(runs: pd.DataFrame) -> Outcome:
    return Outcome((runs.trained == "yes").tolist(), runs.train_error.tolist(), runs.train_loss.tolist())


def in_bfloat16(results: Results, depth: int, ratio: float | None) -> Outcome | None:
    """What came of the same network in bfloat16: as an experiment, or in src/equalised.py."""
    if ratio is None:
        return outcomes.outcome(results, "plain", depth, "batch", "he") if outcomes.RECIPES.is_file() else None
    runs = equalising.read()
    if runs.empty:
        return None
    same = (runs.family == "plain") & (runs.depth == depth) & (runs.initialisation == "he") & (runs.ratio == ratio)
    return outcome(runs[same]) if same.any() else None


def section(results: Results, _: Draw) -> list[str]:
    cases = read(results)
    if not cases:
        return []
    rows = []
    for one in cases:
        usual = ("", "not trained", "")
        if one.usual:
            usual = (started(one.usual), error(one.usual), apart(one))
        row = (f"plain, {one.depth} layers", one.gradients, started(one.exact), error(one.exact), *usual)
        rows.append(row)
    header = "network | gradients | float64: started | training error (%) | bfloat16: started | training error (%) | "
    lines = table(header + "float64 – bfloat16 (95 % interval)", "l l r r r r l", rows)
    lines += [f"[All runs](../{TABLE.as_posix()}).", "", *predicted(cases)]
    return [*TEXT.splitlines(), "", *lines]


def predicted(cases: list[Case]) -> list[str]:
    """What was predicted of 110 layers, and what came."""
    came = []
    for one in cases:
        if one.depth == DEEP:
            many, mean = sum(one.exact.started), 100 * pd.Series(one.exact.errors).mean()
            right = many == 0 if one.ratio is None else many > 0 and mean > ERROR
            said = f"{one.gradients}: {started(one.exact)} seeds started, training error {error(one.exact)} %"
            came.append(f"{said} ({'as' if right else 'not as'} predicted)")
    return [*PREDICTION.splitlines(), f"Outcome: {'; '.join(came)}.", ""] if came else []


def finding(results: Results) -> list[str]:
    """Whether the deepest plain network starts to train in float64."""
    known = [one for one in read(results) if one.usual]
    usual = max((one for one in known if one.ratio is None), key=lambda one: one.depth, default=None)
    if usual is None:
        return []
    many = sum(usual.exact.started)
    opening = f"In float64 {started(usual.exact)} seeds of plain networks of {usual.depth} layers start to train"
    ending = ""
    if many == 0:
        opening = f"In float64, too, no seed of plain networks of {usual.depth} layers starts to train"
        ending = "So rounding alone does not explain why they fail with this recipe. "
    said = [f"With {one.depth} layers and gradients {one.gradients}: {both(one)}" for one in known]
    return [
        f"**{opening}** (exploratory; He's initialisation). {'. '.join(said)}. {ending}[More](#{PLACE}).",
    ]


def both(one: Case) -> str:
    """What came of a network in float64, and in bfloat16."""
    said = f"{started(one.exact)} seeds started, training error {error(one.exact)} %"
    return f"{said}; in bfloat16 {started(one.usual)}, {error(one.usual)} %"


def started(one: Outcome) -> str:
    return f"{sum(one.started)} of {len(one.started)}"


def error(one: Outcome) -> str:
    return percent(pd.Series(one.errors))


def apart(one: Case) -> str:
    """The difference, where all seeds started: the error of one that did not is that of guessing."""
    if not all(one.exact.started + one.usual.started):
        return ""
    exact, usual = (100 * pd.Series(side.errors) for side in (one.exact, one.usual))
    return difference_text(verdicts.difference(exact, usual), "pp")
