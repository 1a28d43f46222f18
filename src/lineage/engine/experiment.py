"""An experiment: a network with its options, a data set, and the recipe that it is trained by."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, SerializeAsAny, ValidationError, ValidationInfo, field_validator, model_validator

from lineage.engine.recipe import Count, Recipe
from lineage.errors import Mistake
from lineage.files import read_json
from lineage.options import NETWORKS, Checked, NetworkOptions, options_of

if TYPE_CHECKING:
    from torch import nn


class Experiment(Checked):
    """One experiment, complete and checked: what every stage works with."""

    model_config = ConfigDict(protected_namespaces=())

    name: str
    scale: Literal["full", "sample"]
    dataset: str
    classes: Count
    max_images: Count | None = None  # of each split, evenly chosen; None means all
    model: Literal[NETWORKS]
    network: SerializeAsAny[NetworkOptions]
    recipe: Recipe

    @field_validator("network", mode="before")
    @classmethod
    def _of_the_model(cls, value: object, info: ValidationInfo) -> object:
        kind = options_of(info.data["model"]) if "model" in info.data else NetworkOptions
        return kind.model_validate(value)

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Experiment":
        smallest, sizes = self.network.smallest, [*self.recipe.grow, self.recipe.input_size]
        if min(sizes) < smallest:
            raise ValueError(f"{self.model} needs an input of {smallest} pixels or more, not {min(sizes)}")
        if self.recipe.grow and not self.network.any_size:
            raise ValueError(f"grow: the weights of this {self.model} belong to one input size, leave it out")
        return self

    def build(self) -> "nn.Module":
        """The network, initialised from torch's global generator. Loads torch."""
        build = import_module("lineage.models").build
        return build(self.model, self.classes, self.recipe.input_size, self.network)

    def changes(self) -> dict[str, object]:
        """The experiment as plain values, without what has its default value: a new option with a neutral default
        changes nothing here.
        """
        return self.model_dump(mode="json", exclude_defaults=True)

    def one_seed(self) -> dict[str, object]:
        """As `changes`, but without the number of seeds, which changes nothing for any one of them."""
        plain = self.changes()
        return plain | {"recipe": {key: value for key, value in plain["recipe"].items() if key != "seeds"}}


def read_experiment(name: str) -> Experiment:
    """One experiment as the stage `recipes` resolved it. Raises `Mistake`."""
    path = Path("recipes/experiments", f"{name}.json")
    if not path.is_file():
        raise Mistake(f"{path} is missing: no such experiment, or `dvc repro recipes` has not run")
    try:
        return Experiment.model_validate(read_json(path))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise Mistake(f"{path}: {where} {fault['msg']}: run `dvc repro recipes` again") from None
