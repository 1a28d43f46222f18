"""What others report, and where the articles' sections are answered: the tables of published.yaml."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lineage.report.study import FAULTS, read_blocks, rows_of


class Published(NamedTuple):
    """Test top-1 in per cent."""

    public: str = ""  # the best public figure; empty where nobody has looked for one
    source: str = ""
    selection: str = ""  # how that figure was chosen
    article: str = ""  # what the article says that the experiment answers


def _published(figures: dict[str, dict[str, str]]) -> dict[str, Published]:
    """The entry of each experiment; a fault for a wrong key."""
    found = {}
    for name, entry in figures.items():
        try:
            found[name] = Published(**entry)
        except TypeError as error:
            said = str(error).partition("() ")[2] or error
            FAULTS.append(f"published.yaml, figures, {name}: {said}; allowed are {', '.join(Published._fields)}")
    return found


def _errors(entries: list) -> list[dict]:
    """The entries that have all keys; a fault for any other."""
    keys, found = {"label", "group", "family", "part", "by_depth"}, []
    for entry in entries:
        if isinstance(entry, dict) and entry.keys() == keys and isinstance(entry["by_depth"], dict):
            found.append(entry)
        else:
            wanted = f"an entry with {', '.join(sorted(keys))} (depths and errors)"
            FAULTS.append(f"published.yaml, errors: {entry} is not {wanted}")
    return found


EMPTY = {"figures": {}, "errors": [], "answers": []}
_TABLES = read_blocks(Path(__file__).with_suffix(".yaml"), EMPTY)
PUBLISHED = _published(_TABLES["figures"])
ERRORS = _errors(_TABLES["errors"])
COLUMNS = "[article, section, file, experiments, anchor or page, figure]"  # of an answer
ANSWERS = rows_of(_TABLES["answers"], [str] * 6, "published.yaml, answers", COLUMNS)


def reported(group: str) -> pd.DataFrame:
    """Others' errors by depth, in per cent, for the networks of a group: label, family, depth, part, error."""
    rows = [
        (entry["label"], entry["family"], depth, entry["part"], error)
        for entry in ERRORS
        if entry["group"] == group
        for depth, error in entry["by_depth"].items()
    ]
    return pd.DataFrame(rows, columns=["label", "family", "depth", "part", "error"])
