"""The pages of docs/: results.md, answers first, and experiments.md, a card for each experiment."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from lineage.report import (
    agreeing,
    cards,
    claim_tables,
    claims,
    crossing,
    deepening,
    defect_costs,
    depth,
    drawings,
    equalising,
    findings,
    first_steps,
    inside,
    lineage,
    probes,
    rounding,
    why,
)
from lineage.report.markdown import Draw, anchor, details, figure, head, link, percent, table
from lineage.report.published import ANSWERS
from lineage.report.results import Results
from lineage.report.study import ARTICLES, GPU

INTRODUCTION = """\
[What it shows, in short](../README.md#what-it-shows-so-far). Each name of an experiment leads to its card: recipe,
scores, history, provenance, and the command that makes it again. How to read the findings:

- **Numbers**: mean ± standard deviation over n random seeds; losses are geometric means, and ratios of losses are
  ratios of these. pp: percentage points. A difference is the first value minus the second. Only `evaluate` reads the
  test set, and no setting was chosen by it; but `vgg16-cifar100-all`, with more training images, was set up when two
  test accuracies of VGG16 below 75 % were known. Some experiments were recorded more than once, after changes of the
  code or of the recipe (on CIFAR-10, precision and number of seeds, when test errors were known); the last record
  counts, whatever it shows. Some comparisons were set up when test errors of other experiments were known; their
  sections say so.
- **Verdicts** are in italics and lead to their claim: *holds* and *reversed* pass [the rule](#how-to-read-a-verdict),
  *leans* nearly does, *not decided* is open. *Primary* comparisons were named as the main ones and are corrected for
  multiple comparisons (Holm). *Exploratory* ones are not: where there is no difference, about one in twenty still shows
  one. Only primary ones have to pass the correction, so with the same numbers an exploratory one *holds* where a
  primary one *leans*: compare intervals, not words. *Probably* marks a verdict that leans, *does not hold*, or is
  exploratory. Sentences without a verdict say what was measured or counted in these networks.
- **Started to train**: a seed whose training error ends below 80 % of that at chance level (on SIGNS, with six classes,
  below 66.7 %, on CIFAR-10, with ten, below 72 %). Where some seeds of a network did not start, its mean error is
  given, but is no measure of the network, and no claim compares it.
- **Networks**: *plain* ones are ResNets without shortcuts, batch norm included. A residual block computes x + F(x).
  *Dirac initialisation*: each 3×3 kernel but the first begins as the identity plus a tenth of He's weights; *identity +
  0.4 He*: plus 0.4 times He's weights; *looks linear*: all layers before the last ReLU begin as a linear map. A
  gradient's *relative norm* is its norm over that of the weights, ‖gradient‖ / ‖W‖ (of n shifts or scales of batch
  norm: over √n).
- **Data**: `cats-vs-dogs-cifar` has the cats and dogs of CIFAR-10, enlarged to 224 pixels. `cifar100-all` is CIFAR-100
  with 49,890 training images: it keeps one of each class for validation and drops the ten that are in the test set,
  too. An accuracy on 100 validation images has a standard error of some 4 points."""


def results(results: Results, missing: list[str], folder: Path, scale: str) -> list[str]:
    """Draw every figure of the comparison into the folder, and return the report as lines of Markdown."""
    draw, judgements = partial(figure, folder, scale), claims.judge_all(results)
    lines = [*head("Results", scale), what_has_run(results, missing, scale), "", *INTRODUCTION.splitlines(), ""]
    lines += [*articles(), "## Findings", "", *(findings.section(results, judgements) or nothing(scale))]
    for title, parts in SECTIONS.items():
        lines += [f"## {title}", ""]
        for subtitle, section in parts.items():
            lines += ([f"### {subtitle}", ""] if subtitle else []) + (section(results, draw) or nothing(scale))
        if title == "The lineage":
            lines += ["## Claims", "", *claim_tables.section(judgements), *drawings.section(results, draw)]
    return [*lines, *not_run(missing), *where_answered(results, folder)]


def nothing(scale: str) -> list[str]:
    return [f"None of this has run yet{at(scale)}.", ""]


def at(scale: str) -> str:
    """` at scale sample`; nothing at full scale."""
    return "" if scale == "full" else f" at scale {scale}"


def what_has_run(results: Results, missing: list[str], scale: str) -> str:
    """One line: how much has been run, and on what."""
    places = Counter(where(result.provenance) for result in results.values())
    on = ", ".join(f"{count} on {place}" for place, count in sorted(places.items()))
    waiting = sum(name in GPU for name in missing)
    need = f"; {waiting} of the others [are meant for a GPU](#experiments-that-have-not-run)" if waiting else ""
    return (
        f"**{len(results)} of {len(results) + len(missing)} experiments have been run{at(scale)}**"
        f"{f' ({on})' if on else ''}{need}."
    )


def where(provenance: dict[str, str]) -> str:
    """The device, and the instruction set of a CPU."""
    instructions = provenance.get(
        "instructions", "an earlier version of the code, which did not record the instruction set"
    )
    return f"{provenance['device']} with {instructions}" if instructions else provenance["device"]


def articles() -> list[str]:
    """What S0 to S3 are."""
    lines = [f"- **{key}**, *{about.title}*: {about.claims}." for key, about in ARTICLES.items()]
    said = "The four articles that this study follows, and what they claim:"
    unknown = "Their authors and places of publication are not known. This study tests what they claim."
    return [said, "", *lines, "", unknown, ""]


def not_run(missing: list[str]) -> list[str]:
    lines = ["## Experiments that have not run", ""]
    for title, names in {
        "Meant for a GPU": [name for name in missing if name in GPU],
        "A CPU is enough": [name for name in missing if name not in GPU],
    }.items():
        if names:
            lines += details(f"{title}: {len(names)}", [f"- {link(name)}" for name in names] + [""])
    return lines if missing else [*lines, "None.", ""]


def where_answered(results: Results, folder: Path) -> list[str]:
    """Each section of each article: the file, the experiments, the figure and the part of the report."""
    rows = []
    for article, section, file, experiments, place, shows in ANSWERS:
        named = [link(name) if name in results else f"{link(name)}\\*" for name in experiments.split()]
        target = place if place.endswith(".md") else f"#{place}"
        words = place.removesuffix(".md").replace("-", " ")
        path = folder / shows
        drawn = f"[{Path(shows).stem}](../{path.as_posix()})" if shows and path.is_file() else ""
        rows.append(
            (article, section, f"[{Path(file).name}](../{file})", ", ".join(named), f"[{words}]({target})", drawn)
        )
    header = "article | section | code or text | experiments (\\* not run yet) | section of this page | figure"
    lines = table(header, "l l l l l l", rows)
    return ["## Where each section of the articles is answered", "", *details(f"{len(rows)} sections", lines)]


def experiments(results: Results, missing: list[str], drawn: Iterable[list[str]], scale: str) -> list[str]:
    """docs/experiments.md: all experiments in a table, then the card of each that has run (`drawn`), then the rest."""
    rows = [
        (f"[{name}](#{anchor(name)})", *(percent(r.top1(part)) for part in ("test", "val", "train")), r.n, r.budget)
        for name, r in results.items()
    ]
    header = "experiment | test accuracy (%) | validation | training | n | budget"
    lines = [*head("Experiments", scale), *articles(), *(table(header, "l r r r r l", rows) if rows else [])]
    lines += [line for card in drawn for line in card]
    waiting = [
        f'- <a id="{anchor(name)}"></a>{name}: [recipe](../recipes/experiments/{name}.json), `{cards.command(name)}`'
        for name in missing
    ]
    return lines + (["## Experiments without results", "", *waiting, ""] if waiting else [])


SECTIONS: dict[str, dict[str, Callable[[Results, Draw], list[str]]]] = {
    "Degradation": {"": depth.degradation, "Error by depth": depth.error_by_depth},
    "Why do deep plain networks fail?": {
        "": why.section,
        "Do different batches ask for the same step?": agreeing.section,
        "Do they train if all gradients have the same relative norm?": equalising.section,
        "Is it the function or the norm of the first gradients?": crossing.section,
        "Do they train in float64?": rounding.section,
        "Does the first step tell which networks train?": first_steps.sweep,
        "A solution that is there from the beginning": deepening.section,
    },
    "The lineage": {"": lineage.section},
    "Inside the networks": {
        "Gradients": inside.gradients,
        "What the blocks add": inside.blocks,
        "Lesions": probes.lesions,
        "Batch norm statistics": probes.batch_norm,
        "What LRN divides by": probes.lrn,
    },
    "What the articles' defects cost": {"": defect_costs.section},
    "Precision": {"": probes.precision},
}
