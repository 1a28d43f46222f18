"""The findings on networks that differ in one part: what that part does to the test error, or to the speed with
which the training error falls.
"""

import numpy as np

from lineage.report import verdicts
from lineage.report.claim_measures import QUARTER, epochs
from lineage.report.comparisons import Judgement
from lineage.report.markdown import capitalised, difference_text, link, listed
from lineage.report.measured import Measured, difference, named, sides, unlike
from lineage.report.openings import opened
from lineage.report.verdicts import REVERSED

OTHERS = (0.5, 0.4, 0.3, 0.2, 0.15, 0.1)  # training errors beside a quarter
FOUR_LAYERS = "a four-layer network (cuda-convnet's *layers-18pct*) on CIFAR-10"
SCREENED = "recipes.md#residual-vgg-the-learning-rate"
ONE_RATE = f"With S0's shortcuts only one learning rate [was tried]({SCREENED})."
OWN_RATES = f"Each has the best of the rates [that were tried]({SCREENED}) with the first seed."
BLOCKS = "VGG with residual blocks on CIFAR-10"
ONE_RECIPE = "All three normalisations have one recipe, which was chosen for none of them."
ALPHA = "LRN's alpha was not tuned ([what it divides by](#what-lrn-divides-by))."
THEIRS = "Krizhevsky et al. (2012) report 11 % with it and 13 % without, so their network seems to be another one."
# Of a claim about the test error: what is said to lower it, whose, and what else to know.
PARTS = {
    "lrn-helps": ("local response normalisation (LRN)", FOUR_LAYERS, f"{ONE_RECIPE} {ALPHA} {THEIRS}"),
    "batch-norm-helps": ("batch norm", FOUR_LAYERS, ONE_RECIPE),
    "batch-norm": ("batch norm instead of LRN", FOUR_LAYERS, f"{ONE_RECIPE} {ALPHA}"),
    "vgg-shortcut": ("S0's shortcut (a convolution) in every block", "VGG on CIFAR-10", ONE_RATE),
    "vgg-identity": ("an identity shortcut in every block", "VGG on CIFAR-10", OWN_RATES),
    "projection": ("a projection instead of the identity where the channels differ", BLOCKS, ""),
    "always-convolved": ("S0's convolution instead of the identity on every shortcut", BLOCKS, ONE_RATE),
    "dropout-test": ("dropout", "VGG16 with two hidden layers of 4096 on CIFAR-100", ""),
}

# Claims about the epochs until the training error is 25 %: what is said to need fewer, and than what.
WEIGHTS = "ReLU begins with He's initial weights, the others with Glorot's."
FASTER = {"relu-tanh": ("ReLU", "tanh"), "relu-sigmoid": ("ReLU", "the sigmoid")}


def speed(m: Measured) -> list[str]:
    """A finding for each pair of activations that has run."""
    said = []
    for claim, (fast, slow) in FASTER.items():
        for one in m.tried(claim):
            error = f"a training error of {100 * QUARTER:.0f} %"
            against = f"{'reaches' if one.verdict == REVERSED else 'does not reach'} {error} "
            against += f"{'later' if one.verdict == REVERSED else 'sooner'} than {slow}"
            opening = opened([one], fast, f"reaches {error} sooner than {slow}", against)
            ends = ", ".join(f"{link(name)} {reached(m, name)}" for name in sides(one))
            lines = [f"{ends}, {named(one)}. {conditions(m, one, fast, slow)}"]
            times = m.judged("six-times", "", 0) if claim == "relu-tanh" else None
            if times:
                lines.append(f"Krizhevsky et al. (2012) say six times as fast: {difference(times)}.")
            lines += elsewhere(m, one, fast, slow)
            said.append(listed(f"{opening} Epochs until then, in {FOUR_LAYERS}.", lines))
    return said


def conditions(m: Measured, one: Judgement, fast: str, slow: str) -> str:
    """What differs between the two beside the activation."""
    first, second = rates(m, one)
    return (
        f"{capitalised(slow)} has learning rate {first}, {fast} {second}, each chosen with the first seed "
        f"([how](recipes.md#activations-the-learning-rates)).{without_first(m, one)} {WEIGHTS}{unlike(one)}"
    )


def without_first(m: Measured, one: Judgement) -> str:
    """What is left of the difference without the first seed, with which the learning rates were chosen."""
    needed = [epochs(m.results[name]).iloc[1:] for name in sides(one)]
    if min(map(len, needed)) < 2 or not all(np.isfinite(counted).all() for counted in needed):
        return ""
    found = verdicts.difference(*needed)
    said, few = verdicts.verdict(found, one.relevant), ""
    if said in verdicts.WEAKER and not verdicts.can_decide(tuple(map(len, needed))):
        said, few = verdicts.WEAKER[said], ", too few seeds for more"
    n = " / ".join(str(len(counted)) for counted in needed)
    return f" Without that seed (n = {n}) the difference is {difference_text(found, 'epochs')}: *{said}*{few}."


def elsewhere(m: Measured, one: Judgement, fast: str, slow: str) -> list[str]:
    """How many more epochs the slower one needs until other training errors, where all seeds get there."""
    said = []
    for error in OTHERS:
        needed = [epochs(m.results[name], error) for name in sides(one)]
        if all(np.isfinite(counted).all() for counted in needed):
            said.append(f"{100 * error:.0f} %: {difference_text(verdicts.difference(*needed), 'epochs')}")
    if not said:
        return []
    return [f"Epochs of {slow} minus those of {fast}, until the training error is {', '.join(said)}; exploratory."]


def reached(m: Measured, name: str) -> str:
    """Mean and standard deviation over the seeds of the epochs that a network needs; how many seeds get there."""
    counted = epochs(m.results[name])
    there = counted[np.isfinite(counted)]
    spread = f" ± {there.std():.2f}" if len(there) > 1 else ""
    mean = f"{there.mean():.2f}{spread}" if len(there) else "never"
    return f"{mean} ({len(there)} of {len(counted)} seeds get there)"


def parts(m: Measured) -> list[str]:
    """A finding for each part whose two networks have run."""
    said = []
    for claim, (part, network, also) in PARTS.items():
        for one in m.tried(claim):
            error = f"the test error of {network}"
            against = f"raises {error}" if one.verdict == REVERSED else f"does not lower {error}"
            opening = opened([one], part, f"lowers {error}", against)
            without, with_it = (m.error(name, "test") for name in sides(one))
            trained = ", ".join(m.error(name, "train") for name in sides(one))
            first, second = rates(m, one)
            differ = "" if first == second else f"Learning rates {first} and {second}. "
            told = f"{opening} {without}, {with_it}, {named(one)}. Training error: {trained}. "
            told += f"{bigger(m, one)}{differ}{also}"
            said.append(f"{told.rstrip()}{unlike(one)}")
    return said


def bigger(m: Measured, one: Judgement) -> str:
    """How many more parameters and multiply-adds the second network has, from one per cent up."""
    without, with_it = (m.results[name].provenance for name in sides(one))
    more = {key: 100 * (float(with_it[key]) / float(without[key]) - 1) for key in ("parameters", "multiply_adds")}
    said = [f"{share:.0f} % more {key.replace('_', '-')}" for key, share in more.items() if share >= 1]
    return f"The second network has {' and '.join(said)}. " if said else ""


def rates(m: Measured, one: Judgement) -> list[str]:
    """The learning rates of the two sides."""
    return [f"{m.results[name].experiment.recipe.lr:g}" for name in sides(one)]
