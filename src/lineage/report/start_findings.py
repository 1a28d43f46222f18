"""The findings on plain networks that do not start to train, and on the initialisation with which they do."""

from lineage.report.comparisons import Judgement
from lineage.report.markdown import capitalised, link, percent
from lineage.report.measured import Measured, difference, differs, finding, named, quotients, sides, unlike, where
from lineage.report.openings import networks, opened
from lineage.report.verdicts import HOLDS
from lineage.report.why import beginning
from lineage.started import STARTED

# Of a claim on what the Dirac initialisation leaves: the error that is compared, on which images, and the other ones.
LEFT = {
    "dirac-depth": ("training error than shallow ones", "train", "test"),
    "dirac-gap": ("test error than residual ones", "test", "train"),
}
WORDS = {"train": "Training", "test": "Test"}


def no_start(m: Measured) -> list[str]:
    """Plain networks that did not start to train."""
    said, whole = [], False
    for one in m.tried("plain-start"):
        result = m.results[one.comparison.larger]
        if result.failed:
            whole |= result.failed == result.n
            shallower = m.results[one.comparison.smaller]
            turned = quotients(result)
            p = "" if one.p is None else f", Fisher's exact test: p = {one.p:.2g}"
            first = beginning(result)
            shallow = f"; {link(shallower.name)}: {found}" if (found := beginning(shallower)) else ""
            largest = f"{first} (over the seeds{shallow})" if first else "not measured"
            before = f" Before training the largest ‖gradient‖ / ‖W‖ of any layer is {largest}."
            after = ""
            if not result.started().iloc[0]:
                after = f" After training, that of the first layer is {turned.iloc[0]:.2g} (first seed)."
            what = f"ended above {100 * STARTED:.0f} % of the error at chance level"
            what = "did not start or diverged" if result.metrics["diverged"] else what
            also = f" {capitalised(other)}." if (other := differs(one)) else ""
            said.append(
                f"{where(one)}: {link(result.name)}: {result.failed} of {result.n} seeds {what} (training error "
                f"{percent(result.error('train'))} %; {link(shallower.name)}: {shallower.failed} of "
                f"{shallower.n}; {difference(one)}{p}).{also}{beside(m, one)}{before}{after}"
            )
    who = "deep plain networks" if whole else "seeds of deep plain networks"
    opening = f"**Some {who} did not start to train.** Their errors are not compared; seeds are counted."
    return finding(opening, said)


def beside(m: Measured, one: Judgement) -> str:
    """How many seeds of the residual network of the same depth did not start."""
    other = m.judged("shortcut-start", one.comparison.group, one.comparison.depth)
    if not other:
        return ""
    result = m.results[other.comparison.smaller]
    p = "" if other.p is None else f", p = {other.p:.2g}"
    return f" With shortcuts, {link(result.name)}: {result.failed} of {result.n} ({difference(other)}{p})."


def dirac(m: Measured) -> list[str]:
    """What the Dirac initialisation changes in deep plain networks."""
    said = []
    tried = m.tried("dirac-start", "dirac-train")
    for one in tried:
        before, after = (
            f"{link(result.name)} {int(result.started().sum())} of {result.n} seeds started, training error "
            f"{percent(result.error('train'))} %"
            for result in (m.results[name] for name in sides(one))
        )
        p = f", p = {one.p:.2g}" if one.p is not None and not one.found else ""
        said.append(f"{before}; {after} ({difference(one)}{p}).{unlike(one)}")
    begun = [one for one in tried if one.comparison.claim.id == "dirac-start" and one.verdict == HOLDS]
    trained = [one for one in tried if one.comparison.claim.id == "dirac-train"]
    better = "better with the Dirac initialisation"
    opening = opened(trained, plain(m, trained), f"train {better}", f"do not train {better}")
    if begun:
        usual, other = (m.results[name].started() for name in sides(begun[0]))
        start = (
            f"**With the Dirac initialisation, {int(other.sum())} of {len(other)} seeds of {plain(m, begun[:1])} "
            f"started to train, without it {int(usual.sum())} of {len(usual)}.**"
        )
        opening = f"{start} {opening}" if trained else start
    return finding(
        f"{opening} This initialisation makes each 3×3 kernel but the first the identity plus a tenth of He's weights "
        "(behind batch norm and ReLU the network is not the identity); the rest of the recipe is the same.",
        said,
    )


def plain(m: Measured, ones: list[Judgement]) -> str:
    """The plain networks of these pairs, by their depth where they have the same."""
    return networks({m.results[one.comparison.larger].experiment.network.depth for one in ones}, "plain ")


def remaining(m: Measured) -> list[str]:
    """What the Dirac initialisation leaves of the distance to shallow plain networks, and to residual ones."""
    said = []
    for claim, (error, part, other) in LEFT.items():
        tried, lines = m.tried(claim), []
        for one in tried:
            first, second = (", ".join(m.error(name, of) for name in sides(one)) for of in (part, other))
            lines.append(f"{WORDS[part]} error: {first}, {named(one)}. {WORDS[other]} error: {second}.{unlike(one)}")
        higher, lower = (f"a {kind} {error} with the usual initialisation" for kind in ("higher", "lower"))
        who = f"{plain(m, tried)} with the Dirac initialisation"
        opening = opened(tried, who, f"have {higher}", f"do not have {higher}", f"have {lower}")
        said += finding(opening, lines)
    return said
