"""What goes on inside the networks: gradients, responses, what residual blocks add, and what bfloat16 changes."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from lineage.report import figures, style
from lineage.report.markdown import Draw, percent, table
from lineage.report.results import Members, Results, groups

GRADIENTS = f"""\
Norms of the gradients in the layers' weights, in float32; zero is drawn at {style.TINY:g}. The tables have the last
convolution's → the first layer's, and the layer where it is greatest. *Explodes* and *vanishes*: by a factor of 100 or
more on that way back; *huge* and *tiny*: the median layer's is above 1000, or below a millionth."""
AFTER = """\
Before a batch norm the size of a layer's weights W changes nothing but its gradient, which is proportional to 1/‖W‖. A
step turns the weights by an angle that is proportional to the quotient ‖gradient‖ / ‖W‖: it tells whether a layer still
learns, and where it is tiny the layer is frozen."""
BEFORE = """\
What the blocks of the untrained networks add has not been measured yet, so these figures do not tell what training did
from what the initialisation already had."""
MEASURED = "Measured in float32, on 32 training images, in the first seed's network."
NEAR = 0.1  # of what a block keeps: what it adds is close to nothing below that


def bases(results: Results) -> dict[str, Members]:
    """The comparisons with the standard training."""
    return {group: members for group, members in groups(results.values()).items() if "-" not in group}


def gradients(results: Results, draw: Draw) -> list[str]:
    path, lines = Path("plots/gradients.csv"), []
    if path.is_file():
        measured = pd.read_csv(path)
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
            rows.append((members[key].shown("-".join(map(str, key))), way(values), ends, way(values / weights)))
        lines += table(f"{group}, after training | gradient | ‖W‖ | gradient / ‖W‖", "l l l l", rows)
    if bases(results):
        lines += [*AFTER.splitlines(), MEASURED, ""]
    return [*GRADIENTS.splitlines(), "", *lines] if lines else []


def way(gradients: pd.Series) -> str:
    """What becomes of the gradient from the last of these layers to the first."""
    if not np.isfinite(gradients).all():
        return "not finite"
    first, last, size = gradients.iloc[0], gradients.iloc[-1], gradients.median()
    if gradients.max() == 0:
        return "0 in every layer: too small for float32"
    ratio = first / last if last else np.inf
    trend = "*explodes*" if ratio >= 100 else "*vanishes*" if ratio <= 0.01 else "keeps"
    trend += ", *huge*" if size > 1e3 else ", *tiny*" if size < 1e-6 else ""
    return f"{last:.2g} → {first:.2g}, {trend} (greatest in layer {int(gradients.to_numpy().argmax()) + 1})"


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
        rows = []
        for (family, depth), v in additions.items():
            numbers = v.median(), v.min(), v.max(), responses[family, depth].median()
            rows.append((f"{family}-{depth}", len(v), *(f"{number:.2f}" for number in numbers)))
        header = f"{group} | blocks | median of ‖F(x)‖ / ‖x‖ | least | greatest | median response"
        lines += table(header, "l r r r r r", rows)
        medians = [{depth: of[family, depth].median() for family, depth in additions} for of in (additions, responses)]
        spared = {members[key].experiment.recipe.decay for key in additions} == {"kernels"}
        lines += tends_to_zero(*medians, spared)
    question = f"Does F(x) tend to zero, as S0 argues (He et al. 2015, Fig. 7)? {MEASURED}"
    before = (
        [] if any(r.table("untrained-blocks") is not None for r in results.values()) else [*BEFORE.splitlines(), ""]
    )
    return [question, "", *before, *lines] if lines else []


def tends_to_zero(additions: dict[int, float], responses: dict[int, float], spared: bool) -> list[str]:
    """The answer in words, from the medians by depth: of what blocks add beside what they keep, and of the layers'
    responses, which is what the paper measures; `spared`: batch norms' weights do not decay.
    """
    if len(additions) < 2:
        return []

    def fall(values: dict[int, float]) -> bool:
        return all(deeper < shallower for shallower, deeper in pairwise(values.values()))

    numbers = ", ".join(f"{depth} layers {value:.2f}" for depth, value in additions.items())
    said = "The deeper the network, the less a block adds" if fall(additions) else "Deeper networks' blocks add no less"
    near = f"close to nothing (below {NEAR:g})" if [*additions.values()][-1] < NEAR else "far from nothing"
    said = f"{said}: {numbers} of what it keeps, in the median block. In the deepest that is {near}."
    numbers = ", ".join(f"{value:.2f}" for value in responses.values())
    falls = "fall, too" if fall(responses) else "do not fall with depth"
    said += f" The responses, which are the paper's measure, {falls} ({numbers})"
    said += ": what is kept grows instead." if fall(additions) and not fall(responses) else "."
    if spared:
        said += " They are the size of batch norm's weights, which decay in the paper, and not here."
    return [said, ""]


def precision(results: Results, draw: Draw) -> list[str]:
    """A training in float32 beside the same in bfloat16: is it one more seed, or something else?"""
    rows = []
    for name, exact in results.items():
        if (usual := results.get(name.removeprefix("fp32-"))) and usual is not exact:
            for part in ("train", "val", "test"):
                values, one = usual.error(part), exact.error(part)
                low, high = one_more(values)
                within = low <= one.mean() <= high
                ends = f"{100 * max(0, low):.2f} … {100 * high:.2f}"
                rows.append(
                    (usual.name, part, len(values), percent(values), ends, percent(one), "yes" if within else "no")
                )
    header = "experiment | part | n | errors in bfloat16 | one more seed would have | error in float32 | within"
    lines = [
        "One seed in float32: could it be one more of those in bfloat16 (95 % prediction interval)? A single seed",
        "can show a large difference, but not that there is none.",
        "",
    ]
    return [*lines, *table(header, "l l r r r r l", rows)] if rows else []


def one_more(values: pd.Series) -> tuple[float, float]:
    """Student's 95 % prediction interval of a further value."""
    n = len(values)
    half = stats.t.ppf(0.975, n - 1) * values.std() * (1 + 1 / n) ** 0.5 if n > 1 else np.inf
    return values.mean() - half, values.mean() + half
