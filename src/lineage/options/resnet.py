"""The options of residual networks and their plain counterparts."""

from typing import ClassVar, Literal

from pydantic import model_validator

from lineage.engine.recipe import Count
from lineage.options import NetworkOptions


class Options(NetworkOptions):
    smallest: ClassVar[int] = 8
    depth: Count
    shortcut: Literal["none", "identity", "projection"]  # none: a plain network
    stem: Literal["imagenet", "cifar"] = "cifar"
    normalisation: Literal["batch", "none"] = "batch"
    initialisation: Literal["he", "dirac"] = "he"  # dirac: close to the identity, see lineage/models/__init__.py

    @property
    def any_size(self) -> bool:
        return True

    @model_validator(mode="after")
    def _depth_exists(self) -> "Options":
        if self.depth not in (18, 34, 50) and (self.depth < 8 or (self.depth - 2) % 6):
            raise ValueError(
                f"depth: {self.depth} is neither 18, 34 or 50 nor of the form 6n+2, such as 20, 32, 44, 56 and 110"
            )
        return self
