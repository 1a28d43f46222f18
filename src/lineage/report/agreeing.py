"""What src/agreement.py and src/initialisations.py have measured: whether different images pull the weights of an
untrained network the same way, and which of these networks then train.
"""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lineage.engine.experiment import Experiment
from lineage.files import read_json
from lineage.report import sweep_figures
from lineage.report.markdown import Draw, percent, table
from lineage.report.results import Result, Results

AGREEMENT, TRAINED = Path("plots/tables/agreement.csv"), Path("plots/tables/initialisations.csv")
RECIPES = Path("recipes/initialisations.json")
NETWORK = ["family", "depth", "normalisation", "initialisation"]
SHORTCUTS = {"plain": "none", "resnet": "identity"}
WORDS = {"he": "He", "dirac": "identity + 0.1 He (Dirac)", "looks-linear": "looks linear"}
TEXT = """\
A step for one image helps the others if they ask for the same change of the weights. *Agreement*: the cosine of the
angle between the gradients of two batches of 64 training images in the weights of a convolution, before the first step;
the mean over all pairs of eight batches, and of that the median over the convolutions. Where it is 0, a step for one
batch does nothing for the others. *Other class*: how often the nearest other image, by what the untrained network hands
to its last layer, is of another class. Where guessing does as well, nothing is left there that tells classes apart.

Known from the literature: agreement falls exponentially with depth in plain networks with batch norm, and much more
slowly in residual ones (Balduzzi et al. 2017, *The shattered gradients problem*); networks train where information gets
through them before training (Schoenholz et al. 2017, *Deep information propagation*). *Looks linear* is Balduzzi's
initialisation with the kernels of Xiao et al. (2018): the network begins as a linear map that loses nothing of the
image but is not the identity. Between the identity and He's weights, each kernel is the identity plus a share of He's.

*Predicted*, from the agreement of one seed each, when the experiments had run but of the stage `initialisations` only
one run of twelve (identity + 0.2 He, which started): with 110 layers identity + 0.2 He and looks linear start to train,
identity + 0.8 He does not; identity + 0.4 He was left open."""


class Outcome(NamedTuple):
    """What came of training a network."""

    started: list[bool]  # seed by seed
    errors: list[float]  # on the training images, fractions


def untrained() -> pd.DataFrame:
    """The table of src/agreement.py; empty where it has not been made at the present scale."""
    if not (AGREEMENT.is_file() and RECIPES.is_file()):
        return pd.DataFrame()
    found = pd.read_csv(AGREEMENT)
    return found if set(found.scale) == {one["scale"] for one in read_json(RECIPES).values()} else pd.DataFrame()


def outcome(results: Results, family: str, depth: int, normalisation: str, initialisation: str) -> Outcome | None:
    """What came of training this network by the recipe of src/initialisations.py, there or as an experiment; without
    batch norm the learning rate may be another. None where it has not been trained.
    """
    experiments = {name: Experiment.model_validate(one) for name, one in read_json(RECIPES).items()}
    if initialisation in experiments:
        if TRAINED.is_file():
            found = pd.read_csv(TRAINED)
            own = found[(found.initialisation == initialisation) & (found.depth == depth)]
            if len(own) and set(own.scale) == {experiments[initialisation].scale}:
                return Outcome((own.trained == "yes").tolist(), own.train_error.tolist())
        return None
    like = next(iter(experiments.values()))
    network = (depth, SHORTCUTS[family], normalisation, initialisation)
    for result in results.values():
        if result.experiment.dataset == like.dataset and describes(result) == network:
            free = {"seeds": like.recipe.seeds} | ({"lr": like.recipe.lr} if normalisation == "none" else {})
            if result.experiment.recipe.model_copy(update=free) == like.recipe:
                return Outcome(result.started().tolist(), result.error("train").tolist())
    return None


def describes(result: Result) -> tuple[int, str, str, str] | None:
    """Depth, shortcut, normalisation and initialisation of a plain or residual network."""
    network = result.experiment.network
    if result.experiment.model != "resnet":
        return None
    return network.depth, network.shortcut, network.normalisation, network.initialisation


def gathered(results: Results) -> pd.DataFrame:
    """A line per network: what identifies it, and its initialisation in words; the means over its seeds of agreement
    and neighbour_error; the lowest and highest agreement and gradient_ratio; how many seeds were trained, how many of
    them started, and the mean training error in per cent (NaN where none was trained).
    """
    rows, measured = [], untrained()
    for key, some in measured.groupby(NETWORK, sort=False) if len(measured) else ():
        row = dict(zip(NETWORK, key, strict=True)) | {"words": words(key[-1])}
        row |= {"neighbours": 100 * some.neighbour_error.mean()}
        row |= {"agreement": some.agreement.mean(), "least": some.agreement.min(), "most": some.agreement.max()}
        row |= {"least_ratio": some.gradient_ratio.min(), "most_ratio": some.gradient_ratio.max()}
        came = outcome(results, *key)
        row |= {"n": 0, "started": 0, "error": float("nan"), "shown": "not trained"}
        if came:
            error = percent(pd.Series(came.errors))
            row |= {"n": len(came.errors), "started": sum(came.started), "error": 100 * pd.Series(came.errors).mean()}
            row |= {"shown": error}
        rows.append(row)
    return pd.DataFrame(rows)


def section(results: Results, draw: Draw) -> list[str]:
    found = gathered(results)
    if found.empty:
        return []
    classes = next(iter(read_json(RECIPES).values()))["classes"]
    guessing = 100 * (1 - 1 / classes)
    rows = []
    for row in found.itertuples():
        started = f"{row.started} of {row.n}" if row.n else ""
        ratio = f"{row.least_ratio:.2g} … {row.most_ratio:.2g}"
        span = f"{row.agreement:.4f} ({row.least:.4f} … {row.most:.4f})"
        rows.append((network_words(row), row.words, span, f"{row.neighbours:.0f}", ratio, started, row.shown))
    title = "Plain and residual networks on SIGNS: agreement before training, and the training error after it"
    lines = draw(sweep_figures.agreement(found, title), "agreement.svg", "agreement by depth, and training error by it")
    header = "network | initialisation | agreement (range of the seeds) | other class (%) | "
    header += "largest ‖gradient‖ / ‖W‖ | started to train | training error (%)"
    lines += table(header, "l l r r r r r", rows)
    paths = " and ".join(f"[{path.stem}](../{path.as_posix()})" for path in (AGREEMENT, TRAINED) if path.is_file())
    said = [f"Guessing names another class in {guessing:.0f} %. All numbers: {paths}.", ""]
    return [*TEXT.splitlines(), "", *lines, *said, *concluded(found)]


def network_words(row: NamedTuple) -> str:
    kind = {"plain": "plain", "resnet": "residual"}[row.family]
    return f"{kind}, {row.depth} layers" + ("" if row.normalisation == "batch" else ", no batch norm")


def words(initialisation: str) -> str:
    return WORDS.get(initialisation, f"identity + {initialisation.removeprefix('random-')} He")


def named(row: NamedTuple) -> str:
    return f"{network_words(row)} ({row.words})"


def concluded(found: pd.DataFrame) -> list[str]:
    """Whether one level of agreement tells the networks that started to train from the others."""
    tried = found[found.n > 0]
    started, failed = tried[tried.started > 0], tried[tried.started == 0]
    if started.empty or failed.empty:
        return []
    lowest = next(started.sort_values("agreement").itertuples())
    highest = next(failed.sort_values("agreement", ascending=False).itertuples())
    apart = "One level tells them apart" if lowest.agreement > highest.agreement else "No level tells them apart"
    ranks = tried[["agreement", "error"]].rank().corr().iloc[0, 1]
    return [
        f"{len(tried)} of these networks were trained. Of the {len(started)} of which a seed started, "
        f"{named(lowest)} has the lowest agreement, {lowest.agreement:.4f}; of the {len(failed)} of which none did, "
        f"{named(highest)} has the highest, {highest.agreement:.4f}. {apart}. The rank correlation of agreement and "
        f"training error is {ranks:.2f}. Agreement was chosen as a measure when it was known which of the experiments "
        "start to train; so this is exploratory.",
        "",
    ]
