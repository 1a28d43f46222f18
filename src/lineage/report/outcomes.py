"""Networks as src/agreement.py has measured them before any training, and what came of training them: in
src/initialisations.py, or as an experiment by the same recipe.
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lineage.engine.experiment import Experiment
from lineage.files import read_json
from lineage.report import figures, verdicts
from lineage.report.markdown import difference_text, percent
from lineage.report.results import Result, Results, read_table
from lineage.report.stage_tables import read

AGREEMENT, TRAINED = Path("plots/tables/agreement.csv"), Path("plots/tables/initialisations.csv")
RECIPES = Path("recipes/initialisations.json")
NETWORK = ["family", "depth", "normalisation", "initialisation"]
SHORTCUTS = {"plain": "none", "resnet": "identity"}
PRECISIONS = ("bf16", "fp32")
PIXELS = "pixels"  # in the place of a family
WORDS = {"he": "He", "dirac": "identity + 0.1 He (Dirac)", "looks-linear": "looks linear"}


class Outcome(NamedTuple):
    """What came of training a network."""

    started: list[bool]  # seed by seed
    errors: list[float]  # on the training images, fractions
    losses: list[float]

    @property
    def counted(self) -> str:
        """How many seeds started."""
        return f"{sum(self.started)} of {len(self.started)}"

    @property
    def error(self) -> str:
        """The mean training error in per cent, and the standard deviation over the seeds."""
        return percent(pd.Series(self.errors))

    @property
    def loss(self) -> str:
        """The geometric mean of the training losses."""
        return f"{figures.geometric_mean(pd.Series(self.losses)):.2g}"

    def minus(self, other: "Outcome") -> str:
        """The difference of the training errors with its interval, where all of several seeds started on both sides."""
        if not all(len(one.started) > 1 and all(one.started) for one in (self, other)):
            return ""
        errors = (100 * pd.Series(one.errors) for one in (self, other))
        return difference_text(verdicts.difference(*errors), "pp")


def untrained() -> pd.DataFrame:
    """The table of src/agreement.py; empty where it has not been made by the present recipes, at the present scale."""
    found, _ = read(AGREEMENT, RECIPES)
    return found[found.family != PIXELS].astype({"depth": int, "seed": int}) if len(found) else found


def pixels() -> float:
    """How often the nearest other image, pixel by pixel, is of another class."""
    found = read_table(AGREEMENT)
    return found[found.family == PIXELS].neighbour_error.iloc[0]


def outcome(results: Results, family: str, depth: int, normalisation: str, initialisation: str) -> Outcome | None:
    """What came of training this network by the recipe of src/initialisations.py, there or as an experiment; without
    batch norm the learning rate may be another. None where it has not been trained.
    """
    experiments = read_json(RECIPES)
    if initialisation in experiments:
        found, _ = read(TRAINED)
        own = found[(found.initialisation == initialisation) & (found.depth == depth)] if len(found) else found
        return of_runs(own) if len(own) else None
    like = Experiment.model_validate(next(iter(experiments.values())))
    network = (depth, SHORTCUTS[family], normalisation, initialisation)
    for result in results.values():
        if result.experiment.dataset == like.dataset and describes(result) == network:
            free = {"seeds": like.recipe.seeds} | ({"lr": like.recipe.lr} if normalisation == "none" else {})
            if result.experiment.recipe.model_copy(update=free) == like.recipe:
                return of_result(result)
    return None


def of_runs(runs: pd.DataFrame) -> Outcome:
    """Of runs as the stages that train networks of their own write them."""
    return Outcome((runs.trained == "yes").tolist(), runs.train_error.tolist(), runs.train_loss.tolist())


def of_result(result: Result) -> Outcome:
    """Of an experiment."""
    return Outcome(*(one.tolist() for one in (result.started(), result.error("train"), result.loss("train"))))


def describes(result: Result) -> tuple[int, str, str, str] | None:
    """Depth, shortcut, normalisation and initialisation of a plain or residual network."""
    network = result.experiment.network
    if result.experiment.model != "resnet":
        return None
    return network.depth, network.shortcut, network.normalisation, network.initialisation


def gathered(results: Results) -> pd.DataFrame:
    """A line per network: `NETWORK`, and its initialisation in `words`. Before training, over its seeds: the means
    `agreement`, `shuffled`, `bf16` and `fp32` (cosines) and `neighbours` (per cent); the lowest `reordered`; the lowest
    and highest agreement, `least` and `most`; `least_ratio`, `most_ratio` and the geometric mean `ratio` of the
    gradient ratios; `in_last`, what `in_last_layer` says. After training: `n` seeds, how many `started`, their `errors`
    and `median_error` in per cent (NaN where none was trained), their mean as text, `shown`, and their `losses`.
    """
    rows, measured = [], untrained()
    for key, some in measured.groupby(NETWORK, sort=False) if len(measured) else ():
        row = dict(zip(NETWORK, key, strict=True)) | {"words": words(key[-1])}
        row |= {"neighbours": 100 * some.neighbour_error.mean()}
        row |= {"agreement": some.agreement.mean(), "least": some.agreement.min(), "most": some.agreement.max()}
        row |= {"shuffled": some.shuffled_agreement.mean()}
        row |= {name: some[f"{name}_cosine"].mean() for name in PRECISIONS}
        row |= {"reordered": some.reordered_cosine.min()}
        row |= {"least_ratio": some.gradient_ratio.min(), "most_ratio": some.gradient_ratio.max()}
        row |= {"ratio": figures.geometric_mean(some.gradient_ratio), "in_last": in_last_layer(some.layer)}
        came = outcome(results, *key)
        row |= {"n": 0, "started": 0, "median_error": float("nan"), "shown": "not trained"}
        if came:
            errors = pd.Series(came.errors)
            row |= {"n": len(errors), "started": sum(came.started), "median_error": 100 * errors.median()}
            row |= {"shown": percent(errors), "errors": 100 * errors, "losses": pd.Series(came.losses)}
        rows.append(row)
    return pd.DataFrame(rows)


def in_last_layer(layers: pd.Series) -> str:
    """Whether the layer with the largest gradient, of each seed, is the last one, which no batch norm follows: words to
    stand behind the range of those gradients, or nothing.
    """
    last = layers.str.startswith("head").sum()
    return f" (last layer{'' if last == len(layers) else f' in {last} of {len(layers)}'})" if last else ""


def words(initialisation: str) -> str:
    return WORDS.get(initialisation, f"identity + {initialisation.removeprefix('random-')} He")


def deepest(found: pd.DataFrame) -> pd.DataFrame:
    """The trained ones of the deepest plain networks with batch norm: they differ in their initialisation alone."""
    usual = found[(found.family == "plain") & (found.normalisation == "batch")]
    return usual[(usual.depth == usual.depth.max()) & (usual.n > 0)]
