"""The findings: a sentence each, with numbers from the tables. A finding whose experiments have not run is left out."""

from collections.abc import Callable

import numpy as np

from lineage.report import early_gradients
from lineage.report.claim_tables import anchor
from lineage.report.comparisons import Judgements
from lineage.report.markdown import difference_text, link, percent, ratio_digits
from lineage.report.measured import (
    Measured,
    apart,
    deepest,
    difference,
    main_ones,
    quotients,
    seeds,
    sentence,
    shallow,
    sides,
    verdict,
)
from lineage.report.results import Results
from lineage.report.study import GROUPS, groups
from lineage.report.verdicts import (
    AT_FLOOR,
    HOLDS,
    LEANS,
    LEANS_AGAINST,
    NOT_RUN,
    REVERSED,
    VERDICTS,
    exact_upper,
)

WORDS = {"plain": "plain", "resnet": "residual"}


def degradation(m: Measured) -> list[str]:
    """Where depth raises the training error of plain networks."""
    said = []
    ones, shown = main_ones(m, "plain-train")
    for one in ones:
        group, depth = one.comparison.group, one.comparison.depth
        errors = [m.error("plain", layers, group, "train") for layers in (shallow("plain", group), depth)]
        said.append(f"{GROUPS[group].title}: {', '.join(errors)}, difference {difference(one)}.{apart(m, one)}")
    decided = "**Depth makes plain networks worse in training.**"
    opening = decided if shown else "**Whether depth makes plain networks worse in training is not decided.**"
    return sentence(f"{opening} Error on the training images.", said)


def no_start(m: Measured) -> list[str]:
    """Plain networks that did not start to train."""
    said = []
    for one in deepest(m, "plain-start", *VERDICTS):
        result = m.results[one.comparison.larger]
        failed = int((~result.started()).sum())
        if failed:
            turned = quotients(result)
            ends = f"{turned.iloc[0]:.2g}; the median layer's is {turned.median():.2g}"
            said.append(
                f"{link(result.name)}: {failed} of {result.n} seeds ({difference(one)}; {one.note}). After training, "
                f"its first layer's ‖gradient‖ / ‖W‖ is {ends}."
            )
    opening = (
        "**Some did not start to train.** That is no difference in percentage points; whether it is degradation, the "
        "experiments on [why](#why-deep-plain-networks-fail) are to tell."
    )
    return sentence(opening, said)


def longer(m: Measured) -> list[str]:
    """What more epochs change, and what they do not."""
    said = []
    for one in deepest(m, "plain-train", AT_FLOOR):
        group = one.comparison.group
        if group in {about.longer for about in GROUPS.values()} and one.loss.verdict in (HOLDS, LEANS):
            error = m.error("plain", one.comparison.depth, group, "train")
            loss = f"training loss {one.loss.shown} that of {link(one.comparison.smaller)}"
            said.append(f"{GROUPS[group].title}: training error {error}, but {loss} (n = {seeds(one)}).")
    opening = (
        "**With more epochs the training error of a deep plain network reaches the floor; its loss stays above the "
        "shallow one's.** The longer run also has a longer warm-up, so it does not tell slow optimisation from a "
        "gentler start."
    )
    return sentence(opening, said)


def near_identity(m: Measured) -> list[str]:
    """What another start changes in deep plain networks."""
    said, shown = [], False
    for (claim, *_), one in m.judgements.items():
        if claim in ("dirac-start", "dirac-train") and one.verdict != NOT_RUN:
            shown |= one.verdict in (HOLDS, LEANS)
            before, after = (
                f"{link(result.name)} {int(result.started().sum())} of {result.n} seeds started, training error "
                f"{percent(result.error('train'))} %"
                for result in (m.results[name] for name in sides(one))
            )
            said.append(f"{before}; {after} ({difference(one)}{'; ' if one.note else ''}{one.note}).")
    decided = "**From a start near the identity, deep plain networks train better.**"
    opening = (
        decided if shown else "**Whether deep plain networks train better from a start near the identity is open.**"
    )
    return sentence(f"{opening} Dirac kernels and a tenth of He's weights, all else equal.", said)


def shortcuts(m: Measured) -> list[str]:
    """Where shortcuts lower the test error."""
    said = []
    ones, shown = main_ones(m, "shortcut-test")
    for one in ones:
        group, depth = one.comparison.group, one.comparison.depth
        errors = [m.error(family, depth, group, "test") for family in ("plain", "resnet")]
        said.append(f"{GROUPS[group].title}: {', '.join(errors)}, difference {difference(one)}.{apart(m, one)}")
    decided = "**Shortcuts lower the test error of deep networks.**"
    return sentence(decided if shown else "**Whether shortcuts lower the test error is not decided.**", said)


def residual(m: Measured) -> list[str]:
    """Where depth does harm to residual networks."""
    said = []
    for one in deepest(m, "residual-test", REVERSED, LEANS_AGAINST):
        group, depth = one.comparison.group, one.comparison.depth
        mean, low, high = one.found
        shown = difference_text((-mean, -high, -low), one.unit)
        errors = [m.error("resnet", layers, group, "test") for layers in (shallow("resnet", group), depth)]
        said.append(f"{GROUPS[group].title}: {', '.join(errors)}, difference {shown}; {verdict(one)}.")
        if one.method == "Welch":
            images = len(m.results[GROUPS[group].members["resnet", depth]].predictions)
            said.append(f"This interval is over the seeds alone, on the same {images} images.")
        train = m.judged("residual-train", group, depth)
        if train and train.loss:
            said.append(f"Both training errors are at the floor; the training loss is {train.loss.shown}.")
    return sentence("**Depth did not help residual networks on the test set.**", said)


def before_training(m: Measured) -> list[str]:
    """What the gradient does in networks that have not been trained."""
    said = {}
    for family in ("plain", "resnet"):
        for depth in (56, 110):
            logs = early_gradients.rises(family, depth)
            if len(logs):
                low, high = (ratio_digits(value) for value in np.exp([logs.min(), logs.max()]))
                said[family, depth] = f"× {low} … {high} in {WORDS[family]} networks of {depth} layers"
    verdicts = {m.judgements["early-vanish", "", depth].verdict for depth in (56, 110)}
    if len(said) < 4 or verdicts != {REVERSED}:
        return []
    return [
        "**Before training, gradients of deep plain networks with batch norm explode towards the first layer; they do "
        f"not vanish.** From the last convolution to the first: {'; '.join(said.values())} (the range over draws and "
        f"initialisations). S0's and S1's claim is *[{REVERSED}]"
        f"(#{anchor('early-vanish')})*."
    ]


def blocks(m: Measured) -> list[str]:
    """What residual blocks add, in the first group that shows it, and what training has to do with it."""
    for group, members in groups(m.results).items():
        tables = {depth: r for (family, depth), r in members.items() if r.table("blocks") is not None}
        if not GROUPS[group].inside or not tables:
            continue
        trained = {depth: r.table("blocks").addition.median() for depth, r in tables.items()}
        begun = {
            d: found.addition.median() for d, r in tables.items() if (found := r.table("untrained-blocks")) is not None
        }
        before = "what it was before training has not been measured, so that this does not show that F(x) tends to 0"
        if begun:
            smaller = sum(trained[depth] < begun[depth] for depth in begun)
            before = f"before training {medians(begun)}. Training made it smaller in {smaller} of {len(begun)} networks"
        return [
            f"**What residual blocks add: ‖F(x)‖ / ‖x‖ of the median block** ({GROUPS[group].title}). After training "
            f"{medians(trained)}; {before}. [More](#what-the-blocks-add)."
        ]
    return []


def medians(by_depth: dict[int, float]) -> str:
    return ", ".join(f"{value:.2f} ({depth} layers)" for depth, value in by_depth.items())


def best_on_signs(m: Measured) -> list[str]:
    """The best network on SIGNS, and why it cannot be called better than others."""
    name = "resnet34-signs"
    if name not in m.results:
        return []
    result = m.results[name]
    images = len(result.predictions)
    return [
        f"**ResNet-34 on SIGNS: {percent(result.top1('test'))} % test accuracy** (n = {result.n}; {link(name)}). SIGNS "
        f"cannot rank good networks: its test set has {images} images, one mistake is {100 / images:.2f} %, and the "
        f"95 % interval of the error of a seed without any mistake still reaches {100 * exact_upper(images):.1f} %."
    ]


def headline(m: Measured) -> list[str]:
    """S2's 75 % on CIFAR-100, by the first of its networks that has run."""
    tried = [one for place, one in m.judgements.items() if place[0] == "vgg16-75" and one.verdict != NOT_RUN]
    if tried:
        result = m.results[tried[0].comparison.larger]
        return [
            f"**VGG16 on CIFAR-100: {percent(result.top1('test'))} % test accuracy** after {result.budget} "
            f"(n = {result.n}; {link(result.name)}). That it reaches 75 %: {difference(tried[0])}."
        ]
    sentences = ["**S2's 75 % for VGG16 on CIFAR-100 has not been shown: no VGG16 has run.**"]
    if vgg11 := m.results.get("vgg11-cifar100-32px"):
        sentences.append(f"{link(vgg11.name)} has {percent(vgg11.top1('test'))} % test accuracy (n = {vgg11.n}).")
    return [" ".join(sentences)]


FINDINGS: list[Callable[[Measured], list[str]]] = [
    degradation,
    no_start,
    near_identity,
    longer,
    shortcuts,
    residual,
    before_training,
    blocks,
    best_on_signs,
    headline,
]


def section(results: Results, judgements: Judgements) -> list[str]:
    measured = Measured(results, judgements)
    said = [sentence for finding in FINDINGS for sentence in finding(measured)] if results else []
    numbered = [f"{i}. {sentence}" for i, sentence in enumerate(said, 1)]
    return [*numbered, ""] if said else []
