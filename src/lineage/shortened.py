"""A shortened run of a recorded experiment or stage, by the code of any commit: what `src/unchanged.py` compares."""

import json
import math
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

from lineage.errors import Failure
from lineage.files import read_json
from lineage.lock import Stated, git

SEEDS, EPOCHS, BATCHES = 2, 3, 2.5  # the half batch is left over, as in most data sets
WARM_UP_STEPS = 2  # of six in all
DEEPEST = 32  # layers of a network in a stage of its own, some of which have dozens of networks of 110
Files = dict[str, bytes]  # content by path


def unpacked(revision: str, folder: Path) -> Path:
    """The code of a commit, in the folder."""
    with tarfile.open(fileobj=BytesIO(git("archive", revision, "src", "dvc.yaml"))) as tar:
        tar.extractall(folder, filter="data")
    return folder


def shortened(content: object, deepest: int | None = None) -> object:
    """What a file of recipes/ says, with every experiment in it cut down; where `deepest` is given, its depth, too."""
    if isinstance(content, list):
        return [shortened(one, deepest) for one in content]
    if not isinstance(content, dict):
        return content
    if not isinstance(recipe := content.get("recipe"), dict):
        return {key: shortened(one, deepest) for key, one in content.items()}
    recipe = {key: value for key, value in recipe.items() if key != "iterations"} | {"epochs": EPOCHS, "seeds": SEEDS}
    if "warm_up_steps" in recipe:  # the learning rate shall fall, too
        recipe["warm_up_steps"] = min(recipe["warm_up_steps"], WARM_UP_STEPS)
    cut = {"recipe": recipe, "max_images": math.ceil(BATCHES * recipe["batch_size"])}
    if deepest is not None:
        network = content["network"]
        cut["network"] = network | {"depth": min(network["depth"], deepest)}
    return content | cut


def prepare(recipes: list[str], folder: Path, deepest: int | None) -> None:
    """Write shortened recipes to a new folder, and link what else is read there."""
    folder.mkdir()
    for path in recipes:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(shortened(read_json(Path(path)), deepest)), encoding="utf-8")
    (folder / "data").symlink_to(Path("data").resolve())


def outputs(source: Path, stages: dict[str, Stated], folder: Path) -> dict[str, Files | Failure]:
    """What the code in `source` writes for shortened runs of an experiment's stages, or of a stage of its own, in their
    order: by stage and path; of a stage that failed, or that had to wait for it, the failure.
    """
    alone = not any("@" in stage for stage in stages)
    prepare(sorted({path for one in stages.values() for path in one.recipes}), folder, DEEPEST if alone else None)
    # the many short runs of a stage in one process: each would take longer to start than to run
    environment = os.environ | ({"SEEDS_AT_ONCE": "1"} if alone else {})
    written: dict[str, Files | Failure] = {}
    for stage, stated in stages.items():
        script, *arguments = stated.command
        command = [sys.executable, str(source.resolve() / script), *arguments]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)
        if result.returncode:
            lines = [f"exit code {result.returncode}", *(result.stderr.strip() or result.stdout).splitlines()]
            failure = Failure(f"{stage} failed: {lines[-1]}")
            return dict.fromkeys(stages, failure) | written
        places = [folder / path for path in stated.outputs]
        files = [file for place in places for file in (sorted(place.rglob("*")) if place.is_dir() else [place])]
        if not any(file.is_file() for file in files):  # two that write nothing would be the same
            return dict.fromkeys(stages, Failure(f"{stage} wrote none of {', '.join(stated.outputs)}")) | written
        written[stage] = {f.relative_to(folder).as_posix(): f.read_bytes() for f in files if f.is_file()}
    return written


def different(before: Files, after: Files) -> list[str]:
    """The files that are not the same on both sides, weights first."""
    return [path for path in before | after if before.get(path) != after.get(path)]
