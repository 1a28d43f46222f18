"""The card of a single experiment in docs/experiments.md: its figures, its facts, and where they come from."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from lineage import pictures
from lineage.report import card_figures
from lineage.report.markdown import figure as shown
from lineage.report.markdown import percent
from lineage.report.results import PRECISION_NAMES, Result, read


def card(name: str, folder: Path, scale: str) -> list[str]:
    """Draw all that there is of an experiment that has run, and return its part of docs/experiments.md."""
    result = read(name)
    lines = [f"## {name}", "", about(result), "", *sources(name), ""]
    for file, figure in figures(result).items():
        lines += shown(folder, scale, figure, file, file.rsplit(".", 1)[0])
    return lines


def figures(result: Result) -> dict[str, Figure]:
    """By file name."""
    name, classes, superclasses = result.name, result.labels["classes"], result.labels["superclasses"]
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (result.predictions.actual, result.predictions.predicted), 1)
    title = f"{name}: the first seed's answers for the test set"
    drawn = {
        f"curves-{name}.svg": card_figures.curves(result.history, name),
        f"confusion-{name}.png": card_figures.confusion(counts, classes, superclasses, title),
    }
    if len(classes) > card_figures.FEW:
        right = card_figures.shares(counts).diagonal()
        drawn[f"classes-{name}.svg"] = card_figures.many_classes(right, classes, superclasses, title)
    if (wrong := result.table("mistakes")) is not None:
        captions = [
            f"{classes[row.actual]} taken for\n{classes[row.predicted]} ({100 * row.confidence:.4g} %)".replace(
                "_", " "
            )
            for row in wrong.itertuples()
        ]
        title = f"{name}: the first seed's most confident mistakes on the test set"
        tiles = pictures.read_strip(result.folder / "mistakes.png")
        drawn[f"mistakes-{name}.png"] = card_figures.mistakes(tiles, captions, title)
    if (result.folder / "filters.png").is_file():
        tiles = pictures.read_strip(result.folder / "filters.png")
        drawn[f"filters-{name}.png"] = card_figures.filters(tiles, f"{name}: the first layer's {len(tiles)} kernels")
    return drawn


def about(result: Result) -> str:
    """A line of facts."""
    test = result.scores[result.scores.part == "test"]
    started = int(result.started().sum())
    facts = [f"Test accuracy {percent(test.top1)} % (n = {result.n})"]
    if (together := result.together("test")) is not None:
        facts.append(f"ensemble of all seeds {100 * together:.2f} %")
    if "top5" in test:
        facts.append(f"top-5 {percent(test.top5)} %")
    if "superclass" in test:
        facts.append(f"superclass {percent(test.superclass)} %")
    facts.append(f"averaged with the mirror image (test-time augmentation) {percent(test.flip_top1)} %")
    for part, words in (("val", "validation"), ("train", "training")):
        images = result.images(part)
        facts.append(f"{words} {percent(result.top1(part))} %{f' ({images:,} images)' if images else ''}")
    if started < result.n:
        facts.append(f"**started to train: {started} of {result.n} seeds**")
    sizes = [millions(float(result.provenance[key])) for key in ("parameters", "multiply_adds")]
    facts += [result.budget, f"input {result.provenance['input_size']} px", f"{sizes[0]} parameters"]
    facts += [
        f"{sizes[1]} multiply-adds",
        f"trained on {result.provenance['device']} in {PRECISION_NAMES[result.precision]}",
    ]
    facts.append(f"torch {result.provenance['torch']}")
    return f"{'**Diverged.** ' if result.metrics['diverged'] else ''}{'; '.join(facts)}."


def sources(name: str) -> list[str]:
    """Where the numbers are, and the command that makes them again."""
    tables = f"../plots/tables/{name}"
    links = {"recipe": f"../recipes/experiments/{name}.json", "scores": f"{tables}/scores.csv"}
    links |= {"history": f"../plots/history/{name}.csv", "provenance": f"{tables}/provenance.csv"}
    said = " · ".join(f"[{words}]({path})" for words, path in links.items())
    return [f"{said} · again: `{command(name)}`"]


def command(name: str) -> str:
    return f"dvc repro evaluate@{name}"


def millions(number: float) -> str:
    return f"{number / 1e9:.3g} G" if number >= 1e9 else f"{number / 1e6:.3g} M"
