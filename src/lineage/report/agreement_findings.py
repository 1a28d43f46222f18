"""The findings on networks before their training: whether batches agree, and what the training error then goes with."""

from collections.abc import Callable
from typing import NamedTuple

import pandas as pd

from lineage.files import read_json
from lineage.report import verdicts
from lineage.report.markdown import difference_text, link, percent
from lineage.report.outcomes import RECIPES, deepest, gathered, untrained
from lineage.report.results import Results
from lineage.report.study import PRECISION

SHOWN = (20, 56, 110)  # depths in the finding
CLEAR = 0.8  # a rank correlation
LOST = 0.1  # a cosine: of a gradient and of what rounding leaves of it
WHO = {
    ("plain", "he"): "plain networks with He's initialisation",
    ("resnet", "he"): "residual ones",
    ("plain", "dirac"): "plain ones with the Dirac initialisation",
}
PLACE = "do-different-batches-ask-for-the-same-step"


def finding(results: Results) -> list[str]:
    """Two sentences: how far batches agree before training, and what the training error of the deepest plain network
    goes with from one initialisation to another.
    """
    found = gathered(results)
    if found.empty:
        return []
    usual = found[found.normalisation == "batch"]
    agreed = by_depth(usual, lambda one: f"{one.agreement:.3f} (shuffled labels: {one.shuffled:.3f})")
    first = (
        "**Before training, the gradients of two batches are almost orthogonal in deep plain networks, and not in "
        f"residual ones.** Mean cosine, median convolution (n = {untrained().seed.nunique()}): {agreed}. What "
        f"is left with shuffled labels does not come from the classes. [More](#{PLACE})."
    )
    said = [first, *rounding(usual, results)]
    alike = deepest(found).sort_values("error")
    if not set(read_json(RECIPES)) & set(alike.initialisation):
        return said
    came = [
        f"{one.words}: {one.shown} % ({one.started} of {one.n} started, ratio {digits(one.ratio)}, agreement "
        f"{one.agreement:.3f})"
        for one in alike.itertuples()
    ]
    ranks = alike[["agreement", "ratio", "error"]].rank().corr().error
    follows = "rises with the largest ‖gradient‖ / ‖W‖ of any layer before training"
    if not ranks.ratio > CLEAR:
        follows = "falls with that agreement" if -ranks.agreement > CLEAR else "goes with neither of two measures"
    second = (
        f"**From one initialisation to another, the training error of plain networks of {alike.depth.max()} layers "
        f"{follows}** (exploratory). {'; '.join(came)}. The ratio is the geometric mean of ‖gradient‖ / ‖W‖ over the "
        f"seeds. {compared(found)}"
    )
    return [*said, second]


def by_depth(networks: pd.DataFrame, say: Callable[[NamedTuple], str]) -> str:
    """What `say` says of the networks of `WHO`, with their depths."""
    said = []
    for (family, initialisation), who in WHO.items():
        some = networks[(networks.family == family) & (networks.initialisation == initialisation)]
        values = [f"{say(one)} with {one.depth} layers" for one in some.itertuples() if one.depth in SHOWN]
        said += [f"{who} {', '.join(values)}"] if values else []
    return "; ".join(said)


def rounding(networks: pd.DataFrame, results: Results) -> list[str]:
    """What is left of the gradients of untrained networks with batch norm if they are computed in lower precision."""
    measured = networks.dropna(subset="bf16")
    plain = measured[(measured.family == "plain") & (measured.initialisation == "he")]
    if plain.empty or plain.sort_values("depth").bf16.iloc[-1] > LOST:
        return []
    lost = plain[plain.bf16 < LOST].depth.min()
    rounded = by_depth(measured, lambda one: f"{shown(one.bf16)} and {shown(one.fp32)}")
    return [
        f"**From He's initialisation, rounding leaves little of the gradients of plain networks of {lost} layers and "
        "more, before training.** Cosine between a batch's gradient in bfloat16 and in float64, then between that in "
        f"float32 and in float64 (median convolution): {rounded}. {trained_in_float32(results)} "
        f"[More](#{PLACE})."
    ]


def trained_in_float32(results: Results) -> str:
    """Whether networks train better in float32, as far as that is known."""
    said = []
    for exact, usual in PRECISION:
        both = [results[name] for name in (exact, usual) if name in results]
        if len(both) == 2 and min(one.n for one in both) > 1:
            errors = [one.error("train") for one in both]
            apart = difference_text(verdicts.difference(*(100 * one for one in errors)), "pp")
            ends = " and ".join(f"{percent(one)} % (n = {len(one)})" for one in errors)
            said.append(f"Training error of {link(usual)} in float32 and in bfloat16: {ends}, difference {apart}.")
    return " ".join(said) or "Whether that is why they fail is another question, which [float32](#precision) tests."


def compared(found: pd.DataFrame) -> str:
    """What the training error goes with, among the deepest plain networks and among all with batch norm."""
    alike, normal = deepest(found), found[(found.normalisation == "batch") & (found.n > 0)]
    series = int(alike.initialisation.str.startswith("random-").sum()) + int("dirac" in set(alike.initialisation))
    near, far = (some[["agreement", "ratio", "error"]].rank().corr().error for some in (alike, normal))
    return (
        f"Rank correlation of the training error with the ratio {near.ratio:.2f}, with agreement {near.agreement:.2f}, "
        f"over {len(alike)} initialisations of plain networks of {alike.depth.max()} layers, of which {series} differ "
        f"in the share of He's weights alone: little evidence. Over all {len(normal)} networks with batch norm in the "
        f"table it is {far.ratio:.2f} and {far.agreement:.2f}. Whether the ratio is a cause is open: "
        "[limits on the steps](#why-do-deep-plain-networks-fail) and [gradients of the same relative "
        "length](#do-they-train-if-all-gradients-have-the-same-relative-length) test that, too."
    )


def shown(cosine: float) -> str:
    """Two decimal places, without a minus before 0.00."""
    return f"{round(cosine, 2) + 0.0:.2f}"


def digits(value: float) -> str:
    """Two digits, in full up to thousands."""
    return f"{value:.2g}" if value < 100 or value >= 10_000 else f"{value:,.0f}"
