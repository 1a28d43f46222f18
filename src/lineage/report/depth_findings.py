"""The findings on depth, a sentence each: what it does to plain and to residual networks, and what helps."""

from dataclasses import replace

from lineage.report.claims import FLOOR
from lineage.report.comparisons import Judgement
from lineage.report.depth import beginning
from lineage.report.markdown import link, percent
from lineage.report.measured import (
    DECIDABLE,
    Measured,
    apart,
    briefly,
    deepest,
    difference,
    elsewhere,
    finding,
    main_ones,
    quotients,
    seeds,
    shallow,
    sides,
    verdict,
    where,
)
from lineage.report.openings import opened, rests_on
from lineage.report.study import GROUPS
from lineage.report.verdicts import (
    AT_FLOOR,
    HOLDS,
    LEANS,
    NOT_RUN,
    VERDICTS,
    can_decide,
)


def degradation(m: Measured) -> list[str]:
    """Where depth raises the training error of plain networks."""
    said, ones = [], main_ones(m, "plain-train")
    for one in ones:
        said.append(f"{where(one)}: {_errors(m, one, 'plain', 'train')}.{apart(m, one)}")
    who = f"plain networks of {depths(ones)} layers"
    opening = opened(ones, who, "train worse than shallow ones", "do not train worse than shallow ones")
    return finding(f"{opening} Error on the training images.", said)


def degradation_on_test(m: Measured) -> list[str]:
    """Where depth raises the test error of plain networks."""
    ones = main_ones(m, "plain-test")
    said = [f"{where(one)}: {_errors(m, one, 'plain', 'test')}." for one in ones]
    who, than = f"plain networks of {depths(ones)} layers", "than shallow ones on the test set"
    return finding(opened(ones, who, f"do worse {than}", f"do not do worse {than}"), said + elsewhere(m, ones))


def depths(ones: list[Judgement]) -> str:
    """The depths that the opening rests on."""
    return " or ".join(str(depth) for depth in sorted({one.comparison.depth for one in rests_on(ones)}))


def _errors(m: Measured, one: Judgement, family: str, part: str) -> str:
    """The errors of a deep network and of the shallow one of its family and group, and their difference."""
    group, depth = one.comparison.group, one.comparison.depth
    errors = [m.error(family, layers, group, part) for layers in (shallow(family, group), depth)]
    return f"{', '.join(errors)}, difference {difference(one)}"


def no_start(m: Measured) -> list[str]:
    """Plain networks that did not start to train."""
    said, whole = [], False
    for one in deepest(m, "plain-start", *VERDICTS):
        result = m.results[one.comparison.larger]
        failed = int((~result.started()).sum())
        if failed:
            whole |= failed == result.n
            shallower = m.results[one.comparison.smaller]
            turned = quotients(result)
            p = "" if one.p is None else f", Fisher's exact test: p = {one.p:.2g}"
            first = beginning(result)
            largest = f"{first} (over the seeds) in the layer where it is largest" if first else "not measured"
            before = f" Before training, the gradient's norm over the weights', ‖gradient‖ / ‖W‖, is {largest}."
            after = ""
            if not result.started().iloc[0]:
                after = f" After training, it is {turned.iloc[0]:.2g} in the network's first layer (first seed)."
            said.append(
                f"{link(result.name)}: {failed} of {result.n} seeds stayed near guessing (training error "
                f"{percent(result.error('train'))} %; {link(shallower.name)}: {int((~shallower.started()).sum())} of "
                f"{shallower.n}; {difference(one)}{p}).{before}{after}"
            )
    who = "deep plain networks" if whole else "seeds of deep plain networks"
    opening = f"**Some {who} did not start to train.** Their errors are not compared; seeds are counted."
    return finding(opening, said)


def longer(m: Measured) -> list[str]:
    """What more epochs change, and what they do not."""
    said = []
    for one in deepest(m, "plain-train", AT_FLOOR):
        group = one.comparison.group
        if group in {about.longer for about in GROUPS.values()} and one.loss.verdict in (HOLDS, LEANS):
            error = m.error("plain", one.comparison.depth, group, "train")
            loss = f"training loss {one.loss.shown} that of {link(one.comparison.smaller)}"
            said.append(
                f"{GROUPS[group].title}: training error {error}, but {loss} (n = {seeds(one)}; {verdict(one.loss)}"
                f"{'' if can_decide(one.n) else ': so few seeds cannot decide'})."
            )
            if control := m.results.get(GROUPS[group].same_warm_up):
                has = f"{link(control.name)} has {percent(control.error('train'))} % (on the test set "
                has += f"{percent(control.error('test'))} %; n = {control.n})"
                if 100 * control.error("train").mean() < FLOOR:
                    said[-1] += f" That is not the longer warm-up alone: with the short one {has}."
                else:
                    said[-1] += f" With the short warm-up {has}, so the longer warm-up may be what helps."
            else:
                said[-1] += " The warm-up is longer, too, so more steps and a gentler beginning cannot be told apart."
    falls = "With more epochs the training error of a deep plain network falls to almost 0"
    return finding(f"**{falls}; its loss probably stays above the shallow one's.**", said)


def dirac(m: Measured) -> list[str]:
    """What the Dirac initialisation changes in deep plain networks."""
    said = []
    tried = [one for place, one in m.judgements.items() if place[0] in ("dirac-start", "dirac-train")]
    tried = [one for one in tried if one.verdict != NOT_RUN]
    for one in tried:
        before, after = (
            f"{link(result.name)} {int(result.started().sum())} of {result.n} seeds started, training error "
            f"{percent(result.error('train'))} %"
            for result in (m.results[name] for name in sides(one))
        )
        p = f", p = {one.p:.2g}" if one.p is not None and not one.found else ""
        said.append(f"{before}; {after} ({difference(one)}{p}).")
    begun = [one for one in tried if one.comparison.claim.id == "dirac-start" and one.verdict == HOLDS]
    trained = [one for one in tried if one.comparison.claim.id == "dirac-train"]
    better = "better with the Dirac initialisation"
    opening = opened(trained, "deep plain networks", f"train {better}", f"do not train {better}")
    if begun:
        usual, other = (m.results[name].started() for name in sides(begun[0]))
        opening = (
            f"**With the Dirac initialisation, {int(other.sum())} of {len(other)} seeds of a deep plain network "
            f"started to train, without it {int(usual.sum())} of {len(usual)}.**"
        )
    return finding(
        f"{opening} All else is equal. Its kernels are the identity plus a tenth of He's weights. Behind batch "
        "norm and ReLU the network is not the identity.",
        said,
    )


def shortcuts(m: Measured) -> list[str]:
    """Where shortcuts lower the test error of deep networks, and then what they do in the shallowest ones."""
    judged = {key: one for key, one in m.judgements.items() if key[0] == "shortcut-test"}
    small = [one for (_, group, depth), one in judged.items() if depth == shallow("plain", group)]
    deep = replace(m, judgements={key: one for key, one in judged.items() if one not in small})
    said, ones = [], main_ones(deep, "shortcut-test")
    for one in ones:
        group, depth = one.comparison.group, one.comparison.depth
        errors = [m.error(family, depth, group, "test") for family in ("plain", "resnet")]
        said.append(f"{where(one)}: {', '.join(errors)}, difference {difference(one)}.{apart(m, one)}")
    what = "lower the test error of deep networks"
    said += elsewhere(deep, ones)
    said += [briefly(one) for one in small if one.verdict in DECIDABLE]
    return finding(opened(ones, "shortcuts", what, f"do not {what}"), said)


def residual(m: Measured) -> list[str]:
    """What depth does to residual networks, for the deepest of each group, whatever came of it."""
    said, ones = [], deepest(m, "residual-test", *VERDICTS)
    for one in ones:
        group, depth = one.comparison.group, one.comparison.depth
        mean, low, high = one.found or (0, 0, 0)  # of the shallow one less the deep one, as the claim says it
        turned = replace(one, found=(-mean, -high, -low) if one.found else None)
        said.append(f"{where(one)}: {_errors(m, turned, 'resnet', 'test')}.")
        if one.method == "Welch":
            images = len(m.results[GROUPS[group].members["resnet", depth]].predictions)
            said[-1] += f" That interval leaves out that the test set has only {images} images."
        train = m.judged("residual-train", group, depth)
        if train and train.loss:
            said[-1] += (
                f" Both training errors are below {FLOOR} %. The deep one's training loss is {train.loss.shown} the "
                f"shallow one's; the claim that depth does not raise it: {verdict(train.loss)}."
            )
    what = "help residual networks on the test set"
    opening = opened(ones, "more layers", what, f"do not {what}")
    return finding(opening, said)
