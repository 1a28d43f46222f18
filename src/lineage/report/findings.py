"""The findings, with numbers from the tables. A finding whose experiments have not run is left out."""

from collections.abc import Callable

import numpy as np

from lineage.report import (
    agreement_findings,
    crossing,
    deepening,
    defect_costs,
    depth_findings,
    early_gradients,
    equalising,
    first_steps,
    gradient_growth,
    inside,
    pair_findings,
    rounding_findings,
    start_findings,
)
from lineage.report.claim_tables import anchor
from lineage.report.comparisons import Judgements
from lineage.report.markdown import enumerated, link, listed, percent, ratio_digits
from lineage.report.measured import Measured, difference
from lineage.report.outcomes import gathered
from lineage.report.results import PRECISION_NAMES, Results
from lineage.report.study import GROUPS, groups
from lineage.report.style import FAMILY_WORDS
from lineage.report.verdicts import REVERSED, exact_upper


def before_training(m: Measured) -> list[str]:
    """What the gradient does in networks that have not been trained."""
    said = {}
    for family in ("plain", "resnet"):
        for depth in (56, 110):
            logs = early_gradients.rises(family, depth)
            if len(logs) and logs.notna().all():
                low, high = (ratio_digits(value) for value in np.exp([logs.min(), logs.max()]))
                who = f"{FAMILY_WORDS[family]} networks of {depth} layers"
                said[family, depth] = f"{low} … {high} times as large in {who}"
    verdicts = {one.verdict for depth in (56, 110) if (one := m.judged("early-vanish", "", depth))}
    if len(said) < 4 or verdicts != {REVERSED}:
        return []
    return [
        "**Before training, gradients of deep plain networks with batch norm explode towards the first layer; they do "
        f"not vanish.** Compared with the last convolution's, that of the first is {'; '.join(said.values())} "
        f"(the range over three draws of each of three initialisations). {gradient_growth.sentence()}For this state "
        f"S1's claim that they shrink is *[{REVERSED}](#{anchor('early-vanish')})*.{vanished(m)} Without batch norm it "
        "is [another matter](#gradients)."
    ]


def vanished(m: Measured) -> str:
    """The plain networks with batch norm in which the gradient vanishes after training."""
    networks = {name: one.experiment.network for name, one in m.results.items() if one.experiment.model == "resnet"}
    plain = sorted(name for name, of in networks.items() if of.shortcut == "none" and of.normalisation == "batch")
    gone = [link(name) for name in plain if inside.vanishes(m.results[name].layers.gradient.iloc[:-1])]
    return f" After training they do vanish in {', '.join(gone)} (first seed)." if gone else ""


def blocks(m: Measured) -> list[str]:
    """What residual blocks add, in each group that shows it, and what training has to do with it."""
    said = []
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
        said.append(f"{GROUPS[group].title}: after training {medians(trained)}; {before}.")
    if not said:
        return []
    tables = {name: found for name, result in m.results.items() if (found := result.table("blocks")) is not None}
    kept = [name for name in tables if m.results[name].experiment.network.shortcut != "always-convolved"]
    every = {name: tables[name].addition.median() for name in kept}
    near = {name: value for name, value in every.items() if value < inside.NEAR}
    far = len(every) - len(near)
    counted, size = f"not close to 0 in {far}", f"{inside.NEAR:g} or more"
    if far <= len(near):
        counted, size = f"close to 0 in {len(near)}", f"less than {inside.NEAR:g}"
    opening = f"After training F(x) is {counted} of {len(every)} networks with residual blocks: the median block adds "
    opening += f"‖F(x)‖ / ‖x‖ of {size}"
    few = "".join(f" {link(name)}: {value:.3f}." for name, value in near.items())
    about = " First seed of each; where every shortcut is a convolution, a network does not count. S0 argues that "
    about += "F(x) = 0 is easy to learn; whether it is, this does not test."
    return [listed(f"**{opening}.**{few}{about} [More](#what-the-blocks-add).", said)]


def medians(by_depth: dict[int, float]) -> str:
    return ", ".join(f"{value:.2f} ({depth} layers)" for depth, value in by_depth.items())


def resnet34_on_signs(m: Measured) -> list[str]:
    """ResNet-34 on SIGNS, and why it cannot be ranked."""
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
    """S2's 75 % on CIFAR-100, by each of its networks that has run."""
    tried = m.tried("vgg16-75")
    if not tried:
        return ["**S2's 75 % for VGG16 on CIFAR-100 has not been tested yet.**"]
    items = []
    for one in tried:
        result = m.results[one.comparison.larger]
        images = result.images("train")
        on = f"on {images:,} images " if images else ""
        optimiser = "Muon" if result.experiment.recipe.optimiser == "muon" else "SGD"
        budget = f"{result.budget} {on}with {optimiser} in {PRECISION_NAMES[result.precision]}"
        accuracy = f"{percent(result.top1('test'))} % (n = {result.n})"
        items.append(f"{link(result.name)}, {budget}: {accuracy}, difference to 75 %: {difference(one)}.")
    accuracies = [percent(m.results[one.comparison.larger].top1("test")) for one in tried]
    opening = f"**VGG16 on CIFAR-100: test accuracy {enumerated(accuracies)} %.** S2's claim is 75 % after 20 epochs."
    return [listed(opening, items)]


FINDINGS: dict[str, list[Callable[[Measured], list[str]]]] = {
    "What depth does": [
        depth_findings.degradation,
        depth_findings.degradation_on_test,
        start_findings.no_start,
        depth_findings.longer,
        depth_findings.shortcuts,
        depth_findings.residual,
    ],
    "Why deep plain networks fail": [
        before_training,
        lambda _: first_steps.finding(),
        start_findings.dirac,
        start_findings.remaining,
        lambda m: agreement_findings.finding(m.results),
        lambda m: rounding_findings.finding(m.results),
        lambda m: agreement_findings.goes_with(gathered(m.results)),
        lambda m: equalising.finding(m.results),
        lambda _: crossing.finding(),
        lambda _: deepening.finding(),
    ],
    "The articles": [
        blocks,
        lambda _: defect_costs.finding(),
        pair_findings.parts,
        pair_findings.speed,
        resnet34_on_signs,
        headline,
    ],
}


TOGETHER = {
    "Why deep plain networks fail": "Not settled. On SIGNS at 32 pixels, 30 epochs, where nothing else is said."
}


def section(results: Results, judgements: Judgements) -> list[str]:
    """The findings, numbered from the first to the last, under the questions that they answer; what is said of a
    question's findings together.
    """
    measured, lines, number = Measured(results, judgements), [], 0
    for title, findings in FINDINGS.items() if results else ():
        said = [sentence for finding in findings for sentence in finding(measured)]
        numbered = [f"{i}. {sentence}" for i, sentence in enumerate(said, number + 1)]
        together = [TOGETHER[title], ""] if title in TOGETHER else []
        lines += [f"### {title}", "", *together, *numbered, ""] if said else []
        number += len(said)
    return lines
