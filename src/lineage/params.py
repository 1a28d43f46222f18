"""The parameter files, read once into typed, checked objects, and resolved into one effective experiment each.

`params.yaml` has what people tune, `experiments.yaml` the table of experiments, `data/datasets.yaml` the data sets. The
precedence, strongest first: the caps of `scale: sample`, the block `train`, the experiment's own line, its named
recipe.
"""

from collections.abc import Collection
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
from lineage.engine.experiment import Experiment
from lineage.engine.recipe import Recipe
from lineage.errors import Mistake
from lineage.files import read_yaml
from lineage.options import NETWORKS, Checked, NetworkOptions, options_of

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
# the caps of `scale: sample`: seconds per experiment on two cores, whatever the recipe says
SAMPLE = {"seeds": 1, "epochs": 2, "batch_size": 8, "input_size": 32}  # or the least that the network takes
SAMPLE_BATCHES = 2  # of images of each part

# keys of a recipe of which one replaces the other
ALTERNATIVES = {"epochs": "iterations", "iterations": "epochs", "warm_up": "warm_up_steps", "warm_up_steps": "warm_up"}

MORE_NETWORKS = ", or add yours to NETWORKS in src/lineage/options/__init__.py"
ADD_A_NETWORK = "docs/extending.md says what a network consists of; under --temp or --queue, `git add` its files first"

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
    params = _checked(Params, content, {block: f"{name}:" for name, blocks in FILES.items() for block in blocks})
    if taken := sorted({*STAGES, *OTHER_STAGES} & params.experiments.keys()):
        raise Mistake(f"experiments.yaml: experiments.{taken[0]}: this is the name of a stage; choose another one")
    recipes = {name: _part(block, f"params.yaml: recipes.{name}") for name, block in params.recipes.items()}
    return params.model_copy(update={"train": _part(params.train, "params.yaml: train"), "recipes": recipes})


def _read_yaml(path: Path, blocks: tuple[str, ...]) -> dict[str, object]:
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise Mistake(f"{path} is missing: run this in the top folder of the repository") from None
    if not isinstance(content, dict):
        raise Mistake(f"{path} should hold {', '.join(blocks)}")
    return content


def resolve(params: Params, name: str) -> Experiment:
    """One experiment, complete: what `train` and `evaluate` read. Raises `Mistake`."""
    return complete(params, name, params.experiments[name], f"experiments.yaml: experiments.{name}")


def complete(params: Params, name: str, line: dict[str, object], place: str) -> Experiment:
    """The experiment that a line describes; `place` is where the line stands, for messages."""
    own = dict(line)
    for key in ("dataset", "model", "recipe"):
        if key not in own:
            raise Mistake(f"{place}: the key {key} is missing; there are {', '.join(own) or 'none'}")
    dataset = _named(params.datasets, own.pop("dataset"), f"{place}.dataset")
    model = _named(NETWORKS, own.pop("model"), f"{place}.model", MORE_NETWORKS)
    named = params.recipes[_named(params.recipes, own.pop("recipe"), f"{place}.recipe")]
    options = _options(model)
    for key in own:
        allowed = ["dataset", "model", "recipe", *options.model_fields, *Recipe.model_fields]
        if key not in allowed:
            raise Mistake(f"{place}.{key}: unknown key; allowed are {', '.join(allowed)}")
    network = _checked(options, {key: own.pop(key) for key in list(own) if key in options.model_fields}, place)
    image_size = params.datasets[dataset].image_size
    values = _overlay({"input_size": image_size}, named, _part(own, place), params.train)
    if params.scale == "sample":
        smallest = SAMPLE | {"input_size": max(SAMPLE["input_size"], network.smallest)}
        caps = {key: min(cap, values.get(key, cap)) for key, cap in smallest.items()}
        side = min(image_size, caps["input_size"])
        caps |= {key: min(values[key], side - 1) for key in ("shift", "cutout") if key in values}
        values = _overlay(values, caps, {"grow": {}})
    recipe = _checked(Recipe, values, place)
    stored = min(image_size, recipe.input_size)

    def at(key: str) -> str:
        return f"params.yaml: train.{key}" if key in params.train else f"{place}.{key}"

    if recipe.shift >= stored:
        raise Mistake(f"{at('shift')}: {recipe.shift} pixels are as many as the image has, or more")
    if recipe.cutout >= stored:
        raise Mistake(f"{at('cutout')}: {recipe.cutout} pixels leave nothing of an image of {stored}")
    if recipe.grow and min(recipe.grow) < stored:
        raise Mistake(f"{at('grow')}: {min(recipe.grow)} pixels are less than the image has, {stored}")
    if recipe.grow and recipe.keep == "best":
        raise Mistake(f"{at('keep')}: with `grow`, the errors of epochs with other input sizes cannot be compared")
    about = {"name": name, "scale": params.scale, "dataset": dataset, "model": model, "network": network}
    about |= {"classes": len(params.datasets[dataset].classes), "recipe": recipe}
    if params.scale == "sample":
        about["max_images"] = SAMPLE_BATCHES * recipe.batch_size
    return _checked(Experiment, about, place)


def _options(model: str) -> type[NetworkOptions]:
    """The class of a network's options. Raises `Mistake` where a file of the network, or what it has to have, is
    missing.
    """
    for folder in ("options", "models"):
        if not Path(__file__).with_name(folder).joinpath(f"{model}.py").is_file():
            raise Mistake(f"src/lineage/{folder}/{model}.py is missing: {ADD_A_NETWORK}")
    try:
        options = options_of(model)
    except AttributeError as error:
        if error.name != "Options":
            raise
        options = None
    if not hasattr(options, "smallest"):
        raise Mistake(f"src/lineage/options/{model}.py needs a class Options with `smallest`: {ADD_A_NETWORK}")
    return options


def _part(block: dict[str, object], place: str) -> dict[str, object]:
    """What a block says of a recipe, checked; nulls are left out."""
    return _checked(Part, block, place).model_dump(exclude_none=True)


def _overlay(*layers: dict[str, object]) -> dict[str, object]:
    """Later layers win; a budget in epochs replaces one in iterations, and the other way round, and so for the two
    ways to give a warm-up.
    """
    result: dict[str, object] = {}
    for layer in layers:
        for key, other in ALTERNATIVES.items():
            if key in layer:
                result.pop(other, None)
        result |= layer
    return result


def _named(choices: Collection[str], name: object, place: str, more: str = "") -> str:
    if not isinstance(name, str) or name not in choices:
        raise Mistake(f"{place}: {name!r} is unknown; choose one of {', '.join(choices)}{more}")
    return name


KINDS = {"datasets": Dataset, "sample": Sample, "archives": Archive, "files": File}


def _checked(kind: type[T], content: object, places: str | dict[str, str]) -> T:
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
        if first["type"] == "extra_forbidden":
            blocks = [KINDS[key] for key in first["loc"][:-1] if key in KINDS]
            message = f"unknown key; allowed are {', '.join((blocks or [kind])[-1].model_fields)}"
        raise Mistake(f"{where}: {message}" + (f" (and {len(more)} more)" if more else "")) from None
