"""What else `evaluate` tried on the trained networks: blocks removed, batch norm's statistics re-estimated, what local
response normalisation divides by, float32 beside bfloat16.
"""

import pandas as pd

from lineage.report import figures, verdicts
from lineage.report.inside import bases
from lineage.report.markdown import Draw, difference_text, link, long_table, percent, table
from lineage.report.results import Result, Results
from lineage.report.study import GROUPS, in_both_precisions

LESIONS = """\
One block is removed and the rest answers without it (Veit et al. 2016): a residual block keeps its shortcut, a block of
a plain network becomes the identity where shapes allow. Of untrained networks at most nine blocks are removed. Errors
are on at most 1,000 validation images, in per cent. Batch norm's statistics are estimated again for the network without
the block, from 64 training images. (The next section has other statistics, and at most 500 validation images.)
First seed. An untrained network guesses with or without a block. There the *correlation* of its answers (logits) with
those of the intact network tells more: it is 1 where the block makes no difference, and not defined (–) where all
answers are the same."""
STATISTICS = """\
A trained network normalises by running averages of batch norm's statistics. Where these lag behind the weights, part of
the error is theirs and not the network's. Here the statistics are estimated again from at most 500 training images, and
the errors are on these and on at most 500 validation images, after the last epoch. First seed. One image of SIGNS's
validation split is 0.93 %."""
LRN = """\
Local response normalisation divides each response by a number that depends on its neighbours. Where the smallest and
the largest of these numbers are nearly equal, it divides by a constant, which the weights of the next layer can
undo. Then a comparison with and without it says little about normalisation. With the paper's alpha of 1e-4 that
would be so here: it belongs to activations on the scale of pixel values, and ours, of normalised images, are
smaller. So alpha is 0.4 (64² times as much; 64 is about the standard deviation of pixel values); that was not tuned.
On 32 training images, first seed."""
SPREAD = {"min": "least", "p05": "5 %", "median": "median", "p95": "95 %", "max": "most"}


def lesions(results: Results, draw: Draw) -> list[str]:
    """What the networks lose without one of their blocks."""
    found, rows = {name: lesion for name, r in results.items() if (lesion := re_estimated(r)) is not None}, []
    for name, measured in found.items():
        for trained, one in measured.groupby("trained", sort=False):
            without = one[one.block != "intact"]
            if len(without):
                errors = 100 * without.val_error
                intact = 100 * one[one.block == "intact"].val_error.iloc[0]
                numbers = [f"{number:.1f}" for number in (intact, errors.median(), errors.max())]
                median = without.correlation.median()
                rows.append((link(name), trained, len(without), *numbers, "–" if pd.isna(median) else f"{median:.2f}"))
    lines = []
    for group, members in bases(results).items():
        errors = {}
        for key, result in members.items():
            if result.name in found:
                one = found[result.name]
                errors[key] = 100 * one[(one.trained == "yes") & (one.block != "intact")].val_error
        errors = {key: values for key, values in errors.items() if len(values)}
        if errors:
            title = f"Validation error without one block: {GROUPS[group].title}"
            drawn = figures.inside(errors, "error in %", "place of the block in %", title, log=False)
            lines += draw(drawn, f"lesions-{group}.svg", f"validation error without one block, {GROUPS[group].title}")
    header = "network | trained | blocks removed, one at a time | intact | median without one | worst without one | "
    header += "median correlation"
    lines += long_table("Lesions of every network", header, "l l r r r r r", rows)
    return [*LESIONS.splitlines(), "", *lines, *cost(found, results)] if rows else []


def cost(found: dict[str, pd.DataFrame], results: Results) -> list[str]:
    """What removing one block costs trained plain networks beside trained residual ones of the same group and depth. A
    network that did not start to train has nothing to lose.
    """
    said = []
    for group in GROUPS.values():
        for (family, layers), name in group.members.items():
            pair = {"plain": name, "residual": group.members.get(("resnet", layers), "")}
            if family != "plain" or not all(member in found for member in pair.values()):
                continue
            words = []
            for kind, member in pair.items():
                trained = found[member][found[member].trained == "yes"]
                without = trained[trained.block != "intact"].val_error
                added = 100 * (without - trained[trained.block == "intact"].val_error.iloc[0])
                words.append(f"{added.median():.1f} pp in the {kind} network (at most {added.max():.1f})")
                if not results[member].started().iloc[0]:
                    words[-1] = f"nothing in the {kind} network, which did not start to train,"
            said.append(f"- {group.title}, {layers} layers: removing one block costs {' and '.join(words)}.")
    return ["The median block, one seed of each network:", "", *said, ""] if said else []


def re_estimated(result: Result) -> pd.DataFrame | None:
    """Lesions with batch norm's statistics re-estimated; of a network without batch norm, as they are."""
    if (found := result.table("lesions")) is None:
        return None
    kind = "re-estimated" if "re-estimated" in set(found.statistics) else "kept"
    return found[found.statistics == kind]


def batch_norm(results: Results, draw: Draw) -> list[str]:
    """Whether the error of a network is that of its running statistics."""
    rows, changes = [], []
    for name, result in results.items():
        if (found := result.table("batch-norm")) is not None:
            errors = 100 * (1 - found.set_index(["part", "statistics"]).top1)
            cells = [errors[part, kind] for part in ("train", "val") for kind in ("kept", "re-estimated")]
            rows.append((link(name), *(f"{cell:.2f}" for cell in cells)))
            changes.append(cells[3] - cells[2])
    if not rows:
        return []
    lower, higher = (sum(sign * change > 0 for change in changes) for sign in (-1, 1))
    said = (
        f"With re-estimated statistics the validation error is lower in {lower}, higher in {higher} and the same in "
        f"{len(rows) - lower - higher} of {len(rows)} networks; the largest change is {max(map(abs, changes)):.2f} pp."
    )
    header = "network | training error (%) | the same, re-estimated | validation error (%) | the same, re-estimated"
    lines = long_table("Batch norm statistics of every network", header, "l r r r r", rows)
    return [*STATISTICS.splitlines(), "", said, "", *lines]


def lrn(results: Results, draw: Draw) -> list[str]:
    """The spread of what local response normalisation divides by."""
    rows = []
    for name, result in results.items():
        for when, kind in (("after", "lrn"), ("before", "untrained-lrn")):
            if (found := result.table(kind)) is not None:
                for place, row in enumerate(found.itertuples(), 1):
                    numbers = [f"{getattr(row, column):.3f}" for column in SPREAD]
                    rows.append((link(name), f"{when} training", place, *numbers))
    header = " | ".join(["network", "when", "LRN layer", *SPREAD.values()])
    return [*LRN.splitlines(), "", *table(header, "l l r r r r r r", rows)] if rows else []


def precision(results: Results, draw: Draw) -> list[str]:
    """The same training in float32 and in bfloat16. A single seed gives no verdict."""
    rows = []
    for exact, usual in in_both_precisions(results):
        for part, words in (("train", "training"), ("val", "validation"), ("test", "test")):
            rows.append((link(usual.name), words, *_both(usual, exact, part)))
    header = "experiment | split | error in bfloat16 (%) | range of its seeds | error in float32 (%) | n | "
    header += "float32 – bfloat16 (95 % interval)"
    text = "The same networks trained in float32 and in bfloat16. In float32 another maker's CPU can give another run, "
    text += "as it did for the first seed of fp32-resnet-110-signs32: "
    text += "[how close you get](running.md#how-close-you-get)."
    return [text, "", *table(header, "l l r r r r l", rows)] if rows else []


def _both(usual: Result, exact: Result, part: str) -> tuple[str, ...]:
    errors, exactly = 100 * usual.error(part), 100 * exact.error(part)
    ends = f"{errors.min():.2f} … {errors.max():.2f}"
    said = "no verdict: one seed"
    if min(len(errors), len(exactly)) > 1:
        said = difference_text(verdicts.difference(exactly, errors), "pp")
    return percent(errors / 100), ends, percent(exactly / 100), f"{len(errors)} / {len(exactly)}", said
