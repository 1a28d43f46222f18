"""docs/results.md: the questions of the study, one section each, answered from what was measured."""

from functools import partial
from pathlib import Path

from lineage.report import claims, depth, inside, verdicts
from lineage.report.markdown import Draw, figure, head, percent, table
from lineage.report.published import ANSWERS, PUBLISHED
from lineage.report.results import Results, groups

LINEAGE = [
    *("lenet5-cifar10", "alexnet-cats-vs-dogs", "vgg11-cifar100", "vgg13-cifar100", "vgg16-cifar100", "vgg19-cifar100"),
    *("residual-vgg-cifar10", "resnet34-signs", "resnet50-signs"),
]
INTRODUCTION = """\
Mean ± deviation over n seeds; errors and accuracies in per cent. Training images are measured without augmentation,
after training; the test part was read by `evaluate` alone, after all choices."""


def results(results: Results, missing: list[str], folder: Path, scale: str) -> list[str]:
    """Draw every figure of the comparison into the folder, and return the report as lines of Markdown."""
    lines = head("Results", scale)
    lines += [*INTRODUCTION.splitlines(), ""]
    draw = partial(figure, folder, scale)
    for section in SECTIONS:
        lines += section(results, draw)
    lines += ["## Not run yet", ""]
    lines += [f"At scale {scale} with the present recipe: {', '.join(missing) or 'nothing, all have run'}.", ""]
    lines += ["## Where each section of the articles is answered", ""]
    return [*lines, *table("article | section | where | experiments", "l l l l", ANSWERS)]


def in_short(results: Results, draw: Draw) -> list[str]:
    """A line for each comparison: what depth does to the training error, without and with shortcuts."""
    lines = ["## In short", ""]
    for group, members in groups(results.values()).items():
        said = []
        for family in dict.fromkeys(family for family, _ in members):
            by_depth = {depth: r.error("train").mean() for (other, depth), r in members.items() if other == family}
            said.append(f"{family} " + ", ".join(f"{depth} layers {error:.1%}" for depth, error in by_depth.items()))
        lines.append(f"- {group}, error on the training images after training: {'; '.join(said)}.")
    verdicts_of = [claims.judged(claim, results)[0] for claim in claims.CLAIMS]
    counts = [f"{verdicts_of.count(kind)} {kind}" for kind in verdicts.KINDS]
    return [*lines, f"- Of {len(verdicts_of)} claims, {', '.join(counts)}: [claims](#claims).", ""]


def beside_the_published(results: Results, draw: Draw) -> list[str]:
    """Every experiment that has run: ours, the article's, and the best public figure."""
    rows = []
    for name, r in results.items():
        other = PUBLISHED.get(name)
        others = (other.article, f"{other.public} ({other.source}; {other.selection})") if other else ("–", "–")
        ours = [percent(r.top1(part)) for part in ("test", "val", "train")]
        ours.append(percent(r.scores[r.scores.part == "test"].flip_top1))
        head = r.recipe["network"].get("head", "–")
        about = [len(r.top1("test")), r.budget, f"{r.provenance['input_size']} px", head]
        sizes = [f"{float(r.provenance[key]) / 1e6:.3g} M" for key in ("parameters", "multiply_adds")]
        shown = f"{name} (diverged)" if r.metrics["diverged"] else name
        rows.append((shown, *ours, *about, *others, *sizes, r.provenance["device"]))
    header = "experiment | test top-1 | validation | training | test, with mirror images | n | budget | input | head"
    header += " | the article's | best public figure | parameters | multiply-adds | device"
    lines = ["## Beside the published", "", "Ours are the weights that the recipe names, never the best on test.", ""]
    return [*lines, *table(header, "l r r r r r l r l l l r r l", rows)] if rows else []


SECTIONS = (
    *(in_short, depth.degradation, depth.error_by_depth),
    *(inside.gradients, inside.blocks, inside.precision, claims.section, beside_the_published),
)
