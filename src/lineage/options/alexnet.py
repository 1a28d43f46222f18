"""The options of AlexNet, in eight layers or in four."""

from typing import Literal

from pydantic import Field, model_validator

from lineage.engine.recipe import Fraction
from lineage.options import NetworkOptions


def _dropout(values: dict[str, object]) -> float:
    """Krizhevsky et al. 2012, section 4.2; cuda-convnet's network of four layers has none."""
    return 0.0 if values.get("depth") == 4 else 0.5


class Options(NetworkOptions):
    depth: Literal[8, 4] = 8
    normalisation: Literal["none", "lrn", "batch"] = "none"
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    dropout: Fraction = Field(default_factory=_dropout)

    @property
    def smallest(self) -> int:
        return 63 if self.depth == 8 else 8

    @model_validator(mode="after")
    def _dropout_has_a_place(self) -> "Options":
        if self.depth == 4 and self.dropout:
            raise ValueError(f"dropout: the network of 4 layers has none, leave {self.dropout} out")
        return self
