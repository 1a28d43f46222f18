"""The parameter files, read once into typed, checked objects, and resolved into one effective experiment each.

`params.yaml` has what people tune, `experiments.yaml` the table of experiments, `data/datasets.yaml` the data sets. The
precedence, strongest first: the caps of `scale: sample`, the block `train`, the experiment's own line, its named
recipe.
"""

from collections.abc import Collection
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, create_model, model_validator

from lineage.engine.experiment import Experiment
from lineage.engine.recipe import Count, Number, Recipe
from lineage.errors import Mistake
from lineage.options import NETWORKS, Checked, options_of

# the blocks of each file
FILES = {
    "params.yaml": ("scale", "train", "recipes", "sweep", "initialisations", "equalised", "deepened", "defects"),
    "experiments.yaml": ("experiments",),
    "data/datasets.yaml": ("datasets",),
}
# the caps of `scale: sample`: seconds per experiment on two cores, whatever the recipe says
SAMPLE = {"seeds": 1, "epochs": 2, "batch_size": 16, "input_size": 32}  # or the least that the network takes
SAMPLE_BATCHES = 2  # of images of each part
SAMPLE_DEPTH = 20  # of the network with several initialisations, of which the last is tried
SAMPLE_SWEEP = {"depths": 2, "lrs": 1}  # so many of each, the first ones

# keys of a recipe of which one replaces the other
ALTERNATIVES = {"epochs": "iterations", "iterations": "epochs", "warm_up": "warm_up_steps", "warm_up_steps": "warm_up"}

T = TypeVar("T", bound=BaseModel)


class File(Checked):
    """One file of an archive; `urls` in the order in which they are tried."""

    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    urls: tuple[Annotated[str, Field(pattern="^https?://[^/]+/.+")], ...] = ()


class Archive(Checked):
    format: Literal["cifar-python", "contact-sheets", "folders", "h5"]
    files: Annotated[tuple[File, ...], Field(min_length=1)]


class Sample(Checked):
    """The archive in `data/sample`: a small part of the data set, or all of it where `archives` is empty."""

    format: Literal["contact-sheets", "folders"]
    name: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    def archive(self) -> Archive:
        return Archive(format=self.format, files=(File(name=self.name, sha256=self.sha256),))


def _names(value: object) -> object:
    return value.split() if isinstance(value, str) else value


class Dataset(Checked):
    # a list, or the names in one text, which DVC's rewriting of the file leaves as it stands
    classes: Annotated[tuple[Annotated[str, BeforeValidator(str)], ...], BeforeValidator(_names), Field(min_length=2)]
    image_size: Count
    sample: Sample
    archives: tuple[Archive, ...] = ()  # in order of preference
    unreadable: Literal["error", "skip"] = "error"  # what to do with a file that is no image
    superclasses: dict[str, Annotated[tuple[str, ...], BeforeValidator(_names)]] = Field({})  # their classes
    pictures: bool = True  # whether the report may show some of its images
    subset: bool = False  # whether the archives hold other classes, which are left out

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
    __base__=Checked,
    **{
        key: (Annotated[field.annotation, *field.metadata] | None, None)
        if field.metadata
        else (field.annotation | None, None)
        for key, field in Recipe.model_fields.items()
    },
)
Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9.-]*$")]
Initialisation = Annotated[str, Field(pattern=r"^(random-\d+(\.\d+)?|looks-linear)$")]  # lineage/initialisations.py
Start = Literal["he", "dirac"] | Initialisation
Blocks = dict[Name, dict[str, object]]


class Sweep(Checked):
    """Plain networks of every depth with every learning rate from every start, by one recipe: see src/sweep.py."""

    recipe: str
    depths: Annotated[tuple[Count, ...], Field(min_length=1)]
    lrs: Annotated[tuple[Number, ...], Field(min_length=1)]
    starts: Annotated[dict[Name, dict[str, object]], Field(min_length=1)]  # what each changes in an experiment's line
    seeds: Count  # of the runs at the boundary; the others have one


class Initialisations(Checked):
    """A plain network with several initialisations, by one recipe: see src/initialisations.py."""

    recipe: str
    depth: Count
    names: Annotated[tuple[Initialisation, ...], Field(min_length=1)]
    seeds: Count


class Equalised(Checked):
    """Networks whose gradients have the same relative length everywhere: see src/equalised.py."""

    recipe: str
    ratios: Annotated[tuple[Annotated[Number, Field(gt=0)], ...], Field(min_length=1)]
    plain: dict[Count, tuple[Start, ...]]  # depth: initialisations
    residual: dict[Count, tuple[Start, ...]]
    seeds: Count


class Deepened(Checked):
    """A plain network that is trained, gets layers that do nothing, and is trained on: see src/deepened.py."""

    recipe: str
    shallow: Count
    deep: Count
    seeds: Count

    @model_validator(mode="after")
    def _deeper(self) -> "Deepened":
        if self.deep <= self.shallow:
            raise ValueError(f"deep: {self.deep} layers are no more than the shallow network has, {self.shallow}")
        return self


class Defects(Checked):
    """The networks that the articles' defects are tried on, on SIGNS: see src/defects.py."""

    recipe: str
    seeds: Count
    networks: Annotated[dict[Literal["residual", "dropout"], dict[str, object]], Field(min_length=2)]


class Params(Checked):
    """All files together. Their blocks are checked one by one, so that a message can say where a mistake stands."""

    scale: Literal["full", "sample"]
    train: dict[str, object]
    recipes: Annotated[Blocks, Field(min_length=1)]
    experiments: Annotated[Blocks, Field(min_length=1)]
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    sweep: Sweep
    initialisations: Initialisations
    equalised: Equalised
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
    recipes = {name: _part(block, f"params.yaml: recipes.{name}") for name, block in params.recipes.items()}
    return params.model_copy(update={"train": _part(params.train, "params.yaml: train"), "recipes": recipes})


def _read_yaml(path: Path, blocks: tuple[str, ...]) -> dict[str, object]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Mistake(f"{path} is missing: run this in the top folder of the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Mistake(f"{path} is not YAML in UTF-8: {error}") from None
    if not isinstance(content, dict):
        raise Mistake(f"{path} should hold {', '.join(blocks)}")
    return content


def resolve(params: Params, name: str) -> Experiment:
    """One experiment, complete: what `train` and `evaluate` read. Raises `Mistake`."""
    return _complete(params, name, params.experiments[name], f"experiments.yaml: experiments.{name}")


def sweep(params: Params) -> dict[str, list[Experiment]]:
    """The experiments of the sweep, from each start: what `sweep` reads. Where `train` sets the learning rate there is
    but one. Raises `Mistake`.
    """
    block, most = params.sweep, SAMPLE_SWEEP if params.scale == "sample" else {}
    depths, lrs = block.depths[: most.get("depths")], block.lrs[: most.get("lrs")]
    found: dict[str, list[Experiment]] = {}
    for start, changes in block.starts.items():
        named = {}
        for lr, depth in product([params.train.get("lr", lr) for lr in lrs], depths):
            name = f"plain-{depth}-{start}-{lr:g}"
            line = _plain(block, depth) | {"lr": lr} | changes
            named[name] = _complete(params, name, line, f"params.yaml: sweep.starts.{start}")
        found[start] = list(named.values())
    return found


def initialisations(params: Params) -> dict[str, Experiment]:
    """The network with each initialisation of the block `initialisations`: what the stage of that name reads. Raises
    `Mistake`.
    """
    block, place = params.initialisations, "params.yaml: initialisations"
    names, depth = block.names, block.depth
    if params.scale == "sample":
        names, depth = names[-1:], min(SAMPLE_DEPTH, depth)
    return {name: _complete(params, f"plain-{depth}-{name}", _plain(block, depth), place) for name in names}


def equalised(params: Params) -> dict[str, object]:
    """The relative lengths and the networks, each with its initialisation, of the block `equalised`: what the stage of
    that name reads. Raises `Mistake`.
    """
    block, place = params.equalised, "params.yaml: equalised"
    small = params.scale == "sample"
    networks = {}
    for family, shortcut in (("plain", "none"), ("residual", "identity")):
        for depth, starts in getattr(block, family).items():
            for start in starts:
                layers = min(SAMPLE_DEPTH, depth) if small else depth
                known = {"initialisation": start} if start in ("he", "dirac") else {}
                line = _plain(block, layers) | {"shortcut": shortcut} | known
                name = f"{family}-{layers}-{start}"
                networks[name] = _complete(params, name, line, place).changes() | {"start": start}
    return {"ratios": block.ratios[:1] if small else block.ratios, "networks": networks}


def deepened(params: Params) -> dict[str, Experiment]:
    """The shallow and the deep network of the block `deepened`: what the stage of that name reads. Raises `Mistake`."""
    block, place = params.deepened, "params.yaml: deepened"
    depths = {"shallow": block.shallow, "deep": block.deep}
    return {
        which: _complete(params, f"plain-{depth}-{which}", _plain(block, depth), place)
        for which, depth in depths.items()
    }


def defects(params: Params) -> dict[str, Experiment]:
    """The networks of the block `defects`: what the stage of that name reads. Raises `Mistake`."""
    block, place = params.defects, "params.yaml: defects.networks"
    line = {"dataset": "signs", "recipe": block.recipe, "seeds": block.seeds}
    return {
        name: _complete(params, f"{name}-defects", line | network, f"{place}.{name}")
        for name, network in block.networks.items()
    }


def _plain(block: Sweep | Initialisations | Equalised | Deepened, depth: int) -> dict[str, object]:
    """The line of a plain network on SIGNS, as experiments.yaml would have it."""
    network = {"model": "resnet", "depth": depth, "shortcut": "none"}
    return {"dataset": "signs", "recipe": block.recipe, "seeds": block.seeds} | network


def _complete(params: Params, name: str, line: dict[str, object], place: str) -> Experiment:
    """The experiment that a line describes; `place` is where the line stands, for messages."""
    own = dict(line)
    dataset = _named(params.datasets, own.pop("dataset", None), f"{place}.dataset")
    model = _named(NETWORKS, own.pop("model", None), f"{place}.model")
    named = params.recipes[_named(params.recipes, own.pop("recipe", None), f"{place}.recipe")]
    options = options_of(model)
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
        values = _overlay(values, caps, {"grow": {}})
    recipe = _checked(Recipe, values, place)
    stored = min(image_size, recipe.input_size)
    if recipe.shift >= stored:
        raise Mistake(f"{place}.shift: {recipe.shift} pixels are more than the image has")
    if recipe.cutout >= stored:
        raise Mistake(f"{place}.cutout: {recipe.cutout} pixels leave nothing of an image of {stored}")
    if recipe.grow and min(recipe.grow) < stored:
        raise Mistake(f"{place}.grow: {min(recipe.grow)} pixels are less than the image has, {stored}")
    about = {"name": name, "scale": params.scale, "dataset": dataset, "model": model, "network": network}
    about |= {"classes": len(params.datasets[dataset].classes), "recipe": recipe}
    if params.scale == "sample":
        about["max_images"] = SAMPLE_BATCHES * recipe.batch_size
    return _checked(Experiment, about, place)


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


def _named(choices: Collection[str], name: object, place: str) -> str:
    if not isinstance(name, str) or name not in choices:
        raise Mistake(f"{place}: {name!r} is unknown; choose one of {', '.join(choices)}")
    return name


KINDS = {"datasets": Dataset, "sample": Sample, "archives": Archive, "files": File}


def _checked(kind: type[T], content: object, places: str | dict[str, str]) -> T:
    """`content` as a `kind`. Raises `Mistake` for the first fault, naming its place: `places`, or one for each key."""
    try:
        return kind.model_validate(content)
    except ValidationError as errors:
        first, more = errors.errors()[0], len(errors.errors()) - 1
        place = places[first["loc"][0]] if isinstance(places, dict) else places
        where = ".".join([place, *map(str, first["loc"])]).replace(":.", ": ")
        given = "" if first["type"] in ("missing", "value_error") else f", not {first['input']!r:.60}"
        message = first["msg"].removeprefix("Value error, ") + given
        if first["type"] == "extra_forbidden":
            blocks = [KINDS[key] for key in first["loc"][:-1] if key in KINDS]
            message = f"unknown key; allowed are {', '.join((blocks or [kind])[-1].model_fields)}"
        raise Mistake(f"{where}: {message}" + (f" (and {more} more)" if more else "")) from None
