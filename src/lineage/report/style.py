"""How figures look, and how they are saved: one style for all. Plain networks dashed, residual ones solid, the same
colour for the same depth everywhere.

The same tables give the same bytes. Lines are saved as SVG, heat maps as PNG; each figure carries its scale in its
metadata.
"""

import math
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

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
# from light to dark with the depth: told apart by the colour-blind, and in grey
DEPTHS = {18: "#fcb519", 20: "#fcb519", 32: "#f37819", 34: "#a52c60", 44: "#d24644", 56: "#a52c60"}
DEPTHS |= {80: "#65156e", 110: "#140b34"}
LIGHTEST, DARKEST = 8, 200  # depths
FAMILY_WORDS = {"plain": "plain", "resnet": "residual"}
DASHES = {"plain": (0, (4, 2)), "resnet": "solid"}
FILL = {"plain": "none", "resnet": "full"}  # of the points of a depth
# for what is no depth: told apart in the same way
KINDS = ["#08306b", "#D55E00", "#7cc4e8"]
LINES = [*KINDS, "#009E73", "#CC79A7", "#E69F00"]
INITIALISATIONS = dict(zip(["he", "framework", "normal-0.01"], KINDS, strict=True))
INITIALISATION_WORDS = {"he": "He", "framework": "PyTorch's default", "normal-0.01": "normal, standard deviation 0.01"}
SPARE = "PXhdp8"  # markers of sources that `MARKS` does not have
MARKS = {"by construction": "D", "He et al. 2015": "*", "nabla0001": "s", "a-martyn": "^", "weiaicunzai": "v"}
STARTS = ["o", "D", "^"]  # of the runs of a sweep, in their order
START_NAMES = {"he": "He", "dirac": "Dirac"}  # in figures and tables
TINY = 1e-30  # what a logarithmic axis shows of zero
BANNER = "scale: sample – not results"


def depth_colour(depth: int) -> str:
    """From light to dark with the depth, also where it is not one of `DEPTHS`."""
    if depth in DEPTHS:
        return DEPTHS[depth]
    place = math.log(depth / LIGHTEST) / math.log(DARKEST / LIGHTEST)
    return to_hex(colormaps["inferno"](0.85 - 0.8 * min(1.0, max(0.0, place))))


def markers(labels: Iterable[str]) -> dict[str, str]:
    """A marker for each source of published numbers, always the same for those in `MARKS`."""
    spare = cycle(SPARE)
    return {label: MARKS.get(label) or next(spare) for label in labels}


def from_zero(*axes: Axes) -> None:
    """Begin the vertical axis, which they may share, at zero, and leave room above what is drawn."""
    for axis in axes:
        axis.set_ylim(0, max(1e-9, 1.06 * max(a.dataLim.y1 for a in axes)))


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
