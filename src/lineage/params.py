"""`params.yaml`, read once into typed, checked objects, and resolved into one effective recipe per experiment.

The precedence, strongest first: the caps of `scale: sample`, the block `train`, the experiment's own line, its named
recipe.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, create_model, model_validator

from lineage.engine.recipe import Count, Recipe
from lineage.errors import Mistake
from lineage.options import NETWORKS, Block

# the caps of `scale: sample`: seconds per experiment on two cores, whatever the recipe says
SAMPLE = {"seeds": 1, "epochs": 2, "batch_size": 16, "input_size": 32}  # or the least that the network takes
SAMPLE_BATCHES = 2  # of images of each part


T = TypeVar("T", bound=BaseModel)


class File(Block):
    """One file of an archive; `urls` in the order in which they are tried."""

    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    urls: tuple[Annotated[str, Field(pattern="^https?://[^/]+/.+")], ...] = ()


class Archive(Block):
    format: Literal["cifar-python", "contact-sheets", "folders", "h5"]
    files: Annotated[tuple[File, ...], Field(min_length=1)]


class Sample(Block):
    """The archive in `data/sample`: a small part of the data set, or all of it where `archives` is empty."""

    format: Literal["contact-sheets", "folders"]
    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    def archive(self) -> Archive:
        return Archive(format=self.format, files=(File(name=self.name, sha256=self.sha256),))


def _names(value: object) -> object:
    return value.split() if isinstance(value, str) else value


class Dataset(Block):
    # a list, or the names in one text, which DVC's rewriting of params.yaml leaves as it stands
    classes: Annotated[tuple[Annotated[str, BeforeValidator(str)], ...], BeforeValidator(_names), Field(min_length=2)]
    image_size: Count
    sample: Sample
    archives: tuple[Archive, ...] = ()  # in order of preference
    unreadable: Literal["error", "skip"] = "error"  # what to do with a file that is no image
    superclasses: dict[str, Annotated[tuple[str, ...], BeforeValidator(_names)]] = Field({})  # their classes
    pictures: bool = True  # whether the report may show some of its images

    @model_validator(mode="after")
    def _classes_differ(self) -> "Dataset":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a class stands there twice")
        members = sorted(name for names in self.superclasses.values() for name in names)
        if self.superclasses and members != sorted(self.classes):
            odd = set(members) ^ set(self.classes) or {name for name in members if members.count(name) > 1}
            raise ValueError(f"superclasses: each class belongs to one of them, unlike {', '.join(sorted(odd))}")
        return self

    def labels(self) -> dict[str, object]:
        """What `evaluate` and `compare` show: the classes, the superclass of each (or none), and whether pictures may
        be.
        """
        of = {name: superclass for superclass, names in self.superclasses.items() for name in names}
        superclasses = [of[name] for name in self.classes] if of else []
        return {"classes": self.classes, "superclasses": superclasses, "pictures": self.pictures}


# A part of a recipe: what `train`, a named recipe or an experiment says. Null, or nothing, leaves a key to the others.
Part = create_model(
    "Part",
    __base__=Block,
    **{
        key: (Annotated[field.annotation, *field.metadata] | None, None)
        if field.metadata
        else (field.annotation | None, None)
        for key, field in Recipe.model_fields.items()
    },
)
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9.-]*$")]
Blocks = dict[Name, dict[str, object]]


class Params(Block):
    """The whole file. Its blocks are checked one by one, so that a message can say where a mistake stands."""

    scale: Literal["full", "sample"]
    train: dict[str, object]
    recipes: Annotated[Blocks, Field(min_length=1)]
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    experiments: Annotated[Blocks, Field(min_length=1)]


def read(path: Path) -> Params:
    """Read and check the file. Raises `Mistake` with the key, the fault and the allowed values in one line."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Mistake(f"{path} is missing: run this in the top folder of the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Mistake(f"{path} is not YAML in UTF-8: {error}") from None
    if not isinstance(content, dict):
        raise Mistake(f"{path} should hold the blocks {', '.join(Params.model_fields)}")
    params = _checked(Params, content, "params.yaml:")
    recipes = {name: _part(block, f"params.yaml: recipes.{name}") for name, block in params.recipes.items()}
    return params.model_copy(update={"train": _part(params.train, "params.yaml: train"), "recipes": recipes})


def resolve(params: Params, name: str) -> dict[str, object]:
    """One experiment's effective recipe, complete: what `train` and `evaluate` read. Raises `Mistake`."""
    place = f"params.yaml: experiments.{name}"
    own = dict(params.experiments[name])
    dataset = _named(params.datasets, own.pop("dataset", None), f"{place}.dataset")
    kind = NETWORKS[model := _named(NETWORKS, own.pop("model", None), f"{place}.model")]
    named = params.recipes[_named(params.recipes, own.pop("recipe", None), f"{place}.recipe")]
    for key in own:
        allowed = ["dataset", "model", "recipe", *kind.model_fields, *Recipe.model_fields]
        if key not in allowed:
            raise Mistake(f"{place}.{key}: unknown key; allowed are {', '.join(allowed)}")
    network = _checked(kind, {key: own.pop(key) for key in list(own) if key in kind.model_fields}, place)
    image_size = params.datasets[dataset].image_size
    values = _overlay({"input_size": image_size}, named, _part(own, place), params.train)
    if params.scale == "sample":
        smallest = SAMPLE | {"input_size": max(SAMPLE["input_size"], network.smallest)}
        values = _overlay(values, {key: min(cap, values.get(key, cap)) for key, cap in smallest.items()})
    recipe = _checked(Recipe, values, place)
    if recipe.input_size < network.smallest:
        raise Mistake(f"{place}: {model} needs an input of {network.smallest} pixels or more, not {recipe.input_size}")
    if recipe.shift >= min(image_size, recipe.input_size):
        raise Mistake(f"{place}.shift: {recipe.shift} pixels are more than the image has")
    effective = {
        "name": name,
        "scale": params.scale,
        "dataset": dataset,
        "classes": len(params.datasets[dataset].classes),
        "model": model,
        "network": network.model_dump(exclude_defaults=True),
        "recipe": recipe.model_dump(exclude_defaults=True),
    }
    return effective | ({"max_images": SAMPLE_BATCHES * recipe.batch_size} if params.scale == "sample" else {})


def _part(block: dict[str, object], place: str) -> dict[str, object]:
    """What a block says of a recipe, checked; nulls are left out."""
    return _checked(Part, block, place).model_dump(exclude_none=True)


def _overlay(*layers: dict[str, object]) -> dict[str, object]:
    """Later layers win; a budget in epochs replaces one in iterations, and the other way round."""
    result: dict[str, object] = {}
    for layer in layers:
        for key, other in (("epochs", "iterations"), ("iterations", "epochs")):
            if key in layer:
                result.pop(other, None)
        result |= layer
    return result


def _named(choices: dict[str, object], name: object, place: str) -> str:
    if not isinstance(name, str) or name not in choices:
        raise Mistake(f"{place}: {name!r} is unknown; choose one of {', '.join(choices)}")
    return name


KINDS = {"datasets": Dataset, "sample": Sample, "archives": Archive, "files": File}


def _checked(kind: type[T], content: object, place: str) -> T:
    """`content` as a `kind`. Raises `Mistake` for the first fault, naming its place."""
    try:
        return kind.model_validate(content)
    except ValidationError as errors:
        first, more = errors.errors()[0], len(errors.errors()) - 1
        where = ".".join([place, *map(str, first["loc"])]).replace(":.", ": ")
        given = "" if first["type"] == "missing" else f", not {first['input']!r:.60}"
        message = first["msg"].removeprefix("Value error, ") + given
        if first["type"] == "extra_forbidden":
            blocks = [KINDS[key] for key in first["loc"][:-1] if key in KINDS]
            message = f"unknown key; allowed are {', '.join((blocks or [kind])[-1].model_fields)}"
        raise Mistake(f"{where}: {message}" + (f" (and {more} more)" if more else "")) from None
