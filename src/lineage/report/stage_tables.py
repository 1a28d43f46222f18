"""The tables of the stages that train or measure networks of their own, if they come from the present recipes."""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from lineage.files import read_json, read_lock
from lineage.report.results import read_table

LOCK = Path("dvc.lock")


def read(table: Path, recipes: Path | None = None) -> tuple[pd.DataFrame, Any]:
    """The table of the stage of the same name, and the content of its recipes. Both empty where there is none, or where
    it was made by other recipes, at another scale or for networks of other depths. `recipes`, where they are those of
    another stage: then the depths may differ.
    """
    path = recipes or Path("recipes", f"{table.stem}.json")
    if not (table.is_file() and path.is_file() and of_present_recipes(table.stem, path)):
        return pd.DataFrame(), {}
    found, content = read_table(table, keep_default_na=False, na_values=[""]), read_json(path)
    wanted = list(_experiments(content))
    same = set(found.scale) == {one["scale"] for one in wanted}
    if "depth" in found and not recipes:
        same &= set(found.depth) == {one["network"]["depth"] for one in wanted}
    return (found, content) if same else (pd.DataFrame(), {})


def _experiments(content: Any) -> Iterator[dict[str, Any]]:
    """All experiments in the content of a file of recipes, however they are grouped there."""
    if isinstance(content, dict) and "recipe" in content:
        yield content
    elif isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _experiments(part)


def of_present_recipes(stage: str, recipes: Path) -> bool:
    """Whether dvc.lock has the stage with the recipes as they are today. True where it does not have the stage at all:
    its script may have been run without DVC.
    """
    if not LOCK.is_file():
        return True
    entry = _stages(LOCK.resolve(), LOCK.stat().st_mtime_ns).get(stage, {"deps": []})
    recorded = {dep["path"]: dep["md5"] for dep in entry["deps"]}.get(recipes.as_posix())
    return recorded in (None, hashlib.md5(recipes.read_bytes(), usedforsecurity=False).hexdigest())


@cache
def _stages(lock: Path, _: int) -> dict[str, dict]:
    """The stages in dvc.lock, read anew when the file has changed. Raises `Mistake`."""
    content = lock.read_bytes()
    return read_lock(content, LOCK)["stages"] if content.strip() else {}
