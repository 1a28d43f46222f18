"""What goes on inside the networks: gradients, responses, what residual blocks add, lesions, and bfloat16."""

from itertools import pairwise

import numpy as np
import pandas as pd

from lineage.report import figures, style, verdicts
from lineage.report.early_gradients import HARMLESS, untrained
from lineage.report.markdown import Draw, difference_text, link, percent, table
from lineage.report.results import Result, Results
from lineage.report.study import GROUPS, PRECISION, Members, groups

GRADIENTS = f"""\
Norms of the loss gradient in each layer's weights, in float32; zero is drawn at {style.TINY:g}. The tables go from the
last convolution to the first layer and name the layer with the largest value. *Explodes* and *vanishes*: by a factor of
{HARMLESS} or more on that way; *huge* and *tiny*: the median layer's is above 1000, or below a millionth."""
AFTER = """\
In front of a batch norm the norm of a layer's weights W changes nothing but its gradient, which is proportional to
1/‖W‖. A step of the learning rate times the gradient therefore turns the weights by an angle of about the learning rate
times the quotient ‖gradient‖ / ‖W‖. *Frozen*: the first layer's quotient is below a millionth of the largest one of
that network, so that it no longer learns."""
FROZEN = 1e-6
BEFORE = """\
What blocks add *before* training is in a row of its own, because much of what one finds after training was there
before it. Where that row is missing it has not been measured, and the figures do not tell what training did."""
MEASURED = "Measured in float32, on 32 training images, in the first seed's network."
LESIONS = """\
One block is removed and the rest answers without it (Veit et al. 2016): a residual block keeps its shortcut, a block of
a plain network becomes the identity where shapes allow. Validation error in per cent, batch norm's statistics
re-estimated for the network as it then is. First seed."""
NEAR = 0.1  # of what a block keeps: what it adds is close to nothing below that


def bases(results: Results) -> dict[str, Members]:
    """The groups whose inside is shown."""
    return {group: members for group, members in groups(results).items() if GROUPS[group].inside}


def gradients(results: Results, draw: Draw) -> list[str]:
    measured, lines = untrained(), []
    if len(measured):
        title = "Loss gradient by layer before training (a batch of SIGNS; median, band from the least to the most)"
        lines += draw(figures.gradients(measured, title), "gradients.svg", "gradient by layer before training")
        norms = measured.groupby(["family", "depth", "batch_norm", "initialisation", "layer"]).gradient.median()
        rows = []
        for (family, depth, batch_norm), one in norms.groupby(level=[0, 1, 2]):
            begun = [one[family, depth, batch_norm, name] for name in style.INITIALISATIONS]
            rows.append((f"{family}-{depth}", batch_norm, *(way(values.iloc[:-1]) for values in begun)))
        header = " | ".join(["network | batch norm", *style.INITIALISATIONS])
        lines += table(header, "l l" + " l" * len(style.INITIALISATIONS), rows)
    for group, members in bases(results).items():
        tables = {key: r.layers.gradient.iloc[:-1] for key, r in members.items()}
        title = f"Loss gradient by layer after training: {group}"
        drawn = figures.inside(tables, "‖∂loss/∂W‖", "place of the layer in %", title, log=True)
        lines += draw(drawn, f"gradients-trained-{group}.svg", f"gradient by layer after training, {group}")
        rows = []
        for key, values in tables.items():
            weights = members[key].layers.weight.iloc[:-1]
            ends = f"{weights.iloc[-1]:.2g} → {weights.iloc[0]:.2g}"
            turned = way(values / weights) + (", *frozen*" if is_frozen(values / weights) else "")
            rows.append((members[key].shown(link(members[key].name)), way(values), ends, turned))
        header = f"{GROUPS[group].title}, after training | ‖gradient‖ | ‖W‖ | ‖gradient‖ / ‖W‖"
        lines += table(header, "l l l l", rows)
    if bases(results):
        lines += [*AFTER.splitlines(), MEASURED, ""]
    return [*GRADIENTS.splitlines(), "", *lines] if lines else []


def is_frozen(quotients: pd.Series) -> bool:
    """Whether the first layer no longer learns beside the others, by ‖gradient‖ / ‖W‖ layer by layer."""
    return bool(quotients.iloc[0] < FROZEN * quotients.max())


def way(gradients: pd.Series) -> str:
    """What becomes of the gradient from the last of these layers to the first."""
    if not np.isfinite(gradients).all():
        return "not finite"
    first, last, size = gradients.iloc[0], gradients.iloc[-1], gradients.median()
    if gradients.max() == 0:
        return "0 in every layer: too small for float32"
    ratio, trend, scale = first / last if last else np.inf, "keeps", ""
    if ratio >= HARMLESS:
        trend = "*explodes*"
    elif ratio <= 1 / HARMLESS:
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
        title = f"Response of each layer, after batch norm: {group}"
        drawn = figures.inside(
            responses, "deviation of the response", "place of the layer in %", title, log=True, share=False
        )
        lines += draw(drawn, f"responses-{group}.svg", f"deviation of the responses by layer, {group}")
        additions = {key: found.addition for key, r in members.items() if (found := r.table("blocks")) is not None}
        if not additions:
            continue
        title = f"What each residual block adds beside what it keeps: {group}"
        drawn = figures.inside(additions, "‖F(x)‖ / ‖x‖", "place of the block in %", title, log=False)
        lines += draw(drawn, f"additions-{group}.svg", f"what each block adds, {group}")
        lines += added(members, responses)
        trained = {depth: additions[family, depth].median() for family, depth in additions}
        lines += tends_to_zero(trained, {depth: responses[family, depth].median() for family, depth in additions})
    question = f"Does F(x) tend to zero, as S0 argues (He et al. 2015, Fig. 7)? {MEASURED}"
    return [question, "", *BEFORE.splitlines(), "", *lines] if lines else []


def added(members: Members, responses: dict[tuple[str, int], pd.Series]) -> list[str]:
    """A row for each residual network, after training and before it."""
    rows = []
    for key, result in members.items():
        for when, name in (("after", "blocks"), ("before", "untrained-blocks")):
            if (found := result.table(name)) is not None:
                v = found.addition
                numbers = [f"{number:.2f}" for number in (v.median(), v.min(), v.max())]
                response = f"{responses[key].median():.2f}" if when == "after" else ""
                rows.append((link(result.name), f"{when} training", len(v), *numbers, response))
    header = "network | when | blocks | median of ‖F(x)‖ / ‖x‖ | smallest | largest | median response"
    return table(header, "l l r r r r r", rows)


def tends_to_zero(additions: dict[int, float], responses: dict[int, float]) -> list[str]:
    """In words what the medians by depth show: of what blocks add, and of the layers' responses, which is what the
    paper measures.
    """
    if len(additions) < 2:
        return []

    def fall(values: dict[int, float]) -> bool:
        return all(deeper < shallower for shallower, deeper in pairwise(values.values()))

    numbers = ", ".join(f"{depth} layers {value:.2f}" for depth, value in additions.items())
    said = (
        "The deeper the network, the less its median block adds" if fall(additions) else "Deeper networks add no less"
    )
    deepest = [*additions.values()][-1]
    near = f"is close to nothing (below {NEAR:g})" if deepest < NEAR else f"is not close to nothing (below {NEAR:g})"
    numbers_of = ", ".join(f"{value:.2f}" for value in responses.values())
    falls = "fall with depth" if fall(responses) else "do not fall with depth"
    return [
        f"{said}: {numbers}, as a part of what it keeps. In the deepest that {near}. The responses, which are the "
        f"paper's measure, {falls} ({numbers_of}).",
        "",
    ]


def lesions(results: Results, draw: Draw) -> list[str]:
    """What the networks lose without one of their blocks."""
    rows = []
    for name, result in results.items():
        if (found := result.table("lesions")) is None:
            continue
        found = found[found.statistics == "re-estimated"]
        for trained, one in found.groupby("trained", sort=False):
            errors = 100 * one[one.block != "intact"].val_error
            if len(errors):
                intact = 100 * one[one.block == "intact"].val_error.iloc[0]
                numbers = [f"{number:.1f}" for number in (intact, errors.median(), errors.max())]
                rows.append((link(name), trained, len(errors), *numbers))
    header = "network | trained | blocks removed, one at a time | intact | median without one | worst without one"
    return [*LESIONS.splitlines(), "", *table(header, "l l r r r r", rows)] if rows else []


def precision(results: Results, draw: Draw) -> list[str]:
    """The same training in float32 and in bfloat16. A single seed gives no verdict."""
    rows = []
    for exact, usual in PRECISION:
        if exact in results and usual in results:
            for part, words in (("train", "training"), ("val", "validation"), ("test", "test")):
                rows.append((link(usual), words, *_both(results[usual], results[exact], part)))
    header = "experiment | split | error in bfloat16 (%) | range of its seeds | error in float32 (%) | n | "
    header += "float32 – bfloat16 (95 % interval)"
    text = "The same networks trained in float32 and in bfloat16. One seed in float32 gives no verdict."
    return [text, "", *table(header, "l l r r r r l", rows)] if rows else []


def _both(usual: Result, exact: Result, part: str) -> tuple[str, ...]:
    errors, exactly = 100 * usual.error(part), 100 * exact.error(part)
    ends = f"{errors.min():.2f} … {errors.max():.2f}"
    said = "no verdict: one seed"
    if min(len(errors), len(exactly)) > 1:
        said = difference_text(verdicts.difference(exactly, errors), "pp")
    return percent(errors / 100), ends, percent(exactly / 100), f"{len(errors)} / {len(exactly)}", said
