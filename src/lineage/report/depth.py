"""What depth does to plain and to residual networks."""

import re
from collections.abc import Iterable

import pandas as pd

from lineage.report import figures
from lineage.report.markdown import Draw, capitalised, link, percent, table
from lineage.report.published import reported
from lineage.report.results import PRECISION_NAMES, Result, Results
from lineage.report.study import GROUPS, Members, groups

PANELS = """\
In the tables, errors and losses on the training images are measured after training, without augmentation. In the
figures, the left panels show the running average over each epoch, with augmentation, so they end higher; the right ones
show the validation split, because the test set is read only after training. All networks of a group share their recipe
unless the group says otherwise ([how it was chosen](recipes.md)); what is said of a network holds for this recipe."""
CONSTRUCTION = """\
Small dots: the seeds, beside their mean. The axis is linear up to 10 % and logarithmic above. Networks that did not
start to train are crosses, off the line.
*By construction* (He et al. 2015, *Deep residual learning for image recognition*, section 1): a shallow plain network
with further layers that pass on their input is a deeper one with the same outputs, hence with the same errors. Where
training ends above that mark, it has not found a solution that exists."""


def started(result: Result) -> str:
    return f"{int(result.started().sum())} of {result.n}"


def loss(result: Result) -> str:
    """The geometric mean over the seeds of the training loss."""
    return f"{figures.geometric_mean(result.loss('train')):.2g}"


def degradation(results: Results, draw: Draw) -> list[str]:
    lines = []
    for group, members in groups(results).items():
        title = GROUPS[group].title
        histories = {key: result.history for key, result in members.items()}
        failed = {key for key, result in members.items() if not result.started().any()}
        drawn = figures.degradation(histories, f"Plain and residual networks: {title}", failed)
        lines += [f"### {group}: {title}", "", *draw(drawn, f"degradation-{group}.svg", f"error by epoch, {title}")]
        rows = [
            (r.shown(link(r.name)), percent(r.error("train")), loss(r), percent(r.error("test")), started(r), r.budget)
            for r in members.values()
        ]
        header = "network | training error (%) | training loss | test error (%) | started | budget"
        lines += [*table(header, "l r r r r l", rows), conditions(members.values()), ""]
        unlike = GROUPS[group].unlike
        texts = dict.fromkeys(unlike[depth] for _, depth in members if depth in unlike)
        differs = " ".join(f"{capitalised(text)}." for text in texts)
        differs = f"{differs} {other_budget(GROUPS[group].title, members.values())}".strip()
        if about := f"{differs} {GROUPS[group].note}".strip():
            lines += [about, ""]
    return [*PANELS.splitlines(), "", *lines] if lines else []


ALSO = {  # where a recipe has them
    "label_smoothing": "label smoothing {:g}",
    "ema": "averaged weights (decay {:g} per step)",
    "clip": "gradients clipped to norm {:g}",
    "trust": "steps of at most {:g} times a kernel's norm",
    "rotate": "rotations of up to {:g}°",
    "zoom": "zoom factors of 1 ± {:g}",
    "cutout": "a square of {} pixels cut out",
    "cutmix": "CutMix with probability {:g}",
    "shift": "shifts of up to {} pixels",
}
SCHEDULES = {"onecycle": "linearly up and down", "steps": "divided by 10 after 1/2 and 3/4", "constant": "constant"}


def other_budget(title: str, results: Iterable[Result]) -> str:
    """A sentence where the title of a group names other epochs than its networks had: the parameters were changed."""
    named, had = re.search(r"\d+ epochs", title), {result.budget for result in results}
    if not named or had == {named.group()}:
        return ""
    other = " or ".join(sorted(had - {named.group()}))
    if named.group() in had:
        return f"**Some of these networks were trained for {other}, not for {named.group()}: see *budget*.**"
    return f"**These networks were trained for {other}, not for {named.group()}.**"


def conditions(results: Iterable[Result]) -> str:
    """What all networks of a group are trained with, in a line."""
    first, *others = (_conditions(result) for result in results)
    return f"Common to all of them: {', '.join(one for one in first if all(one in other for other in others))}."


def _conditions(result: Result) -> list[str]:
    recipe, images = result.experiment.recipe, result.images("train")
    found = [f"{images:,} training images"] if images else []
    found += [f"inputs of {recipe.input_size} pixels", f"batches of {recipe.batch_size}"]
    sgd = f"SGD with {'Nesterov ' if recipe.nesterov else ''}momentum 0.9"
    muon = f"Muon for kernels (steps of up to {recipe.muon_step:g} of a kernel's norm, which stays)"
    found += {"sgd": [sgd], "adam": ["Adam"], "muon": [muon, f"{sgd} for the rest"]}[recipe.optimiser]
    found.append(f"a learning rate of up to {recipe.lr:g} ({SCHEDULES[recipe.schedule]})")
    if recipe.warm_up or recipe.warm_up_steps:
        share = f"{recipe.warm_up_steps} steps" if recipe.warm_up_steps else f"{100 * recipe.warm_up:g} % of the steps"
        found.append(f"a warm-up of {share}")
    found.append(f"weight decay {recipe.weight_decay:g}{' of the rest' if recipe.optimiser == 'muon' else ''}")
    cut = recipe.cutout and recipe.cutout - 1 + recipe.cutout % 2  # around a pixel: an even side is one less
    also = recipe.model_dump() | {"cutout": cut}
    found += [words.format(also[key]) for key, words in ALSO.items() if also[key]]
    found += ["flips"] if recipe.flip else []
    return [*found, PRECISION_NAMES[result.precision]]


def errors_by_depth(results: Results) -> pd.DataFrame:
    """Final errors in per cent: group, series, family, depth, part, mean, std (none of a single seed), n, started
    (seeds), diverged.
    """
    rows = []
    for group, members in groups(results).items():
        for (family, depth), result in members.items():
            for part in ("train", "test"):
                error = 100 * result.error(part)
                row = {"group": group, "series": f"{family}-{group}", "family": family, "depth": depth, "part": part}
                row |= {"mean": error.mean(), "std": error.std(), "n": len(error)}
                row["started"] = int(result.started().sum())
                rows.append(row | {"diverged": "yes" if result.metrics["diverged"] else "no"})
    columns = ["group", "series", "family", "depth", "part", "mean", "std", "n", "started", "diverged"]
    return pd.DataFrame(rows, columns=columns)


def seeds_by_depth(members: Members) -> pd.DataFrame:
    """Final errors in per cent, a line for each seed: family, depth, part, error."""
    rows = [
        {"family": family, "depth": depth, "part": part, "error": error}
        for (family, depth), result in members.items()
        for part in ("train", "test")
        for error in 100 * result.error(part)
    ]
    return pd.DataFrame(rows)


def error_by_depth(results: Results, draw: Draw) -> list[str]:
    lines, members = [], groups(results)
    for group, errors in errors_by_depth(results).groupby("group", sort=False):
        if errors.depth.nunique() < 2:
            continue
        plain = errors[errors.family == "plain"]
        built = [  # the shallowest one with layers put in that do nothing
            ("by construction", "plain", depth, part, values["mean"].iloc[0])
            for part, values in plain.groupby("part")
            for depth in values.depth.iloc[1:]
        ]
        others = reported(str(group))
        marks = pd.concat([pd.DataFrame(built, columns=others.columns), others]) if built else others
        seeds = seeds_by_depth(members[str(group)])
        drawn = figures.by_depth(errors, seeds, marks, f"Error by depth: {GROUPS[str(group)].title}")
        lines += draw(drawn, f"depth-{group}.svg", f"error by depth, {GROUPS[str(group)].title}")
    return [*lines, *CONSTRUCTION.splitlines(), ""] if lines else []
