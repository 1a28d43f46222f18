"""What others report, and where the articles' sections are answered: the tables of published.yaml."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from lineage.errors import Mistake
from lineage.files import read_yaml
from lineage.report.study import FAULTS


class Published(NamedTuple):
    """Test top-1 in per cent."""

    public: str = ""  # the best public figure; empty where nobody has looked for one
    source: str = ""
    selection: str = ""  # how that figure was chosen
    article: str = ""  # what the article says that the experiment answers


def _read(path: Path) -> dict:
    """The tables of the file; empty ones, and a fault, where it cannot be read."""
    try:
        return read_yaml(path)
    except Mistake as error:
        FAULTS.append(str(error).removeprefix(f"{path.parent}/"))
        return {"figures": {}, "errors": [], "answers": []}


def _published(figures: dict[str, dict[str, str]]) -> dict[str, Published]:
    """The entry of each experiment; a fault for a wrong key."""
    found = {}
    for name, entry in figures.items():
        try:
            found[name] = Published(**entry)
        except TypeError as error:
            FAULTS.append(f"published.yaml, figures, {name}: {error}; allowed are {', '.join(Published._fields)}")
    return found


_TABLES = _read(Path(__file__).with_suffix(".yaml"))
PUBLISHED = _published(_TABLES["figures"])
ANSWERS = [tuple(row) for row in _TABLES["answers"]]  # article, section, file, experiments, anchor or page, figure


def reported(group: str) -> pd.DataFrame:
    """Others' errors by depth, in per cent, for the networks of a group: label, family, depth, part, error."""
    rows = [
        (entry["label"], entry["family"], depth, entry["part"], error)
        for entry in _TABLES["errors"]
        if entry["group"] == group
        for depth, error in entry["by_depth"].items()
    ]
    return pd.DataFrame(rows, columns=["label", "family", "depth", "part", "error"])
