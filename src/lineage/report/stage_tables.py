"""Whether the table of a stage that trains or measures networks of its own comes from the present recipes."""

import hashlib
from functools import cache
from pathlib import Path

import yaml

LOCK = Path("dvc.lock")


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
    """The stages in dvc.lock, read anew when the file has changed."""
    return (yaml.load(lock.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}).get("stages", {})
