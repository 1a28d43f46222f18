"""docs/results.md: the questions of the study, one section each, answered from what was measured."""

from functools import partial
from pathlib import Path

from lineage.report import claims, depth, inside, verdicts
from lineage.report.markdown import Draw, figure, head, percent, table
from lineage.report.published import ANSWERS, PUBLISHED
from lineage.report.results import Result, Results, groups, twin

LINEAGE = [
    "lenet5-cifar10",
    "alexnet-cats-vs-dogs",
    "alexnet-cats-vs-dogs-cifar",
    "vgg11-cifar100",
    "vgg13-cifar100",
    "vgg16-cifar100",
    "vgg19-cifar100",
    "vgg11-cifar100-32px",
    "vgg16-cifar100-32px",
    "plain-vgg-cifar10",
    "residual-vgg-cifar10",
    "resnet34-signs",
    "resnet50-signs",
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
    return lines + where_answered(results, folder)


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
    run = [one for one in said if one != verdicts.NOT_RUN]
    counts = ", ".join(f"{kind} {sum(one.startswith(kind) for one in run)}" for kind in verdicts.KINDS)
    lines += [f"- {len(said)} [claims](#claims), by verdict: {counts}; {len(said) - len(run)} have not run.", ""]
    return lines + depth_and_shortcuts(results)


def depth_and_shortcuts(results: Results) -> list[str]:
    """Where depth stops helping, and what shortcuts change: the verdicts on the claims that say so, by network."""
    asked = {
        "does depth raise plain's training error?": claims.HURTS,
        "residual's?": claims.KEEPS,
        "do shortcuts lower the test error?": claims.HELPS,
    }
    cells: dict[tuple[str, int], dict[str, str]] = {}
    for question, asks in asked.items():
        for claim in claims.CLAIMS:
            if (claim.source, claim.text) == asks and (key := twin(claim.larger)):
                said, found = claims.judged(claim, results)
                if "start to train" in said:
                    cells.setdefault((key[2], key[1]), {})[question] = said.split("(")[1].rstrip(")")
                elif found:
                    said = verdicts.OPPOSITE.get(said, said) if claim.none else said
                    words = {verdicts.HOLDS: "**yes**", verdicts.DOES_NOT_HOLD: "no"}.get(said, said)
                    cells.setdefault((key[2], key[1]), {})[question] = f"{words}, {found[0]:+.2f} pp"
    rows = [(*key, *(answers.get(question, "–") for question in asked)) for key, answers in sorted(cells.items())]
    return table(" | ".join(["training", "layers", *asked]), "l r l l l", rows) if rows else []


def beside_the_published(results: Results, missing: list[str], scale: str) -> list[str]:
    """Every experiment: ours, the article's, and the best public figure."""
    rows = []
    for name in sorted([*results, *missing]):
        ours = measured(results[name]) if name in results else (name, f"not run at scale {scale}", *["–"] * 12)
        other = PUBLISHED.get(name)
        public = f"{other.public} ({other.source}; {other.selection})" if other else "–"
        rows.append((*ours, other.article if other and other.article else "–", public))
    header = "experiment | test top-1 | top-5 | superclass | with mirror images | validation | training | n | budget"
    header += " | input | head | parameters | multiply-adds | device | the article's | best public figure"
    lines = ["## Beside the published", "", "Ours are the weights that the recipe names, never the best on test.", ""]
    return [*lines, *table(header, "l r r r r r r r l r l r r l l l", rows)]


def measured(r: Result) -> tuple:
    """A line of the table, as far as it is ours."""
    test = r.scores[r.scores.part == "test"]
    more = [percent(test[key]) if key in test else "–" for key in ("top5", "superclass", "flip_top1")]
    sizes = [millions(float(r.provenance[key])) for key in ("parameters", "multiply_adds")]
    about = [r.n, r.budget, f"{r.provenance['input_size']} px", getattr(r.experiment.network, "head", "–"), *sizes]
    top1 = {part: percent(r.top1(part)) for part in ("test", "val", "train")}
    return (r.shown(r.name), top1["test"], *more, top1["val"], top1["train"], *about, r.provenance["device"])


def millions(number: float) -> str:
    return f"{number / 1e9:.3g} G" if number >= 1e9 else f"{number / 1e6:.3g} M"


def where_answered(results: Results, folder: Path) -> list[str]:
    """Each section of each article: the file, the experiments, the figure and the part of the report."""
    rows = []
    for article, section, file, experiments, place, shows in ANSWERS:
        named = [name if name in results else f"{name} (not run)" for name in experiments.split()]
        link = place if place.endswith(".md") else f"#{place}"
        words = place.removesuffix(".md").replace("-", " ")
        drawn, path = Path(shows).stem or "–", folder / shows
        drawn = f"[{drawn}](../{path.as_posix()})" if shows and path.is_file() else drawn
        code = f"[{Path(file).name}](../{file})"
        rows.append((article, section, code, ", ".join(named), drawn, f"[{words}]({link})"))
    lines = ["## Where each section of the articles is answered", ""]
    return [*lines, *table("article | section | file | experiments | figure | here", "l l l l l l", rows)]


SECTIONS = {
    "In short": in_short,
    "Plain beside residual": depth.degradation,
    "Error by depth": depth.error_by_depth,
    "Gradients": inside.gradients,
    "What the blocks add": inside.blocks,
    "Precision": inside.precision,
    "Claims": claims.section,
}
