"""LeNet-5 has no options."""

from typing import ClassVar

from lineage.options import NetworkOptions


class Options(NetworkOptions):
    smallest: ClassVar[int] = 16
