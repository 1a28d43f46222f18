"""The experiments of experiments.yaml, each complete: what its line says, and what it leaves to recipe and scale.

The precedence, strongest first: the caps of `scale: sample`, the block `train`, the experiment's own line, its named
recipe. lineage/params.py reads the files; lineage/stage_experiments.py has the experiments of the other stages.
"""

from collections.abc import Collection
from pathlib import Path

from lineage.engine.experiment import Experiment
from lineage.engine.recipe import Recipe
from lineage.errors import Mistake
from lineage.options import NETWORKS, NetworkOptions, options_of
from lineage.params import Params, checked, part

# the caps of `scale: sample`: seconds per experiment on two cores, whatever the recipe says
SAMPLE = {"seeds": 1, "epochs": 2, "batch_size": 8, "input_size": 32}  # or the least that the network takes
SAMPLE_BATCHES = 2  # of images of each split

# keys of a recipe of which one replaces the other
ALTERNATIVES = {"epochs": "iterations", "iterations": "epochs", "warm_up": "warm_up_steps", "warm_up_steps": "warm_up"}

MORE_NETWORKS = ", or add yours to NETWORKS in src/lineage/options/__init__.py"
ADD_A_NETWORK = "docs/extending.md says what a network consists of; under --temp or --queue, `git add` its files first"


def resolve(params: Params, name: str) -> Experiment:
    """One experiment, complete: what `train` and `evaluate` read. Raises `Mistake`."""
    return complete(params, name, params.experiments[name], f"experiments.yaml: experiments.{name}")


def complete(params: Params, name: str, line: dict[str, object], place: str) -> Experiment:
    """The experiment that a line describes; `place` is where the line stands, for messages. Raises `Mistake`."""
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
    network = checked(options, {key: own.pop(key) for key in list(own) if key in options.model_fields}, place)
    image_size = params.datasets[dataset].image_size
    values = _overlay({"input_size": image_size}, named, part(own, place), params.train)
    if params.scale == "sample":
        smallest = SAMPLE | {"input_size": max(SAMPLE["input_size"], network.smallest)}
        caps = {key: min(cap, values.get(key, cap)) for key, cap in smallest.items()}
        side = min(image_size, caps["input_size"])
        caps |= {key: min(values[key], side - 1) for key in ("shift", "cutout") if key in values}
        values = _overlay(values, caps, {"grow": {}})
    recipe = checked(Recipe, values, place)
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
    return checked(Experiment, about, place)


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
