"""What the articles claim, and what the measurements say of it."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from lineage.report import figures, verdicts
from lineage.report.markdown import Draw, table
from lineage.report.results import Result, Results


def test_error(result: Result) -> pd.Series:
    return 100 * result.error("test")


def top1(result: Result) -> pd.Series:
    return 100 * result.top1("test")


def training_error(result: Result) -> pd.Series:
    """On clean training images, after training."""
    return 100 * result.error("train")


def gap(result: Result) -> pd.Series:
    """What a network does worse on images that it has not seen."""
    return test_error(result) - training_error(result)


def epochs_to_quarter(result: Result) -> pd.Series:
    """Epochs until a quarter of the training images is wrong (Krizhevsky et al. 2012, Fig. 1); one more than all of
    them where that never happens.
    """
    history = result.history
    reached = history[history.train_error <= 0.25].groupby("seed").epoch.min()
    return reached.reindex(history.seed.unique(), fill_value=history.epoch.max() + 1).astype(float)


QUARTER = epochs_to_quarter, "epochs", 1.0


@dataclass(frozen=True)
class Claim:
    article: str
    text: str
    larger: str  # the experiment that the claim gives the larger value
    smaller: str | float  # or a number that the article gives
    measure: Callable[[Result], pd.Series]
    unit: str = "pp"
    effect: float = 0.3  # the smallest difference that is worth a word


# article, claim, the experiment with the larger value, the one with the smaller, by what measure
HURTS = "depth raises the training error of plain networks"
HELPS = "shortcuts lower the test error"
REACHES = "VGG16 reaches 75 % on CIFAR-100 after 20 epochs"
KEEPS = "depth raises the training error of residual networks too"
CLAIMS = [
    Claim("S0", HURTS, "plain-56-signs32", "plain-20-signs32", training_error),
    Claim("S0", HURTS, "plain-110-signs32", "plain-20-signs32", training_error),
    Claim("S0", HURTS, "plain-56-signs32-long", "plain-20-signs32-long", training_error),
    Claim("S0", HURTS, "plain-110-signs32-long", "plain-20-signs32-long", training_error),
    Claim("S0", HURTS, "plain-56-cifar10", "plain-20-cifar10", training_error),
    Claim("S0", HURTS, "plain-110-cifar10", "plain-20-cifar10", training_error),
    Claim("S0", HURTS, "plain-34-cifar100", "plain-18-cifar100", training_error),
    Claim("S0", KEEPS, "resnet-56-signs32", "resnet-20-signs32", training_error),
    Claim("S0", KEEPS, "resnet-110-signs32", "resnet-20-signs32", training_error),
    Claim("S0", KEEPS, "resnet-56-cifar10", "resnet-20-cifar10", training_error),
    Claim("S0", KEEPS, "resnet-110-cifar10", "resnet-20-cifar10", training_error),
    Claim("S0", HELPS, "plain-20-signs32", "resnet-20-signs32", test_error),
    Claim("S0", HELPS, "plain-56-signs32", "resnet-56-signs32", test_error),
    Claim("S0", HELPS, "plain-110-signs32", "resnet-110-signs32", test_error),
    Claim("S0", HELPS, "plain-20-cifar10", "resnet-20-cifar10", test_error),
    Claim("S0", HELPS, "plain-56-cifar10", "resnet-56-cifar10", test_error),
    Claim("S0", HELPS, "plain-18-cifar100", "resnet-18-cifar100", test_error),
    Claim("S0", HELPS, "plain-34-cifar100", "resnet-34-cifar100", test_error),
    Claim("S0", HELPS, "plain-vgg-cifar10", "residual-vgg-cifar10", test_error),
    Claim(
        "S0", "a projection beats the identity", "residual-vgg-cifar10", "residual-vgg-projection-cifar10", test_error
    ),
    Claim(
        *("S0", "a 3×3 convolution on every shortcut beats the identity"),
        *("residual-vgg-cifar10", "residual-vgg-always-convolved-cifar10", test_error),
    ),
    Claim("S2", REACHES, "vgg16-cifar100-article", 75.0, top1, effect=0.0),
    Claim("S2", REACHES, "vgg16-cifar100-32px", 75.0, top1, effect=0.0),
    Claim("S2", "more layers lower the test error", "vgg11-cifar100", "vgg16-cifar100", test_error),
    Claim("S2", "more layers lower the test error", "vgg16-cifar100", "vgg19-cifar100", test_error),
    Claim("S3", "ReLU learns faster than tanh", "alexnet4-tanh-cifar10", "alexnet4-relu-cifar10", *QUARTER),
    Claim("S3", "ReLU learns faster than the sigmoid", "alexnet4-sigmoid-cifar10", "alexnet4-relu-cifar10", *QUARTER),
    Claim("S3", "LRN is of use", "alexnet4-norm-none-cifar10", "alexnet4-norm-lrn-cifar10", test_error),
    Claim("S3", "batch norm beats LRN", "alexnet4-norm-lrn-cifar10", "alexnet4-norm-batch-cifar10", test_error),
    Claim("S3", "dropout reduces over-fitting", "vgg16-cifar100-no-dropout", "vgg16-cifar100-32px", gap),
]


def judged(claim: Claim, results: Results) -> tuple[str, tuple[float, float, float] | None]:
    """The verdict, and the difference with its interval where everything has run."""
    values = [claim.measure(results[name]) if name in results else name for name in (claim.larger, claim.smaller)]
    if any(isinstance(value, str) for value in values):
        return verdicts.NOT_DECIDED, None
    found = verdicts.difference(*values)
    return verdicts.verdict(*found, claim.effect), found


def section(results: Results, draw: Draw) -> list[str]:
    lines = ["## Claims", "", *verdicts.__doc__.strip().split("\n\n", 1)[1].splitlines(), ""]
    rows = []
    for claim in CLAIMS:
        said, found = judged(claim, results)
        numbers, n = "–", "–"
        if found:
            mean, low, high = found
            interval = "" if pd.isna(low) or abs(low) == float("inf") else f" ({low:+.2f} … {high:+.2f})"
            numbers = f"{mean:+.2f}{interval} {claim.unit}"
            n = " / ".join(
                str(len(results[name].top1("test"))) for name in (claim.larger, claim.smaller) if name in results
            )
        effect = f"{claim.effect:g} {claim.unit}"
        rows.append((claim.article, claim.text, f"{claim.larger} – {claim.smaller}", numbers, n, effect, f"**{said}**"))
    header = "article | claim | experiments | difference (95 % interval) | n | worth a word | verdict"
    lines += table(header, "l l l r l r l", rows)
    kinds = {name: f"alexnet4-{name}-cifar10" for name in ("relu", "tanh", "sigmoid")}
    histories = {kind: results[name].history for kind, name in kinds.items() if name in results}
    if len(histories) > 1:
        drawn = figures.activations(histories, "One network, three activations: training error, CIFAR-10")
        lines += draw(drawn, "activations.svg", "training error by epoch and activation")
        epochs = {kind: epochs_to_quarter(results[kinds[kind]]).mean() for kind in histories}
        said = [f"{kind} {n / epochs['relu']:.1f}" for kind, n in epochs.items() if kind != "relu" and "relu" in epochs]
        lines += [
            f"Epochs to a training error of 25 %, in multiples of ReLU's: {', '.join(said)}. Krizhevsky et al. 2012"
        ]
        lines += ["say six for tanh. What an activation costs to compute: `python bench/activations.py`.", ""]
    return lines
