"""The findings on networks before their training: whether batches agree, and what the training error then goes with."""

import math
from itertools import pairwise
from typing import NamedTuple

import pandas as pd

from lineage.files import read_json
from lineage.report import verdicts
from lineage.report.markdown import capitalised, difference_text, digits, enumerated, link, listed, percent
from lineage.report.outcomes import RECIPES, SHORTCUTS, deepest, gathered, untrained
from lineage.report.results import Results
from lineage.report.study import in_both_precisions

SHOWN = (20, 56, 110)  # depths in the finding on rounding
CLEAR = 0.8  # a rank correlation
LOST = 0.1  # a cosine: of a gradient and of what rounding leaves of it
ORTHOGONAL, ALIGNED = 0.05, 0.2  # cosines of two gradients: below the one, above the other
WHO = {
    ("plain", "he"): "plain networks with He's initialisation",
    ("resnet", "he"): "residual ones",
    ("plain", "dirac"): "plain ones with the Dirac initialisation",
}
PLACE = "do-different-batches-ask-for-the-same-step"


def finding(results: Results) -> list[str]:
    """A finding each: how far batches agree before training, and what rounding leaves of the gradients."""
    found = gathered(results)
    if found.empty:
        return []
    usual = found[found.normalisation == "batch"]
    return [*agreed(usual), *rounding(usual, results)]


def agreed(networks: pd.DataFrame) -> list[str]:
    """How far batches agree in the deepest networks with batch norm."""
    networks = networks[networks.depth == networks.depth.max()].set_index(["family", "initialisation"])
    known = {key: who for key, who in WHO.items() if key in networks.index}
    said = []
    for key, who in known.items():
        own, shuffled = networks.agreement[key], networks.shuffled[key]
        said.append(f"{who} {', '.join(shown(value, 3) for value in (own, shuffled, own - shuffled))}")
    if not said:  # the deepest have other initialisations
        return []
    opening = "**Before training, two batches agree more or less on the first step, depending on the network.**"
    if {("plain", "he"), ("resnet", "he")} <= {*networks.index}:
        plain, residual = (networks.agreement[family, "he"] for family in ("plain", "resnet"))
        if plain < ORTHOGONAL and residual > ALIGNED:
            opening = (
                "**Before training, the gradients of two batches are almost orthogonal in plain networks of "
                f"{networks.depth.max()} layers with He's initialisation, but not in residual ones."
            )
            if 2 * networks.shuffled["resnet", "he"] > residual:
                opening += " In the residual ones most of the agreement remains with shuffled labels, so that part "
                opening += "does not come from the classes."
            opening += "**"
    return [
        f"{opening} Their *agreement* is the cosine of the angle between them, in the median convolution. With "
        f"{networks.depth.max()} layers it is, with the labels, with shuffled labels, and the difference: "
        f"{'; '.join(said)} (n = {untrained().seed.nunique()}). [More](#{PLACE})."
    ]


def rounding(networks: pd.DataFrame, results: Results) -> list[str]:
    """What is left of the gradients of untrained networks with batch norm if they are computed in lower precision."""
    measured = networks.dropna(subset="bf16").sort_values("depth")
    plain, residual = (measured[(measured.family == one) & (measured.initialisation == "he")] for one in SHORTCUTS)
    if plain.empty or not plain.bf16.iloc[-1] < LOST:
        return []
    lost = lost_from(plain.depth, plain.bf16)
    told = f"rounding to bfloat16 leaves little of the gradient in plain networks of {lost} or more layers"
    if plain.fp32.iloc[-1] < LOST:
        told += f"; rounding to float32 does so with {lost_from(plain.depth, plain.fp32)}"
    rounded = [f"{left(one)} with {one.depth} layers" for one in plain[plain.depth.isin({*SHOWN, lost})].itertuples()]
    beside = "".join(f"; residual ones {left(one)} with {one.depth} layers" for one in residual[-1:].itertuples())
    opening = (
        f"**Before training, from He's initialisation, {told}.** How well a batch's gradient in bfloat16 (in "
        "brackets: in float32) matches that in float64, as the cosine of the angle between them, in the median "
        f"convolution (*little*: below {LOST}): plain networks {enumerated(rounded)}{beside}. "
        "In float64 itself rounding hardly matters: with the images of that batch in another order the cosine is "
        f"{rounded_down(plain.reordered.min())} or more in every convolution of all these plain networks "
        f"(n = {untrained().seed.nunique()}). [More](#{PLACE})."
    )
    return [listed(opening, trained_in_float32(results))]


def lost_from(depths: pd.Series, cosines: pd.Series) -> int:
    """The smallest depth from which on rounding leaves little of the gradient; `depths` rise, and the last is lost."""
    kept = depths[cosines >= LOST]
    return int(depths[depths > (kept.max() if len(kept) else 0)].min())


def rounded_down(cosine: float) -> str:
    """Five decimal places, below 1: the table itself is rounded to six."""
    return f"{min(math.floor(cosine * 1e5) / 1e5, 0.99999):.5f}"


def left(one: NamedTuple) -> str:
    """What bfloat16 and float32 leave of a gradient."""
    return f"{shown(one.bf16)} ({shown(one.fp32)})"


def goes_with(found: pd.DataFrame) -> list[str]:
    """What the training error of the deepest plain networks goes with, from one initialisation to another; `found` as
    `outcomes.gathered` has it.
    """
    alike = deepest(found).sort_values("median_error") if len(found) else found
    if len(alike) < 3 or not set(read_json(RECIPES)) & set(alike.initialisation):
        return []
    neighbours = [one.max() >= other.min() for one, other in pairwise(alike.errors)]
    ranges = pairwise(zip(alike.least_ratio, alike.most_ratio, strict=True))
    ratios = sum(max(one[0], other[0]) <= min(one[1], other[1]) for one, other in ranges)
    ends = [
        f"{one.words} {rank}, {one.median_error:.2f} %, where ‖gradient‖ / ‖W‖ is {digits(one.ratio)} and agreement "
        f"{one.agreement:.3f}"
        for one, rank in zip(alike.iloc[[0, -1]].itertuples(), ("has the lowest", "the highest"), strict=True)
    ]
    ranks = alike[["agreement", "ratio", "median_error"]].rank().corr().median_error
    follows = "goes with neither of two measures"
    if abs(ranks.agreement) > CLEAR:
        follows = f"{'rises' if ranks.agreement > 0 else 'falls'} with that agreement"
    if abs(ranks.ratio) > CLEAR:
        follows = f"{'rises' if ranks.ratio > 0 else 'falls'} with the largest ‖gradient‖ / ‖W‖ of any layer before "
        follows += "training"
    return [
        f"**From one initialisation to another, the training error of plain networks of {alike.depth.max()} layers "
        f"{follows}** (exploratory, little evidence; a correlation, no cause). That holds for the medians of "
        f"{len(alike)} initialisations (n = {alike.n.min()} or more), in this order: {', '.join(alike.words)}. In "
        f"{sum(neighbours)} of {len(neighbours)} pairs of neighbours the errors of the seeds overlap, in {ratios} the "
        f"largest ‖gradient‖ / ‖W‖. {capitalised(ends[0])}; {ends[1]}. [Rank correlations](#{PLACE})."
    ]


def trained_in_float32(results: Results) -> list[str]:
    """Whether networks train better in float32, as far as that is known."""
    said = []
    for both in in_both_precisions(results):
        if min(one.n for one in both) > 1:
            errors = [one.error("train") for one in both]
            found = verdicts.difference(*(100 * one for one in errors))
            apart = difference_text(found, "pp") + (": not decided" if found[1] < 0 < found[2] else "")
            ends = " and ".join(f"{percent(one)} % (n = {len(one)})" for one in errors)
            said.append(
                f"Training error of {link(both[1].name)} in float32 and in bfloat16: {ends}, difference {apart}."
            )
    return said or ["Whether that is why they fail is another question, which [float32](#precision) tests."]


def shown(cosine: float, places: int = 2) -> str:
    """Decimal places, without a minus before 0.00."""
    return f"{round(cosine, places) + 0.0:.{places}f}"
