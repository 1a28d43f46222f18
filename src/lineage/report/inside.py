"""What goes on inside the networks: gradients, responses, what residual blocks add, and what bfloat16 changes."""

from pathlib import Path

import pandas as pd

from lineage.report import figures
from lineage.report.markdown import Draw, percent, table
from lineage.report.results import Results, groups


def gradients(results: Results, draw: Draw) -> list[str]:
    path = Path("plots/gradients.csv")
    lines = ["## Gradients", ""]
    if path.is_file():
        measured = pd.read_csv(path)
        title = "Loss gradient by layer before training (one batch of SIGNS; mean, band from least to most of 3 seeds)"
        lines += draw(figures.gradients(measured, title), "gradients.svg", "gradient by layer")
        norms = measured.groupby(["family", "depth", "batch_norm", "initialisation", "layer"]).gradient.mean()
        rows = []
        for (family, depth, batch_norm), one in norms.groupby(level=[0, 1, 2]):
            begun = [one[family, depth, batch_norm, name] for name in figures.INITIALISATIONS]
            rows.append((f"{family}-{depth}", batch_norm, *(way(values.iloc[:-1]) for values in begun)))
        lines += [
            f"Zero is drawn at {figures.TINY:g}. The table has the norms of the gradients in the weights of the last"
        ]
        lines += [
            "convolution and of the first; *vanishes* and *explodes* on the way mean a factor of 100 or more.",
            "",
        ]
        header = " | ".join(["network | batch norm", *figures.INITIALISATIONS])
        lines += table(header, "l l" + " l" * len(figures.INITIALISATIONS), rows)
    if members := groups(results.values()).get("signs32"):
        tables = {key: r.layers.gradient.iloc[:-1].clip(lower=figures.TINY) for key, r in members.items()}
        label, title = "‖∂loss/∂W‖", "Loss gradient by layer after training (SIGNS at 32 pixels, one seed)"
        drawn = figures.inside(tables, label, "place of the layer in %", title, log=True)
        lines += draw(drawn, "gradients-trained.svg", "gradient by layer after training")
        rows = [(f"{family}-{depth}", way(values)) for (family, depth), values in tables.items()]
        lines += table("trained network | from the last convolution to the first", "l l", rows)
    return lines if len(lines) > 2 else []


def way(gradients: pd.Series) -> str:
    """What becomes of the gradient from the last of these layers to the first."""
    first, last = gradients.iloc[0], gradients.iloc[-1]
    return f"{last:.2g} → {first:.2g}, {trend(first, last)}"


def trend(first: float, last: float) -> str:
    if max(first, last) <= figures.TINY:
        return "there is none"
    ratio = first / max(last, figures.TINY)
    return "*explodes*" if ratio >= 100 else "*vanishes*" if ratio <= 0.01 else "neither"


def blocks(results: Results, draw: Draw) -> list[str]:
    if not (members := groups(results.values()).get("signs32")):
        return []
    lines = ["## What the blocks add", "", "Does F(x) tend to zero, as S0 argues? (He et al. 2015, Fig. 7.)", ""]
    responses = {key: result.layers.response.iloc[:-1] for key, result in members.items()}
    title = "Response of each layer, after batch norm"
    drawn = figures.inside(responses, "deviation of the response", "place of the layer in %", title, log=False)
    lines += draw(drawn, "responses.svg", "deviation of the responses by layer")
    additions = {key: found.addition for key, r in members.items() if (found := r.table("blocks")) is not None}
    if additions:
        title = "What each residual block adds beside what it keeps"
        drawn = figures.inside(additions, "‖F(x)‖ / ‖x‖", "place of the block in %", title, log=False)
        lines += draw(drawn, "additions.svg", "what each block adds")
        rows = [
            (f"{family}-{depth}", len(v), f"{v.median():.2f}", f"{v.min():.2f}", f"{v.max():.2f}")
            for (family, depth), v in additions.items()
        ]
        lines += table("network | blocks | median of ‖F(x)‖ / ‖x‖ | least | greatest", "l r r r r", rows)
    return lines


def precision(results: Results, draw: Draw) -> list[str]:
    """A training in float32 beside the same in bfloat16: is it one more seed, or something else?"""
    rows = []
    for name, exact in results.items():
        if (usual := results.get(name.removeprefix("fp32-"))) and usual is not exact:
            for part in ("train", "val", "test"):
                values, one = usual.error(part), exact.error(part)
                within = values.min() <= one.mean() <= values.max()
                ends = f"{100 * values.min():.2f} … {100 * values.max():.2f}"
                rows.append((usual.name, part, len(values), ends, percent(one), "yes" if within else "no"))
    header = "experiment | part | n | errors in bfloat16 | error in float32 | within"
    lines = ["## Precision", "", "One seed in float32: does its error lie among those of the seeds in bfloat16?", ""]
    return [*lines, *table(header, "l l r r r l", rows)] if rows else []
