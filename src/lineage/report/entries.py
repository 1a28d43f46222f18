"""The entries of study.yaml: articles, claims, figures and groups. Each raises `TypeError` for what it cannot be, as
Python does for a wrong key; study.py says where that was.
"""

from dataclasses import dataclass, field

AXES = {"train_error": "training error in %", "val_error": "validation error in %"}  # what a figure by epoch can show
MOST_LINES = 6  # of a figure: more colours can hardly be told apart


def _names(entry: object, *keys: str) -> None:
    for key in keys:
        if not isinstance(getattr(entry, key), str):
            raise TypeError(f"`{key}` must be a name, not {getattr(entry, key)!r}")


@dataclass(frozen=True)
class Article:
    """An article that the study follows."""

    title: str
    claims: str


@dataclass(frozen=True)
class Untested:
    """A claim that no experiment decides."""

    by: str
    text: str
    why: str


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
    unlike: dict[str, str] = field(default_factory=dict, hash=False)  # by the first experiment of a pair

    def __post_init__(self) -> None:
        """Raises `TypeError`, as for a wrong key."""
        _names(self, "id", "measure", "each")
        for pair in self.pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
                raise TypeError("`pairs` is a list of pairs: [[one experiment, another], …]")
            if not isinstance(pair[1], str | int | float) or isinstance(pair[1], bool):
                raise TypeError(f"{pair[1]!r} in `pairs` is neither an experiment nor a number")
            if isinstance(pair[1], str) and pair[1].replace(".", "", 1).isdecimal():
                raise TypeError(f"the number {pair[1]} in `pairs` stands there without quotes")
        first = [pair[0] for pair in self.pairs]
        if not isinstance(self.unlike, dict) or not all(isinstance(text, str) for text in self.unlike.values()):
            raise TypeError("`unlike` has a text for the first experiment of a pair: {mine: ran on another machine}")
        if odd := [str(name) for name in self.unlike if name not in first]:
            raise TypeError(f"`unlike` names {', '.join(odd)}, with which no pair begins")
        for one in self.untrained:
            if not isinstance(one, list | tuple) or [type(value) for value in one] != [str, int]:
                raise TypeError("`untrained` is a list of families and depths: [[plain, 56], …]")
        for key in ("relevant", "least"):
            if not isinstance(getattr(self, key), int | float):
                raise TypeError(f"`{key}` must be a number, not {getattr(self, key)!r}")


@dataclass(frozen=True)
class Lines:
    """A figure by epoch, a line for each experiment."""

    id: str
    title: str
    shows: str
    experiments: dict[str, str]  # by the name in the legend
    mark: float | None = None

    def __post_init__(self) -> None:
        """Raises `TypeError`, as for a wrong key."""
        _names(self, "id", "shows")
        if self.shows not in AXES:
            raise TypeError(f"`shows: {self.shows}` is unknown; use one of {', '.join(AXES)}")
        if not isinstance(self.experiments, dict) or not all(isinstance(one, str) for one in self.experiments.values()):
            raise TypeError('`experiments` has a name for the legend and an experiment: {"0.05": tiny-signs, …}')
        if not 2 <= len(self.experiments) <= MOST_LINES:
            raise TypeError(f"`experiments` has 2 to {MOST_LINES} of them")
        if not isinstance(self.mark, int | float | None):
            raise TypeError(f"`mark` must be a number, not {self.mark!r}")


@dataclass(frozen=True)
class Group:
    """Plain and residual networks that differ in shortcuts and depth alone, but for what `unlike` names."""

    title: str
    members: dict[tuple[str, int], str]  # experiments, by family (plain, resnet) and depth
    longer: str = ""
    same_warm_up: str = ""
    inside: bool = False
    unlike: dict[int, str] = field(default_factory=dict)  # by depth
    note: str = ""

    @classmethod
    def of(
        cls, title: str, plain: dict[int, str], resnet: dict[int, str], **others: str | bool | dict[int, str]
    ) -> "Group":
        """A group as it stands in study.yaml: the experiments of each family by depth."""
        for family, members in (("plain", plain), ("resnet", resnet)):
            if not isinstance(members, dict) or not all(
                type(depth) is int and depth > 0 and isinstance(name, str) for depth, name in members.items()
            ):
                raise TypeError(f"`{family}` has an experiment for each depth: {{20: mine-20, 56: mine-56}}")
        for key, text in ({"title": title} | others).items():
            if key not in ("inside", "unlike") and not isinstance(text, str):
                raise TypeError(f"`{key}` must be text, not {text!r}")
        unlike = others.get("unlike", {})
        if not isinstance(unlike, dict) or not all(isinstance(text, str) for text in unlike.values()):
            raise TypeError("`unlike` has a text for each depth: {56: ran on another machine}")
        if odd := unlike.keys() - plain.keys() - resnet.keys():
            raise TypeError(f"`unlike` names {', '.join(map(str, odd))}, which is no depth of the group")
        named = {("plain", depth): name for depth, name in plain.items()}
        return cls(title, named | {("resnet", depth): name for depth, name in resnet.items()}, **others)
