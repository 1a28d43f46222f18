"""Why deep plain networks fail: the experiments that change one thing each, as far as they have run."""

from lineage.report import crossing
from lineage.report.depth import started
from lineage.report.markdown import Draw, link, percent, span, table
from lineage.report.outcomes import describes, in_last_layer
from lineage.report.results import Result, Results
from lineage.report.study import WHY

TEXT = """\
Why they fail is not settled. With batch norm, gradients of a plain network grow towards its first layers before any
training (see [gradients](#gradients)), and so does the first step. Is it the size of the first steps, or the
initialisation? Each row says what is changed on purpose; the machine and the number of seeds may differ, too. The Dirac
initialisation makes each 3×3 kernel but the first the identity plus a tenth of He's weights. Behind batch norm and ReLU
a plain network is then not the identity. A residual one is even further from it: each block adds a normalised copy of
its input. Only in front of batch norm does ‖gradient‖ / ‖W‖ say how far a step turns the weights. The last layer, a
linear one, has none behind it, and its ratio does not compare with those of convolutions. Where it is the largest, the
row says so (*last layer*)."""
TOLD_APART = f"[Further below](#{crossing.PLACE}) the norms of the first gradients alone are exchanged."


def section(results: Results, draw: Draw) -> list[str]:
    """The experiments on why deep plain networks fail, as far as they have run."""
    rows = []
    for name, changed in WHY.items():
        if result := results.get(name):
            first = beginning(result) or "not measured"
            rows.append((link(name), changed, first, started(result), percent(result.error("train"))))
    measured = any(row[2] != "not measured" for row in rows)
    kept = [row if measured else row[:2] + row[3:] for row in rows]
    first = "largest ‖gradient‖ / ‖W‖ before the first step | " if measured else ""
    header = f"network | what is changed | {first}started | training error (%)"
    lines = table(header, "l l r r r" if measured else "l l r r", kept) if rows else []
    waiting = [link(name) for name in WHY if name not in results]
    lines += [f"Not run yet: {', '.join(waiting)}.", ""] if rows and waiting else []
    told_apart = [TOLD_APART] if crossing.read() else []
    return [*TEXT.splitlines(), *told_apart, "", *lines, *concluded(results)] if rows else []


def concluded(results: Results) -> list[str]:
    """What to know of what was tried with each network that does not start to train as it is."""
    said = []
    for base in (results[name] for name, changed in WHY.items() if changed == "nothing" and name in results):
        tried = [results[name] for name in WHY if name in results and name != base.name and alike(results[name], base)]
        if base.started().any() or not tried:
            continue
        text = ""
        limited = [result for result in tried if result.experiment.recipe.trust or result.experiment.recipe.clip]
        moved = [r for r in tried if r.experiment.network.initialisation != base.experiment.network.initialisation]
        if limited and not any(r.started().any() for r in limited) and any(r.started().any() for r in moved):
            text += (
                f" No seed of {link(base.name)} started with the limits on the steps that were tried, which does not "
                "exclude that others help: clipping, for instance, scales the gradients of all layers down alike. With "
                "another initialisation seeds started. It changes the weights and the first gradients together."
            )
        for result in tried:
            if result.experiment.network.normalisation == "none" and beginning(result) and not result.started().any():
                text += (
                    " Without batch norm two things change, and the steps may be too small: the largest ‖gradient‖ / "
                    f"‖W‖ is {beginning(result)} there, times a learning rate of {result.experiment.recipe.lr:g}."
                )
        said += [text.strip()] if text else []
    return [*said, ""] if said else []


def alike(one: Result, other: Result) -> bool:
    """Whether two plain or residual networks on the same data differ in neither depth nor shortcuts."""
    first, second = describes(one), describes(other)
    if not (first and second):  # of other networks
        return False
    return one.experiment.dataset == other.experiment.dataset and first[:2] == second[:2]


def beginning(result: Result) -> str:
    """The range over the seeds of the largest ‖gradient‖ / ‖W‖ of a layer before training, and whether that is the last
    layer; empty if not measured.
    """
    if (measured := result.table("beginnings")) is None:
        return ""
    return f"{span(measured.initial_gradient_ratio)}{in_last_layer(measured.layer)}"
