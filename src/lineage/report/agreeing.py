"""Whether different images ask for the same step before training, and which networks then train: the section of the
report and its findings.
"""

from typing import NamedTuple

import pandas as pd

from lineage.files import read_json
from lineage.report import sweep_figures
from lineage.report.markdown import Draw, table
from lineage.report.outcomes import AGREEMENT, RECIPES, TRAINED, gathered, untrained
from lineage.report.results import Results

SHOWN = (20, 56, 110)  # depths in the finding
CLEAR = 0.8  # a rank correlation
PLACE = "do-different-images-ask-for-the-same-step"
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
"""
# whether a plain network of 110 layers starts to train, predicted from the agreement of one seed
PREDICTED = {"random-0.2": True, "random-0.8": False, "looks-linear": True}
PREDICTION = """\
*Predicted*, from the agreement of one seed each, when the experiments had run but of the stage `initialisations` only
one run of twelve (identity + 0.2 He, which started): with 110 layers identity + 0.2 He and looks linear start to train,
identity + 0.8 He does not; identity + 0.4 He was left open."""


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
    title = "Networks on SIGNS before training, and their training error after it (a number is a depth)"
    lines = draw(
        sweep_figures.agreement(found, title),
        "agreement.svg",
        "agreement by depth; training error by agreement and by gradient",
    )
    header = "network | initialisation | agreement (range of the seeds) | other class (%) | "
    header += "largest ‖gradient‖ / ‖W‖ | started to train | training error (%)"
    lines += table(header, "l l r r r r r", rows)
    paths = " and ".join(f"[{path.stem}](../{path.as_posix()})" for path in (AGREEMENT, TRAINED) if path.is_file())
    said = [f"Guessing names another class in {guessing:.0f} %. All numbers: {paths}.", ""]
    return [*TEXT.splitlines(), "", *lines, *said, *predicted(found), *concluded(found)]


def finding(results: Results) -> list[str]:
    """Two sentences: how far images agree before training, and which initialisations let the deepest network train."""
    found = gathered(results)
    if found.empty:
        return []
    usual = found[found.normalisation == "batch"]
    said = []
    for family, initialisation, who in (
        ("plain", "he", "plain networks with He's initialisation"),
        ("resnet", "he", "residual ones"),
        ("plain", "dirac", "plain ones with the Dirac initialisation"),
    ):
        some = usual[(usual.family == family) & (usual.initialisation == initialisation)]
        values = [f"{one.agreement:.3f} ({one.depth} layers)" for one in some.itertuples() if one.depth in SHOWN]
        said += [f"{', '.join(values)} in {who}"] if values else []
    first = (
        "**Before training, different images ask for steps in unrelated directions in deep plain networks, for similar "
        "ones in residual networks.** The mean cosine between the gradients of two batches, of the median convolution "
        f"(n = {untrained().seed.nunique()}): {'; '.join(said)}. [More](#{PLACE})."
    )
    alike = deepest(found).sort_values("error")
    if not set(read_json(RECIPES)) & set(alike.initialisation):
        return [first]
    came = [
        f"{one.words}: {one.shown} % ({one.started} of {one.n} started, ratio {one.ratio:.2g}, agreement "
        f"{one.agreement:.3f})"
        for one in alike.itertuples()
    ]
    ranks = alike[["agreement", "ratio", "error"]].rank().corr().error
    follows = "goes with the size of their first gradients"
    if not ranks.ratio > CLEAR:
        follows = "goes with that agreement" if -ranks.agreement > CLEAR else "goes with neither of two measures"
    second = (
        f"**From one initialisation to another, the training error of plain networks of {alike.depth.max()} layers "
        f"{follows}** (exploratory). {'; '.join(came)}. The ratio is the largest ‖gradient‖ / ‖W‖ of a layer before "
        f"training (geometric mean). Rank correlation of the training error with it {ranks.ratio:.2f}, with agreement "
        f"{ranks.agreement:.2f}. All else is equal."
    )
    return [first, second]


def network_words(row: NamedTuple) -> str:
    kind = {"plain": "plain", "resnet": "residual"}[row.family]
    return f"{kind}, {row.depth} layers" + ("" if row.normalisation == "batch" else ", no batch norm")


def named(row: NamedTuple) -> str:
    return f"{network_words(row)} ({row.words})"


def predicted(found: pd.DataFrame) -> list[str]:
    """What was predicted of the initialisations, and what came."""
    came = []
    for one in found[(found.depth == 110) & (found.n > 0)].itertuples():
        if one.initialisation in PREDICTED:
            right = one.started if PREDICTED[one.initialisation] else one.n - one.started
            came.append(f"{one.words}: {one.started} of {one.n} seeds started, as predicted in {right}")
    return [*PREDICTION.splitlines(), f"What came: {'; '.join(came)}.", ""] if came else []


def concluded(found: pd.DataFrame) -> list[str]:
    """Whether one level of agreement, or of the first gradient, tells the networks that started from the others."""
    tried = found[found.n > 0]
    started, failed = tried[tried.started > 0], tried[tried.started == 0]
    if started.empty or failed.empty:
        return []
    lowest = next(started.sort_values("agreement").itertuples())
    highest = next(failed.sort_values("agreement", ascending=False).itertuples())
    apart = "One level tells them apart" if lowest.agreement > highest.agreement else "No level tells them apart"
    said = [
        f"{len(tried)} of these networks were trained. Of the {len(started)} of which a seed started, "
        f"{named(lowest)} has the lowest agreement, {lowest.agreement:.4f}; of the {len(failed)} of which none did, "
        f"{named(highest)} has the highest, {highest.agreement:.4f}. {apart}. Agreement was chosen as a measure when "
        "it was known which of the experiments start to train; so this is exploratory."
    ]
    alike = deepest(found)
    if len(alike) > 2:
        ranks = alike[["agreement", "ratio", "error"]].rank().corr().error
        said.append(
            f"Over the {len(alike)} initialisations of plain networks of {alike.depth.max()} layers with batch norm, "
            f"the rank correlation of the training error with the largest ‖gradient‖ / ‖W‖ is {ranks.ratio:.2f}, with "
            f"agreement {ranks.agreement:.2f}."
        )
    return [*said, ""]


def deepest(found: pd.DataFrame) -> pd.DataFrame:
    """The deepest plain networks with batch norm that were trained: they differ in their initialisation alone."""
    usual = found[(found.family == "plain") & (found.normalisation == "batch")]
    return usual[(usual.depth == usual.depth.max()) & (usual.n > 0)]
