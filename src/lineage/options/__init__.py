"""The options that each network takes in the parameter files, checked; without torch, which takes seconds to import.

One file per network, of the same name as its file in `lineage/models`, with a class `Options`.
"""

from importlib import import_module
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

NETWORKS = ("alexnet", "lenet", "residual_vgg", "resnet", "vgg")


class Checked(BaseModel):
    """A part of the parameters: unknown keys are refused, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkOptions(Checked):
    """What the options of every network have."""

    smallest: ClassVar[int]  # input size in pixels; a family whose options matter here has a property instead

    @property
    def any_size(self) -> bool:
        """Whether the same weights serve inputs of any size, as `grow` needs."""
        return False


def options_of(model: str) -> type[NetworkOptions]:
    """The class of a network's options; `model` is one of `NETWORKS`."""
    return import_module(f"lineage.options.{model}").Options
