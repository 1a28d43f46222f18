"""docs/results.md: the questions of the study, one section each, answered from what was measured."""

from pathlib import Path

import pandas as pd

from lineage import figures, verdicts
from lineage.published import ERRORS, PUBLISHED, SECTIONS
from lineage.results import Result, groups

LINEAGE = [
    *("lenet5-cifar10", "alexnet-cats-vs-dogs", "vgg11-cifar100", "vgg13-cifar100", "vgg16-cifar100", "vgg19-cifar100"),
    *("residual-vgg-cifar10", "resnet34-signs", "resnet50-signs"),
]
Results = dict[str, Result]


def head(title: str, scale: str) -> list[str]:
    lines = [f"# {title}", "", "Written by `src/compare.py`; `dvc repro -s compare` writes it again.", ""]
    if scale != "full":
        lines += [f"> **scale: {scale}. A run in miniature, to see that everything works: these are not results.**", ""]
    return lines


def results(results: Results, missing: list[str], folder: Path, scale: str) -> list[str]:
    """Draw every figure of the comparison into the folder, and return the report as lines of Markdown."""
    lines = head("Results", scale)
    lines += ["Mean ± deviation over n seeds; errors and accuracies in per cent. Training images are measured without"]
    lines += ["augmentation, after training; the test part was read by `evaluate` alone, once, after all choices.", ""]
    for section in (in_short, degradation, depth, gradients, blocks, claims, beside_the_published):
        lines += section(results, folder, scale)
    lines += ["## Not run yet", ""]
    lines += [f"At scale {scale} with the present recipe: {', '.join(missing) or 'nothing, all have run'}.", ""]
    lines += ["## Where each section of the articles is answered", ""]
    rows = [(article, section, file, experiment) for article, section, file, experiment in SECTIONS]
    return [*lines, *table("article | section | where | experiments", "l l l l", rows)]


def table(header: str, align: str, rows: list[tuple]) -> list[str]:
    """Lines of Markdown; `align` has an l or an r for each column."""
    rules = " | ".join({"l": "---", "r": "---:"}[side] for side in align.split())
    return [f"| {header} |", f"| {rules} |", *(f"| {' | '.join(map(str, row))} |" for row in rows), ""]


def figure(drawn: figures.Figure, folder: Path, name: str, scale: str, text: str) -> list[str]:
    figures.save(drawn, folder / name, scale)
    return [f"![{text}](../{(folder / name).as_posix()})", ""]


def percent(values: pd.Series) -> str:
    """Fractions as per cent, mean and deviation over the seeds."""
    spread = f" ± {values.std() * 100:.2f}" if len(values) > 1 else ""
    return f"{values.mean() * 100:.2f}{spread}"


def in_short(results: Results, folder: Path, scale: str) -> list[str]:
    """A line for each comparison: what depth does to the training error, without and with shortcuts."""
    lines = ["## In short", ""]
    for group, members in groups(results.values()).items():
        said = []
        for family in dict.fromkeys(family for family, _ in members):
            by_depth = {depth: r.error("train").mean() for (other, depth), r in members.items() if other == family}
            said.append(f"{family} " + ", ".join(f"{depth} layers {error:.1%}" for depth, error in by_depth.items()))
        lines.append(f"- {group}, error on the training images after training: {'; '.join(said)}.")
    verdicts_of = [verdicts.judged(claim, results)[0] for claim in verdicts.CLAIMS]
    counts = [f"{verdicts_of.count(kind)} {kind}" for kind in verdicts.KINDS]
    return [*lines, f"- Of {len(verdicts_of)} claims, {', '.join(counts)}: [claims](#claims).", ""]


def degradation(results: Results, folder: Path, scale: str) -> list[str]:
    lines, everything = ["## Plain beside residual", ""], groups(results.values())
    for group, members in everything.items():
        histories = {key: result.history for key, result in members.items()}
        drawn = figures.degradation(histories, f"Plain beside residual networks: {group}")
        lines += [f"### {group}", ""]
        lines += figure(drawn, folder, f"degradation-{group}.svg", scale, f"error by epoch, {group}")
        rows = [
            (f"{family}-{depth}", percent(r.error("train")), percent(r.error("test")), len(r.error("test")), r.budget)
            for (family, depth), r in members.items()
        ]
        lines += table("network | training error | test error | n | budget", "l r r r l", rows)
        if longer := everything.get(f"{group}-long"):
            lines += slow_or_stuck(members, longer)
    return lines if len(lines) > 2 else []


def slow_or_stuck(short: dict[tuple[str, int], Result], longer: dict[tuple[str, int], Result]) -> list[str]:
    """What a longer training does to the training error: how much of the degradation is slow optimisation."""
    both = {key: (short[key], longer[key]) for key in short if key in longer}
    said = [
        f"{family}-{depth} {percent(one.error('train'))} → {percent(two.error('train'))}"
        for (family, depth), (one, two) in both.items()
    ]
    budgets = " → ".join(next(iter(both.values()))[i].budget for i in (0, 1)) if both else ""
    return (
        [f"Slow, or stuck? Training error with a longer training ({budgets}): {'; '.join(said)}.", ""] if both else []
    )


def errors_by_depth(results: Results) -> pd.DataFrame:
    """Final errors in per cent: series, group, family, depth, part, mean, std, n."""
    rows = []
    for group, members in groups(results.values()).items():
        for (family, depth), result in members.items():
            for part in ("train", "test"):
                error = 100 * result.error(part)
                about = {"series": f"{family}-{group}", "group": group, "family": family, "depth": depth, "part": part}
                rows.append(
                    about | {"mean": error.mean(), "std": error.std() if len(error) > 1 else 0.0, "n": len(error)}
                )
    columns = ["series", "group", "family", "depth", "part", "mean", "std", "n"]
    return pd.DataFrame(rows, columns=columns)


def depth(results: Results, folder: Path, scale: str) -> list[str]:
    lines, everything = ["## Error by depth", ""], errors_by_depth(results)
    for group, errors in everything.groupby("group"):
        if errors.depth.nunique() < 2:
            continue
        marks = [row for row in ERRORS if group == "cifar10"]
        plain = errors[errors.family == "plain"]
        for part, values in plain.groupby("part"):  # the shallowest one with layers put in that do nothing
            shallow = values["mean"].iloc[0]
            marks += [("by construction", "plain", d, part, shallow) for d in values.depth.iloc[1:]]
        marks = pd.DataFrame(marks, columns=["label", "family", "depth", "part", "error"])
        drawn = figures.by_depth(errors, marks, f"Error by depth: {group}")
        lines += figure(drawn, folder, f"depth-{group}.svg", scale, f"error by depth, {group}")
    if len(lines) == 2:
        return []
    lines += [
        "*By construction* (He et al. 2015, section 1): the shallowest plain network with further layers that hand"
    ]
    lines += [
        "on what they are given is a deeper one with the same outputs, hence the same errors: where training ends"
    ]
    return [*lines, "above that mark, it has not found a solution that exists.", ""]


def gradients(results: Results, folder: Path, scale: str) -> list[str]:
    path = Path("plots/gradients.csv")
    lines = ["## Gradients", ""]
    if path.is_file():
        measured = pd.read_csv(path)
        title = (
            "Loss gradient by layer before training (one batch of SIGNS; mean, band from the least to the most of 3)"
        )
        lines += figure(figures.gradients(measured, title), folder, "gradients.svg", scale, "gradient by layer")
        rows = []
        for key, one in measured.groupby(["family", "depth", "batch_norm", "initialisation"], sort=True):
            by_layer = one.groupby("layer").gradient.mean()
            first, last = by_layer.iloc[0], by_layer.iloc[-2]
            rows.append((f"{key[0]}-{key[1]}", *key[2:], f"{first:.2g}", f"{last:.2g}", trend(first, last)))
        lines += [f"Zero is drawn at {figures.TINY:g}. The table has the norms of the gradients in the weights of the"]
        lines += [
            "first layer and of the last convolution; *vanishes* and *explodes* mean a factor of 100 or more.",
            "",
        ]
        lines += table(
            "network | batch norm | initialisation | first | last | towards the first layer", "l l l r r l", rows
        )
    members = {
        key: r.layers for group, ms in groups(results.values()).items() if group == "signs32" for key, r in ms.items()
    }
    if members:
        tables = {key: layers.gradient.iloc[:-1].clip(lower=figures.TINY) for key, layers in members.items()}
        label, title = "‖∂loss/∂W‖", "Loss gradient by layer after training (SIGNS at 32 pixels, one seed)"
        drawn = figures.inside(tables, label, "place of the layer in %", title, log=True)
        lines += figure(drawn, folder, "gradients-trained.svg", scale, "gradient by layer after training")
        rows = [
            (
                f"{family}-{depth}",
                f"{values.iloc[0]:.2g}",
                f"{values.iloc[-1]:.2g}",
                trend(values.iloc[0], values.iloc[-1]),
            )
            for (family, depth), values in tables.items()
        ]
        lines += table("trained network | first | last | towards the first layer", "l r r l", rows)
    return lines if len(lines) > 2 else []


def trend(first: float, last: float) -> str:
    if max(first, last) <= figures.TINY:
        return "there is none"
    ratio = first / max(last, figures.TINY)
    return "explodes" if ratio >= 100 else "vanishes" if ratio <= 0.01 else "neither"


def blocks(results: Results, folder: Path, scale: str) -> list[str]:
    members = {key: r for group, ms in groups(results.values()).items() if group == "signs32" for key, r in ms.items()}
    if not members:
        return []
    lines = ["## What the blocks add", "", "Does F(x) tend to zero, as S0 argues? (He et al. 2015, Fig. 7.)", ""]
    responses = {key: result.layers.response.iloc[:-1] for key, result in members.items()}
    drawn = figures.inside(
        responses,
        "deviation of the response",
        "place of the layer in %",
        "Response of each layer, after batch norm",
        False,
    )
    lines += figure(drawn, folder, "responses.svg", scale, "deviation of the responses by layer")
    additions = {key: found.addition for key, r in members.items() if (found := r.table("blocks")) is not None}
    if additions:
        title = "What each residual block adds beside what it keeps"
        drawn = figures.inside(additions, "‖F(x)‖ / ‖x‖", "place of the block in %", title, log=False)
        lines += figure(drawn, folder, "additions.svg", scale, "what each block adds")
        rows = [
            (f"{family}-{depth}", len(v), f"{v.median():.2f}", f"{v.min():.2f}", f"{v.max():.2f}")
            for (family, depth), v in additions.items()
        ]
        lines += table("network | blocks | median of ‖F(x)‖ / ‖x‖ | least | greatest", "l r r r r", rows)
    return lines


def claims(results: Results, folder: Path, scale: str) -> list[str]:
    lines = ["## Claims", "", *verdicts.__doc__.strip().split("\n\n", 1)[1].splitlines(), ""]
    rows = []
    for claim in verdicts.CLAIMS:
        said, found = verdicts.judged(claim, results)
        numbers, n = "–", "–"
        if found:
            mean, low, high = found
            interval = "" if pd.isna(low) or abs(low) == float("inf") else f" ({low:+.2f} … {high:+.2f})"
            numbers = f"{mean:+.2f}{interval} {claim.unit}"
            n = f"{len(results[claim.larger].top1('test'))}, {len(results[claim.smaller].top1('test'))}"
        effect = f"{claim.effect:g} {claim.unit}"
        rows.append((claim.article, claim.text, f"{claim.larger} – {claim.smaller}", numbers, n, effect, f"**{said}**"))
    header = "article | claim | experiments | difference (95 % interval) | n | worth a word | verdict"
    lines += table(header, "l l l r l r l", rows)
    kinds = {name: f"alexnet4-{name}-cifar10" for name in ("relu", "tanh", "sigmoid")}
    histories = {kind: results[name].history for kind, name in kinds.items() if name in results}
    if len(histories) > 1:
        drawn = figures.activations(histories, "One network, three activations: training error, CIFAR-10")
        lines += figure(drawn, folder, "activations.svg", scale, "training error by epoch and activation")
    return lines


def beside_the_published(results: Results, folder: Path, scale: str) -> list[str]:
    rows = []
    for name, r in results.items():
        other = PUBLISHED.get(name)
        public = f"{other.public} ({other.source}; {other.selection})" if other else "–"
        sizes = [f"{float(r.provenance[key]) / 1e6:.3g} M" for key in ("parameters", "multiply_adds")]
        about = [
            len(r.top1("test")),
            r.budget,
            f"{r.provenance['input_size']} px",
            r.recipe["network"].get("head", "–"),
        ]
        shown = f"{name} (diverged)" if r.metrics["diverged"] else name
        flip = percent(r.scores[r.scores.part == "test"].flip_top1)
        ours = [percent(r.top1(part)) for part in ("test", "val", "train")]
        rows.append(
            (shown, *ours, flip, *about, other.article if other else "–", public, *sizes, r.provenance["device"])
        )
    header = "experiment | test top-1 | validation | training | test, with mirror images | n | budget | input | head"
    header += " | the article's | best public figure | parameters | multiply-adds | device"
    lines = [
        "## Beside the published",
        "",
        "Test top-1; ours are the weights that the recipe names, never the best on test.",
        "",
    ]
    return [*lines, *table(header, "l r r r r r l r l l l r r l", rows)] if rows else []
