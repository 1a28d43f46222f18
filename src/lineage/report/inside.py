"""What goes on inside the networks, before and after training: gradients, responses, what residual blocks add."""

from itertools import pairwise

import numpy as np
import pandas as pd

from lineage.report import figures, gradient_growth, style
from lineage.report.early_gradients import HARMLESS, untrained
from lineage.report.markdown import Draw, link, table
from lineage.report.results import Result, Results
from lineage.report.study import GROUPS, Members, groups

GRADIENTS = f"""\
Norms of the loss gradient in the weights of each layer but the last, which is fully connected, in float32; zero is
drawn at {style.TINY:g}. *a → b*: a in the last convolution, b in the first. *Explodes* and *vanishes*: b is larger
or smaller than a by a factor of {HARMLESS} or more, *keeps*: by less; *huge* and *tiny*: the median layer's norm is
above 1000, or below a millionth. The first table shows medians over three draws of the weights from He's
distribution, from PyTorch's default, and from a normal distribution with standard deviation 0.01."""
AFTER = """\
In a layer followed by batch norm, the norm of its weights W does not change the output, and the gradient is
proportional to 1/‖W‖. A step of the learning rate times the gradient therefore turns the weights by an angle of about
the learning rate times the ratio ‖gradient‖ / ‖W‖. *Frozen*: the first layer's ratio is below a millionth of the
largest one of that network, so a step turns it less than a millionth as far."""
FROZEN = 1e-6
BEFORE = """\
*Before training* is in a row of its own, because much of what one finds after training was there before it. Where that
row is missing, it has not been measured."""
MEASURED = "Measured in float32, on 32 training images, in the first seed's network."
ADDED = "network | when | blocks | median of ‖F(x)‖ / ‖x‖ | smallest | largest | median response"
NEAR = 0.1  # of what a block keeps: what it adds is close to nothing below that


def bases(results: Results) -> dict[str, Members]:
    """The groups whose inside is shown."""
    return {group: members for group, members in groups(results).items() if GROUPS[group].inside}


def gradients(results: Results, draw: Draw) -> list[str]:
    measured, lines = untrained(), []
    if len(measured):
        title = "Loss gradient by layer before training (a batch of SIGNS; median, band: lowest to highest)"
        lines += draw(figures.gradients(measured, title), "gradients.svg", "gradient by layer before training")
        norms = measured.groupby(["family", "depth", "batch_norm", "initialisation", "layer"]).gradient.median()
        rows = []
        for (family, depth, batch_norm), one in norms.groupby(level=[0, 1, 2]):
            begun = [one[family, depth, batch_norm, name] for name in style.INITIALISATIONS]
            rows.append((f"{family}-{depth}", batch_norm, *(way(values.iloc[:-1]) for values in begun)))
        header = " | ".join(["network | batch norm", *style.INITIALISATION_WORDS.values()])
        lines += table(header, "l l" + " l" * len(style.INITIALISATIONS), rows)
        lines += gradient_growth.section()
    for group, members in bases(results).items():
        tables = {key: r.layers.gradient.iloc[:-1] for key, r in members.items()}
        title = f"Loss gradient by layer after training: {GROUPS[group].title}"
        drawn = figures.inside(tables, "‖∂loss/∂W‖", "place of the layer in %", title, log=True)
        lines += draw(drawn, f"gradients-trained-{group}.svg", f"gradient by layer after training, {group}")
        rows = [row for result in members.values() for row in turning(result)]
        header = f"{GROUPS[group].title} | when | ‖gradient‖ | ‖W‖ | ‖gradient‖ / ‖W‖"
        lines += table(header, "l l l l l", rows)
    if bases(results):
        lines += [*AFTER.splitlines(), MEASURED, ""]
    return [*GRADIENTS.splitlines(), "", *lines] if lines else []


def turning(result: Result) -> list[tuple[str, ...]]:
    """A row after training, and one before it where that has been measured: how far a step turns the weights."""
    rows = []
    for when, layers in (("after", result.layers), ("before", result.table("untrained-layers"))):
        if layers is not None:
            gradient, weight = layers.gradient.iloc[:-1], layers.weight.iloc[:-1]
            turned = way(gradient / weight)
            if when == "after" and is_frozen(gradient / weight):
                turned += ", *frozen*"
            ends = f"{weight.iloc[-1]:.2g} → {weight.iloc[0]:.2g}"
            rows.append((result.shown(link(result.name)), f"{when} training", way(gradient), ends, turned))
    return rows


def is_frozen(quotients: pd.Series) -> bool:
    """Whether a step turns the first layer hardly at all beside the others, by ‖gradient‖ / ‖W‖ layer by layer."""
    return bool(quotients.iloc[0] < FROZEN * quotients.max())


def vanishes(gradients: pd.Series) -> bool:
    """Whether the first layer's is smaller than the last one's by a factor of `HARMLESS` or more, as far as they are
    numbers above 0.
    """
    first, last = gradients.iloc[0], gradients.iloc[-1]
    return bool(np.isfinite(gradients).all() and last > 0 and HARMLESS * first <= last)


def way(gradients: pd.Series) -> str:
    """What becomes of the gradient from the last of these layers to the first."""
    if not np.isfinite(gradients).all():
        return "not finite"
    first, last, size = gradients.iloc[0], gradients.iloc[-1], gradients.median()
    if gradients.max() == 0:
        return "0 in every layer: too small for float32"
    trend, scale = "keeps", ""
    if first >= HARMLESS * last:
        trend = "*explodes*"
    elif vanishes(gradients):
        trend = "*vanishes*"
    if size > 1e3:
        scale = ", *huge*"
    elif size < 1e-6:
        scale = ", *tiny*"
    return f"{last:.2g} → {first:.2g}, {trend}{scale} (largest in layer {int(gradients.to_numpy().argmax()) + 1})"


def blocks(results: Results, draw: Draw) -> list[str]:
    lines = []
    for group, members in bases(results).items():
        responses = {key: result.layers.response.iloc[:-1] for key, result in members.items()}
        title = f"Response of each layer, after batch norm: {GROUPS[group].title}"
        drawn = figures.inside(
            responses, "standard deviation of the response", "place of the layer in %", title, log=True, share=False
        )
        lines += draw(drawn, f"responses-{group}.svg", f"standard deviation of the responses by layer, {group}")
        additions = {key: found.addition for key, r in members.items() if (found := r.table("blocks")) is not None}
        if not additions:
            continue
        title = f"What each residual block adds beside what it keeps: {GROUPS[group].title}"
        drawn = figures.inside(additions, "‖F(x)‖ / ‖x‖", "place of the block in %", title, log=False)
        lines += draw(drawn, f"additions-{group}.svg", f"what each block adds, {group}")
        lines += table(ADDED, "l l r r r r r", [row for result in members.values() for row in added(result)])
        trained = {depth: additions[family, depth].median() for family, depth in additions}
        untrained = {key: members[key].table("untrained-blocks") for key in additions}
        begun = {depth: found.addition.median() for (_, depth), found in untrained.items() if found is not None}
        response = {depth: responses[family, depth].median() for family, depth in additions}
        lines += tends_to_zero(trained, begun, response)
    question = "S0 argues that F(x) = 0 is easy to learn. Is F(x) close to 0 after training (compare He et al. 2015, "
    question += f"Fig. 7)? {MEASURED}"
    return [question, "", *BEFORE.splitlines(), "", *lines] if lines else []


def added(result: Result) -> list[tuple[str | int, ...]]:
    """A row for a residual network after training, and one before it where that has been measured."""
    rows = []
    for when, start in (("after", ""), ("before", "untrained-")):
        if (found := result.table(f"{start}blocks")) is not None:
            v, layers = found.addition, result.table(f"{start}layers")
            numbers = [f"{number:.2f}" for number in (v.median(), v.min(), v.max())]
            response = "" if layers is None else f"{layers.response.iloc[:-1].median():.2f}"
            rows.append((link(result.name), f"{when} training", len(v), *numbers, response))
    return rows


def tends_to_zero(additions: dict[int, float], begun: dict[int, float], responses: dict[int, float]) -> list[str]:
    """In words what the medians by depth show: of what blocks add after training, of what they add before it
    (`begun`), and of the layers' responses, which is what the paper measures.
    """
    if len(additions) < 2:
        return []

    def fall(values: dict[int, float]) -> bool:
        return all(deeper < shallower for shallower, deeper in pairwise(values.values()))

    def listed(values: dict[int, float]) -> str:
        return ", ".join(f"{depth} layers {value:.2f}" for depth, value in values.items())

    said, responded = "What the median block adds", "are "
    if len(additions) > 2:  # two numbers are no trend
        said = "The deeper the network, the less its median block adds"
        said = said if fall(additions) else "What the median block adds does not fall at every step of depth"
        responded = "fall with depth: " if fall(responses) else "do not fall with depth: "
    deepest = [*additions.values()][-1]
    near = f"is below {NEAR:g}" if deepest < NEAR else f"is still above {NEAR:g}"
    responded += ", ".join(f"{value:.2f}" for value in responses.values())
    before = f" Before training it was {listed(begun)}." if begun else ""
    return [
        f"{said}: {listed(additions)}, relative to what it keeps. In the deepest network that {near}; below that we "
        f"call it close to zero.{before} The responses, which He et al. measured, {responded}. First seed of each "
        "network. Batch norm's scale, by which they are multiplied, begins at 1.",
        "",
    ]
