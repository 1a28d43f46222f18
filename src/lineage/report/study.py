"""What the report compares and claims, as study.yaml says it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from lineage.report.results import Result, Results


@dataclass(frozen=True)
class Claim:
    """A claim of an article, of a paper, or ours; study.yaml explains each field."""

    id: str
    by: str
    text: str
    measure: str
    each: str = ""
    pairs: tuple[tuple[str, str | float], ...] = ()
    untrained: tuple[tuple[str, int], ...] = ()
    relevant: float = 0.5
    least: float = 0.0
    none: bool = False
    confirm_only: bool = False


@dataclass(frozen=True)
class Lines:
    """A figure by epoch, a line for each experiment."""

    id: str
    title: str
    shows: str
    experiments: dict[str, str]  # by the name in the legend
    mark: float | None = None


@dataclass(frozen=True)
class Group:
    """Plain and residual networks that differ in shortcuts and depth alone."""

    title: str
    members: dict[tuple[str, int], str]  # experiments, by family (plain, resnet) and depth
    longer: str = ""
    same_warm_up: str = ""
    inside: bool = False
    note: str = ""


def _group(title: str, plain: dict[int, str], resnet: dict[int, str], **others: str | bool) -> Group:
    named = {("plain", depth): name for depth, name in plain.items()}
    return Group(title, named | {("resnet", depth): name for depth, name in resnet.items()}, **others)


def _entries(kind: type, block: str) -> dict:
    """The entries of a block by their `id`; what is wrong with an entry goes to `FAULTS`, because nobody catches what a
    module raises while it loads.
    """
    found = {}
    for entry in _STUDY[block]:
        place = f"{FILE.name}, {block}, {entry.get('id', 'without an id')}"
        try:
            one = kind(**entry)
        except TypeError as error:  # a key too few or too many
            said = str(error).removeprefix(f"{kind.__name__}.__init__() ")
            FAULTS.append(f"{place}: {said}; the comment above the block lists the keys")
            continue
        if one.id in found:
            FAULTS.append(f"{place}: another entry has the same id")
        found[one.id] = one
    return found


FAULTS: list[str] = []  # each says where and what
FILE = Path(__file__).with_suffix(".yaml")
_STUDY = yaml.safe_load(FILE.read_text(encoding="utf-8"))
ARTICLES: dict[str, dict[str, str]] = _STUDY["articles"]
GROUPS = {name: _group(**about) for name, about in _STUDY["groups"].items()}
CLAIMS: dict[str, Claim] = _entries(Claim, "claims")
FIGURES: dict[str, Lines] = _entries(Lines, "figures")
PRIMARY = {tuple(place) for place in _STUDY["primary"]}  # claim, group, depth
UNTESTED: list[dict[str, str]] = _STUDY["untested"]
WHY: dict[str, str] = _STUDY["why"]
LINEAGE = [tuple(row) for row in _STUDY["lineage"]]  # year, network, experiments
PRECISION = [tuple(pair) for pair in _STUDY["precision"]]
GPU: list[str] = _STUDY["gpu"].split()
_PLACES = {name: (*key, group) for group, about in GROUPS.items() for key, name in about.members.items()}

Members = dict[tuple[str, int], Result]  # by family and depth


def place(experiment: str) -> tuple[str, int, str] | None:
    """Family, depth and group of an experiment that belongs to a group."""
    return _PLACES.get(experiment)


def groups(results: Results | Iterable[Result]) -> dict[str, Members]:
    """The results of each group that has any, from shallow to deep."""
    names = results if isinstance(results, dict) else {result.name: result for result in results}
    found = {
        group: {key: names[name] for key, name in sorted(about.members.items()) if name in names}
        for group, about in GROUPS.items()
    }
    return {group: members for group, members in found.items() if members}
