"""The options of VGG."""

from typing import ClassVar, Literal

from lineage.engine.recipe import Fraction
from lineage.options import NetworkOptions


class Options(NetworkOptions):
    smallest: ClassVar[int] = 32
    depth: Literal[11, 13, 16, 19]
    head: Literal["mean", "classic"] = "mean"
    dropout: Fraction = 0.5

    @property
    def any_size(self) -> bool:
        return self.head == "mean"
