"""What the articles claim, and what the measurements say of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lineage.report import figures
from lineage.report.markdown import Draw, table
from lineage.report.results import Result, Results
from lineage.report.verdicts import DOES_NOT_HOLD, NOT_DECIDED, OPPOSITE, Interval, difference, verdict
from lineage.report.verdicts import __doc__ as rule


def top1(result: Result) -> pd.Series:
    return 100 * result.top1("test")


def wrong(result: Result) -> pd.Series:
    """On the test part."""
    return 100 * result.error("test")


def train(result: Result) -> pd.Series:
    """Errors on clean training images, after training."""
    return 100 * result.error("train")


def gap(result: Result) -> pd.Series:
    """What a network does worse on images that it has not seen."""
    return wrong(result) - train(result)


def epochs(result: Result) -> pd.Series:
    """Epochs until a quarter of the training images is wrong (Krizhevsky et al. 2012, Fig. 1); infinitely many where
    that never happens.
    """
    history = result.history
    reached = history[history.train_error <= 0.25].groupby("seed").epoch.min().astype(float)
    return reached.reindex(history.seed.unique(), fill_value=math.inf)


def log_epochs(result: Result) -> pd.Series:
    """Differences of these are ratios of epochs."""
    return np.log(epochs(result))


@dataclass(frozen=True)
class Claim:
    source: str  # the article, the paper, or "ours": a question that we ask
    text: str
    larger: str  # the experiment that the claim is about
    smaller: str | float  # the one that it exceeds, or a number
    measure: Callable[[Result], pd.Series]
    effect: float = 0.3  # the smallest difference that is worth a word
    unit: str = "pp"
    none: bool = False  # the claim is that there is no such difference


HURTS = "S0", "depth raises the training error of plain networks"
KEEPS = "He et al. 2015", "depth does not raise the training error of residual networks"
DEEPER = "He et al. 2015", "depth lowers the test error of residual networks"
HELPS = "S0", "shortcuts lower the test error"
REACHES = "S2", "VGG16 reaches 75 % on CIFAR-100 after 20 epochs"
LAYERS = "ours, S2's future work", "more layers lower the test error"
RELU, TANH, SIGMOID = (f"alexnet4-{name}-cifar10" for name in ("relu", "tanh", "sigmoid"))
NONE, LRN, BATCH = (f"alexnet4-norm-{name}-cifar10" for name in ("none", "lrn", "batch"))
RESIDUAL_VGG = "residual-vgg-cifar10"
CLAIMS = [
    Claim(*HURTS, "plain-56-signs32", "plain-20-signs32", train),
    Claim(*HURTS, "plain-110-signs32", "plain-20-signs32", train),
    Claim(*HURTS, "plain-56-signs32-long", "plain-20-signs32-long", train),
    Claim(*HURTS, "plain-110-signs32-long", "plain-20-signs32-long", train),
    Claim(*HURTS, "plain-56-cifar10", "plain-20-cifar10", train),
    Claim(*HURTS, "plain-110-cifar10", "plain-20-cifar10", train),
    Claim(*HURTS, "plain-34-cifar100", "plain-18-cifar100", train),
    Claim(*KEEPS, "resnet-56-signs32", "resnet-20-signs32", train, none=True),
    Claim(*KEEPS, "resnet-110-signs32", "resnet-20-signs32", train, none=True),
    Claim(*KEEPS, "resnet-56-cifar10", "resnet-20-cifar10", train, none=True),
    Claim(*KEEPS, "resnet-110-cifar10", "resnet-20-cifar10", train, none=True),
    Claim(*DEEPER, "resnet-20-cifar10", "resnet-56-cifar10", wrong),
    Claim(*DEEPER, "resnet-56-cifar10", "resnet-110-cifar10", wrong),
    Claim(*DEEPER, "resnet-20-signs32", "resnet-110-signs32", wrong),
    Claim(*HELPS, "plain-20-signs32", "resnet-20-signs32", wrong),
    Claim(*HELPS, "plain-56-signs32", "resnet-56-signs32", wrong),
    Claim(*HELPS, "plain-110-signs32", "resnet-110-signs32", wrong),
    Claim(*HELPS, "plain-20-cifar10", "resnet-20-cifar10", wrong),
    Claim(*HELPS, "plain-56-cifar10", "resnet-56-cifar10", wrong),
    Claim(*HELPS, "plain-110-cifar10", "resnet-110-cifar10", wrong),
    Claim(*HELPS, "plain-18-cifar100", "resnet-18-cifar100", wrong),
    Claim(*HELPS, "plain-34-cifar100", "resnet-34-cifar100", wrong),
    Claim(*HELPS, "plain-vgg-cifar10", RESIDUAL_VGG, wrong),
    Claim("ours", "a projection beats the identity", RESIDUAL_VGG, "residual-vgg-projection-cifar10", wrong),
    Claim("ours", "S0's 3×3 shortcut beats it too", RESIDUAL_VGG, "residual-vgg-always-convolved-cifar10", wrong),
    Claim(*REACHES, "vgg16-cifar100-article", 75.0, top1, effect=0.0),
    Claim(*REACHES, "vgg16-cifar100-32px", 75.0, top1, effect=0.0),
    Claim("ours", "VGG16 reaches 75 % after 30 epochs", "vgg16-cifar100", 75.0, top1, effect=0.0),
    Claim(*LAYERS, "vgg11-cifar100", "vgg13-cifar100", wrong),
    Claim(*LAYERS, "vgg13-cifar100", "vgg16-cifar100", wrong),
    Claim(*LAYERS, "vgg16-cifar100", "vgg19-cifar100", wrong),
    Claim("S3", "ReLU learns faster than tanh", TANH, RELU, epochs, 1.0, "epochs"),
    Claim("S3", "ReLU learns faster than the sigmoid", SIGMOID, RELU, epochs, 1.0, "epochs"),
    Claim("Krizhevsky et al. 2012", "six times as fast as tanh", TANH, RELU, log_epochs, math.log(6), "×"),
    Claim("Krizhevsky et al. 2012", "LRN lowers the test error (by 2 pp there)", NONE, LRN, wrong),
    Claim("S3", "LRN is useless", NONE, LRN, wrong, none=True),
    Claim("S3", "batch norm has replaced it: it does better", LRN, BATCH, wrong),
    Claim("S3", "dropout reduces over-fitting", "vgg16-cifar100-no-dropout", "vgg16-cifar100-32px", gap),
]


def judged(claim: Claim, results: Results) -> tuple[str, Interval | None]:
    """The verdict, and the difference with its interval where everything has run."""
    if any(isinstance(name, str) and name not in results for name in (claim.larger, claim.smaller)):
        return NOT_DECIDED, None
    sides = [results[name] for name in (claim.larger, claim.smaller) if name in results]
    larger, *rest = (claim.measure(side) for side in sides)
    smaller = rest[0] if rest else claim.smaller
    if any(side.metrics["diverged"] for side in sides):
        return f"{NOT_DECIDED} (diverged)", difference(larger, smaller)
    if rest and not np.isfinite(smaller).all():  # what never happened is no number
        return NOT_DECIDED, None
    never = ~np.isfinite(larger)
    if never.any():  # at the earliest in the epoch after the last: a bound from below, which can only confirm
        last = sides[0].history.epoch.max() + 1
        larger = larger.where(~never, np.log(last) if claim.measure is log_epochs else float(last))
    found = difference(larger, smaller)
    said = verdict(*found, claim.effect)
    if never.any() and said == DOES_NOT_HOLD:
        said = NOT_DECIDED
    return (OPPOSITE[said] if claim.none else said), found


def shown(claim: Claim, found: Interval) -> str:
    """The difference with its interval, in the claim's unit; ratios as such."""
    if claim.unit == "×":
        mean, low, high = (f"{math.exp(min(value, 700)):.2f}" for value in found)
    else:
        mean, low, high = (f"{value:+.2f}" for value in found)
    interval = f" ({low} … {high})" if math.isfinite(found[1]) else ""
    return f"{mean}{interval} {claim.unit}"


def section(results: Results, draw: Draw) -> list[str]:
    lines, rows = [*rule.strip().split("\n\n", 1)[1].splitlines(), ""], []
    for claim in CLAIMS:
        said, found = judged(claim, results)
        names = [name for name in (claim.larger, claim.smaller) if name in results]
        n = " / ".join(str(len(results[name].top1("test"))) for name in names) if found else "–"
        effect = math.exp(claim.effect) if claim.unit == "×" else claim.effect
        worth = f"{effect:g} {claim.unit.rstrip('s') if effect == 1 else claim.unit}"
        worth = f"none of {worth}" if claim.none else worth
        pair = f"{claim.larger} – {claim.smaller}"
        rows.append((claim.source, claim.text, pair, shown(claim, found) if found else "–", n, worth, f"**{said}**"))
    header = "source | claim | experiments | difference (95 % interval) | n | worth a word | verdict"
    lines += table(header, "l l l r l r l", rows)
    histories = {name: results[name].history for name in (RELU, TANH, SIGMOID) if name in results}
    if len(histories) > 1:
        named = {name.split("-")[1]: history for name, history in histories.items()}
        drawn = figures.activations(named, "One network, three activations: training error, CIFAR-10")
        lines += draw(drawn, "activations.svg", "training error by epoch and activation")
        lines += ["What an activation costs to compute: `python bench/activations.py`.", ""]
    return lines
