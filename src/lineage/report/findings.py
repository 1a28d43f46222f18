"""The findings: a sentence each, with numbers from the tables. A finding whose experiments have not run is left out."""

from collections.abc import Callable

import numpy as np

from lineage.report import defect_costs, early_gradients
from lineage.report.claim_tables import anchor
from lineage.report.claims import FLOOR
from lineage.report.comparisons import Judgement, Judgements
from lineage.report.markdown import link, percent, ratio_digits
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
    DOES_NOT_HOLD,
    HOLDS,
    LEANS,
    LEANS_AGAINST,
    NOT_COMPARED,
    NOT_DECIDED,
    NOT_RUN,
    REVERSED,
    VERDICTS,
    exact_upper,
)

WORDS = {"plain": "plain", "resnet": "residual"}


def degradation(m: Measured) -> list[str]:
    """Where depth raises the training error of plain networks."""
    said = []
    ones, strongest = main_ones(m, "plain-train")
    for one in ones:
        said.append(f"{GROUPS[one.comparison.group].title}: {_errors(m, one, 'plain', 'train')}.{apart(m, one)}")
    opening = opened(strongest, f"plain networks of {depths(ones)} layers", "train worse than shallow ones")
    return sentence(f"{opening} Error on the training images.", said)


def degradation_on_test(m: Measured) -> list[str]:
    """Where depth raises the test error of plain networks."""
    ones, strongest = main_ones(m, "plain-test")
    said = [f"{GROUPS[one.comparison.group].title}: {_errors(m, one, 'plain', 'test')}." for one in ones]
    opening = opened(
        strongest, f"plain networks of {depths(ones)} layers", "do worse than shallow ones on the test set"
    )
    return sentence(opening, said)


def opened(strongest: str, who: str, does: str) -> str:
    """What a finding says first: a fact only where the claim holds."""
    capital = who[0].upper() + who[1:]
    return {
        HOLDS: f"**{capital} {does}.**",
        LEANS: f"**{capital} probably {does}.**",
        NOT_DECIDED: f"**Whether {who} {does} is not decided.**",
    }[strongest]


def depths(ones: list[Judgement]) -> str:
    """The depths that are judged."""
    return " or ".join(str(depth) for depth in sorted({one.comparison.depth for one in ones}))


def _errors(m: Measured, one: Judgement, family: str, part: str) -> str:
    """The errors of a deep network and of the shallow one of its family and group, and their difference."""
    group, depth = one.comparison.group, one.comparison.depth
    errors = [m.error(family, layers, group, part) for layers in (shallow(family, group), depth)]
    return f"{', '.join(errors)}, difference {difference(one)}"


def no_start(m: Measured) -> list[str]:
    """Plain networks that did not start to train."""
    said = []
    for one in deepest(m, "plain-start", *VERDICTS):
        result = m.results[one.comparison.larger]
        failed = int((~result.started()).sum())
        if failed:
            shallower = m.results[one.comparison.smaller]
            turned = quotients(result)
            p = "" if one.p is None else f", p = {one.p:.2g}"
            said.append(
                f"{link(result.name)}: {failed} of {result.n} seeds stayed near guessing (training error "
                f"{percent(result.error('train'))} %; {link(shallower.name)}: {int((~shallower.started()).sum())} of "
                f"{shallower.n}; {difference(one)}{p}). After training, ‖gradient‖ / ‖W‖ is {turned.iloc[0]:.2g} in "
                "its first layer (first seed)."
            )
    opening = "**Some deep plain networks did not start to train.** Their errors are not compared; seeds are counted."
    return sentence(opening, said)


def longer(m: Measured) -> list[str]:
    """What more epochs change, and what they do not."""
    said, firm = [], False
    for one in deepest(m, "plain-train", AT_FLOOR):
        group = one.comparison.group
        if group in {about.longer for about in GROUPS.values()} and one.loss.verdict in (HOLDS, LEANS):
            error = m.error("plain", one.comparison.depth, group, "train")
            firm |= one.loss.verdict == HOLDS
            loss = f"training loss {one.loss.shown} that of {link(one.comparison.smaller)}"
            said.append(
                f"{GROUPS[group].title}: training error {error}, but {loss} (n = {seeds(one)}; {verdict(one.loss)})."
            )
            if control := m.results.get(GROUPS[group].same_warm_up):
                said.append(
                    f"That is not the longer warm-up alone: with the short one {link(control.name)} has "
                    f"{percent(control.error('train'))} % (n = {control.n})."
                )
            else:
                said.append("The warm-up is longer, too, so more steps and a gentler beginning cannot be told apart.")
    opening = (
        "**With more epochs the training error of a deep plain network falls to almost 0; its loss "
        f"{'stays' if firm else 'probably stays'} above the shallow one's.**"
    )
    return sentence(opening, said)


def near_identity(m: Measured) -> list[str]:
    """What another initialisation changes in deep plain networks."""
    said, shown = [], []
    for (claim, *_), one in m.judgements.items():
        if claim in ("dirac-start", "dirac-train") and one.verdict != NOT_RUN:
            shown += [claim] * (one.verdict == HOLDS)
            before, after = (
                f"{link(result.name)} {int(result.started().sum())} of {result.n} seeds started, training error "
                f"{percent(result.error('train'))} %"
                for result in (m.results[name] for name in sides(one))
            )
            p = f", p = {one.p:.2g}" if one.p is not None and not one.found else ""
            said.append(f"{before}; {after} ({difference(one)}{p}).")
    opening = "**Whether deep plain networks train better from an initialisation near the identity is not decided.**"
    if "dirac-start" in shown:
        opening = (
            "**From an initialisation near the identity, a deep plain network starts to train that did not otherwise.**"
        )
    elif shown:
        opening = "**From an initialisation near the identity, deep plain networks train better.**"
    return sentence(
        f"{opening} All else is equal. The initialisation differs in two ways, the identity (Dirac kernels) and a "
        "tenth of He's weights, which have not been tried apart.",
        said,
    )


def shortcuts(m: Measured) -> list[str]:
    """Where shortcuts lower the test error."""
    said = []
    ones, strongest = main_ones(m, "shortcut-test")
    for one in ones:
        group, depth = one.comparison.group, one.comparison.depth
        errors = [m.error(family, depth, group, "test") for family in ("plain", "resnet")]
        said.append(f"{GROUPS[group].title}: {', '.join(errors)}, difference {difference(one)}.{apart(m, one)}")
    return sentence(opened(strongest, "shortcuts", "lower the test error of deep networks"), said)


def residual(m: Measured) -> list[str]:
    """What depth does to residual networks, for the deepest of each group, whatever came of it."""
    said, ones = [], deepest(m, "residual-test", *(kind for kind in VERDICTS if kind != NOT_COMPARED))
    for one in ones:
        group, depth = one.comparison.group, one.comparison.depth
        said.append(f"{GROUPS[group].title}: {_errors(m, one, 'resnet', 'test')}.")
        if one.method == "Welch":
            images = len(m.results[GROUPS[group].members["resnet", depth]].predictions)
            said.append(f"That interval leaves out that the test set has only {images} images.")
        train = m.judged("residual-train", group, depth)
        if train and train.loss:
            said.append(
                f"Both training errors are below {FLOOR} %; the training loss is {train.loss.shown} the "
                f"shallow one's (that depth does not raise it: {verdict(train.loss)})."
            )
    helped = any(one.verdict in (HOLDS, LEANS) for one in ones)
    harmed = any(one.verdict in (REVERSED, DOES_NOT_HOLD, LEANS_AGAINST) for one in ones)
    who = "residual networks on the test set"
    opening = {
        (False, False): f"**Whether more layers help {who} is not decided.**",
        (False, True): f"**More layers did not help {who}, as far as that is decided.**",
        (True, False): f"**More layers helped {who}, as far as that is decided.**",
        (True, True): f"**More layers helped some {who}, and others not.**",
    }[helped, harmed]
    order = "Differences are the shallow network minus the deep one: positive if the deep one is better."
    return sentence(f"{opening} {order}", said)


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
        f"not vanish.** The first convolution's is larger than the last one's {'; '.join(said.values())} (the range "
        "over three draws of each of three initialisations). For this state S1's claim that they shrink is "
        f"*[{REVERSED}](#{anchor('early-vanish')})*. Without batch norm, and after training, it is [another matter]"
        "(#gradients)."
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
        before = "before training it has not been measured, so this does not show that F(x) tends to 0"
        if begun:
            smaller = sum(trained[depth] < begun[depth] for depth in begun)
            before = (
                f"before training {medians(begun)}. Training made it "
                f"smaller in {smaller} of {len(begun)} networks (first seed, 32 images)"
            )
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
        f"cannot rank good networks: its test set has {images} images, one mistake is {100 / images:.2f} %, and "
        f"even without any mistake the 95 % interval of a seed's error reaches {100 * exact_upper(images):.1f} %."
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
    sentences = ["**S2's 75 % for VGG16 on CIFAR-100 has not been tested: no VGG16 has run.**"]
    if vgg11 := m.results.get("vgg11-cifar100-32px"):
        sentences.append(f"{link(vgg11.name)} has {percent(vgg11.top1('test'))} % test accuracy (n = {vgg11.n}).")
    return [" ".join(sentences)]


def defects(_: Measured) -> list[str]:
    """What the articles' defects do to the reported error."""
    return defect_costs.finding()


FINDINGS: list[Callable[[Measured], list[str]]] = [
    degradation,
    degradation_on_test,
    no_start,
    near_identity,
    longer,
    shortcuts,
    residual,
    before_training,
    blocks,
    defects,
    best_on_signs,
    headline,
]


def section(results: Results, judgements: Judgements) -> list[str]:
    measured = Measured(results, judgements)
    said = [sentence for finding in FINDINGS for sentence in finding(measured)] if results else []
    numbered = [f"{i}. {sentence}" for i, sentence in enumerate(said, 1)]
    return [*numbered, ""] if said else []
