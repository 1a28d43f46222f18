"""compare: everything measured so far → docs/results.md, metrics/summary.json, and every figure.

    python src/compare.py

Reads the recipes and the small tables of the other stages, all of them in Git: it needs no data, no weights and no
GPU, and takes seconds. Experiments that have not run at the scale in params.yaml are named as such, and nothing waits
for them.
"""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lineage import figures
from lineage.engine.recipe import fingerprint, read_experiment
from lineage.errors import Mistake, run
from lineage.files import read_json, write_json, write_text

FIGURES = Path("plots/figures")


@dataclass(frozen=True)
class Result:
    """One experiment as it was measured. Top-1 and errors are fractions."""

    name: str
    recipe: dict  # the effective one
    metrics: dict[str, float]
    scores: pd.DataFrame
    history: pd.DataFrame
    confusion: pd.DataFrame
    provenance: dict[str, str]


def read(name: str) -> Result | None:
    """The experiment's results, or None where it has not run by its present recipe."""
    tables = {kind: Path("plots", kind, f"{name}.csv") for kind in ("history", "confusion")}
    tables |= {kind: Path("plots/tables", name, f"{kind}.csv") for kind in ("scores", "provenance")}
    metrics = Path("metrics/experiments", f"{name}.json")
    recipe = read_experiment(name)
    if not all(path.is_file() for path in [metrics, *tables.values()]):
        return None
    provenance = pd.read_csv(tables["provenance"], dtype=str, keep_default_na=False)
    provenance = dict(zip(provenance.key, provenance.value, strict=True))
    if provenance["recipe"] != fingerprint(recipe):
        return None
    frames = {kind: pd.read_csv(tables[kind]) for kind in ("scores", "history", "confusion")}
    return Result(name, recipe, read_json(metrics), provenance=provenance, **frames)


def summary(results: list[Result]) -> dict[str, float]:
    """The headline numbers, few: test top-1 of each network of the lineage, and what depth does to the training error.

    `plain-signs32` is the training error (without augmentation) of the deepest plain network of that group less the
    shallowest one's, as a fraction: above zero, depth hurts. `resnet-signs32` is the same with shortcuts.
    """
    numbers = {r.name: r.metrics["test_top1"] for r in results if not twin(r.name)}
    families: dict[str, dict[int, float]] = {}
    for result in results:
        if key := twin(result.name):
            families.setdefault(f"{key[0]}-{key[2]}", {})[key[1]] = 1 - result.metrics["train_top1"]
    return numbers | {
        name: round(by_depth[max(by_depth)] - by_depth[min(by_depth)], 6)
        for name, by_depth in families.items()
        if len(by_depth) > 1
    }


def twin(name: str) -> tuple[str, int, str] | None:
    """Family, depth and group of a network in the plain-beside-residual comparison: plain-20-signs32 → plain, 20,
    signs32.
    """
    found = re.fullmatch(r"(plain|resnet)-(\d+)-(.+)", name)
    return (found[1], int(found[2]), found[3]) if found else None


def percent(values: pd.Series) -> str:
    """Mean and deviation over the seeds in per cent."""
    spread = f" ± {values.std() * 100:.2f}" if len(values) > 1 else ""
    return f"{values.mean() * 100:.2f}{spread}"


def table(results: list[Result]) -> list[str]:
    """All experiments that have run, as lines of Markdown."""
    lines = [
        "| experiment | test top-1 % | validation % | training % | n | budget | input | parameters "
        "| multiply-adds | device |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for r in results:
        parts = [percent(r.scores[r.scores.part == part].top1) for part in ("test", "val", "train")]
        run = r.provenance
        budget = f"{run['epochs']} epochs" if run["epochs"] else f"{run['iterations']} steps"
        sizes = [f"{float(run[key]) / 1e6:.3g} M" for key in ("parameters", "multiply_adds")]
        rest = [run["seeds"], budget, f"{run['input_size']} px", *sizes, run["device"]]
        name = f"{r.name} (diverged)" if r.metrics["diverged"] else r.name
        lines.append(f"| {' | '.join([name, *parts, *rest])} |")
    return lines


def group_lines(group: str, members: dict[tuple[str, int], Result], scale: str) -> list[str]:
    """Draw one plain-beside-residual comparison and describe it."""
    picture = FIGURES / f"degradation-{group}.svg"
    histories = {key: result.history for key, result in members.items()}
    figures.save(figures.degradation(histories, f"Plain beside residual networks: {group}"), picture, scale)
    lines = [f"## Plain beside residual: {group}", "", f"![plain beside residual](../{picture.as_posix()})", ""]
    lines += [
        "| network | training error % | test error % | n |",
        "| --- | ---: | ---: | ---: |",
    ]
    for (family, depth), result in sorted(members.items()):
        errors = [percent(1 - result.scores[result.scores.part == part].top1) for part in ("train", "test")]
        lines.append(f"| {family}-{depth} | {' | '.join(errors)} | {result.scores.seed.nunique()} |")
    return [
        *lines,
        "",
        "Errors after the last epoch, training images without augmentation; mean ± deviation over n seeds.",
        "",
    ]


def confusion_lines(results: list[Result], scale: str) -> list[str]:
    """Draw every experiment's confusion, by the first seed's predictions for the test part."""
    lines = ["## Confusion", "", "The first seed's predictions for the test part.", ""]
    for result in results:
        classes = read_json(Path("recipes/datasets", f"{result.recipe['dataset']}.json"))["classes"]
        counts = np.zeros((len(classes), len(classes)), int)
        counts[result.confusion.actual, result.confusion.predicted] = result.confusion["count"]
        picture = FIGURES / f"confusion-{result.name}.png"
        figures.save(figures.confusion(counts, classes, result.name), picture, scale)
        lines += [f"![confusion of {result.name}](../{picture.as_posix()})", ""]
    return lines


def report(results: list[Result], missing: list[str], scale: str) -> list[str]:
    """Draw every figure, and return docs/results.md as lines."""
    lines = ["# Results", "", "Written by `src/compare.py`; `dvc repro -s compare` writes it again.", ""]
    if scale != "full":
        lines += [f"> **scale: {scale}. A run in miniature, to see that everything works: these are not results.**", ""]
    if results:
        lines += [*table(results), "", "Mean ± deviation over n seeds, the weights of the last epoch.", ""]
    if missing:
        lines += [f"Not run yet at scale {scale} with the present recipe: {', '.join(missing)}.", ""]
    groups: dict[str, dict[tuple[str, int], Result]] = {}
    for result in results:
        if key := twin(result.name):
            groups.setdefault(key[2], {})[key[:2]] = result
    for group, members in sorted(groups.items()):
        lines += group_lines(group, members, scale)
    return lines + (confusion_lines(results, scale) if results else [])


def main() -> None:
    experiments = [path.stem for path in sorted(Path("recipes/experiments").glob("*.json"))]
    if not experiments:
        raise Mistake("recipes/experiments is missing: run `dvc repro recipes` first")
    everything = {name: read(name) for name in experiments}
    results = [result for result in everything.values() if result]
    missing = [name for name, result in everything.items() if result is None]
    scale = read_experiment(experiments[0])["scale"]
    shutil.rmtree(FIGURES, ignore_errors=True)
    FIGURES.mkdir(parents=True)
    write_text(Path("docs/results.md"), "\n".join(report(results, missing, scale)).rstrip() + "\n")
    write_json(Path("metrics/summary.json"), summary(results) | {"scale": scale})
    columns = ["series", "seed", "epoch", "train_error", "val_error", "scale"]
    twins = [result.history[columns] for result in results if twin(result.name)]
    history = pd.concat(twins) if twins else pd.DataFrame(columns=columns)
    text = history.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(Path("plots/degradation.csv"), text)
    print(f"{len(results)} of {len(experiments)} experiments at scale {scale}: docs/results.md, {FIGURES}")


if __name__ == "__main__":
    run(main)
