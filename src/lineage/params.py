"""The parameter files, read once into typed, checked objects.

`params.yaml` has what people tune, `experiments.yaml` the table of experiments, `data/datasets.yaml` the data sets.
lineage/experiments.py makes one complete experiment of each line of the table.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from lineage.blocks import (
    Archive,
    Crossed,
    Dataset,
    Deepened,
    Defects,
    Equalised,
    File,
    Float64,
    Initialisations,
    Name,
    Part,
    Sample,
    Sweep,
)
from lineage.errors import Mistake
from lineage.files import read_yaml
from lineage.options import Checked

STAGES = (
    "sweep",
    "initialisations",
    "equalised",
    "crossed",
    "float64",
    "deepened",
    "defects",
)  # which train networks of their own
OTHER_STAGES = ("recipes", "fetch", "preprocess", "train", "evaluate", "gradients", "agreement", "compare")
# the blocks of each file
FILES = {
    "params.yaml": ("scale", "train", "recipes", *STAGES),
    "experiments.yaml": ("experiments",),
    "data/datasets.yaml": ("datasets",),
}

T = TypeVar("T", bound=BaseModel)


class Params(Checked):
    """All files together. Their blocks are checked one by one, so that a message can say where a mistake stands."""

    scale: Literal["full", "sample"]
    train: dict[str, object]
    recipes: Annotated[dict[Name, dict[str, object]], Field(min_length=1)]
    experiments: Annotated[dict[Name, dict[str, object]], Field(min_length=1)]
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    sweep: Sweep
    initialisations: Initialisations
    equalised: Equalised
    crossed: Crossed
    float64: Float64
    deepened: Deepened
    defects: Defects


def read(folder: Path = Path()) -> Params:
    """Read and check the files. Raises `Mistake` with the file, the key, the fault and the allowed values in one
    line.
    """
    content: dict[str, object] = {}
    for name, blocks in FILES.items():
        found = _read_yaml(folder / name, blocks)
        for block in blocks:
            if block not in found:
                raise Mistake(f"{name}: the block {block} is missing")
        for block in found.keys() - set(blocks):
            raise Mistake(f"{name}: {block}: unknown key; allowed are {', '.join(blocks)}")
        content |= found
    params = checked(Params, content, {block: f"{name}:" for name, blocks in FILES.items() for block in blocks})
    if taken := sorted({*STAGES, *OTHER_STAGES} & params.experiments.keys()):
        raise Mistake(f"experiments.yaml: experiments.{taken[0]}: this is the name of a stage; choose another one")
    recipes = {name: part(block, f"params.yaml: recipes.{name}") for name, block in params.recipes.items()}
    return params.model_copy(update={"train": part(params.train, "params.yaml: train"), "recipes": recipes})


def _read_yaml(path: Path, blocks: tuple[str, ...]) -> dict[str, object]:
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise Mistake(f"{path} is missing: run this in the top folder of the repository") from None
    if not isinstance(content, dict):
        raise Mistake(f"{path} should hold {', '.join(blocks)}")
    return content


def part(block: dict[str, object], place: str) -> dict[str, object]:
    """What a block says of a recipe, checked; nulls are left out. Raises `Mistake`."""
    return checked(Part, block, place).model_dump(exclude_none=True)


KINDS = {"datasets": Dataset, "sample": Sample, "archives": Archive, "files": File}


def checked(kind: type[T], content: object, places: str | dict[str, str]) -> T:
    """`content` as a `kind`. Raises `Mistake` for the first fault, naming its place: `places`, or one for each key."""
    try:
        return kind.model_validate(content)
    except ValidationError as errors:
        # a misspelt key first: without it another one may be missing
        first, *more = sorted(errors.errors(), key=lambda error: error["type"] != "extra_forbidden")
        place = places[first["loc"][0]] if isinstance(places, dict) else places
        where = ".".join([place, *map(str, first["loc"])]).replace(":.", ": ")
        given = "" if first["type"] in ("missing", "value_error") else f", not {first['input']!r:.60}"
        message = first["msg"].removeprefix("Value error, ") + given
        if first["type"] == "string_pattern_mismatch" and first["loc"][-1] == "[key]":
            message = f"a name has small letters, digits, points and hyphens{given}"
        if first["type"] == "missing":
            beside = [one for one in more if one["type"] == "missing" and one["loc"][:-1] == first["loc"][:-1]]
            more = [one for one in more if one not in beside]
            also = ", ".join(str(one["loc"][-1]) for one in beside)
            message = "this key is missing" + (f", and so {'are' if len(beside) > 1 else 'is'} {also}" if also else "")
        if first["type"] == "extra_forbidden":
            blocks = [KINDS[key] for key in first["loc"][:-1] if key in KINDS]
            message = f"unknown key; allowed are {', '.join((blocks or [kind])[-1].model_fields)}"
        raise Mistake(f"{where}: {message}" + (f" (and {len(more)} more)" if more else "")) from None
