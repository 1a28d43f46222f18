"""`params.yaml`, read once into typed, checked objects, and resolved into one effective recipe per experiment.

The precedence, strongest first: the caps of `scale: sample`, the block `train`, the experiment's own line, its named
recipe.
"""

from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model, model_validator

from lineage.errors import Mistake
from lineage.recipe import Count, Fraction, Recipe

# `scale: sample`: seconds per experiment on two cores, whatever the recipe says.
SAMPLE = {"seeds": 1, "epochs": 2, "batch_size": 32}
SAMPLE_INPUT = 64  # pixels a side, at most
SAMPLE_IMAGES = 128  # of each part, at most


T = TypeVar("T", bound=BaseModel)


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(Block):
    """One file of an archive; `urls` in the order in which they are tried."""

    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    urls: tuple[str, ...] = ()


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


class Dataset(Block):
    classes: Annotated[tuple[Annotated[str, BeforeValidator(str)], ...], Field(min_length=2)]
    image_size: Count
    sample: Sample
    archives: tuple[Archive, ...] = ()  # in order of preference
    unreadable: Literal["error", "skip"] = "error"  # what to do with a file that is no image

    @model_validator(mode="after")
    def _classes_differ(self) -> "Dataset":
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a class stands there twice")
        return self


class AlexNet(Block):
    normalisation: Literal["none", "lrn", "batch"] = "none"
    dropout: Fraction = 0.5


class ResNet(Block):
    depth: Count
    shortcut: Literal["none", "identity", "projection"]
    stem: Literal["imagenet", "cifar"] = "cifar"

    @model_validator(mode="after")
    def _depth_exists(self) -> "ResNet":
        if self.depth not in (18, 34, 50) and (self.depth < 8 or (self.depth - 2) % 6):
            raise ValueError(
                f"depth: {self.depth} is neither 18, 34 or 50 nor of the form 6n+2, such as 20, 32, 44, 56 and 110"
            )
        return self


class VGG(Block):
    depth: Literal[11, 13, 16, 19]
    head: Literal["mean", "classic"] = "mean"
    dropout: Fraction = 0.5


# the networks: the name of the file in `lineage/models` and the options that it takes
NETWORKS: dict[str, type[Block]] = {"alexnet": AlexNet, "resnet": ResNet, "vgg": VGG}

# Every key of a recipe may stand in `train`; null, as most do, leaves it to the experiment.
Train = create_model("Train", __base__=Block, **{key: (object, None) for key in Recipe.model_fields})


class Params(Block):
    """The whole file. Recipes and experiments are checked when they are put together."""

    scale: Literal["full", "sample"]
    train: Train
    recipes: dict[str, dict[str, object]]
    datasets: dict[str, Dataset]
    experiments: dict[str, dict[str, object]]


def read(path: Path) -> Params:
    """Read and check the file. Raises `Mistake` with the key, the fault and the allowed values in one line."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Mistake(f"{path} is missing: run this in the top folder of the repository") from None
    except yaml.YAMLError as error:
        raise Mistake(f"{path} is not YAML: {error}") from None
    return _checked(Params, content, f"{path.name}:")


def resolve(params: Params, name: str) -> dict[str, object]:
    """One experiment's effective recipe, complete: what `train` and `evaluate` read. Raises `Mistake`."""
    place = f"params.yaml: experiments.{name}"
    own = dict(params.experiments[name])
    dataset = _named(params.datasets, own.pop("dataset", None), f"{place}.dataset")
    model = _named(NETWORKS, own.pop("model", None), f"{place}.model")
    recipe = _named(params.recipes, own.pop("recipe", None), f"{place}.recipe")
    options = {key: own.pop(key) for key in list(own) if key in NETWORKS[model].model_fields}
    for key in own:
        if key not in Recipe.model_fields:
            allowed = ["dataset", "model", "recipe", *NETWORKS[model].model_fields, *Recipe.model_fields]
            raise Mistake(f"{place}.{key}: unknown key; allowed are {', '.join(allowed)}")
    train = {key: value for key, value in params.train if value is not None}
    values = _overlay({"input_size": params.datasets[dataset].image_size}, params.recipes[recipe], own, train)
    if params.scale == "sample":
        smallest = (
            {"input_size": min(values["input_size"], SAMPLE_INPUT)} if isinstance(values["input_size"], int) else {}
        )
        values = _overlay(values, SAMPLE, smallest)
    return {
        "experiment": name,
        "scale": params.scale,
        "dataset": dataset,
        "classes": len(params.datasets[dataset].classes),
        "max_images": SAMPLE_IMAGES if params.scale == "sample" else None,
        "model": model,
        "network": _checked(NETWORKS[model], options, place).model_dump(),
        "recipe": _checked(Recipe, values, place).model_dump(),
    }


def _overlay(*layers: dict[str, object]) -> dict[str, object]:
    """Later layers win; a budget in epochs replaces one in iterations, and the other way round."""
    result: dict[str, object] = {}
    for layer in layers:
        for key, other in (("epochs", "iterations"), ("iterations", "epochs")):
            if layer.get(key) is not None:
                result.pop(other, None)
        result.update(layer)
    return result


def _named(choices: dict[str, object], name: object, place: str) -> str:
    if name not in choices:
        raise Mistake(f"{place}: {name!r} is unknown; choose one of {', '.join(choices)}")
    return name


def _checked(kind: type[T], content: object, place: str) -> T:
    try:
        return kind.model_validate(content)
    except ValidationError as errors:
        first, more = errors.errors()[0], len(errors.errors()) - 1
        where = ".".join([place, *map(str, first["loc"])]).replace(":.", ": ")
        allowed = (
            f"; allowed are {', '.join(kind.model_fields)}"
            if first["type"] == "extra_forbidden" and len(first["loc"]) == 1
            else ""
        )
        message = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise Mistake(
            f"{where}: {message}{allowed}, not {first['input']!r:.60}" + (f" (and {more} more)" if more else "")
        ) from None
