"""The options that each network takes in params.yaml, checked; without torch, which takes seconds to import."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lineage.engine.recipe import Count, Fraction


class Block(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LeNet(Block):
    smallest: ClassVar[int] = 16  # pixels a side


class AlexNet(Block):
    depth: Literal[8, 4] = 8
    normalisation: Literal["none", "lrn", "batch"] = "none"
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    dropout: Fraction = Field(default_factory=lambda values: 0.0 if values.get("depth") == 4 else 0.5)

    @property
    def smallest(self) -> int:
        return 63 if self.depth == 8 else 8

    @model_validator(mode="after")
    def _dropout_has_a_place(self) -> "AlexNet":
        if self.depth == 4 and self.dropout:
            raise ValueError(f"dropout: the network of 4 layers has none, leave {self.dropout} out")
        return self


class ResNet(Block):
    smallest: ClassVar[int] = 8
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
    smallest: ClassVar[int] = 32
    depth: Literal[11, 13, 16, 19]
    head: Literal["mean", "classic"] = "mean"
    dropout: Fraction = 0.5


class ResidualVGG(Block):
    smallest: ClassVar[int] = 32
    shortcut: Literal["none", "identity", "projection", "always-convolved"]
    dropout: Fraction = 0.5


# the networks: the name of the file in `lineage/models` and the options that it takes
NETWORKS: dict[str, type[Block]] = {
    "alexnet": AlexNet,
    "resnet": ResNet,
    "vgg": VGG,
    "lenet": LeNet,
    "residual_vgg": ResidualVGG,
}
