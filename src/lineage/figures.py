"""The figures, one style for all: plain networks dashed, residual ones solid, the same colour for the same depth
everywhere.

The same tables give the same bytes. Lines are saved as SVG, heat maps as PNG; each figure carries its scale in its
metadata.
"""

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

STYLE = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "svg.hashsalt": "lineage",
    "svg.fonttype": "path",
}
# Okabe and Ito's colours, which the colour-blind can tell apart, from light to dark with the depth
DEPTHS = {18: "#56B4E9", 20: "#56B4E9", 32: "#E69F00", 34: "#D55E00", 44: "#009E73", 56: "#D55E00", 110: "#000000"}
DASHES = {"plain": (0, (4, 2)), "resnet": "solid"}
BANNER = "scale: sample – not results"


def degradation(histories: dict[tuple[str, int], pd.DataFrame], title: str) -> Figure:
    """Training and validation error by epoch (He et al. 2015, Fig. 6): the mean over the seeds, and a band from the
    least to the most.

    `histories` by (family, depth), families `plain` and `resnet`: columns `seed`, `epoch`, `train_error`, `val_error`.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.6), sharey=True, layout="constrained")
        panels = (("train_error", "training error (with augmentation)"), ("val_error", "validation error"))
        for axis, (column, name) in zip(axes, panels, strict=True):
            for (family, depth), history in sorted(histories.items()):
                by_epoch = history.groupby("epoch")[column]
                style = {"color": DEPTHS.get(depth, "#888888"), "linestyle": DASHES[family]}
                axis.plot(by_epoch.mean() * 100, label=f"{family}-{depth}", **style)
                if history.seed.nunique() > 1:
                    low, high = by_epoch.min() * 100, by_epoch.max() * 100
                    axis.fill_between(low.index, low, high, color=style["color"], alpha=0.12, linewidth=0)
            axis.set_xlabel("epoch")
            axis.set_title(name, fontsize=9)
            axis.set_ylim(bottom=0)
            axis.margins(x=0.01)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes[0].set_ylabel("error in %")
        seeds = {history.seed.nunique() for history in histories.values()}
        n = f"n = {'–'.join(str(s) for s in sorted({min(seeds), max(seeds)}))}"
        band = "; mean, band from the least to the most" if max(seeds) > 1 else ""
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", handlelength=3)
        figure.suptitle(f"{title} ({n}{band})", fontsize=10)
        return figure


def confusion(counts: np.ndarray, classes: list[str], title: str) -> Figure:
    """A heat map of classes×classes counts, each row as shares of its class; with the counts where they can be read."""
    n = len(classes)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1) * 100
    side = 3.6 if n <= 10 else 9.0
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, axis = plt.subplots(figsize=(side + 1.4, side + 0.6), layout="constrained")
        image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        size = 8 if n <= 10 else 5
        axis.set_xticks(range(n), [c.replace("_", " ") for c in classes], rotation=90 if n > 6 else 0, fontsize=size)
        axis.set_yticks(range(n), [c.replace("_", " ") for c in classes], fontsize=size)
        axis.tick_params(length=0)
        if n <= 10:
            for row, column in np.ndindex(n, n):
                colour = "white" if shares[row, column] > 55 else "black"
                if counts[row, column]:
                    axis.text(column, row, counts[row, column], ha="center", va="center", fontsize=7, color=colour)
        axis.set_xlabel("predicted")
        axis.set_ylabel("actual")
        axis.set_title(title, fontsize=9.5)
        figure.colorbar(image, ax=axis, label="% of the actual class", shrink=0.8)
        return figure


def save(figure: Figure, path: Path, scale: str) -> None:
    """Write the figure without a date, its scale in the metadata, and below full scale with a banner across."""
    if scale != "full":
        figure.text(
            *(0.5, 0.5, BANNER),
            **{"ha": "center", "va": "center", "rotation": 18, "fontsize": 20, "color": "#cc0000", "alpha": 0.45},
        )
    metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {"Software": None}
    path.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE):
        figure.savefig(path, metadata=metadata | {"Description": f"scale: {scale}"})
    plt.close(figure)
