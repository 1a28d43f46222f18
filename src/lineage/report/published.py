"""What others report, and where the articles' sections are answered: the tables of published.yaml."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml


class Published(NamedTuple):
    """Test top-1 in per cent."""

    public: str = ""  # the best public figure; empty where nobody has looked for one
    source: str = ""
    selection: str = ""  # how that figure was chosen
    article: str = ""  # what the article says that the experiment answers


_TABLES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
PUBLISHED = {name: Published(**entry) for name, entry in _TABLES["figures"].items()}
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
