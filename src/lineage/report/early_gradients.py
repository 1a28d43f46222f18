"""The gradients of networks that have not been trained, as src/gradients.py measures them."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd

from lineage.report import style
from lineage.report.results import read_table

TABLE = Path("plots/gradients.csv")
HARMLESS = 100  # a rise or a fall by less than this factor from the last convolution to the first is not remarked on


def untrained() -> pd.DataFrame:
    """family, depth, initialisation, batch_norm, seed, layer, gradient; empty where it has not been measured."""
    columns = ["family", "depth", "initialisation", "batch_norm", "seed", "layer", "gradient"]
    return read_table(TABLE) if TABLE.is_file() else pd.DataFrame(columns=columns)


def rises(family: str, depth: int, initialisations: Collection[str] = style.INITIALISATIONS) -> pd.Series:
    """The logarithm of the first layer's gradient over the last convolution's, with batch norm: one value for each draw
    of each of these initialisations, NaN where a gradient is 0 (too small to be measured) or infinite.
    """
    table = untrained()
    chosen = table[(table.family == family) & (table.depth == depth) & (table.batch_norm == "yes")]
    chosen = chosen[chosen.initialisation.isin(initialisations)]
    draws = [draw.sort_values("layer").gradient.iloc[:-1] for _, draw in chosen.groupby(["initialisation", "seed"])]
    known = [(draw > 0).all() and np.isfinite(draw).all() for draw in draws]
    logs = [np.log(draw.iloc[0] / draw.iloc[-1]) if ok else np.nan for draw, ok in zip(draws, known, strict=True)]
    return pd.Series(logs, dtype=float)
