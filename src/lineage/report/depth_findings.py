"""The findings on depth: what it does to plain and to residual networks, and what helps."""

from dataclasses import replace

from lineage.report import verdicts
from lineage.report.claim_measures import MEASURES
from lineage.report.claims import FLOOR, LOSS_FACTOR, on_test
from lineage.report.comparisons import Judgement
from lineage.report.markdown import difference_text, link, percent
from lineage.report.measured import (
    AGAINST,
    DECIDABLE,
    FOR,
    Measured,
    apart,
    briefly,
    deepest,
    elsewhere,
    finding,
    main_ones,
    named,
    seeds,
    shallow,
    sides,
    unlike,
    verdict,
    where,
)
from lineage.report.openings import networks, opened, rests_on, scope
from lineage.report.study import GROUPS
from lineage.report.verdicts import (
    AT_FLOOR,
    NOT_DECIDED,
    REVERSED,
    VERDICTS,
    can_decide,
)


def degradation(m: Measured) -> list[str]:
    """Where depth raises the training error of plain networks."""
    said, ones = [], main_ones(m, "plain-train")
    for one in ones:
        said.append(f"{where(one)}: {_errors(m, one, 'train')}.{apart(m, one)}{by_loss(m, one)}{unlike(one)}")
    who = networks(depths(ones), "plain ")
    does, opposite = "train worse than shallow ones", "train better than shallow ones"
    opening = opened(ones, who, does, f"do not {does}", opposite)
    return finding(f"{opening} Error on the training images.", said + elsewhere(m, ones, "plain-train"))


def degradation_on_test(m: Measured) -> list[str]:
    """Where depth raises the test error of plain networks."""
    ones = main_ones(m, "plain-test")
    said = [f"{where(one)}: {_errors(m, one, 'test')}.{unlike(one)}" for one in ones]
    who, than = networks(depths(ones), "plain "), "than shallow ones on the test set"
    opening = opened(ones, who, f"do worse {than}", f"do not do worse {than}", f"do better {than}")
    return finding(opening, said + elsewhere(m, ones, "plain-test"))


def depths(ones: list[Judgement]) -> set[int]:
    """The depths that the opening rests on."""
    return {one.comparison.depth for one in rests_on(ones)}


def by_loss(m: Measured, one: Judgement) -> str:
    """What the training loss says where the training error decides nothing."""
    if one.verdict != NOT_DECIDED or min(one.n) < 2:
        return ""
    found = verdicts.difference(*(MEASURES["train_loss"].of(m.results[name]) for name in sides(one)))
    return f" Training loss, which the verdict does not consider: {difference_text(found, '×')}."


def _errors(m: Measured, one: Judgement, part: str) -> str:
    """The errors of the two networks of a comparison, and the first minus the second."""
    return f"{', '.join(m.error(name, part) for name in sides(one))}, {named(one)}"


def longer(m: Measured) -> list[str]:
    """What more epochs change, and what they do not."""
    said, told, losses = [], [], set()
    for one in deepest(m, "plain-train", AT_FLOOR):
        group = one.comparison.group
        if fell(m, one):
            losses.add(loss_stays(one.loss.verdict))
            told.append(one)
            error = m.error(one.comparison.larger, "train")
            loss = f"its training loss is {times(one.loss)} that of {link(one.comparison.smaller)}"
            said.append(
                f"{GROUPS[group].title}: training error {error}, and {loss} (n = {seeds(one)}; {verdict(one.loss)}"
                f"{'' if can_decide(one.n) else ': so few seeds cannot decide'}).{on_warm_up(m, one)}"
            )
    who = networks({one.comparison.depth for one in told}, "plain ")
    falls = f"With more epochs the training error of {who} falls to almost 0"
    places = [GROUPS[one.comparison.group].title for one in told]
    differ = "the verdicts on whether their loss stays above the shallow ones' differ"
    stays = losses.pop() if len(losses) == 1 else differ
    opening = f"**{falls}{scope(['; '.join(places)])}; {stays}.**"
    return finding(opening, said)


def loss_stays(said: str) -> str:
    """What this verdict on a claim that the deep network's loss is higher means."""
    if said in FOR:
        return "their loss probably stays above the shallow ones'"
    if said in AGAINST:
        return "their loss probably does not stay above the shallow ones'"
    return "whether their loss stays above the shallow ones' is not decided"


def fell(m: Measured, one: Judgement) -> bool:
    """Whether the same network has a training error above the floor in the group that has fewer epochs."""
    shorter = [about.members for about in GROUPS.values() if about.longer == one.comparison.group]
    names = {members.get(("plain", one.comparison.depth)) for members in shorter} & m.results.keys()
    return any(100 * m.results[name].error("train").mean() >= FLOOR for name in names)


def on_warm_up(m: Measured, one: Judgement) -> str:
    """Whether the longer warm-up of a longer run may be what helps; nothing where the warm-up is not longer."""
    usual, control = m.results[one.comparison.larger], m.results.get(GROUPS[one.comparison.group].same_warm_up)
    if not usual.experiment.recipe.warm_up:  # none, or as many steps as in the shorter run
        return ""
    if not control or control.experiment.network != usual.experiment.network:
        return " The warm-up is longer, too, so more steps and a gentler beginning cannot be told apart."
    has = f"{link(control.name)} has {percent(control.error('train'))} % (n = {control.n})"
    said = f" With the short warm-up {has}, so the longer warm-up may be what helps."
    if 100 * control.error("train").mean() < FLOOR:
        said = f" The longer warm-up alone is not the reason: with the short one {has}."
    short, long = (percent(result.error("test")) for result in (control, usual))
    said += f" Test error with the short warm-up {short} %, with the long one {long} %"
    if min(n := (control.n, usual.n)) > 1:
        few = "" if can_decide(n) else ": so few seeds cannot decide"
        said += f", difference {difference_text(on_test(control, usual), 'pp')}, exploratory{few}"
    return f"{said}."


def shortcuts(m: Measured) -> list[str]:
    """Where shortcuts lower the test error of deep networks, and then what they do in the shallowest ones."""
    judged = {key: one for key, one in m.judgements.items() if key[0] == "shortcut-test"}
    small = [one for (_, group, depth), one in judged.items() if depth in shallow("plain", group)]
    deep = replace(m, judgements={key: one for key, one in judged.items() if one not in small})
    said, ones = [], main_ones(deep, "shortcut-test")
    for one in ones:
        said.append(f"{where(one)}: {_errors(m, one, 'test')}.{apart(m, one)}")
    error = f"the test error of {networks(depths(ones))}"
    what = f"lower {error}"
    said += elsewhere(deep, ones, "shortcut-test")
    if shown := [briefly(m, one) for one in small if one.verdict in DECIDABLE]:
        said.append(f"In networks that are not deep: {'; '.join(shown)}.")
    return finding(opened(ones, "shortcuts", what, f"do not {what}", f"raise {error}"), said)


def residual(m: Measured) -> list[str]:
    """What depth does to residual networks, whatever came of it; the opening is about the deepest of each group."""
    said, ones = [], deepest(m, "residual-test", *VERDICTS)
    for one in m.tried("residual-test"):
        group, depth = one.comparison.group, one.comparison.depth
        said.append(f"{where(one)}: {_errors(m, one, 'test')}.{unlike(one)}")
        if one.method == "Welch":
            images = len(m.results[GROUPS[group].members["resnet", depth]].predictions)
            said[-1] += f" That interval leaves out that the test set has only {images} images."
        train = m.judged("residual-train", group, depth)
        if train and train.loss:
            said[-1] += (
                f" Both training errors are below {FLOOR} %, so the training losses are compared: the deep network's "
                f"is {times(train.loss)} the shallow one's. {not_raised(train.loss)}."
            )
        elif train:
            said[-1] += f" Training error: {_errors(m, train, 'train')} (the claim is that depth does not raise it)."
    what = "help residual networks on the test set"
    opening = opened(ones, "more layers", what, f"do not {what}", "raise the test error of residual networks")
    return finding(opening, said)


def not_raised(loss: Judgement) -> str:
    """The verdict on the claim that depth does not raise the training loss."""
    if loss.verdict == REVERSED:
        return f"Depth probably raises it (exploratory): the claim that it does not is {verdict(loss)}"
    return f"That depth does not raise it by a factor of {LOSS_FACTOR} or more: {verdict(loss)}"


def times(loss: Judgement) -> str:
    """How many times as large one loss is."""
    return f"{loss.shown.removeprefix('× ')} times"
