"""What the report compares and claims, as study.yaml says it."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from lineage.errors import Mistake
from lineage.files import read_yaml
from lineage.report.entries import Article, Claim, Group, Lines, Untested
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
        FAULTS.append(f"{FILE.name}, {place}: {said}; the comment above the block explains the keys")
        return None


def _by_name(make: Callable[..., T], block: str) -> dict[str, T]:
    """The entries of a block that has a name for each."""
    numbers = [name for name in _STUDY[block] if not isinstance(name, str)]
    FAULTS.extend(f"{FILE.name}, {block}: the name {name} needs quotes" for name in numbers)
    named = {name: about for name, about in _STUDY[block].items() if name not in numbers}
    made = {name: _made(make, about, f"{block}, {name}") for name, about in named.items()}
    return {name: one for name, one in made.items() if one}


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


def rows_of(entries: list, kinds: list[type], place: str, wanted: str) -> list[tuple]:
    """Those entries that are lists of such values; a fault for any other, with the place where it stands."""
    rows = []
    for row in entries:
        fits = isinstance(row, list) and [type(value) for value in row] == kinds
        if fits and all(isinstance(name, str) for value in row if isinstance(value, list) for name in value):
            rows.append(tuple(row))
        else:
            FAULTS.append(f"{place}: {row} is not {wanted}")
    return rows


def _rows(block: str, kinds: list[type], wanted: str) -> list[tuple]:
    return rows_of(_STUDY[block], kinds, f"{FILE.name}, {block}", wanted)


def _texts(block: str, wanted: str) -> dict[str, str]:
    """The entries of a block that has a text for each name."""
    for name, text in _STUDY[block].items():
        if not isinstance(name, str) or not isinstance(text, str):
            FAULTS.append(f"{FILE.name}, {block}: {name}: {text} is not {wanted}")
    return {name: text for name, text in _STUDY[block].items() if isinstance(name, str) and isinstance(text, str)}


def read_blocks(path: Path, empty: dict) -> dict:
    """The blocks of the file; those of `empty`, and a fault, where it cannot be read."""
    try:
        found = read_yaml(path)
        if not isinstance(found, dict):
            raise Mistake(f"{path} should hold {', '.join(empty)}")
        for block, nothing in empty.items():
            if not isinstance(found.get(block) or nothing, type(nothing)):
                kind = {dict: "names with what belongs to each", list: "a list", str: "a text"}[type(nothing)]
                raise Mistake(f"{path}: {block} should be {kind}")
        return empty | {block: content for block, content in found.items() if content is not None}
    except Mistake as error:
        FAULTS.append(str(error).removeprefix(f"{path.parent}/"))
        return empty


FAULTS: list[str] = []  # each says where and what
FILE = Path(__file__).with_suffix(".yaml")
EMPTY = {"articles": {}, "groups": {}, "claims": [], "figures": [], "primary": [], "untested": [], "why": {}}
EMPTY |= {"lineage": [], "precision": [], "gpu": ""}
_STUDY = read_blocks(FILE, EMPTY)
ARTICLES: dict[str, Article] = _by_name(Article, "articles")
GROUPS: dict[str, Group] = _by_name(Group.of, "groups")
CLAIMS: dict[str, Claim] = _entries(Claim, "claims")
FIGURES: dict[str, Lines] = _entries(Lines, "figures")
PRIMARY: set[tuple[str, str, int]] = {*_rows("primary", [str, str, int], "[claim, group, depth]")}
_untested = [_made(Untested, entry, f"untested, entry {i}") for i, entry in enumerate(_STUDY["untested"], 1)]
UNTESTED: list[Untested] = [one for one in _untested if one]
WHY: dict[str, str] = _texts("why", "an experiment, and what it changes")
LINEAGE: list[tuple[int, str, list[str]]] = _rows("lineage", [int, str, list], "[year, network, [experiment, …]]")
PRECISION: list[tuple[str, str]] = _rows("precision", [str, str], "[in float32, in bfloat16]")
GPU: list[str] = _STUDY["gpu"].split()

Members = dict[tuple[str, int], Result]  # by family and depth


def named() -> set[str]:
    """All experiments that study.yaml names."""
    names = {name for group in GROUPS.values() for name in group.members.values()}
    names |= {*WHY, *GPU, *(group.same_warm_up for group in GROUPS.values() if group.same_warm_up)}
    names |= {name for *_, several in LINEAGE for name in several} | {name for pair in PRECISION for name in pair}
    names |= {name for lines in FIGURES.values() for name in lines.experiments.values()}
    return names | {side for claim in CLAIMS.values() for pair in claim.pairs for side in pair if isinstance(side, str)}


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
