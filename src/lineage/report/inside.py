"""What goes on inside the networks: gradients, responses, what residual blocks add, and what bfloat16 changes."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from lineage.report import figures
from lineage.report.markdown import Draw, percent, table
from lineage.report.results import Results, groups

GRADIENTS = f"""\
Norms of the gradients in the layers' weights; zero is drawn at {figures.TINY:g}. The tables have the last
convolution's → the first layer's, and the layer where it is greatest. *Explodes* and *vanishes*: by a factor of 100 or
more on that way back; *huge* and *tiny*: the median layer's is above 1000, or below a millionth."""
MEASURED = "Measured in float32, on 32 training images, in the first seed's network."


def gradients(results: Results, draw: Draw) -> list[str]:
    path, lines = Path("plots/gradients.csv"), []
    if path.is_file():
        measured = pd.read_csv(path)
        title = "Loss gradient by layer before training (a batch of SIGNS; median, band from the least to the most)"
        lines += draw(figures.gradients(measured, title), "gradients.svg", "gradient by layer before training")
        norms = measured.groupby(["family", "depth", "batch_norm", "initialisation", "layer"]).gradient.median()
        rows = []
        for (family, depth, batch_norm), one in norms.groupby(level=[0, 1, 2]):
            begun = [one[family, depth, batch_norm, name] for name in figures.INITIALISATIONS]
            rows.append((f"{family}-{depth}", batch_norm, *(way(values.iloc[:-1]) for values in begun)))
        header = " | ".join(["network | batch norm", *figures.INITIALISATIONS])
        lines += table(header, "l l" + " l" * len(figures.INITIALISATIONS), rows)
    if members := groups(results.values()).get("signs32"):
        tables = {key: r.layers.gradient.iloc[:-1] for key, r in members.items()}
        label, title = "‖∂loss/∂W‖", "Loss gradient by layer after training (SIGNS at 32 pixels)"
        drawn = figures.inside(tables, label, "place of the layer in %", title, log=True)
        lines += draw(drawn, "gradients-trained.svg", "gradient by layer after training")
        rows = [(members[key].shown("-".join(map(str, key))), way(values)) for key, values in tables.items()]
        lines += [*table("after training | loss gradient", "l l", rows), MEASURED, ""]
    return [*GRADIENTS.splitlines(), "", *lines] if lines else []


def way(gradients: pd.Series) -> str:
    """What becomes of the gradient from the last of these layers to the first."""
    if not np.isfinite(gradients).all():
        return "not finite"
    first, last, size = gradients.iloc[0], gradients.iloc[-1], gradients.median()
    if gradients.max() == 0:
        return "none: 0 in every layer"
    ratio = first / last if last else np.inf
    trend = "*explodes*" if ratio >= 100 else "*vanishes*" if ratio <= 0.01 else "keeps"
    trend += ", *huge*" if size > 1e3 else ", *tiny*" if size < 1e-6 else ""
    return f"{last:.2g} → {first:.2g}, {trend} (greatest in layer {int(gradients.to_numpy().argmax()) + 1})"


def blocks(results: Results, draw: Draw) -> list[str]:
    if not (members := groups(results.values()).get("signs32")):
        return []
    lines = [f"Does F(x) tend to zero, as S0 argues (He et al. 2015, Fig. 7)? {MEASURED}", ""]
    responses = {key: result.layers.response.iloc[:-1] for key, result in members.items()}
    title = "Response of each layer, after batch norm"
    drawn = figures.inside(responses, "deviation of the response", "place of the layer in %", title, log=True)
    lines += draw(drawn, "responses.svg", "deviation of the responses by layer")
    additions = {key: found.addition for key, r in members.items() if (found := r.table("blocks")) is not None}
    if additions:
        title = "What each residual block adds beside what it keeps"
        drawn = figures.inside(additions, "‖F(x)‖ / ‖x‖", "place of the block in %", title, log=False)
        lines += draw(drawn, "additions.svg", "what each block adds")
        rows = [
            (f"{family}-{depth}", len(v), *(f"{value:.2f}" for value in (v.median(), v.min(), v.max())))
            for (family, depth), v in additions.items()
        ]
        lines += table("network | blocks | median of ‖F(x)‖ / ‖x‖ | least | greatest", "l r r r r", rows)
        lines += tends_to_zero({depth: values.median() for (_, depth), values in additions.items()})
    return lines


def tends_to_zero(by_depth: dict[int, float]) -> list[str]:
    """The answer in words, from the median of the blocks' additions by depth."""
    if len(by_depth) < 2:
        return []
    values = list(by_depth.values())
    falls = all(deeper < shallower for shallower, deeper in pairwise(values))
    said = "The deeper the network, the less a block adds" if falls else "Deeper networks' blocks do not add less each"
    near = "close to nothing" if values[-1] < 0.1 else "far from nothing"
    numbers = ", ".join(f"{depth} layers {value:.2f}" for depth, value in by_depth.items())
    return [f"{said}: {numbers} of what it keeps, in the median block. In the deepest that is {near}.", ""]


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
    lines = ["One seed in float32: could it be one more of those in bfloat16 (95 % prediction interval)?", ""]
    return [*lines, *table(header, "l l r r r r l", rows)] if rows else []


def one_more(values: pd.Series) -> tuple[float, float]:
    """Student's 95 % prediction interval of a further value."""
    n = len(values)
    half = stats.t.ppf(0.975, n - 1) * values.std() * (1 + 1 / n) ** 0.5 if n > 1 else np.inf
    return values.mean() - half, values.mean() + half
