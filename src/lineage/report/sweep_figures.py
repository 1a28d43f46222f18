"""The figures of the stages `sweep`, `agreement` and `initialisations`, `equalised`, and `deepened`."""

from itertools import cycle

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lineage.report.style import DASHES, FAMILY_WORDS, LINES, START_NAMES, STARTS, STYLE, TINY, depth_colour, from_zero

NO_AGREEMENT = 0.001  # below this the axis is linear, through 0
WAYS = {"training": "exact in training", "use": "exact in evaluation only"}  # inserted layers, in deepened.csv
# the column `state` of the same table, in the words of the report
STATES = {"trained": "trained", "inserted": "inserted", "trained on": "trained further"}


def first_steps(runs: pd.DataFrame, limit: float, title: str) -> Figure:
    """Training error at the end over the size of the first step, a point for each run of `src/sweep.py`: colour by
    depth, marker by start, a red edge where it diverged. `limit` is the error in per cent above which a network has
    not started to train.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(8.4, 4.2), layout="constrained")
        markers = dict(zip(dict.fromkeys(runs.start), STARTS * len(runs), strict=False))
        for (start, depth), some in runs.groupby(["start", "depth"], sort=False):
            edges = ["red" if diverged == "yes" else "white" for diverged in some.diverged]
            style = {"color": depth_colour(depth), "marker": markers[start], "edgecolors": edges}
            steps = some.first_step.clip(lower=TINY)
            axis.scatter(steps, 100 * some.train_error, s=42, linewidths=0.7, alpha=0.9, **style)
        axis.axhline(limit, color="#888888", linewidth=0.8, linestyle=(0, (1, 2)))
        axis.annotate(
            "did not start above this line",
            **{"xy": (1, limit), "xycoords": ("axes fraction", "data"), "ha": "right", "va": "bottom"},
            **{"fontsize": 8, "color": "#666666"},
        )
        axis.set_xscale("log")
        axis.set_ylim(-3, 103)
        axis.set_xlabel("learning rate of the first step × momentum's factor × largest ‖gradient‖ / ‖W‖")
        axis.set_ylabel("training error at the end in %")
        dot = {"linestyle": "none", "markersize": 6}
        handles = [
            Line2D([], [], marker="o", color=depth_colour(depth), label=f"{depth} layers", **dot)
            for depth in sorted(set(runs.depth))
        ]
        handles += [
            Line2D([], [], marker=m, color="#555555", label=START_NAMES.get(start, start), **dot)
            for start, m in markers.items()
        ]
        figure.legend(handles=handles, loc="outside right center")
        figure.suptitle(title, fontsize=10)
        return figure


def agreement(networks: pd.DataFrame, title: str) -> Figure:
    """Left, the agreement of the batches' gradients before training by depth; beside it the median training error, by
    the agreement and by the largest ‖gradient‖ / ‖W‖ before training: a point for each network, a cross where no seed
    started to train. `networks` as `outcomes.gathered` has them.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(9.6, 4.4), layout="constrained")
        by_depth, by_agreement, by_ratio = axes
        by_ratio.sharey(by_agreement)
        kinds = networks.groupby(["family", "normalisation", "words"], sort=False)
        for (kind, some), colour in zip(kinds, cycle([*LINES, "#777777", "#000000"])):
            family, normalisation, words = kind
            label = f"{FAMILY_WORDS[family]}, {words}"
            label += "" if normalisation == "batch" else ", no batch norm"
            line = {"color": colour, "linestyle": DASHES[family], "marker": "o", "markersize": 5}
            by_depth.plot(some.depth, some.agreement, label=label, **line)
            for network in some[some.n > 0].itertuples():
                point = {"color": colour, "marker": "o" if network.started else "X", "s": 44, "linewidths": 0.6}
                for axis, place in ((by_agreement, network.agreement), (by_ratio, network.ratio)):
                    axis.scatter(place, network.median_error, edgecolors="white", **point)
                    if len(some) > 1 and network.median_error > 1:  # below, they would hide one another
                        beside = {"xytext": (-5, 4), "textcoords": "offset points", "ha": "right", "fontsize": 7}
                        axis.annotate(f"{network.depth}", (place, network.median_error), color=colour, **beside)
        least = min(-NO_AGREEMENT, 1.5 * networks.agreement.min())
        by_depth.set_yscale("symlog", linthresh=NO_AGREEMENT, linscale=0.4)
        by_agreement.set_xscale("symlog", linthresh=NO_AGREEMENT, linscale=0.4)
        for axis in (by_depth.yaxis, by_agreement.xaxis):
            shown = [tick for tick in (-0.1, -0.01, 0, 0.01, 0.1, 1) if tick >= least]
            axis.set_ticks(shown, [f"{tick:g}" for tick in shown])
        by_depth.set_ylim(least, 1.2)
        by_agreement.set_xlim(least, 1.2)
        by_ratio.set_xscale("log")
        by_depth.set_xlabel("layers")
        by_depth.set_ylabel("agreement before training")
        by_agreement.set_xlabel("agreement before training")
        by_agreement.set_ylabel("median training error in %")
        by_agreement.set_ylim(-3, 100)
        by_ratio.set_xlabel("largest ‖gradient‖ / ‖W‖\nbefore training")
        figure.legend(loc="outside lower center", handlelength=3, ncols=3)
        figure.suptitle(title, fontsize=10)
        return figure


def equalised(networks: pd.DataFrame, title: str) -> Figure:
    """The median training error of each network with its gradients as they are (a ring) and with all gradients of the
    same relative norm (a disc). `networks` as `equalising.networks` has them.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7.4, 1.2 + 0.34 * len(networks)), layout="constrained")
        for place, one in enumerate(networks.itertuples()):
            colour = depth_colour(one.depth)
            axis.plot([one.usual, one.median_error], [place, place], color=colour, linestyle=DASHES[one.family])
            axis.plot(one.usual, place, "o", color=colour, markerfacecolor="white", markersize=8)
            axis.plot(one.median_error, place, "o", color=colour, markersize=6)
        names = [f"{FAMILY_WORDS[one.family]}, {one.depth} layers, {one.words}" for one in networks.itertuples()]
        axis.set_yticks(range(len(networks)), names)
        axis.invert_yaxis()
        axis.set_xlim(-2, 90)
        key = "ring: gradients as they are; disc: all of the same relative norm"
        axis.set_xlabel(f"median training error in %\n{key}")
        figure.suptitle(title, fontsize=10)
        return figure


def deepened(runs: pd.DataFrame, title: str) -> Figure:
    """Training and validation error of a trained network, directly after layers were inserted, and after more training:
    a line for each seed and each way of going on. `runs` as `src/deepened.py` writes them.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.4), sharey=True, layout="constrained")
        ways = list(dict.fromkeys(runs.insertion))
        for axis, (part, name) in zip(axes, (("train", "training error"), ("val", "validation error")), strict=True):
            for number, (way, marker) in enumerate(zip(ways, STARTS * len(ways), strict=False)):
                label = f"layers {WAYS[way]}" if way else "no layers inserted"
                for seed, some in runs.groupby("seed"):
                    own = some[some.insertion == way].set_index("state")[f"{part}_error"]
                    if "trained" not in own:
                        own["trained"] = some[some.state == "trained"][f"{part}_error"].iloc[0]
                    places = [place for place, state in enumerate(STATES) if state in own]
                    style = {"color": depth_colour(some[some.insertion == way].depth.iloc[0])}
                    style |= {"marker": marker, "linestyle": "solid" if way != ways[-1] else (0, (4, 2))}
                    values = [100 * own[state] for state in STATES if state in own]
                    first = seed == runs.seed.min()
                    beside = [place + 0.04 * number for place in places]  # so that equal errors are all seen
                    axis.plot(beside, values, alpha=0.8, label=label if first else None, **style)
            axis.set_xticks(range(len(STATES)), STATES.values())
            axis.margins(x=0.12)
            axis.set_title(name, fontsize=9)
        from_zero(*axes)
        axes[0].set_ylabel("error in %")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", handlelength=3)
        figure.suptitle(title, fontsize=10)
        return figure
