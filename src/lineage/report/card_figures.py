"""The figures of a single experiment: its curves, its confusion matrix, its accuracy class by class, its worst mistakes
and its first layer.
"""

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from lineage.report.style import STYLE, from_zero

TRAIN, VALIDATION = "#08306b", "#E69F00"
FEW = 10  # classes: up to here every cell has its count
WORDS = str.maketrans("_", " ")


def curves(history: pd.DataFrame, title: str) -> Figure:
    """Loss and error by epoch, each seed a line; `history` as `train` writes it. A seed that diverged ends with a
    cross. The loss is on a logarithmic axis where it goes through more than two powers of ten.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(7.6, 3.2), layout="constrained")
        for axis, kind, unit in zip(axes, ("loss", "error"), (1, 100), strict=True):
            for part, colour in (("train", TRAIN), ("val", VALIDATION)):
                for i, (_, line) in enumerate(history.groupby("seed")):
                    values = line[f"{part}_{kind}"] * unit
                    name = {"train": "training (running average)", "val": "validation"}[part] if i == 0 else None
                    axis.plot(line.epoch, values, color=colour, linewidth=1, alpha=0.8, label=name)
                    if line.train_loss.isna().any():
                        axis.plot(line.epoch.iloc[-1], line[f"val_{kind}"].iloc[-1] * unit, "x", color="black")
            axis.set_xlabel("epoch")
            axis.set_ylabel({"loss": "cross-entropy", "error": "error in %"}[kind])
            low, high = history[[f"train_{kind}", f"val_{kind}"]].stack().agg(["min", "max"])
            if kind == "loss" and high > 100 * low > 0:
                axis.set_yscale("log")
            else:
                from_zero(axis)
            axis.margins(x=0.01)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        figure.suptitle(f"{title} (n = {history.seed.nunique()}, each seed a line)", fontsize=10)
        return figure


def confusion(counts: np.ndarray, classes: list[str], superclasses: list[str], title: str) -> Figure:
    """A heat map of classes×classes counts, each row as shares of its class. Up to ten classes with the counts, and
    with the accuracy of each class beside it; more are put in the order of their superclasses, a box around each.
    """
    percent = shares(counts)
    with plt.rc_context(STYLE | {"axes.grid": False}):
        few = len(classes) <= FEW
        size = (8.2, 4.0) if few else (8.6, 7.4)
        figure = plt.figure(figsize=size, layout="constrained")
        axis, *beside = figure.subplots(1, 2 if few else 1, squeeze=False, width_ratios=[1.35, 1] if few else None)[0]
        order = np.arange(len(classes)) if few else np.argsort(superclasses or classes, kind="stable")
        image = axis.imshow(percent[np.ix_(order, order)], cmap="Blues", vmin=0, vmax=100)
        axis.set_facecolor("#dddddd")  # where a class has no images
        if few:
            names = [name.translate(WORDS) for name in classes]
            axis.set_xticks(range(len(names)), names, rotation=90 if len(names) > 6 else 0, fontsize=8)
            axis.set_yticks(range(len(names)), names, fontsize=8)
            _write_counts(axis, counts, percent)
            accuracy(beside[0], percent.diagonal(), names)
        elif superclasses:
            _box(axis, np.array(superclasses)[order])
        else:
            names = [classes[i].translate(WORDS) for i in order]
            axis.set_xticks(range(len(names)), names, rotation=90, fontsize=5)
            axis.set_yticks(range(len(names)), names, fontsize=5)
        axis.tick_params(length=0)
        axis.set_xlabel("predicted")
        axis.set_ylabel("actual")
        figure.colorbar(image, ax=axis, label="% of the actual class", shrink=0.8)
        figure.suptitle(title, fontsize=10)
        return figure


def shares(counts: np.ndarray) -> np.ndarray:
    """Counts as per cent of their row; not a number where it is empty."""
    images = counts.sum(1, keepdims=True)
    return 100 * counts / np.where(images == 0, np.nan, images)


def _write_counts(axis: Axes, counts: np.ndarray, percent: np.ndarray) -> None:
    for row, column in np.argwhere(counts):
        colour = "white" if percent[row, column] > 55 else "black"
        axis.text(column, row, counts[row, column], ha="center", va="center", fontsize=7, color=colour)


def _box(axis: Axes, superclasses: np.ndarray) -> None:
    """Frame each superclass on the diagonal, and name it at both sides."""
    names, starts, sizes = np.unique(superclasses, return_index=True, return_counts=True)
    for start, size in zip(starts, sizes, strict=True):
        axis.add_patch(Rectangle((start - 0.5, start - 0.5), size, size, fill=False, color="#D55E00", linewidth=0.8))
    labels = [name.translate(WORDS) for name in names]
    axis.set_yticks(starts + (sizes - 1) / 2, labels, fontsize=7.5)
    axis.set_xticks(starts + (sizes - 1) / 2, labels, fontsize=7.5, rotation=90)


def accuracy(axis: Axes, percent: np.ndarray, names: list[str]) -> None:
    """A bar for each class, in the classes' order, with its figure; a dash for a class without images."""
    positions = np.arange(len(names))
    axis.barh(positions, percent, color=TRAIN, height=0.7)
    for position, value in zip(positions, percent, strict=True):
        inside = value > 20
        axis.text(
            value - 1.5 if inside else np.nan_to_num(value) + 1.5,
            position,
            "–" if np.isnan(value) else f"{value:.0f}",
            **{"ha": "right" if inside else "left", "va": "center", "fontsize": 7},
            color="white" if inside else "black",
        )
    axis.set_yticks(positions, names, fontsize=8)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xlim(0, 100)
    axis.set_xlabel("accuracy of the class in %")
    axis.tick_params(length=0)


def many_classes(percent: np.ndarray, classes: list[str], superclasses: list[str], title: str) -> Figure:
    """The accuracy of each of many classes, in columns, superclass by superclass."""
    with plt.rc_context(STYLE | {"axes.grid": False}):
        order = np.argsort(superclasses or classes, kind="stable")
        columns = np.array_split(order, 5)
        figure, axes = plt.subplots(1, len(columns), figsize=(10.5, 4.6), layout="constrained")
        for axis, members in zip(axes, columns, strict=True):
            accuracy(axis, percent[members], [classes[i].translate(WORDS) for i in members])
            axis.set_xlabel("")
            kinds = [superclasses[i] if superclasses else "" for i in members]
            for row in range(1, len(kinds)):
                if kinds[row] != kinds[row - 1]:
                    axis.axhline(row - 0.5, color="#888888", linewidth=0.6)
        figure.supxlabel("accuracy of the class in %", fontsize=9)
        figure.suptitle(title, fontsize=10)
        return figure


def mistakes(tiles: np.ndarray, captions: list[str], title: str) -> Figure:
    """N×S×S×3 pictures, six in a row, each over what is there and what the network says."""
    rows = -(-len(tiles) // 6)
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(rows, 6, figsize=(8.4, 0.5 + 1.75 * rows), layout="constrained", squeeze=False)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[], frame_on=False)
        for axis, tile, caption in zip(axes.flat, tiles, captions, strict=False):
            axis.imshow(tile, interpolation="nearest")
            axis.set_xlabel(caption, fontsize=7)
        figure.suptitle(title, fontsize=10)
        return figure


def filters(tiles: np.ndarray, title: str) -> Figure:
    """N×S×S×3 kernels, sixteen in a row."""
    side, rows = tiles.shape[1] + 1, -(-len(tiles) // 16)
    canvas = np.full((rows * side - 1, 16 * side - 1, 3), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // 16 * side, i % 16 * side
        canvas[top : top + side - 1, left : left + side - 1] = tile
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(8.4, 0.5 + 0.52 * rows), layout="constrained")
        axis.imshow(canvas, interpolation="nearest")
        axis.axis("off")
        figure.suptitle(title, fontsize=10)
        return figure
