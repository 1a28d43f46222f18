"""What src/float64.py has measured: whether deep plain networks train in float64, beside the same in bfloat16."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lineage.engine.experiment import Experiment
from lineage.report import equalising, stage_tables
from lineage.report.markdown import Draw, prediction, table
from lineage.report.outcomes import Outcome, of_result, of_runs
from lineage.report.results import Results

TABLE = Path("plots/tables/float64.csv")
PLACE = "do-they-train-in-float64"
TEXT = """\
In bfloat16, [rounding](#do-different-batches-ask-for-the-same-step) leaves little of the first gradient of deep plain
networks; with 110 layers float32 leaves no more. Is that why they fail? Here weights, the outputs of all layers,
gradients, momentum and steps are in float64. (In the runs in bfloat16 the layers compute in bfloat16; weights and steps
are in float32.) Each seed has the same initial weights and the same batches in the same order as in bfloat16, where
some networks have more seeds. Two numbers are in float32, as everywhere: the outputs that the loss is computed from,
which changes the first gradient by less than a millionth of its norm (a test checks it), and the learning rate. How
little rounding in float64 changes the first gradient is [measured](#do-different-batches-ask-for-the-same-step)
(*reordered*).

*As usual*: the recipe of the other experiments; lower learning rates were not tried in float64. *Of one relative norm*:
in every step each kernel's gradient is made a fixed fraction of the kernel's norm, as
[above](#do-they-train-if-all-gradients-have-the-same-relative-norm). The fraction was chosen there, in bfloat16, by the
validation loss of the first seed. In float64 another one may be better: so a lower error in float64 counts for more
than a higher one. The difference is given where all seeds started on both sides; three seeds against three cannot
decide."""
DEEP, ERROR = 110, 20  # layers, per cent: what was predicted is about these
PREDICTION = f"""\
*Predicted*, before any of these had run: as usual no seed of {DEEP} layers starts to train; with gradients of one
relative norm at least one starts, and the mean training error stays above {ERROR} %."""


class Case(NamedTuple):
    """A plain network from He's initialisation, and what came of it."""

    depth: int
    lr: float
    ratio: float | None  # the relative norm of the gradients; None: as they are
    exact: Outcome  # in float64
    usual: Outcome | None  # in bfloat16; None where that has not been trained

    @property
    def gradients(self) -> str:
        return "as usual" if self.ratio is None else f"of one relative norm ({self.ratio:g})"

    @property
    def difference(self) -> str:
        """Of the training errors, in float64 minus in bfloat16."""
        return self.exact.minus(self.usual) if self.usual else ""


def read(results: Results) -> list[Case]:
    """The networks; none where they have not been trained by the present recipes, at the present scale."""
    found, recipes = stage_tables.read(TABLE)
    if found.empty or set(found.network) != set(recipes):
        return []
    cases = []
    for name, some in found.groupby("network", sort=False):
        experiment, ratio = Experiment.model_validate(without(recipes[name], "ratio")), recipes[name].get("ratio")
        usual = as_usual(results, experiment) if ratio is None else equalised(experiment, ratio)
        cases.append(Case(experiment.network.depth, experiment.recipe.lr, ratio, of_runs(some), usual))
    return cases


def as_usual(results: Results, experiment: Experiment) -> Outcome | None:
    """What came of the same network by the same recipe in bfloat16, as an experiment."""
    for result in results.values():
        if result.precision == "bf16" and in_bfloat16(result.experiment, experiment):
            return of_result(result)
    return None


def equalised(experiment: Experiment, ratio: float) -> Outcome | None:
    """What came of the same network in src/equalised.py, if its gradients had this relative norm there."""
    runs, networks = equalising.read()
    for name, recipe in networks.items():
        if recipe["start"] == "he" and in_bfloat16(Experiment.model_validate(without(recipe, "start")), experiment):
            own = runs[(runs.network == name) & (runs.ratio == ratio) & (runs.chosen == "yes")]
            return of_runs(own) if len(own) else None
    return None


def in_bfloat16(one: Experiment, other: Experiment) -> bool:
    """Whether `one` differs from `other` in name, precision and the number of seeds alone, and is in bfloat16."""
    free = {"precision": "fp32", "seeds": 1}
    alike = [x.model_copy(update={"name": "", "recipe": x.recipe.model_copy(update=free)}) for x in (one, other)]
    return one.recipe.precision == "bf16" and alike[0] == alike[1]


def without(content: dict[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in content.items() if name != key}


def section(results: Results, _: Draw) -> list[str]:
    cases = read(results)
    if not cases:
        return []
    rows = []
    for one in cases:
        usual = columns(one.usual) if one.usual else ("", "not trained", "")
        rows.append((f"plain, {one.depth} layers", one.gradients, *columns(one.exact), *usual, one.difference))
    header = "network | gradients | float64: started | training error (%) | training loss | bfloat16: started | "
    header += "training error (%) | training loss | training error, float64 – bfloat16 (95 % interval)"
    lines = table(header, "l l r r r r r r l", rows)
    lines += [f"[All runs](../{TABLE.as_posix()}).", "", *predicted(cases)]
    return [*TEXT.splitlines(), "", *lines]


def columns(one: Outcome) -> tuple[str, str, str]:
    return one.counted, one.error, one.loss


def predicted(cases: list[Case]) -> list[str]:
    """What was predicted of 110 layers, and what came."""
    came = []
    for one in cases:
        if one.depth == DEEP:
            many, mean = sum(one.exact.started), 100 * pd.Series(one.exact.errors).mean()
            right = many == 0 if one.ratio is None else many > 0 and mean > ERROR
            said = f"{one.gradients}: {one.exact.counted} seeds started, training error {one.exact.error} %"
            came.append(f"{said} ({'as' if right else 'not as'} predicted)")
    return prediction(PREDICTION, came)
