"""The figures that compare networks: error by epoch and by depth, gradients, what blocks do, activations."""

import textwrap
from collections.abc import Collection

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from lineage.report.style import (
    DASHES,
    FILL,
    INITIALISATION_WORDS,
    INITIALISATIONS,
    LINES,
    STYLE,
    TINY,
    depth_colour,
    from_zero,
    markers,
)


def degradation(
    histories: dict[tuple[str, int], pd.DataFrame], title: str, failed: Collection[tuple[str, int]] = ()
) -> Figure:
    """Training and validation error by epoch (He et al. 2015, Fig. 6): the mean over the seeds, and a band from the
    least to the most, as far as all seeds go; where one diverged, a cross. The legend says which did not start to train
    (`failed`).

    `histories` by (family, depth), families `plain` and `resnet`: columns `seed`, `epoch`, `train_error`, `val_error`.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.6), sharey=True, layout="constrained")
        panels = (("train_error", "training error (running average)"), ("val_error", "validation error"))
        for axis, (column, name) in zip(axes, panels, strict=True):
            for (family, depth), history in sorted(histories.items()):
                by_epoch = over_seeds(history, column)
                style = {"color": depth_colour(depth), "linestyle": DASHES[family]}
                said = "\n(did not start)" if (family, depth) in failed else ""
                axis.plot(by_epoch["mean"], label=f"{family}-{depth}{said}", **style)
                axis.fill_between(
                    by_epoch.index, by_epoch["min"], by_epoch["max"], color=style["color"], alpha=0.12, linewidth=0
                )
                if by_epoch.index.max() < history.epoch.max() or history.train_loss.isna().any():
                    axis.plot(by_epoch.index[-1], by_epoch["mean"].iloc[-1], "x", color=style["color"])
            axis.set_xlabel("epoch")
            axis.set_title(name, fontsize=9)
            axis.margins(x=0.01)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        from_zero(*axes)
        axes[0].set_ylabel("error in %")
        seeds = {history.seed.nunique() for history in histories.values()}
        n = f"n = {'–'.join(str(s) for s in sorted({min(seeds), max(seeds)}))}"
        band = "; mean, band: lowest to highest" if max(seeds) > 1 else ""
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", handlelength=3)
        figure.suptitle(f"{title} ({n}{band})", fontsize=10)
        return figure


def geometric_mean(values: pd.Series) -> float:
    """Of positive values, such as losses over seeds."""
    return float(np.exp(np.log(values).mean()))


def over_seeds(history: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean, min and max by epoch in per cent, as far as every seed goes."""
    by_epoch = 100 * history.pivot(index="epoch", columns="seed", values=column).dropna()
    return pd.DataFrame({how: getattr(by_epoch, how)(axis=1) for how in ("mean", "min", "max")})


def by_depth(errors: pd.DataFrame, seeds: pd.DataFrame, marks: pd.DataFrame, title: str) -> Figure:
    """Final training and test error over depth, the mean and each seed beside it; logarithmic above 10 %. Networks of
    which no seed started to train are crosses that belong to no line.

    `errors`: family, depth, part (train, test), mean, started, diverged, in per cent; `seeds`: family, depth, part,
    error; `marks`, of others or by construction: label, family, depth, part, error.
    """
    marker = markers(marks.label.unique())
    aside = 0.02 * (errors.depth.max() - errors.depth.min())
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), sharey=True, layout="constrained")
        for axis, (part, name) in zip(axes, (("train", "training error"), ("test", "test error")), strict=True):
            for family, line in errors[errors.part == part].groupby("family"):
                trained, failed = line[line.started > 0], line[line.started == 0]
                style = {"color": "black", "linestyle": DASHES[family], "marker": "o", "fillstyle": FILL[family]}
                axis.plot(trained.depth, trained["mean"], label=f"{family}: mean (ours)", **style)
                each = seeds[(seeds.part == part) & (seeds.family == family)]
                style = {"color": "#777777", "linestyle": "none", "marker": "o", "fillstyle": FILL[family]}
                beside = each.depth + (aside if family == "resnet" else -aside)
                axis.plot(beside, each.error, markersize=3, label=f"{family}: each seed", **style)
                if len(failed):
                    label = f"{family}: did not start to train"
                    axis.plot(failed.depth, failed["mean"], "x", color="black", markersize=8, label=label)
                gone = line[line.diverged == "yes"]
                axis.plot(gone.depth, gone["mean"], "x", color="red", markersize=9)
            for (label, family), points in marks[marks.part == part].groupby(["label", "family"], sort=False):
                style = {"color": "#0072B2", "marker": marker[label], "fillstyle": FILL[family], "linestyle": "none"}
                axis.plot(points.depth, points.error, markersize=7, alpha=0.8, label=f"{family}: {label}", **style)
            axis.set_title(name, fontsize=9)
            axis.set_xticks(sorted({*errors.depth, *marks.depth}))
            axis.set_xlabel("depth in layers")
            axis.set_yscale("symlog", linthresh=10)
            axis.set_yticks([0, 2, 4, 6, 8, 10, 20, 50, 100], [0, 2, 4, 6, 8, 10, 20, 50, 100])
            axis.set_ylim(-0.3, 110)
        axes[0].set_ylabel("error in %")
        handles = {}
        for axis in axes:
            handles |= {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
        figure.legend(handles.values(), handles.keys(), loc="outside right center", handlelength=3)
        figure.suptitle(title, fontsize=10)
        return figure


def gradients(table: pd.DataFrame, title: str) -> Figure:
    """The norm of the loss gradient in each layer's weights before training: the median over the seeds, and a band from
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
                    axis.plot(values.median().clip(lower=TINY), color=colour, label=name, linestyle=DASHES[family])
                    low, high = values.min().clip(lower=TINY), values.max().clip(lower=TINY)
                    axis.fill_between(low.index, low, high, color=colour, alpha=0.15, linewidth=0)
                axis.set_yscale("log")
            row[0].set_ylabel(f"{'with' if batch_norm == 'yes' else 'without'} batch norm\n‖∂loss/∂W‖")
        for axis, (family, depth) in zip(axes[0], networks, strict=True):
            axis.set_title(f"{family}-{depth}", fontsize=9)
        for axis in axes[1]:
            axis.set_xlabel("layer")
        handles = [
            Line2D([], [], color=colour, label=INITIALISATION_WORDS[name]) for name, colour in INITIALISATIONS.items()
        ]
        figure.legend(handles=handles, loc="outside right center", title="initialisation")
        figure.suptitle(title, fontsize=10)
        return figure


def inside(
    tables: dict[tuple[str, int], pd.Series], label: str, x_label: str, title: str, log: bool, share: bool = True
) -> Figure:
    """A value for each layer or block, a line for each network, by (family, depth); networks of different depth share
    the axis from the first layer to the last, and the families the one of values, unless `share` is false: then a
    family whose values are of one power of ten has no logarithmic one.
    """
    families = sorted({family for family, _ in tables})
    with plt.rc_context(STYLE):
        size = (2.6 + 3.4 * len(families), 3.4)
        figure, axes = plt.subplots(1, len(families), figsize=size, sharey=share, layout="constrained", squeeze=False)
        for axis, family in zip(axes[0], families, strict=True):
            for depth in sorted(depth for other, depth in tables if other == family):
                values = tables[family, depth].to_numpy()
                values = np.maximum(values, TINY) if log else values
                style = {"color": depth_colour(depth), "linestyle": DASHES[family]}
                place = np.linspace(0, 100, len(values)) if len(values) > 1 else [50]
                axis.plot(place, values, label=f"{family}-{depth}", linewidth=1.2, **style)
            axis.set_xlabel(x_label)
            axis.set_title(family, fontsize=9)
            ends = axis.dataLim.intervaly
            if log and (share or ends[1] > 10 * ends[0]):
                axis.set_yscale("log")
            elif log:
                from_zero(axis)
        if not log:
            from_zero(*axes[0])
        axes[0][0].set_ylabel(label)
        figure.legend(loc="outside right center", handlelength=3)
        figure.suptitle(title, fontsize=10)
        return figure


def lines(histories: dict[str, pd.DataFrame], column: str, label: str, title: str, mark: float | None = None) -> Figure:
    """One quantity by epoch for up to six experiments, by name: the mean over the seeds, and a band from the least to
    the most; with `mark`, a horizontal line there.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
        for (name, history), colour in zip(histories.items(), LINES[: len(histories)], strict=True):
            by_epoch = over_seeds(history, column)
            axis.plot(by_epoch["mean"], color=colour, label=name)
            axis.fill_between(by_epoch.index, by_epoch["min"], by_epoch["max"], color=colour, alpha=0.15, linewidth=0)
        if mark is not None:
            axis.axhline(mark, color="#888888", linewidth=0.8, linestyle=(0, (1, 2)), label=f"{mark:g} %")
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        from_zero(axis)
        axis.margins(x=0.01)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(loc="outside right center")
        figure.suptitle(textwrap.fill(title, 90), fontsize=10)  # which a user writes
        return figure
