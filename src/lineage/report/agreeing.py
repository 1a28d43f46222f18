"""The section of the report on whether different batches ask for the same step before training, and which networks then
train.
"""

from typing import NamedTuple

import pandas as pd

from lineage.files import read_json
from lineage.report import crossing, sweep_figures
from lineage.report.agreement_findings import rounded_down, shown
from lineage.report.markdown import Draw, digits, prediction, table
from lineage.report.outcomes import AGREEMENT, RECIPES, TRAINED, deepest, gathered, pixels
from lineage.report.results import Results
from lineage.report.style import FAMILY_WORDS

TEXT = """\
A step for one batch helps the others if their gradients point the same way. *Agreement*: the cosine of the angle
between the gradients of two batches of 64 training images in the weights of a convolution, before the first step, in
float64; the mean over all pairs of four batches, and of that the median over the convolutions. The gradient of a batch
averages over its images; the agreement of single images is far smaller. (Compare Sankararaman et al. 2020, *The impact
of neural network overparameterization on gradient confusion and stochastic gradient descent*.) *Shuffled*: the same
with the labels shuffled; what is left then has nothing to do with the classes. *Rounding*: the cosine of the angle
between the gradient of the first batch as computed in bfloat16, as in training, or in float32, and the same computed in
float64; again the median over the convolutions. 1: rounding does no harm; 0: it leaves nothing of the gradient.
*Reordered*: the cosine between that gradient in float64 and the same with the images in another order, which are
rounded differently; the lowest of all convolutions and seeds, rounded down. *1-NN error*: how often the nearest other
image, by what the untrained network hands to its last layer, is of another class. *‖gradient‖ / ‖W‖*: the largest of
any layer, in the first of these batches (the table above has other images, and up to five seeds); *last layer*: of the
linear one, which no batch norm follows, so that it does not compare with those of convolutions. The last two are
measured in float32.

Known from the literature: batch norm makes gradients of networks without shortcuts grow exponentially with depth, less
so near a linear network, and after one step they differ less from layer to layer (Yang et al. 2019, *A mean field
theory of batch normalization*). The gradients of plain networks with respect to their inputs, a related quantity,
become like white noise with depth, those of residual ones much more slowly (Balduzzi et al. 2017, *The shattered
gradients problem*). Training can amplify errors of the size of the last bit (Sun et al. 2022, *Surprising instabilities
in training deep networks and a theoretical analysis*). *Looks linear* is Balduzzi's initialisation with the
delta-orthogonal kernels of Xiao et al. (2018): all layers before the last ReLU begin as a linear map that is not the
identity. The other initialisations are the identity plus a share of He's weights; He's alone has no share of the
identity and is not one of that series."""
CAUSE = (
    "Whether large gradients are a cause is tested with [limits on the steps](#why-do-deep-plain-networks-fail), with "
    "[gradients of the same relative norm](#do-they-train-if-all-gradients-have-the-same-relative-norm), and with "
    f"[the first gradients of another initialisation](#{crossing.PLACE})."
)
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
    chance = 100 * (1 - 1 / classes)
    rows = []
    for row in found.itertuples():
        started = f"{row.started} of {row.n}" if row.n else ""
        ratio = f"{digits(row.least_ratio)} … {digits(row.most_ratio)}{row.in_last}"
        span = f"{row.agreement:.4f} ({row.least:.4f} … {row.most:.4f})"
        exact = ["" if pd.isna(value) else shown(value, 3) for value in (row.bf16, row.fp32)]
        measured = (span, f"{row.shuffled:.4f}", *exact, rounded_down(row.reordered), f"{row.neighbours:.0f}", ratio)
        trained = (started, row.shown, f"{row.median_error:.2f}" if row.n else "")
        rows.append((network_words(row), row.words, *measured, *trained))
    title = "Networks on SIGNS before training, and their training error after it (a number is a depth)"
    lines = draw(
        sweep_figures.agreement(found, title),
        "agreement.svg",
        "agreement by depth; training error by agreement and by gradient",
    )
    header = "network | initialisation | agreement (range of the seeds) | shuffled | rounding: bfloat16 | float32 | "
    header += "reordered | 1-NN error (%) | ‖gradient‖ / ‖W‖ | "
    lines += table(header + "started to train | training error (%) | median", "l l r r r r r r r r r r", rows)
    paths = " and ".join(f"[{path.stem}](../{path.as_posix()})" for path in (AGREEMENT, TRAINED) if path.is_file())
    said = [
        f"1-NN error of the pixels themselves: {100 * pixels():.0f} %; chance level: {chance:.0f} %. "
        "*Not trained*: not here; some of these networks are in the "
        f"[sweep](#does-the-first-step-tell-which-networks-train). All numbers: {paths}.",
        "",
    ]
    return [*TEXT.splitlines(), "", *lines, *said, *predicted(found), *concluded(found)]


def network_words(row: NamedTuple) -> str:
    without = "" if row.normalisation == "batch" else ", no batch norm"
    return f"{FAMILY_WORDS[row.family]}, {row.depth} layers{without}"


def named(row: NamedTuple) -> str:
    return f"{network_words(row)} ({row.words})"


def compared(found: pd.DataFrame) -> str:
    """What the training error goes with, among the deepest plain networks and among all with batch norm behind the
    layer of the largest gradient.
    """
    alike = deepest(found)
    normal = found[(found.normalisation == "batch") & (found.n > 0) & (found.in_last == "")]
    series = int(alike.initialisation.str.startswith("random-").sum()) + int("dirac" in set(alike.initialisation))
    near, far = (some[["agreement", "ratio", "median_error"]].rank().corr().median_error for some in (alike, normal))
    return (
        f"Rank correlation of the median training error with ‖gradient‖ / ‖W‖ {near.ratio:.2f}, with agreement "
        f"{near.agreement:.2f}, over {len(alike)} initialisations of plain networks of {alike.depth.max()} layers, of "
        f"which {series} differ in the share of He's weights alone: little evidence. Over the {len(normal)} trained "
        "networks with batch norm whose largest ‖gradient‖ / ‖W‖ is that of a convolution in all seeds it is "
        f"{far.ratio:.2f} and {far.agreement:.2f}."
    )


def predicted(found: pd.DataFrame) -> list[str]:
    """What was predicted of the initialisations, and what came."""
    came = []
    for one in found[(found.depth == 110) & (found.n > 0)].itertuples():
        if one.initialisation in PREDICTED:
            right = one.started if PREDICTED[one.initialisation] else one.n - one.started
            came.append(f"{one.words}: {one.started} of {one.n} seeds started, {right} of {one.n} as predicted")
    return prediction(PREDICTION, came)


def concluded(found: pd.DataFrame) -> list[str]:
    """Whether one level of agreement tells the networks that started from the others, and what the error goes with."""
    tried = found[found.n > 0]
    started, failed = tried[tried.started > 0], tried[tried.started == 0]
    if started.empty or failed.empty:
        return []
    lowest = next(started.sort_values("agreement").itertuples())
    highest = next(failed.sort_values("agreement", ascending=False).itertuples())
    apart = "One level tells them apart" if lowest.agreement > highest.agreement else "No level tells them apart"
    said = [
        f"{len(tried)} of these networks were trained. Among the {len(started)} of which a seed started, "
        f"{named(lowest)} has the lowest agreement, {lowest.agreement:.4f}; among the {len(failed)} of which none did, "
        f"{named(highest)} has the highest, {highest.agreement:.4f}. {apart}. Agreement was chosen as a measure when "
        "it was known which of the experiments start to train; so this is exploratory."
    ]
    return [*said, *([f"{compared(found)} {CAUSE}"] if len(deepest(found)) > 2 else []), ""]
