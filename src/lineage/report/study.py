"""What the report compares and claims, as study.yaml says it."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lineage.errors import Mistake
from lineage.files import read_yaml
from lineage.report.entries import Claim, Group, Lines
from lineage.report.results import Result, Results

T = TypeVar("T")


def _made(make: Callable[..., T], entry: dict, place: str) -> T | None:
    """What an entry describes; what is wrong with it goes to `FAULTS`, because nobody catches what a module raises
    while it loads.
    """
    try:
        return make(**entry)
    except (TypeError, AttributeError, ValueError) as error:  # a key too few or too many: "Claim.__init__() got …"
        said = str(error).partition("() ")[2] or error
        FAULTS.append(f"{FILE.name}, {place}: {said}; the comment above the block lists the keys")
        return None


def _groups() -> dict[str, Group]:
    """The training groups by name."""
    made = {name: _made(Group.of, about, f"groups, {name}") for name, about in _STUDY["groups"].items()}
    return {name: group for name, group in made.items() if group}


def _entries(kind: type, block: str) -> dict:
    """The entries of a block by their `id`."""
    found = {}
    for i, entry in enumerate(_STUDY[block], 1):
        place = f"{block}, {entry.get('id', 'without an id') if isinstance(entry, dict) else f'entry {i}'}"
        if one := _made(kind, entry, place):
            if one.id in found:
                FAULTS.append(f"{FILE.name}, {place}: another entry has the same id")
            found[one.id] = one
    return found


def _primary() -> set[tuple[str, str, int]]:
    """Claim, group and depth of each primary comparison."""
    places = set()
    for place in _STUDY["primary"]:
        if not isinstance(place, list) or [type(value) for value in place] != [str, str, int]:
            FAULTS.append(f"{FILE.name}, primary: {place} is not [claim, group, depth]")
            continue
        places.add(tuple(place))
    for one, group, depth in sorted(places):
        if one not in CLAIMS or group not in GROUPS or depth not in {layers for _, layers in GROUPS[group].members}:
            FAULTS.append(f"{FILE.name}, primary, {one}, {group}, {depth}: there is no such claim, group or depth")
    return places


def _read(path: Path) -> dict:
    """The blocks of the file; empty ones where it cannot be read."""
    try:
        found = read_yaml(path)
        if not isinstance(found, dict):
            raise Mistake(f"{path} should hold {', '.join(EMPTY)}")
        for block, nothing in EMPTY.items():
            if not isinstance(found.get(block) or nothing, type(nothing)):
                kind = {dict: "names with what belongs to each", list: "a list", str: "a text"}[type(nothing)]
                raise Mistake(f"{path}: {block} should be {kind}")
        return EMPTY | {block: content for block, content in found.items() if content is not None}
    except Mistake as error:
        FAULTS.append(str(error).removeprefix(f"{path.parent}/"))
        return EMPTY


FAULTS: list[str] = []  # each says where and what
FILE = Path(__file__).with_suffix(".yaml")
EMPTY = {"articles": {}, "groups": {}, "claims": [], "figures": [], "primary": [], "untested": [], "why": {}}
EMPTY |= {"lineage": [], "precision": [], "gpu": ""}
_STUDY = _read(FILE)
ARTICLES: dict[str, dict[str, str]] = _STUDY["articles"]
GROUPS: dict[str, Group] = _groups()
CLAIMS: dict[str, Claim] = _entries(Claim, "claims")
FIGURES: dict[str, Lines] = _entries(Lines, "figures")
PRIMARY = _primary()
UNTESTED: list[dict[str, str]] = _STUDY["untested"]
WHY: dict[str, str] = _STUDY["why"]
LINEAGE = [tuple(row) for row in _STUDY["lineage"]]  # year, network, experiments
PRECISION = [tuple(pair) for pair in _STUDY["precision"]]
GPU: list[str] = _STUDY["gpu"].split()
_PLACES = {name: (*key, group) for group, about in GROUPS.items() for key, name in about.members.items()}

Members = dict[tuple[str, int], Result]  # by family and depth


def named() -> set[str]:
    """All experiments that study.yaml names."""
    names = {*_PLACES, *WHY, *GPU, *(group.same_warm_up for group in GROUPS.values() if group.same_warm_up)}
    names |= {name for *_, several in LINEAGE for name in several} | {name for pair in PRECISION for name in pair}
    names |= {name for lines in FIGURES.values() for name in lines.experiments.values()}
    return names | {side for claim in CLAIMS.values() for pair in claim.pairs for side in pair if isinstance(side, str)}


def place(experiment: str) -> tuple[str, int, str] | None:
    """Family, depth and group of an experiment that belongs to a group."""
    return _PLACES.get(experiment)


def groups(results: Results) -> dict[str, Members]:
    """The results of each group that has any, from shallow to deep."""
    found = {
        group: {key: results[name] for key, name in sorted(about.members.items()) if name in results}
        for group, about in GROUPS.items()
    }
    return {group: members for group, members in found.items() if members}


def in_both_precisions(results: Results) -> list[tuple[Result, Result]]:
    """The pairs of `PRECISION` that have run, if the first was trained in float32 and the second in bfloat16: without
    hardware for bfloat16 both are in float32.
    """
    pairs = [(results[exact], results[usual]) for exact, usual in PRECISION if {exact, usual} <= results.keys()]
    return [pair for pair in pairs if [one.precision for one in pair] == ["fp32", "bf16"]]
