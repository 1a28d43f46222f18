"""What the articles claim, and what the measurements say of it."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lineage.report import figures
from lineage.report.markdown import Draw, table
from lineage.report.results import Result, Results
from lineage.report.verdicts import HOLDS, NOT_DECIDED, NOT_RUN, OPPOSITE, Interval, difference, verdict
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


def asleep(result: Result) -> int:
    """Seeds that did not start to train: their errors on clean training images are near those of guessing."""
    chance = 1 - 1 / len(result.labels["classes"])
    return int((result.error("train") > 0.9 * chance).sum())


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
    least: float = 0.0  # the difference that is claimed to be exceeded


HURTS = "S0", "depth raises the training error of plain networks"
FAILS = "S0", "depth raises the test error of plain networks"
KEEPS = "He et al. 2015", "depth does not raise the training error of residual networks"
DEEPER = "He et al. 2015", "depth lowers the test error of residual networks"
HELPS = "S0", "shortcuts lower the test error"
REACHES = "S2", "VGG16 reaches 75 % on CIFAR-100 after 20 epochs"
LAYERS = "ours, S2's future work", "more layers lower the test error"
RELU, TANH, SIGMOID = (f"alexnet4-{name}-cifar10" for name in ("relu", "tanh", "sigmoid"))
NONE, LRN, BATCH = (f"alexnet4-norm-{name}-cifar10" for name in ("none", "lrn", "batch"))
RESIDUAL_VGG = "residual-vgg-cifar10"
SIX = math.log(6)
PAIRS = {  # plain and residual networks of these depths
    "signs32": (20, 56, 110),
    "signs32-long": (20, 56),
    "cifar10": (20, 32, 44, 56),
    "cifar10-long": (20, 56),
    "cifar10-he2015": (20, 32, 44, 56),
    "cifar100": (18, 34),
}
IMAGE = round(100 / 120, 2)  # of the test part of SIGNS, in per cent


def worth(group: str) -> float:
    """The smallest difference between test errors that is worth a word."""
    return IMAGE if group.startswith("signs") else 0.3


def deeper(family: str) -> list[tuple[str, str, str]]:
    """Each network but the shallowest of its group, beside that; and the group."""
    pairs = [(group, depth, depths[0]) for group, depths in PAIRS.items() for depth in depths[1:]]
    return [(f"{family}-{deep}-{group}", f"{family}-{shallow}-{group}", group) for group, deep, shallow in pairs]


CLAIMS = [
    *(Claim(*HURTS, deep, shallow, train) for deep, shallow, _ in deeper("plain")),
    *(Claim(*FAILS, deep, shallow, wrong, worth(group)) for deep, shallow, group in deeper("plain")),
    *(Claim(*KEEPS, deep, shallow, train, none=True) for deep, shallow, _ in deeper("resnet")),
    *(Claim(*DEEPER, shallow, deep, wrong, worth(group)) for deep, shallow, group in deeper("resnet")),
    *(
        Claim(*HELPS, f"plain-{depth}-{group}", f"resnet-{depth}-{group}", wrong, worth(group))
        for group, depths in PAIRS.items()
        for depth in depths
    ),
    Claim(*HELPS, "plain-vgg-cifar10", RESIDUAL_VGG, wrong),
    Claim("ours", "a projection beats the identity", RESIDUAL_VGG, "residual-vgg-projection-cifar10", wrong),
    Claim("ours", "S0's 3×3 shortcut beats it too", RESIDUAL_VGG, "residual-vgg-always-convolved-cifar10", wrong),
    Claim(*REACHES, "vgg16-cifar100-article", 75.0, top1, effect=0.0),
    Claim(*REACHES, "vgg16-cifar100-32px", 75.0, top1, effect=0.0),
    Claim(*REACHES, "vgg16-cifar100", 75.0, top1, effect=0.0),
    Claim(*LAYERS, "vgg11-cifar100", "vgg13-cifar100", wrong),
    Claim(*LAYERS, "vgg13-cifar100", "vgg16-cifar100", wrong),
    Claim(*LAYERS, "vgg16-cifar100", "vgg19-cifar100", wrong),
    Claim("ours", "64 pixels do better than 32", "vgg11-cifar100-32px", "vgg11-cifar100", wrong),
    Claim("S3", "ReLU learns faster than tanh", TANH, RELU, epochs, 1.0, "epochs"),
    Claim("S3", "ReLU learns faster than the sigmoid", SIGMOID, RELU, epochs, 1.0, "epochs"),
    Claim("Krizhevsky et al. 2012", "six times as fast as tanh", TANH, RELU, log_epochs, SIX, "×", least=SIX),
    Claim("Krizhevsky et al. 2012", "LRN lowers the test error (by 2 pp there)", NONE, LRN, wrong),
    Claim("S3", "LRN is useless", NONE, LRN, wrong, none=True),
    Claim("S3", "batch norm has replaced it: it does better", LRN, BATCH, wrong),
    Claim("S3", "dropout reduces over-fitting", "vgg16-cifar100-no-dropout", "vgg16-cifar100-32px", gap),
]


def judged(claim: Claim, results: Results) -> tuple[str, Interval | None]:
    """The verdict, and the difference with its interval where there is one; of what did not happen before the end, its
    least value and no upper end.
    """
    if any(isinstance(name, str) and name not in results for name in (claim.larger, claim.smaller)):
        return NOT_RUN, None
    sides = [results[name] for name in (claim.larger, claim.smaller) if name in results]
    for side in sides:
        if claim.measure in (train, wrong, gap) and (count := asleep(side)):
            # how far guessing is from a trained network is no measure of degradation
            return f"{NOT_DECIDED} ({count} of {len(side.error('train'))} seeds did not start to train)", None
    larger, *rest = (claim.measure(side) for side in sides)
    smaller = rest[0] if rest else claim.smaller
    never = ~np.isfinite(larger)
    if any(side.metrics["diverged"] for side in sides):
        countable = not never.any() and np.isfinite(smaller).all()
        return f"{NOT_DECIDED} (diverged)", difference(larger, smaller) if countable else None
    if not np.all(np.isfinite(smaller)):
        return f"{NOT_DECIDED} (never reached)", None
    if never.any():
        last = sides[0].history.epoch.max() + 1
        bound = larger.where(~never, np.log(last) if claim.measure is log_epochs else float(last))
        apart, n = bound.min() - smaller.max(), min(len(bound), len(smaller))
        mean = bound.mean() - smaller.mean()
        return HOLDS if n >= 3 and apart >= max(claim.effect, claim.least) else NOT_DECIDED, (mean, mean, math.inf)
    found = difference(larger, smaller)
    said = verdict(*found, claim.effect, claim.least)
    return (OPPOSITE[said] if claim.none else said), found


def shown(claim: Claim, found: Interval) -> str:
    """The difference with its interval, in the claim's unit; ratios as such."""
    if claim.unit == "×":
        mean, low, high = (f"{math.exp(value):.2f}" if abs(value) < 99 else "" for value in found)
    else:
        mean, low, high = (f"{value:+.2f}" for value in found)
    if math.isfinite(found[1]) and not math.isfinite(found[2]):
        return f"≥ {mean} {claim.unit}"
    interval = f" ({low} … {high})" if math.isfinite(found[1]) else ""
    return f"{mean}{interval} {claim.unit}"


def section(results: Results, draw: Draw) -> list[str]:
    lines, rows = [*rule.strip().split("\n\n", 1)[1].splitlines(), ""], []
    for claim in CLAIMS:
        said, found = judged(claim, results)
        names = [name for name in (claim.larger, claim.smaller) if name in results]
        n = " / ".join(str(len(results[name].top1("test"))) for name in names) if found else "–"
        effect = math.exp(claim.effect) if claim.unit == "×" else claim.effect
        least = f"{effect:g} {claim.unit.rstrip('s') if effect == 1 else claim.unit}"
        least = f"none of {least}" if claim.none else least
        pair = f"{claim.larger} – {claim.smaller}"
        rows.append((claim.source, claim.text, pair, shown(claim, found) if found else "–", n, least, f"**{said}**"))
    header = "source | claim | experiments | difference (95 % interval) | n | worth a word | verdict"
    lines += table(header, "l l l r l r l", rows)
    histories = {name: results[name].history for name in (RELU, TANH, SIGMOID) if name in results}
    if len(histories) > 1:
        named = {name.split("-")[1]: history for name, history in histories.items()}
        drawn = figures.activations(named, "One network, three activations: training error, CIFAR-10")
        lines += draw(drawn, "activations.svg", "training error by epoch and activation")
        lines += ["What an activation costs to compute: `python bench/activations.py`.", ""]
    return lines
