"""docs/results.md: the questions of the study, one section each, answered from what was measured."""

from functools import partial
from pathlib import Path

from lineage.report import claims, depth, inside, verdicts
from lineage.report.markdown import Draw, figure, head, percent, table
from lineage.report.published import ANSWERS, PUBLISHED
from lineage.report.results import Result, Results, groups

LINEAGE = [
    *("lenet5-cifar10", "alexnet-cats-vs-dogs", "vgg11-cifar100", "vgg13-cifar100", "vgg16-cifar100", "vgg19-cifar100"),
    *("vgg16-cifar100-32px", "plain-vgg-cifar10", "residual-vgg-cifar10", "resnet34-signs", "resnet50-signs"),
]
INTRODUCTION = """\
Mean ± deviation over n seeds; errors and accuracies in per cent. Training images are measured without augmentation,
after training; the test part was read by `evaluate` alone, after all choices."""


def results(results: Results, missing: list[str], folder: Path, scale: str) -> list[str]:
    """Draw every figure of the comparison into the folder, and return the report as lines of Markdown."""
    lines, draw = [*head("Results", scale), *INTRODUCTION.splitlines(), ""], partial(figure, folder, scale)
    for title, section in SECTIONS.items():
        lines += [
            f"## {title}",
            "",
            *(section(results, draw) or [f"Nothing of this has run yet at scale {scale}.", ""]),
        ]
    lines += beside_the_published(results, missing, scale)
    return lines + where_answered(results)


def in_short(results: Results, draw: Draw) -> list[str]:
    """A line for each comparison: what depth does to the training error, without and with shortcuts."""
    lines = []
    for group, members in groups(results.values()).items():
        said = []
        for family in dict.fromkeys(family for family, _ in members):
            by_depth = {depth: r for (other, depth), r in members.items() if other == family}
            ends = [r.shown(f"{depth} layers {r.error('train').mean():.1%}") for depth, r in by_depth.items()]
            said.append(f"{family} {', '.join(ends)}")
        lines.append(f"- {group}, error on the training images after training: {'; '.join(said)}.")
    said = [claims.judged(claim, results)[0] for claim in claims.CLAIMS]
    counts = [f"{kind} {sum(one.startswith(kind) for one in said)}" for kind in verdicts.KINDS]
    return [*lines, f"- {len(said)} [claims](#claims), by verdict: {', '.join(counts)}.", ""]


def beside_the_published(results: Results, missing: list[str], scale: str) -> list[str]:
    """Every experiment: ours, the article's, and the best public figure."""
    rows = []
    for name in sorted([*results, *missing]):
        ours = measured(results[name]) if name in results else (name, f"not run at scale {scale}", *["–"] * 12)
        other = PUBLISHED.get(name)
        public = f"{other.public:.2f} ({other.source}; {other.selection})" if other else "–"
        rows.append((*ours, other.article if other and other.article else "–", public))
    header = "experiment | test top-1 | top-5 | superclass | with mirror images | validation | training | n | budget"
    header += " | input | head | parameters | multiply-adds | device | the article's | best public figure"
    lines = ["## Beside the published", "", "Ours are the weights that the recipe names, never the best on test.", ""]
    return [*lines, *table(header, "l r r r r r r r l r l r r l l l", rows)]


def measured(r: Result) -> tuple:
    """A line of the table, as far as it is ours."""
    test = r.scores[r.scores.part == "test"]
    more = [percent(test[key]) if key in test else "–" for key in ("top5", "superclass", "flip_top1")]
    sizes = [f"{float(r.provenance[key]) / 1e6:.3g} M" for key in ("parameters", "multiply_adds")]
    about = [r.n, r.budget, f"{r.provenance['input_size']} px", r.recipe["network"].get("head", "–"), *sizes]
    top1 = {part: percent(r.top1(part)) for part in ("test", "val", "train")}
    return (r.shown(r.name), top1["test"], *more, top1["val"], top1["train"], *about, r.provenance["device"])


def where_answered(results: Results) -> list[str]:
    """Each section of each article: the file, the experiments and the part of the report."""
    rows = []
    for article, section, file, experiments, place in ANSWERS:
        named = [name if name in results else f"{name} (not run)" for name in experiments.split()]
        link = place if place.endswith(".md") else f"#{place}"
        words = place.removesuffix(".md").replace("-", " ")
        rows.append((article, section, f"[{Path(file).name}](../{file})", ", ".join(named), f"[{words}]({link})"))
    lines = ["## Where each section of the articles is answered", ""]
    return [*lines, *table("article | section | file | experiments | here", "l l l l l", rows)]


SECTIONS = {
    "In short": in_short,
    "Plain beside residual": depth.degradation,
    "Error by depth": depth.error_by_depth,
    "Gradients": inside.gradients,
    "What the blocks add": inside.blocks,
    "Precision": inside.precision,
    "Claims": claims.section,
}
