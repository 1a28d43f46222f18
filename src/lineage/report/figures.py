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
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
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
FAMILIES = {"plain": "#D55E00", "resnet": "#0072B2"}
INITIALISATIONS = {"he": "#0072B2", "framework": "#E69F00", "normal-0.01": "#009E73"}
MARKS = {"by construction": "D", "He et al. 2015": "*", "re-runs": "s"}
TINY = 1e-12  # what a logarithmic axis shows of zero
BANNER = "scale: sample – not results"


def from_zero(*axes: Axes) -> None:
    """Begin the vertical axis, which they may share, at zero, and leave room above what is drawn."""
    for axis in axes:
        axis.set_ylim(0, max(1e-9, 1.06 * max(a.dataLim.y1 for a in axes)))


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
            axis.margins(x=0.01)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        from_zero(*axes)
        axes[0].set_ylabel("error in %")
        seeds = {history.seed.nunique() for history in histories.values()}
        n = f"n = {'–'.join(str(s) for s in sorted({min(seeds), max(seeds)}))}"
        band = "; mean, band from the least to the most" if max(seeds) > 1 else ""
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", handlelength=3)
        figure.suptitle(f"{title} ({n}{band})", fontsize=10)
        return figure


def by_depth(errors: pd.DataFrame, marks: pd.DataFrame, title: str) -> Figure:
    """Final training and test error over depth, mean ± deviation over the seeds.

    `errors`: family, depth, part (train, test), mean, std, in per cent; `marks`, of others or by construction: label,
    family, depth, part, error.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.6), layout="constrained")
        for axis, (part, name) in zip(
            axes, (("train", "training error, clean images"), ("test", "test error")), strict=True
        ):
            for family, line in errors[errors.part == part].groupby("family"):
                style = {"color": FAMILIES[family], "linestyle": DASHES[family], "label": f"{family} (ours)"}
                axis.errorbar(line.depth, line["mean"], line["std"], marker="o", markersize=4, capsize=3, **style)
            for (label, family), points in marks[marks.part == part].groupby(["label", "family"], sort=False):
                style = {"color": FAMILIES[family], "marker": MARKS[label], "fillstyle": "none", "linestyle": "none"}
                axis.plot(points.depth, points.error, markersize=7, label=f"{family}: {label}", **style)
            axis.set_title(name, fontsize=9)
            axis.set_xticks(sorted(errors.depth.unique()))
            axis.set_xlabel("depth in layers")
            from_zero(axis)
        axes[0].set_ylabel("error in %")
        handles = {}
        for axis in axes:
            handles |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside right center", handlelength=3)
        figure.suptitle(title, fontsize=10)
        return figure


def gradients(table: pd.DataFrame, title: str) -> Figure:
    """The norm of the loss gradient in each layer's weights before training: the mean over the seeds, and a band from
    the least to the most; a panel per network, with batch norm above, without below. `table` as `src/gradients.py`
    writes it.
    """
    networks = sorted(set(zip(table.family, table.depth, strict=True)))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            2, len(networks), figsize=(10, 4.8), sharey="row", sharex="col", layout="constrained"
        )
        for row, batch_norm in zip(axes, ("yes", "no"), strict=True):
            for axis, (family, depth) in zip(row, networks, strict=True):
                chosen = table[(table.family == family) & (table.depth == depth) & (table.batch_norm == batch_norm)]
                for name, colour in INITIALISATIONS.items():
                    values = chosen[chosen.initialisation == name].groupby("layer").gradient
                    axis.plot(values.mean().clip(lower=TINY), color=colour, label=name, linestyle=DASHES[family])
                    low, high = values.min().clip(lower=TINY), values.max().clip(lower=TINY)
                    axis.fill_between(low.index, low, high, color=colour, alpha=0.15, linewidth=0)
                axis.set_yscale("log")
            row[0].set_ylabel(f"{'with' if batch_norm == 'yes' else 'without'} batch norm\n‖∂loss/∂W‖")
        for axis, (family, depth) in zip(axes[0], networks, strict=True):
            axis.set_title(f"{family}-{depth}", fontsize=9)
        for axis in axes[1]:
            axis.set_xlabel("layer")
        handles = [Line2D([], [], color=colour, label=name) for name, colour in INITIALISATIONS.items()]
        figure.legend(handles=handles, loc="outside right center", title="initialisation")
        figure.suptitle(title, fontsize=10)
        return figure


def inside(tables: dict[tuple[str, int], pd.Series], label: str, x_label: str, title: str, log: bool) -> Figure:
    """A value for each layer or block, a line for each network, by (family, depth); networks of different depth share
    the axis from the first layer to the last.
    """
    families = sorted({family for family, _ in tables})
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(
            1, len(families), figsize=(1.6 + 3.8 * len(families), 3.4), sharey=True, layout="constrained", squeeze=False
        )
        for axis, family in zip(axes[0], families, strict=True):
            for depth in sorted(depth for other, depth in tables if other == family):
                values = tables[family, depth].to_numpy()
                style = {"color": DEPTHS.get(depth, "#888888"), "linestyle": DASHES[family]}
                place = np.linspace(0, 100, len(values)) if len(values) > 1 else [50]
                axis.plot(place, values, label=f"{family}-{depth}", linewidth=1.2, **style)
            axis.set_xlabel(x_label)
            axis.set_title(family, fontsize=9)
            axis.legend(fontsize=8)
            if log:
                axis.set_yscale("log")
        if not log:
            from_zero(*axes[0])
        axes[0][0].set_ylabel(label)
        figure.suptitle(title, fontsize=10)
        return figure


def activations(histories: dict[str, pd.DataFrame], title: str) -> Figure:
    """Training error by epoch of one network with several activations (Krizhevsky et al. 2012, Fig. 1): the mean over
    the seeds, and a band from the least to the most.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
        for (name, history), colour in zip(histories.items(), INITIALISATIONS.values(), strict=False):
            by_epoch = history.groupby("epoch").train_error
            mean, low, high = (getattr(by_epoch, how)() * 100 for how in ("mean", "min", "max"))
            axis.plot(mean, color=colour)
            axis.fill_between(low.index, low, high, color=colour, alpha=0.15, linewidth=0)
            axis.annotate(f" {name}", (mean.index[-1], mean.iloc[-1]), color=colour, va="center", annotation_clip=False)
        axis.axhline(25, color="#888888", linewidth=0.8, linestyle=(0, (1, 2)))
        axis.annotate(
            "25 %", (0, 25), xycoords=("axes fraction", "data"), xytext=(3, 3), textcoords="offset points", fontsize=8
        )
        axis.set_xlabel("epoch")
        axis.set_ylabel("training error in %")
        from_zero(axis)
        axis.margins(x=0.01)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.suptitle(title, fontsize=10)
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
