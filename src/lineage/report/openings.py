"""What a finding says first, in bold: how far what it found goes, and where."""

from collections.abc import Iterable
from itertools import takewhile

from lineage.report.comparisons import Judgement
from lineage.report.markdown import capitalised
from lineage.report.measured import AGAINST, FOR, group_of
from lineage.report.study import GROUPS
from lineage.report.verdicts import HOLDS, REVERSED

CERTAIN = (HOLDS, REVERSED)  # Holm's correction does not reach *does not hold*


def opened(ones: list[Judgement], who: str, does: str, does_not: str, opposite: str = "") -> str:
    """The bold sentence that a finding begins with. It is stated as a fact only if a primary comparison decided it;
    otherwise it says *probably*. Where all that it rests on is reversed, it says `opposite`, if there is such a word,
    instead of `does_not`. Exploratory comparisons that speak against what primary ones decided are named.
    """
    said = rests_on(ones)
    certain = {one.verdict for one in said if one.comparison.primary} & {*CERTAIN}
    sides = {one.verdict in FOR for one in said if one.verdict in (*FOR, *AGAINST)}
    if len(sides) == 2:
        depends = "depends" if {HOLDS, REVERSED} <= certain else "may depend"
        return f"**Whether {who} {does} {depends} on the setting.**"
    if not sides:
        return f"**Whether {who} {does} is not decided{scope(shared(ones))}.**"
    against = opposite if opposite and {one.verdict for one in said} == {REVERSED} else f"{does_not}{at_least(said)}"
    what = does if sides == {True} else against
    where = ["; ".join(map(title, said))]
    if len(said) == len(ones):
        where = shared(ones) or (where if any(map(group_of, ones)) else [])
    weaker = [one for one in ones if one.comparison.primary and one not in said]
    open_ = [f"the primary comparison is {one.verdict}" for one in weaker]
    if sum(one.comparison.primary for one in ones) > 1:
        open_ = [f"{title(one)}: {one.verdict}" for one in weaker]
    if others := [title(one) for one in ones if one.verdict in (AGAINST if sides == {True} else FOR)]:
        open_.append(f"against it, exploratory: {'; '.join(others)}")
    certainly = "" if certain else "probably "
    return f"**{'; '.join([f'{capitalised(who)} {certainly}{what}{scope(where)}', *open_])}.**"


def rests_on(ones: list[Judgement]) -> list[Judgement]:
    """The judgements that an opening rests on: the primary ones that are certain, else those that lean, else the
    exploratory ones that say something; where some speak for the claim and some against it, all of them, unless the
    primary ones agree and one of these is certain. All that there are, where none says anything.
    """
    telling = [one for one in ones if one.verdict in (*FOR, *AGAINST)]
    primary = [one for one in telling if one.comparison.primary]
    certain = [one for one in primary if one.verdict in CERTAIN]
    if disagree(primary) or (disagree(telling) and not certain):
        return telling
    return certain or primary or telling or ones


def disagree(telling: list[Judgement]) -> bool:
    """Whether some speak for the claim and some against it."""
    return len({one.verdict in FOR for one in telling}) == 2


def at_least(said: list[Judgement]) -> str:
    """` by 0.5 pp or more`, for a claim that does not hold; nothing where it is reversed."""
    small = {(one.relevant, one.unit) for one in said if one.found and one.found[2] >= 0 and one.unit != "×"}
    if not small:
        return ""
    relevant, unit = max(small)
    return f" by {relevant:.3g} {unit.removesuffix('s') if relevant == 1 else unit} or more"


def shared(ones: list[Judgement]) -> list[str]:
    """What the titles of the training groups of these judgements begin with."""
    groups = {group_of(one) for one in ones}
    titles = [GROUPS[group].title.split(", ") if group else [] for group in groups]
    alike = takewhile(lambda parts: len(set(parts)) == 1, zip(*titles, strict=False))
    return [parts[0] for parts in alike]


def title(one: Judgement) -> str:
    """The training group, or the experiment where there is none."""
    group = group_of(one)
    return GROUPS[group].title if group else one.comparison.larger


def networks(depths: Iterable[int], kind: str = "") -> str:
    """Networks by their depth where they have the same, else `deep networks`; `kind`: `plain ` or nothing."""
    first, *others = {*depths} or {0}
    return f"{kind}networks of {first} layers" if first and not others else f"deep {kind}networks"


def scope(places: list[str]) -> str:
    """Where it is so, in brackets."""
    return f" ({', '.join(places)})" if places else ""
