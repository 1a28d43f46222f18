"""How fast the gradient of an untrained network grows from layer to layer, beside what theory says."""

import math

import numpy as np
import pandas as pd
from scipy.stats import gmean

from lineage.report import style
from lineage.report.early_gradients import untrained
from lineage.report.markdown import table

STAGES = 3  # of the networks, with inputs of 32, 16 and 8 pixels
LAST = 6  # convolutions at the end that are left out
THEORY = math.sqrt(math.pi / (math.pi - 1))
TEXT = f"""\
*Growth*: by what factor the norm grows per layer on the way to the input, before training and with batch norm, within
each of a network's three stages (32, 16 and 8 pixels). Left out are the first layer of each stage and the last {LAST}
convolutions, where the norm of most plain networks falls to a minimum and rises again. Least squares on the logarithm,
one batch of 32 images; geometric mean over three draws of the weights, and their range. In residual networks the growth
is not constant within a stage: there the factor is only an average. For wide, fully connected networks with batch norm
and ReLU but no shortcuts, and for large batches, theory has √(π / (π - 1)) = {THEORY:.2f} in every layer, whatever the
standard deviation of the weights (Yang et al. 2019; a short derivation is in Luther 2020, *Why batch norm causes
exploding gradients*)."""
HEADER = "network | initialisation | growth at 32 pixels | at 16 pixels | at 8 pixels"


def growth() -> pd.DataFrame:
    """The factor per layer: family, depth, initialisation, seed and, a column for each stage, 0, 1 and 2. Left out are
    the stem, the first layer of each stage, the last convolutions, the fully connected layer, and draws with a gradient
    of 0.
    """
    rows, draw = [], ["family", "depth", "initialisation", "seed"]
    for names, layers in untrained().query("batch_norm == 'yes'").groupby(draw):
        gradients = layers.sort_values("layer").gradient.to_numpy()[1:-1]
        if (gradients > 0).all() and np.isfinite(gradients).all():
            stages = np.split(np.log(gradients), STAGES)
            fitted = (stages[0][1:], stages[1][1:], stages[2][1:-LAST])
            rows.append([*names, *(math.exp(-np.polyfit(range(len(one)), one, 1)[0]) for one in fitted)])
    return pd.DataFrame(rows, columns=[*draw, *range(STAGES)])


def section() -> list[str]:
    """The table: a row for each network and initialisation."""
    rows = []
    for (family, depth, name), draws in growth().groupby(["family", "depth", "initialisation"]):
        cells = [f"{gmean(draws[s]):.3f} ({draws[s].min():.3f} … {draws[s].max():.3f})" for s in range(STAGES)]
        rows.append((f"{family}-{depth}", style.INITIALISATION_WORDS[name], *cells))
    return [*TEXT.splitlines(), "", *table(HEADER, "l l r r r", rows)] if rows else []


def sentence() -> str:
    """For the finding: the range of the draws of plain networks."""
    plain = growth().query("family == 'plain'")
    if plain.empty:
        return ""
    first, second, third = (f"{plain[stage].min():.2f} … {plain[stage].max():.2f}" for stage in range(STAGES))
    return (
        f"In plain networks it grows by a factor of {first} per layer in the first stage, {second} in the second and "
        f"{third} in the third, without the last {LAST} convolutions; theory has {THEORY:.2f} for wide, fully "
        "connected networks and large batches (Yang et al. 2019). "
    )
