"""The options of VGG with residual blocks."""

from typing import ClassVar, Literal

from lineage.engine.recipe import Fraction
from lineage.options import NetworkOptions


class Options(NetworkOptions):
    smallest: ClassVar[int] = 32
    shortcut: Literal["none", "identity", "projection", "always-convolved"]
    dropout: Fraction = 0.5
